//! A tracker and its callers.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Handle;

use super::super::{
    Accepted, Access, AddEvent, Error, GetCustomer, IdValues, ListEvents, ResponseWriter, Tracker,
    UpdateCustomer,
};
use crate::clock::ManualClock;
use crate::limit::{AuthFailureLimiter, QuotaOutcome};
use crate::log::memory::MemoryStore;
use crate::log::{Log, Options};
use crate::model::address::ClientAddress;
use crate::model::credentials::Credentials;
use crate::model::customer_id::Schema;
use crate::model::project::{Key, KeyAccess, Permission, Project, PublicKey, SecretHash};
use crate::model::properties::{Object, Properties};
use crate::model::time::Timestamp;
use crate::tracker;
use crate::view::tests::scratch;
use crate::view::{StoredEvent, View};

/// Where the clock starts, in seconds.
pub(super) const START: u64 = 1_700_000_000;

pub(super) struct Bench {
    pub(super) tracker: Arc<Tracker>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) log: Log,
    pub(super) view: View,
    _dir: TempDir,
}

/// Authenticates a caller without a socket.
pub(super) fn enter(
    tracker: &Tracker,
    token: &str,
    credentials: &Credentials,
) -> Result<Access, Error> {
    tracker.authenticate(
        token,
        credentials,
        ClientAddress::Unix,
        &QuotaOutcome::default(),
    )
}

/// A limiter that allows any number of failures.
pub(super) fn any_failures() -> Arc<AuthFailureLimiter> {
    Arc::new(AuthFailureLimiter::new(None, NonZeroUsize::MIN, [0, 0]))
}

impl Bench {
    /// Must be called in a runtime.
    pub(super) fn new() -> Self {
        let clock = Arc::new(ManualClock::starting_at(Duration::from_secs(START)));
        let store = Arc::new(MemoryStore::default());
        let log = Log::start(store.clone(), &Options::default(), clock.clone()).unwrap();
        let dir = scratch();
        let view = View::start(&dir.path().join("view"), log.clone(), Handle::current()).unwrap();
        let tracker = Tracker::new(
            vec![project("p").into(), project("q").into()],
            any_failures(),
            log.clone(),
            view.clone(),
            clock.clone(),
            tracker::Options {
                read_timeout: Duration::from_secs(60),
                ..tracker::Options::default()
            },
        );
        Self {
            tracker: Arc::new(tracker),
            clock,
            store,
            log,
            view,
            _dir: dir,
        }
    }

    /// The caller that may do everything.
    pub(super) fn access(&self) -> Access {
        self.enter("p", &private("all", "s")).unwrap()
    }

    pub(super) fn enter(&self, token: &str, credentials: &Credentials) -> Result<Access, Error> {
        enter(&self.tracker, token, credentials)
    }

    pub(super) fn update(&self, customer: &[(&str, &str)], json: &str) -> Result<Accepted, Error> {
        let update = UpdateCustomer {
            customer_ids: &ids(customer),
            properties: object(json),
            time: None,
        };
        self.tracker.update(&self.access(), update)
    }

    pub(super) fn event(
        &self,
        customer: &[(&str, &str)],
        event_type: &str,
        json: &str,
    ) -> Result<Accepted, Error> {
        let event = AddEvent {
            customer_ids: &ids(customer),
            event_type,
            properties: object(json),
            time: None,
        };
        self.tracker.event(&self.access(), event)
    }

    pub(super) async fn commits(&self, commands: Vec<Accepted>) {
        self.tracker.commit(commands).await.unwrap();
    }

    pub(super) async fn customer(&self, customer: &[(&str, &str)]) -> Result<CustomerState, Error> {
        read_customer(&self.tracker, &self.access(), &ids(customer)).await
    }
}

/// A customer as it stands, or a page of it or of its events.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CustomerState {
    pub(super) ids: Vec<IdValues>,
    pub(super) properties: Properties,
    pub(super) events: Vec<StoredEvent>,
    /// How many more properties and events it takes.
    left: usize,
}

impl CustomerState {
    pub(super) fn of_parts(left: usize) -> Self {
        Self {
            ids: Vec::new(),
            properties: Properties::default(),
            events: Vec::new(),
            left,
        }
    }

    fn has_room(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        left.map(|left| self.left = left).is_some()
    }
}

impl ResponseWriter for CustomerState {
    fn ids(&mut self, ids: Vec<IdValues>) -> bool {
        self.ids = ids;
        true
    }

    fn property(&mut self, name: &str, value: &[u8]) -> bool {
        let has_room = self.has_room();
        if has_room {
            let entries = self.properties.entries().chain([(name, value)]);
            self.properties = Properties::from_sorted(entries);
        }
        has_room
    }

    fn event(&mut self, event: StoredEvent) -> bool {
        let has_room = self.has_room();
        if has_room {
            self.events.push(event);
        }
        has_room
    }

    fn bytes(&self) -> usize {
        0
    }
}

/// Reads a customer with everything.
pub(super) async fn read_customer(
    tracker: &Tracker,
    access: &Access,
    customer_ids: &BTreeMap<String, String>,
) -> Result<CustomerState, Error> {
    let request = GetCustomer {
        customer_ids,
        paged: false,
        page_token: "",
    };
    let answer = CustomerState::of_parts(usize::MAX);
    let (page, _) = tracker.customer(access, request, answer).await?;
    Ok(page.answer)
}

/// Lists events.
pub(super) async fn list_events(
    tracker: &Tracker,
    access: &Access,
    request: ListEvents<'_>,
) -> Result<Vec<StoredEvent>, Error> {
    let answer = CustomerState::of_parts(usize::MAX);
    let (page, _) = tracker.events(access, request, answer).await?;
    Ok(page.answer.events)
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.view.close();
    }
}

/// A project whose keys are identified by their names.
pub(super) fn project(token: &str) -> Project {
    use Permission::{GetCustomers, GetEvents, SetCustomers, SetEvents};
    let named = |name: &str| name.to_owned();
    let public = |name: &str, permissions: &[Permission]| Key {
        access: KeyAccess::Public(PublicKey::new(&format!("{token}-{name}"))),
        client_cert: None,
        expires: None,
        permissions: permissions.to_vec(),
        event_types: BTreeSet::new(),
    };
    let private = |name: &str, secrets: &[&str], permissions: &[Permission]| Key {
        access: KeyAccess::Private {
            id: named(name),
            secrets: secrets.iter().map(|s| SecretHash::of(s)).collect(),
        },
        client_cert: None,
        expires: None,
        permissions: permissions.to_vec(),
        event_types: BTreeSet::new(),
    };
    let keys = [
        public("both", &[SetCustomers, SetEvents]),
        public("customers", &[SetCustomers]),
        public("events", &[SetEvents]),
        public("greedy", &Permission::ALL),
        private("all", &["s", "next"], &Permission::ALL),
        private("reads-customers", &["s"], &[GetCustomers]),
        private("reads-events", &["s"], &[GetEvents]),
        private("nothing", &["s"], &[]),
    ];
    Project {
        token: token.to_owned(),
        kept_as: token.to_owned(),
        ids: Schema::new(&[named("registered")], &[named("cookie")], &[]),
        keys: keys.into_iter().map(Arc::new).collect(),
    }
}

pub(super) fn public(key: &str) -> Credentials {
    Credentials::Public(key.to_owned())
}

pub(super) fn private(id: &str, secret: &str) -> Credentials {
    Credentials::Private {
        id: id.to_owned(),
        secret: secret.to_owned(),
    }
}

pub(super) fn ids(ids: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(kind, value): &(&str, &str)| ((*kind).to_owned(), (*value).to_owned());
    ids.iter().map(owned).collect()
}

pub(super) fn object(json: &str) -> Object {
    Properties::from_json(json).unwrap().into()
}

pub(super) fn json(properties: &Properties) -> String {
    let mut json = Vec::new();
    properties.write_json(&mut json);
    String::from_utf8(json).unwrap()
}

pub(super) fn micros(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}
