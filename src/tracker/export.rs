//! All customers of a project, in constant memory, as they were at one moment.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::read::{blocking, id_values, kinds};
use super::slots::Slot;
use super::{Access, Error, IdValues, Tracker};
use crate::model::project::Permission;
use crate::model::properties::Properties;
use crate::view::Place;
use crate::view::read::{Found, Snapshot};

/// Bytes of properties beyond which a step of an export ends.
const STEP_BYTES_MAX: usize = 256 * 1024;
/// Most names of properties that an export as a table has columns for.
pub const NAMES_MAX: usize = 10_000;

/// A customer without events.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedCustomer {
    /// The IDs that it has, in the order of the project's types.
    pub ids: Vec<IdValues>,
    /// The properties.
    pub properties: Properties,
}

/// An export under way.
#[derive(Debug)]
pub struct Export {
    /// The types of IDs, each with whether it is soft, in the project's order.
    pub kinds: Vec<(String, bool)>,
    /// None once it has ended.
    walk: Option<Walk>,
    _slot: Slot,
}

/// A walk over a project's customers.
#[derive(Clone, Debug)]
struct Walk {
    snapshot: Arc<Snapshot>,
    token: String,
    kinds: Vec<String>,
    place: Place,
    found: VecDeque<Found>,
    ended: bool,
}

impl Tracker {
    /// Begins to export a project's customers, as they are once everything is readable that was acknowledged
    /// before.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`], [`Error::View`].
    pub async fn export(&self, access: &Access) -> Result<Export, Error> {
        access.allow(Permission::GetCustomers)?;
        let slot = self.slots.take(access)?;
        self.caught_up().await?;
        let types = access.project.ids.types();
        Ok(Export {
            kinds: types.map(|(kind, soft)| (kind.to_owned(), soft)).collect(),
            walk: Some(Walk {
                snapshot: Arc::new(self.view.snapshot()),
                token: access.project.token.clone(),
                kinds: kinds(access),
                place: Place::default(),
                found: VecDeque::new(),
                ended: false,
            }),
            _slot: slot,
        })
    }
}

impl Export {
    /// The names of the properties of the customers to come: a walk of its own over the same state.
    ///
    /// # Errors
    /// [`Error::TooManyNames`], [`Error::View`].
    pub async fn names(&self) -> Result<BTreeSet<String>, Error> {
        let mut names = BTreeSet::new();
        let mut walk = self.walk.clone();
        while let Some(mut at) = walk.filter(|walk| !walk.ended) {
            let step = move || {
                at.names(&mut names)?;
                Ok((at, names))
            };
            let (at, found) = blocking(step).await?;
            (walk, names) = (Some(at), found);
        }
        Ok(names)
    }

    /// The next customers, maybe none of them; `None` at the end, and after an error.
    ///
    /// # Errors
    /// [`Error::View`].
    pub async fn next(&mut self) -> Result<Option<Vec<ExportedCustomer>>, Error> {
        let Some(mut walk) = self.walk.take().filter(|walk| !walk.ended) else {
            return Ok(None);
        };
        let step = move || {
            let customers = walk.customers()?;
            Ok((walk, customers))
        };
        let (walk, customers) = blocking(step).await?;
        self.walk = Some(walk);
        Ok(Some(customers))
    }
}

impl Walk {
    /// Finds the next customers, if none are left of the last time.
    fn find(&mut self) -> Result<(), Error> {
        if self.found.is_empty() {
            match self.snapshot.customers(&self.token, &mut self.place)? {
                Some(found) => self.found = found.into(),
                None => self.ended = true,
            }
        }
        Ok(())
    }

    fn names(&mut self, names: &mut BTreeSet<String>) -> Result<(), Error> {
        self.find()?;
        for found in self.found.drain(..) {
            names.extend(self.snapshot.property_names(&found)?);
            if names.len() > NAMES_MAX {
                return Err(Error::TooManyNames);
            }
        }
        Ok(())
    }

    fn customers(&mut self) -> Result<Vec<ExportedCustomer>, Error> {
        self.find()?;
        let mut customers = Vec::new();
        let mut bytes = 0;
        while bytes < STEP_BYTES_MAX
            && let Some(found) = self.found.pop_front()
        {
            let properties = self.snapshot.properties(&found)?;
            bytes += properties.bytes().len();
            customers.push(ExportedCustomer {
                ids: id_values(&self.kinds, &found.ids()),
                properties,
            });
        }
        Ok(customers)
    }
}
