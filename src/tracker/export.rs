//! All customers of a project, in constant memory.

use std::sync::Arc;

use super::columns::{Columns, Counts};
use super::permits::{Permits, blocking};
use super::read::{id_values, kinds};
use super::shared_snapshot::SharedSnapshot;
use super::stream_permits::StreamPermit;
use super::{Access, Error, IdValues, Tracker};
use crate::model::project::Permission;
use crate::model::properties::Properties;
use crate::view::Place;

/// Bytes of properties and IDs beyond which a step of an export ends: it has one customer more at most.
const STEP_BYTES_MAX: usize = 256 * 1024;

/// A customer without events.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedCustomer {
    /// The IDs that it has, in the order of the project's types.
    pub ids: Vec<IdValues>,
    /// The properties.
    pub properties: Properties,
}

/// An export in flight. Between its steps it holds the result of one step, and a snapshot of the view for a limited
/// time.
#[derive(Debug)]
pub struct Export {
    /// The types of IDs, each with whether it is soft, in the project's order.
    pub kinds: Vec<(String, bool)>,
    names: Vec<String>,
    /// The place that it has reached; none once it has ended.
    place: Option<Place>,
    moment: SharedSnapshot,
    permits: Arc<Permits>,
    access: Access,
    _permit: StreamPermit,
}

impl Tracker {
    /// Begins to export a project's customers, as they are once everything acknowledged before is readable.
    ///
    /// They are those of one moment, unless the export takes longer than [`Options::snapshot_timeout`]: then it goes on
    /// from its place with those of a later moment. A customer is exported once, unless it loses its oldest ID
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`], [`Error::View`].
    ///
    /// [`Options::snapshot_timeout`]: super::Options::snapshot_timeout
    pub async fn export(&self, access: &Access) -> Result<Export, Error> {
        access.allow(Permission::GetCustomers)?;
        let permit = self.stream_permits.take(access)?;
        self.caught_up(access).await?;
        let types = access.project.ids.types();
        Ok(Export {
            kinds: types.map(|(kind, soft)| (kind.to_owned(), soft)).collect(),
            names: kinds(access),
            place: Some(Place::default()),
            moment: SharedSnapshot::new(self.view.clone(), self.options.snapshot_timeout),
            permits: self.permits.clone(),
            access: access.clone(),
            _permit: permit,
        })
    }
}

impl Export {
    /// The columns of a table of the remaining customers: an extra walk.
    ///
    /// # Errors
    /// [`Error::TooManyReads`], [`Error::View`].
    pub async fn columns(&mut self) -> Result<Columns, Error> {
        let mut counts = Counts::default();
        let mut place = self.place.clone();
        while let Some(mut at) = place {
            let permit = self.permits.take(&self.access).await?;
            let (moment, token) = (self.moment.clone(), self.access.kept_as().to_owned());
            let step = move |cancel| {
                let moment = moment.snapshot().until(cancel);
                let mut bytes = 0;
                let has_more = moment.customers(&token, &mut at, |found| {
                    moment.each_property(&found, "", |name, property| {
                        counts.count(name, property.updated.1);
                        bytes += name.len() + property.value.len();
                        true
                    })?;
                    Ok(bytes < STEP_BYTES_MAX)
                })?;
                Ok((has_more.then_some(at), counts))
            };
            ((place, counts), _) = blocking(permit, step).await?;
        }
        Ok(counts.columns())
    }

    /// What `make` makes of the next customers, possibly none; `None` at the end, and after an error. `make` runs where
    /// the view is read, off the threads that serve all callers.
    ///
    /// # Errors
    /// [`Error::TooManyReads`], [`Error::View`].
    pub async fn next<T: Send + 'static>(
        &mut self,
        make: impl FnOnce(Vec<ExportedCustomer>) -> T + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let Some(mut place) = self.place.take() else {
            return Ok(None);
        };
        let permit = self.permits.take(&self.access).await?;
        let (moment, token) = (self.moment.clone(), self.access.kept_as().to_owned());
        let kinds = self.names.clone();
        let step = move |cancel| {
            let moment = moment.snapshot().until(cancel);
            let mut customers = Vec::new();
            let mut bytes = 0;
            let has_more = moment.customers(&token, &mut place, |found| {
                let properties = moment.properties(&found)?;
                let ids = id_values(&kinds, &found.ids());
                let values = ids.iter().flat_map(|ids| &ids.values);
                bytes += properties.bytes().len() + values.map(String::len).sum::<usize>();
                customers.push(ExportedCustomer { ids, properties });
                Ok(bytes < STEP_BYTES_MAX)
            })?;
            Ok((has_more.then_some(place), make(customers)))
        };
        let ((place, made), _) = blocking(permit, step).await?;
        self.place = place;
        Ok(Some(made))
    }
}
