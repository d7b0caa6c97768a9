//! The guards: limits on what callers send and keep open, beside the quotas; and a count of what each refused.
//!
//! A status carries the guard behind it as its source, however many floors up it is answered: only the layer that
//! counts needs a counter. What has no status, such as a connection, is counted directly. Refusals inside of an answer
//! go with it.

use http::Extensions;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tonic::{Code, Status};

use super::reasons;
use crate::model::reason::Reason;

/// A limit that refused something, or cut it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Open connections, in all.
    Connections,
    /// Open connections of an address.
    ConnectionsPerAddress,
    /// A connection that does not begin with a head of the PROXY protocol, or of a peer that is no trusted proxy.
    ProxyProtocol,
    /// The wait for a connection's first bytes, its handshake, or a head that has begun.
    HeaderTimeout,
    /// The size of a head, or of a list of headers.
    HeaderBytes,
    /// The wait for a caller that shows no sign of life, or that reads nothing of what it is sent.
    IdleTimeout,
    /// What ends an HTTP/2 connection: streams that are reset or wrong too often, frames of headers without an end,
    /// frames without a byte.
    Http2Flood,
    /// Calls in flight, in all.
    Requests,
    /// Calls in flight of an address.
    RequestsPerAddress,
    /// The wait for a body, or for a stream's first message.
    BodyTimeout,
    /// The size of a single route's body.
    BodyBytes,
    /// The size of a batch's body.
    BatchBytes,
    /// The size of a gRPC message.
    MessageBytes,
    /// How deep a property's value nests.
    Depth,
    /// Commands of a batch.
    Commands,
    /// Watches and exports of a key.
    Watchers,
    /// Memory of bodies and messages, in all.
    BodyMemory,
    /// Memory of bodies and messages of an address.
    BodyMemoryPerAddress,
    /// Memory of bodies and messages of a key.
    BodyMemoryPerKey,
    /// Streaming calls, in all.
    StreamingCalls,
    /// Streaming calls of an address.
    StreamingCallsPerAddress,
    /// Streams of commands of a key.
    StreamingCallsPerKey,
    /// Streams that send and whose callers do not read their answers, in all.
    StalledStreams,
    /// Reads at once, of a key, a project and in all.
    Reads,
    /// Answers that are not taken yet, of a key and in all.
    Answers,
}

impl Guard {
    /// Every guard, for the metrics.
    const ALL: [Self; 25] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::ProxyProtocol,
        Self::HeaderTimeout,
        Self::HeaderBytes,
        Self::IdleTimeout,
        Self::Http2Flood,
        Self::Requests,
        Self::RequestsPerAddress,
        Self::BodyTimeout,
        Self::BodyBytes,
        Self::BatchBytes,
        Self::MessageBytes,
        Self::Depth,
        Self::Commands,
        Self::Watchers,
        Self::BodyMemory,
        Self::BodyMemoryPerAddress,
        Self::BodyMemoryPerKey,
        Self::StreamingCalls,
        Self::StreamingCallsPerAddress,
        Self::StreamingCallsPerKey,
        Self::StalledStreams,
        Self::Reads,
        Self::Answers,
    ];

    /// Its name in the metrics: its setting's, where it has one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections_max",
            Self::ConnectionsPerAddress => "connections_per_address_max",
            Self::ProxyProtocol => "proxy_protocol",
            Self::HeaderTimeout => "header_timeout",
            Self::HeaderBytes => "header_bytes_max",
            Self::IdleTimeout => "idle_timeout",
            Self::Http2Flood => "http2_flood",
            Self::Requests => "requests_max",
            Self::RequestsPerAddress => "requests_per_address_max",
            Self::BodyTimeout => "body_timeout",
            Self::BodyBytes => "body_bytes_max",
            Self::BatchBytes => "batch_bytes_max",
            Self::MessageBytes => "message_bytes",
            Self::Depth => "depth",
            Self::Commands => "commands",
            Self::Watchers => "watchers_max",
            Self::BodyMemory => "body_memory_max",
            Self::BodyMemoryPerAddress => "body_memory_per_address_max",
            Self::BodyMemoryPerKey => "body_memory_per_key_max",
            Self::StreamingCalls => "streaming_calls_max",
            Self::StreamingCallsPerAddress => "streaming_calls_per_address_max",
            Self::StreamingCallsPerKey => "streaming_calls_per_key_max",
            Self::StalledStreams => "stalled_streams_max",
            Self::Reads => "reads_max",
            Self::Answers => "answers_bytes_max",
        }
    }

    /// Why it refuses a call.
    pub const fn reason(self) -> Reason {
        match self {
            // What these end has no status.
            Self::Connections
            | Self::ConnectionsPerAddress
            | Self::ProxyProtocol
            | Self::HeaderTimeout
            | Self::IdleTimeout
            | Self::Http2Flood => Reason::Unavailable,
            Self::HeaderBytes => Reason::HeadersTooLarge,
            Self::Requests | Self::RequestsPerAddress => Reason::RequestsInFlight,
            Self::BodyTimeout => Reason::BodyTimeout,
            Self::BodyBytes | Self::BatchBytes => Reason::BodyTooLarge,
            Self::MessageBytes => Reason::MessageTooLarge,
            Self::Depth => Reason::PropertyTooDeep,
            Self::Commands => Reason::BatchTooLong,
            Self::BodyMemory | Self::BodyMemoryPerAddress | Self::BodyMemoryPerKey => {
                Reason::BodyMemory
            }
            Self::Watchers
            | Self::StreamingCalls
            | Self::StreamingCallsPerAddress
            | Self::StreamingCallsPerKey
            | Self::StalledStreams => Reason::StreamsOpen,
            Self::Reads => Reason::ReadsInFlight,
            Self::Answers => Reason::AnswersNotTaken,
        }
    }

    /// The status, with this guard behind it.
    pub fn behind(self, status: Status) -> Status {
        reasons::with_guard(self, status)
    }

    /// The guard behind a status, if there is one.
    pub fn of(status: &Status) -> Option<Self> {
        reasons::guard_of(status).or_else(|| {
            // tonic's own refusal, which only its text identifies.
            let too_large = status.code() == Code::OutOfRange
                && status.message().contains("message length too large");
            too_large.then_some(Self::MessageBytes)
        })
    }
}

/// Goes with an answer: the refusals inside of it.
#[derive(Clone, Debug, Default)]
pub struct NestedRejections(Vec<Status>);

impl NestedRejections {
    /// Notes a refusal.
    pub fn note(&mut self, status: &Status) {
        self.0.push(status.clone());
    }

    /// Adds those of another answer that became a part of this one.
    pub fn add(&mut self, other: Option<&Self>) {
        self.0
            .extend(other.iter().flat_map(|other| other.0.clone()));
    }

    /// Attaches it to an answer, unless it is empty.
    pub fn go_with(self, extensions: &mut Extensions) {
        if !self.0.is_empty() {
            extensions.insert(self);
        }
    }

    /// The guards, each as often as it refused something.
    pub fn guards(&self) -> impl Iterator<Item = Guard> {
        self.0.iter().filter_map(Guard::of)
    }

    /// The refusals.
    pub fn statuses(&self) -> &[Status] {
        &self.0
    }
}

/// Counts what guards refuse. Clones count together.
#[derive(Clone, Debug)]
pub struct Rejections(Family<Labels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    guard: &'static str,
}

impl Rejections {
    /// Counters in `registry`, with each guard from the start.
    pub fn new(registry: &mut Registry) -> Self {
        let family = Family::default();
        registry.register(
            "footfall_guard_rejections",
            "What guards refused or cut off, by guard",
            family.clone(),
        );
        let rejections = Self(family);
        for guard in Guard::ALL {
            drop(rejections.counter(guard));
        }
        rejections
    }

    /// Counts one.
    pub fn count(&self, guard: Guard) {
        self.counter(guard).inc();
    }

    fn counter(&self, guard: Guard) -> Counter {
        let labels = Labels {
            guard: guard.name(),
        };
        self.0.get_or_create_owned(&labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_is_shown_once_from_the_start() {
        let mut registry = Registry::default();
        let rejections = Rejections::new(&mut registry);
        rejections.count(Guard::Depth);
        let mut shown = String::new();
        prometheus_client::encoding::text::encode(&mut shown, &registry).unwrap();
        let lines = shown.lines();
        let counters: Vec<_> = lines.filter(|line| !line.starts_with('#')).collect();
        assert_eq!(counters.len(), Guard::ALL.len(), "{shown}");
        let depth = r#"footfall_guard_rejections_total{guard="depth"} 1"#;
        assert!(counters.contains(&depth), "{shown}");
    }

    #[test]
    fn a_status_tells_the_guard_behind_it_until_it_is_answered() {
        let status = Guard::Watchers.behind(Status::unavailable("x"));
        assert_eq!(Guard::of(&status), Some(Guard::Watchers));
        let response: http::Response<super::super::Body> = status.into_http();
        let status = response.extensions().get().unwrap();
        assert_eq!(Guard::of(status), Some(Guard::Watchers));
        assert_eq!(Guard::of(&Status::unavailable("x")), None);
    }
}
