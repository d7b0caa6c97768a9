//! What the fuzz targets share: a service without sockets, its log in memory, that callers cannot break.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Arbitrary;
use footfall::app::settings;
use footfall::clock::ManualClock;
use footfall::config;
use footfall::grpc::health::Health;
use footfall::grpc::{Customers, Tracking};
use footfall::limit::{AuthFailureLimiter, Meter, QuotaOutcome};
use footfall::log::memory::MemoryStore;
use footfall::log::{self, Log};
use footfall::middleware::{CallContext, Connected, RecentRefusals};
use footfall::model::address::Peer;
use footfall::rest::routes::classify;
use footfall::rest::{Limits, Offload, Rest};
use footfall::tracker::{self, Tracker};
use footfall::view::View;
use http::{HeaderValue, Method};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The project that [`AUTHORIZATION`] may do everything in.
pub const TOKEN: &str = "fuzz";
/// `Basic fuzz:fuzz`.
pub const AUTHORIZATION: &str = "Basic ZnV6ejpmdXp6";

const PROJECT: &str = r#"
[[project]]
token = "fuzz"
[[project.key]]
id = "fuzz"
secrets = ["fuzz"]
permissions = ["customers:set", "events:set", "customers:get", "events:get", "customers:anonymize", "customers:erase"]
"#;

/// Largest body of a single route and of a batch, in bytes: small, so that inputs of a few bytes grow beyond them.
pub const BODY_BYTES_MAX: usize = 64 << 10;
const BATCH_BYTES_MAX: usize = 256 << 10;
/// Largest answer over gRPC, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// What an input grows to at most, in bytes.
const GROWN_BYTES_MAX: usize = 512 << 10;
/// In a part that is repeated, this becomes the number of the repetition, so that names and IDs differ.
const COUNTER: u8 = b'#';

/// How a few bytes become many: a part of them is repeated, so that a fuzzer finds more commands, properties, IDs,
/// levels and bytes than there may be.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Growth {
    at: u16,
    length: u8,
    /// As a power of two, more or less.
    times: u8,
}

impl Growth {
    /// The bytes with their part repeated.
    pub fn of(self, bytes: &[u8]) -> Vec<u8> {
        let at = usize::from(self.at) % (bytes.len() + 1);
        let (before, rest) = bytes.split_at(at);
        let (part, after) = rest.split_at(usize::from(self.length).min(rest.len()));
        let power = self.times % 17;
        let times = (1_usize << power) + usize::from(self.times / 17);
        let mut grown = before.to_vec();
        for number in 0..times {
            if grown.len() + part.len() + after.len() > GROWN_BYTES_MAX {
                break;
            }
            for byte in part {
                match *byte {
                    COUNTER => grown.extend(number.to_string().into_bytes()),
                    byte => grown.push(byte),
                }
            }
        }
        grown.extend(after);
        grown
    }
}

/// What the layers in front of a service would have said of a call.
pub fn context(path: &str, meter: Meter) -> CallContext {
    let connected = Connected {
        peer: Peer::Ip([192, 0, 2, 1].into()),
        certificate: None,
    };
    let classified = classify(&Method::POST, path);
    let mut context = CallContext::new(connected, classified, HeaderValue::from_static("fuzz"));
    context.set_address(context.peer().into());
    context.set_charges(QuotaOutcome::default(), None);
    context.set_meter(meter);
    context
}

/// Calls that one service takes; then a new one begins, so that memory stays within bounds.
const CALLS_MAX: u32 = 20_000;

/// A service and its threads.
pub struct Service {
    pub tracking: Tracking,
    pub customers: Customers,
    pub rest: Rest,
    calls: u32,
    _log: Log,
    _view: View,
    _dir: TempDir,
    runtime: Runtime,
}

impl Service {
    /// A service that nobody has called yet.
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .unwrap();
        let clock = Arc::new(ManualClock::starting_at(Duration::from_secs(1_700_000_000)));
        let store = Arc::new(MemoryStore::default());
        let log = Log::start(store, &log::Options::default(), clock.clone()).unwrap();
        let dir = TempDir::new_in("/dev/shm")
            .or_else(|_| TempDir::new())
            .unwrap();
        let handle = runtime.handle().clone();
        let view = View::start(&dir.path().join("view"), log.clone(), handle).unwrap();
        let projects = config::projects_from_toml(PROJECT).unwrap();
        let members = projects
            .iter()
            .map(|project| settings::member(project, false));
        let tracker = Arc::new(Tracker::new(
            members.collect(),
            Arc::new(AuthFailureLimiter::new(None, NonZeroUsize::MIN, [0, 0])),
            log.clone(),
            view.clone(),
            clock,
            tracker::Options {
                read_timeout: Duration::from_secs(60),
                ..tracker::Options::default()
            },
        ));
        let tracking = Tracking::new(tracker.clone(), Duration::from_secs(30));
        let customers = Customers::new(tracker, RecentRefusals::default(), ANSWER_BYTES_MAX);
        let limits = Limits {
            body_bytes_max: BODY_BYTES_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
            body_timeout: Duration::from_secs(30),
        };
        let rest = Rest::new(
            tracking.clone(),
            customers.clone(),
            Health::default(),
            limits,
            Offload::new(1),
        );
        Self {
            tracking,
            customers,
            rest,
            calls: 0,
            _log: log,
            _view: view,
            _dir: dir,
            runtime,
        }
    }

    /// Runs a call to its end, on the present service or on a new one.
    pub fn run<T>(service: &mut Option<Self>, call: impl AsyncFnOnce(&Self) -> T) -> T {
        if service
            .as_ref()
            .is_some_and(|service| service.calls == CALLS_MAX)
        {
            *service = None;
        }
        let service = service.get_or_insert_with(Self::new);
        service.calls += 1;
        service.runtime.block_on(call(service))
    }
}

impl Default for Service {
    fn default() -> Self {
        Self::new()
    }
}
