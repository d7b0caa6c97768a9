//! Every rpc: its path, its charges, and whether its messages or its answer last.

/// An rpc that is served.
#[derive(Debug, PartialEq, Eq)]
pub struct Rpc {
    /// Its path, which is its name in the metrics too.
    pub path: &'static str,
    /// The service that it belongs to.
    pub service: Service,
    /// What its caller sends.
    pub sends: Sends,
    /// How it is answered.
    pub answers: Answers,
}

/// The service of an rpc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `TrackingService`: with a key, charged as a call.
    Tracking,
    /// `CustomerService`: with a private key, charged as a call.
    Customers,
    /// `grpc.health.v1.Health`: for all callers, charged as a probe.
    Health,
    /// `grpc.reflection.v1`: for all callers, charged as a call.
    Reflection,
    /// `grpc.reflection.v1alpha`: for all callers, charged as a call.
    ReflectionAlpha,
}

/// What the caller of an rpc sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sends {
    /// One message.
    One,
    /// One message after the other, each of which is charged.
    Many,
}

/// How an rpc is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// By one message.
    Once,
    /// By messages that come to an end.
    Stream,
    /// By messages as long as the caller is connected.
    Lasts,
}

impl Rpc {
    /// The rpc of a path.
    pub fn find(path: &str) -> Option<&'static Self> {
        RPCS.iter().find(|rpc| rpc.path == path)
    }

    /// Whether it only asks for health.
    pub fn is_probe(&self) -> bool {
        self.service == Service::Health
    }
}

const fn rpc(service: Service, sends: Sends, answers: Answers, path: &'static str) -> Rpc {
    Rpc {
        path,
        service,
        sends,
        answers,
    }
}

/// Every rpc. docs/limits.md has the table of their callers and of what they may hold.
#[rustfmt::skip]
pub const RPCS: [Rpc; 19] = [
    rpc(Service::Tracking, Sends::One, Answers::Once, "/footfall.tracking.v2.TrackingService/UpdateCustomer"),
    rpc(Service::Tracking, Sends::One, Answers::Once, "/footfall.tracking.v2.TrackingService/AddEvent"),
    rpc(Service::Tracking, Sends::One, Answers::Once, "/footfall.tracking.v2.TrackingService/TrackCampaignClick"),
    rpc(Service::Tracking, Sends::One, Answers::Once, "/footfall.tracking.v2.TrackingService/ExecuteBatch"),
    rpc(Service::Tracking, Sends::Many, Answers::Lasts, "/footfall.tracking.v2.TrackingService/TrackStream"),
    rpc(Service::Tracking, Sends::One, Answers::Once, "/footfall.tracking.v2.TrackingService/GetSystemTime"),
    rpc(Service::Customers, Sends::One, Answers::Once, "/footfall.tracking.v2.CustomerService/GetCustomer"),
    rpc(Service::Customers, Sends::One, Answers::Once, "/footfall.tracking.v2.CustomerService/GetAttributes"),
    rpc(Service::Customers, Sends::One, Answers::Once, "/footfall.tracking.v2.CustomerService/ListEvents"),
    rpc(Service::Customers, Sends::One, Answers::Once, "/footfall.tracking.v2.CustomerService/AnonymizeCustomer"),
    rpc(Service::Customers, Sends::One, Answers::Once, "/footfall.tracking.v2.CustomerService/EraseCustomer"),
    rpc(Service::Customers, Sends::One, Answers::Lasts, "/footfall.tracking.v2.CustomerService/WatchEvents"),
    rpc(Service::Customers, Sends::One, Answers::Lasts, "/footfall.tracking.v2.CustomerService/WatchRefusals"),
    rpc(Service::Customers, Sends::One, Answers::Stream, "/footfall.tracking.v2.CustomerService/ExportCustomers"),
    rpc(Service::Health, Sends::One, Answers::Once, "/grpc.health.v1.Health/Check"),
    rpc(Service::Health, Sends::One, Answers::Once, "/grpc.health.v1.Health/List"),
    rpc(Service::Health, Sends::One, Answers::Lasts, "/grpc.health.v1.Health/Watch"),
    rpc(Service::Reflection, Sends::Many, Answers::Lasts, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
    rpc(Service::ReflectionAlpha, Sends::Many, Answers::Lasts, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
];
