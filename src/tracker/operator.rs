//! What operators see, who need no key: their listener has let them in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::page_token::PageToken;
use super::read::{id_values, kinds};
use super::{Access, Error, Held, IdValues, Tracker};
use crate::limit::Quota;
use crate::model::project::{Key, KeyAccess, Permission};
use crate::model::properties::Value;
use crate::model::quote::quoted;
use crate::model::time::Timestamp;

use crate::view::{Events, Order, ROWS_MAX, StoredEvent};

/// Most events of a page.
const EVENTS_MAX: usize = 100;

/// A page of a customer.
#[derive(Debug)]
pub struct Looked {
    /// Its IDs.
    pub ids: Vec<IdValues>,
    /// Its properties, with the time of their last update.
    pub properties: Vec<(String, Value, Option<Timestamp>)>,
    /// Its events, newest first.
    pub events: Vec<StoredEvent>,
    /// How to go on with events; none at the end.
    pub next: Option<String>,
}

/// What is left of a quota.
#[derive(Debug)]
pub struct QuotaLeft {
    /// The project's token.
    pub token: String,
    /// The key's name; none: it is the project's quota.
    pub key: Option<String>,
    /// The quota.
    pub quota: Quota,
    /// Requests that would pass now.
    pub left: u32,
}

impl Tracker {
    /// The tokens of all projects.
    pub fn tokens(&self) -> BTreeSet<String> {
        self.projects.borrow().tokens().map(str::to_owned).collect()
    }

    /// What is left of the quotas of projects and keys.
    pub fn quotas_left(&self) -> Vec<QuotaLeft> {
        let now = self.clock.elapsed();
        let projects = self.projects.borrow();
        let mut left: Vec<_> = projects
            .entries()
            .flat_map(|entry| {
                let named = move |(place, quota, left): (Option<usize>, Quota, u32)| {
                    let key = place.and_then(|place| entry.project.keys.get(place));
                    QuotaLeft {
                        token: entry.project.token.clone(),
                        key: key.map(|key| entry.project.key_name(key)),
                        quota,
                        left,
                    }
                };
                entry.account.left(now).into_iter().map(named)
            })
            .collect();
        left.sort_by(|one, other| (&one.token, &one.key).cmp(&(&other.token, &other.key)));
        left
    }

    /// Lets an operator read a project, with a key that stands in no settings.
    fn operator(&self, token: &str) -> Result<Access, Error> {
        let key = Key {
            access: KeyAccess::Private {
                id: "operator".to_owned(),
                secrets: Vec::new(),
            },
            client_cert: None,
            expires: None,
            permissions: vec![Permission::GetCustomers, Permission::GetEvents],
            event_types: BTreeSet::new(),
        };
        let access = self.projects.borrow().access(token, Arc::new(key));
        access.ok_or(super::AccessError::UnknownProject.into())
    }

    /// Reads a customer for an operator: what stands of it and a page of its events. A customer with more properties
    /// than an answer holds is shown with as many.
    ///
    /// # Errors
    /// [`Error::UnknownCustomer`], and what breaks a rule.
    pub async fn look(
        &self,
        token: &str,
        customer_ids: &BTreeMap<String, String>,
        before: &str,
    ) -> Result<(Looked, Held), Error> {
        let access = self.operator(token)?;
        let (after, skip) = match before {
            "" => (None, 0),
            text => match PageToken::decode(access.kept_as(), text)? {
                PageToken::Events { after, skip } => (after, skip),
                PageToken::Property(_) => return Err(Error::PageToken(quoted(text))),
            },
        };
        let bytes_max = self.options.answer_bytes_max;
        let (kinds, token) = (kinds(&access), access.kept_as().to_owned());
        self.read(&access, customer_ids, move |snapshot, found| {
            let (mut bytes, mut properties, mut events) = (0, Vec::new(), Vec::new());
            snapshot.each_property(found, "", |name, property| {
                let updated = Timestamp::from_micros(property.updated.0).ok();
                bytes += name.len() + property.value.len();
                let fits = bytes <= bytes_max;
                if fits {
                    let value = Value::from_canonical(property.value.into());
                    properties.push((name.to_owned(), value, updated));
                }
                fits
            })?;
            let wanted = Events {
                types: None,
                order: Order::Descending,
                after,
                skip,
                limit: EVENTS_MAX,
                rows_max: ROWS_MAX,
            };
            let rest = snapshot.each_event(found, &wanted, |event| {
                bytes += event.properties.bytes().len();
                // The first one always, or no page would go on.
                let fits = bytes <= bytes_max || events.is_empty();
                if fits {
                    events.push(event);
                }
                fits
            })?;
            let looked = Looked {
                ids: id_values(&kinds, &found.ids()),
                properties,
                events,
                next: rest.map(|rest| PageToken::from(rest).encode(&token)),
            };
            Ok((looked, bytes))
        })
        .await
    }
}
