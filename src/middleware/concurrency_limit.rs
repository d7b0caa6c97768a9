//! The capacity for calls in flight: permits in all and by address, for calls, streaming calls and probes, and the
//! memory of bodies.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::guard::{Guard, Rejections};
use super::stalls::Stalls;
use super::{Answers, CallContext, Classified, RequestClass, refusal};
use crate::limit::{Budget, BudgetOptions, KeyHolder, KeyedPermit, KeyedSemaphore, Meter};
use crate::model::address::{AddressKey, ClientAddress, Resolver};

/// Most probes in flight of an address.
const PROBES_PER_ADDRESS_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// How much capacity there is.
#[derive(Clone, Copy, Debug)]
pub struct ConcurrencyOptions {
    /// Calls in flight.
    pub calls_max: NonZeroUsize,
    /// Calls in flight of an address.
    pub calls_per_address_max: NonZeroUsize,
    /// Streaming calls.
    pub streaming_max: NonZeroUsize,
    /// Streaming calls of an address.
    pub streaming_per_address_max: NonZeroUsize,
    /// Streams of commands of a key.
    pub streaming_per_key_max: NonZeroUsize,
    /// Streams that send and whose callers do not read their answers.
    pub stalled_max: NonZeroUsize,
    /// Memory of bodies and messages.
    pub budget: BudgetOptions,
}

/// The capacity for calls in flight. Clones share it.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    calls: Permits,
    streaming: Permits,
    probes: Arc<KeyedSemaphore<AddressKey>>,
    keys: KeyStreams,
    stalls: Stalls,
    budget: Budget,
    /// Proxies that are known by their address call for many.
    resolver: Arc<Resolver>,
    rejections: Rejections,
}

/// Permits of one kind.
#[derive(Clone, Debug)]
struct Permits {
    all: Arc<Semaphore>,
    all_max: usize,
    by_address: Arc<KeyedSemaphore<AddressKey>>,
    address_max: usize,
    /// What they are permits for.
    name: &'static str,
    all_guard: Guard,
    address_guard: Guard,
}

/// The limit of streams of a key, for streams whose key is known only once they have begun. An extension of their
/// requests.
#[derive(Clone, Debug)]
pub struct KeyStreams {
    shares: Arc<KeyedSemaphore<KeyHolder>>,
    max: usize,
}

impl Permits {
    fn new(
        all_max: NonZeroUsize,
        address_max: NonZeroUsize,
        name: &'static str,
        [all_guard, address_guard]: [Guard; 2],
    ) -> Self {
        let all_max = all_max.get().min(Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(all_max)),
            all_max,
            by_address: KeyedSemaphore::new(address_max),
            address_max: address_max.get(),
            name,
            all_guard,
            address_guard,
        }
    }

    /// A permit; `address`: none for a proxy, which calls for many.
    fn take(&self, address: Option<AddressKey>) -> Result<Permit, Status> {
        let by_address = match address {
            None => None,
            Some(address) => Some(self.by_address.take(address).ok_or_else(|| {
                let (most, name) = (self.address_max, self.name);
                let text = format!("{most} {name} from {address} are under way, which is the most");
                self.address_guard.behind(refusal::unavailable(text))
            })?),
        };
        let all = self.all.clone().try_acquire_owned().map_err(|_| {
            let (most, name) = (self.all_max, self.name);
            let text = format!("{most} {name} are under way, which is the most");
            self.all_guard.behind(refusal::unavailable(text))
        })?;
        Ok(Permit {
            _all: Some(all),
            by_address,
        })
    }

    fn taken(&self) -> usize {
        self.all_max.saturating_sub(self.all.available_permits())
    }
}

impl KeyStreams {
    /// A permit for a stream of a key.
    ///
    /// # Errors
    /// `UNAVAILABLE`: the key has all that it may have.
    pub fn take(&self, key: KeyHolder) -> Result<KeyedPermit<KeyHolder>, Status> {
        self.shares.take(key).ok_or_else(|| {
            let text = format!(
                "{} streams of the key are open, which is the most",
                self.max
            );
            Guard::StreamingCallsPerKey.behind(refusal::unavailable(text))
        })
    }
}

impl ConcurrencyLimit {
    /// A limit of this capacity.
    pub fn new(
        options: ConcurrencyOptions,
        resolver: Arc<Resolver>,
        rejections: Rejections,
    ) -> Self {
        Self {
            calls: Permits::new(
                options.calls_max,
                options.calls_per_address_max,
                "calls",
                [Guard::Requests, Guard::RequestsPerAddress],
            ),
            streaming: Permits::new(
                options.streaming_max,
                options.streaming_per_address_max,
                "streaming calls",
                [Guard::StreamingCalls, Guard::StreamingCallsPerAddress],
            ),
            probes: KeyedSemaphore::new(PROBES_PER_ADDRESS_MAX),
            keys: KeyStreams {
                shares: KeyedSemaphore::new(options.streaming_per_key_max),
                max: options.streaming_per_key_max.get(),
            },
            stalls: Stalls::new(options.stalled_max, rejections.clone()),
            budget: Budget::new(options.budget),
            resolver,
            rejections,
        }
    }

    /// How many bytes bodies and messages hold.
    pub fn memory_taken(&self) -> usize {
        self.budget.taken()
    }

    /// How many calls are in flight.
    pub fn calls_taken(&self) -> usize {
        self.calls.taken()
    }

    /// How many streaming calls are in flight.
    pub fn streaming_taken(&self) -> usize {
        self.streaming.taken()
    }

    /// The streams that send and whose callers do not read their answers.
    pub fn stalls(&self) -> &Stalls {
        &self.stalls
    }

    /// A permit for a call, or the refusal.
    pub(super) fn acquire(
        &self,
        classified: Classified,
        client: ClientAddress,
    ) -> Result<CallPermit, Status> {
        let address = (!self.resolver.is_proxy(client)).then(|| client.key());
        let permit = match classified.is_probe() {
            // Orchestrators also probe a busy service.
            true => self.probe(address)?,
            false => self.calls.take(address)?,
        };
        let streaming = match classified.answers {
            Answers::Once => None,
            Answers::Stream | Answers::Lasts => Some(self.streaming.take(address)?),
        };
        Ok(CallPermit {
            permit,
            streaming,
            meter: self.budget.meter(address),
        })
    }

    /// The counters of refusals.
    pub(super) fn rejections(&self) -> &Rejections {
        &self.rejections
    }

    fn probe(&self, address: Option<AddressKey>) -> Result<Permit, Status> {
        let by_address = match address {
            None => None,
            Some(address) => Some(self.probes.take(address).ok_or_else(|| {
                let most = PROBES_PER_ADDRESS_MAX;
                let text = format!("{most} probes from {address} are under way, which is the most");
                Guard::RequestsPerAddress.behind(refusal::unavailable(text))
            })?),
        };
        Ok(Permit {
            _all: None,
            by_address,
        })
    }

    /// Adds to the context of a call what it enforces its own bounds with.
    pub(super) fn equip(&self, context: &mut CallContext, meter: &Meter) {
        let classified = context.classified();
        match classified.class {
            RequestClass::Grpc(_) | RequestClass::Rest => context.set_meter(meter.clone()),
            // Their bodies are not read.
            RequestClass::OtherGrpc
            | RequestClass::Preflight
            | RequestClass::Probe(_)
            | RequestClass::Sdk => {}
        }
        if classified.sends_many() {
            // The stream has to count what it refuses once its answer has begun.
            context.set_stream(self.keys.clone(), self.rejections.clone());
        }
    }
}

/// The permits of an admitted call, until dropped.
#[derive(Debug)]
pub(super) struct CallPermit {
    pub(super) permit: Permit,
    pub(super) streaming: Option<Permit>,
    pub(super) meter: Meter,
}

/// A permit, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    _all: Option<OwnedSemaphorePermit>,
    pub(super) by_address: Option<KeyedPermit<AddressKey>>,
}
