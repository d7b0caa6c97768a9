//! The routes of REST.

use http::Method;

use crate::middleware::{Answers, Classified, Probe, RequestClass};

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The service's time.
    SystemTime,
    /// A customer's update.
    Customers,
    /// An event.
    CustomersEvents,
    /// A click.
    CampaignsClicks,
    /// A batch.
    Batch,
    /// A customer's attributes.
    Attributes,
    /// One customer.
    ExportOne,
    /// A customer's events.
    Events,
    /// A customer's anonymisation.
    Anonymize,
    /// All customers.
    Export,
    /// Many customers' anonymisation.
    AnonymizeBulk,
    /// Events as they arrive.
    Watch,
    /// Refusals as they happen.
    WatchRefusals,
    /// A request of an SDK beside tracking, with its constant response.
    Sdk(&'static str),
    /// The name and version of the service.
    Root,
    /// Liveness.
    Healthz,
    /// Readiness.
    Readyz,
    /// Whether the start is over.
    Startupz,
}

/// The kind of a route. It decides how the route is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reports the state of the service to anyone.
    Probe(Probe),
    /// Sends a constant to anyone who has a key.
    Sdk(&'static str),
    /// Reads the time or one customer.
    Read(Read),
    /// Tracks one command, or anonymises.
    Write(Write),
    /// Executes a batch of commands.
    Batch,
    /// Responds piece by piece.
    Stream(Stream),
}

/// The data that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Time,
    Attributes,
    Customer,
    Events,
}

/// The change that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    Customer,
    Event,
    Click,
    Anonymize,
    AnonymizeBulk,
}

/// The response that comes piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Export,
    Watch,
    WatchRefusals,
}

impl Route {
    /// The kind of the route.
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::SystemTime => Kind::Read(Read::Time),
            Self::Customers => Kind::Write(Write::Customer),
            Self::CustomersEvents => Kind::Write(Write::Event),
            Self::CampaignsClicks => Kind::Write(Write::Click),
            Self::Batch => Kind::Batch,
            Self::Attributes => Kind::Read(Read::Attributes),
            Self::ExportOne => Kind::Read(Read::Customer),
            Self::Events => Kind::Read(Read::Events),
            Self::Anonymize => Kind::Write(Write::Anonymize),
            Self::AnonymizeBulk => Kind::Write(Write::AnonymizeBulk),
            Self::Export => Kind::Stream(Stream::Export),
            Self::Watch => Kind::Stream(Stream::Watch),
            Self::WatchRefusals => Kind::Stream(Stream::WatchRefusals),
            Self::Sdk(response) => Kind::Sdk(response),
            Self::Root => Kind::Probe(Probe::Root),
            Self::Healthz => Kind::Probe(Probe::Liveness),
            Self::Readyz => Kind::Probe(Probe::Readiness),
            Self::Startupz => Kind::Probe(Probe::Startup),
        }
    }
}

impl Kind {
    /// Whether the body of a request is read.
    pub(super) fn takes_body(self) -> bool {
        use Stream::{Watch, WatchRefusals};
        !matches!(
            self,
            Self::Read(Read::Time) | Self::Stream(Watch | WatchRefusals)
        )
    }

    /// Whether a body may be sent as plain text. Pages track with beacons, which call JSON plain text.
    pub(super) fn takes_text(self) -> bool {
        use Write::{Click, Customer, Event};
        matches!(self, Self::Batch | Self::Write(Customer | Event | Click))
    }
}

/// How a route is called.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The route.
    pub route: Route,
    /// The path in the form of the annotations.
    pub path: &'static str,
    /// The path up to the project's token, without the first slash. The whole path if it has no token.
    prefix: &'static str,
    /// The path between the token and the cookie, or up to the end. Empty if the path has no token.
    after_token: &'static str,
    /// The path after the cookie. Empty if the path has no cookie.
    after_cookie: &'static str,
    /// Whether the route takes GET, POST or both.
    pub methods: Methods,
    /// The rpc behind the route. Empty for a route that only REST has.
    pub rpc: &'static str,
}

/// The methods of a route. HEAD goes with GET, OPTIONS with all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Methods {
    /// GET alone.
    Get,
    /// POST alone.
    Post,
    /// Both.
    GetOrPost,
}

impl Methods {
    /// The value of `Allow`.
    pub fn allow(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD, OPTIONS",
            Self::Post => "POST, OPTIONS",
            Self::GetOrPost => "GET, HEAD, POST, OPTIONS",
        }
    }

    /// Whether a method is one of them.
    pub fn contains(self, method: &Method) -> bool {
        let get = *method == Method::GET || *method == Method::HEAD;
        let post = *method == Method::POST;
        match self {
            Self::Get => get,
            Self::Post => post,
            Self::GetOrPost => get || post,
        }
    }
}

const TOKEN: &str = "{project_token}";
const COOKIE: &str = "{cookie}";

/// The compiler splits the path, because each request is compared with its parts.
const fn entry(route: Route, methods: Methods, rpc: &'static str, path: &'static str) -> Entry {
    let (_, relative) = path.split_at(1);
    let (prefix, rest) = until_brace(relative);
    let (after_token, rest) = until_brace(after(TOKEN, rest));
    Entry {
        route,
        path,
        prefix,
        after_token,
        after_cookie: after(COOKIE, rest),
        methods,
        rpc,
    }
}

/// The text before the first brace, and the rest.
const fn until_brace(path: &'static str) -> (&'static str, &'static str) {
    let (mut before, mut rest) = ("", path);
    while let Some(byte) = rest.as_bytes().first() {
        if *byte == b'{' {
            break;
        }
        (before, rest) = path.split_at(before.len() + 1);
    }
    (before, rest)
}

/// The text after `part`. A text that is not empty begins with `part`.
const fn after(part: &str, text: &'static str) -> &'static str {
    match text.is_empty() {
        true => text,
        false => text.split_at(part.len()).1,
    }
}

/// Every route.
#[rustfmt::skip]
pub const ENTRIES: [Entry; 28] = [
    entry(Route::SystemTime, Methods::GetOrPost, "TrackingService/GetSystemTime", "/track/v2/projects/{project_token}/system/time"),
    entry(Route::Customers, Methods::Post, "TrackingService/UpdateCustomer", "/track/v2/projects/{project_token}/customers"),
    entry(Route::CustomersEvents, Methods::Post, "TrackingService/AddEvent", "/track/v2/projects/{project_token}/customers/events"),
    entry(Route::CampaignsClicks, Methods::Post, "TrackingService/TrackCampaignClick", "/track/v2/projects/{project_token}/campaigns/clicks"),
    entry(Route::Batch, Methods::Post, "TrackingService/ExecuteBatch", "/track/v2/projects/{project_token}/batch"),
    entry(Route::Attributes, Methods::Post, "CustomerService/GetAttributes", "/data/v2/projects/{project_token}/customers/attributes"),
    entry(Route::ExportOne, Methods::Post, "CustomerService/GetCustomer", "/data/v2/projects/{project_token}/customers/export-one"),
    entry(Route::Events, Methods::Post, "CustomerService/ListEvents", "/data/v2/projects/{project_token}/customers/events"),
    entry(Route::Anonymize, Methods::Post, "CustomerService/AnonymizeCustomer", "/data/v2/projects/{project_token}/customers/anonymize"),
    entry(Route::Export, Methods::Post, "CustomerService/ExportCustomers", "/data/v2/projects/{project_token}/customers/export"),
    entry(Route::Watch, Methods::Get, "CustomerService/WatchEvents", "/data/v2/projects/{project_token}/events/watch"),
    entry(Route::WatchRefusals, Methods::Get, "CustomerService/WatchRefusals", "/data/v2/projects/{project_token}/refusals/watch"),
    entry(Route::AnonymizeBulk, Methods::Post, "", "/data/v2/projects/{project_token}/customers/anonymize_bulk"),
    entry(Route::Healthz, Methods::Get, "", "/healthz"),
    entry(Route::Readyz, Methods::Get, "", "/readyz"),
    entry(Route::Startupz, Methods::Get, "", "/startupz"),
    entry(Route::Root, Methods::Get, "", "/"),
    entry(Route::Sdk(NO_MESSAGES), Methods::Post, "", "/webxp/s/{project_token}/inappmessages"),
    entry(Route::Sdk(NO_BLOCKS), Methods::Post, "", "/webxp/s/{project_token}/inappcontentblocks"),
    entry(Route::Sdk(NO_BUNDLE), Methods::Get, "", "/wxstatic/projects/{project_token}/bundle-android.json"),
    entry(Route::Sdk(NO_BUNDLE), Methods::Get, "", "/wxstatic/projects/{project_token}/bundle-ios.json"),
    entry(Route::Sdk(NOTHING), Methods::Get, "", "/webxp/projects/{project_token}/segments"),
    entry(Route::Sdk(NOTHING), Methods::Post, "", "/webxp/projects/{project_token}/cookies/{cookie}/link-ids"),
    entry(Route::Sdk(NO_INBOX), Methods::Post, "", "/webxp/projects/{project_token}/appinbox/fetch"),
    entry(Route::Sdk(DONE), Methods::Post, "", "/webxp/projects/{project_token}/appinbox/markasread"),
    entry(Route::Sdk(NO_RESULTS), Methods::Get, "", "/data/v2/projects/{project_token}/consent/categories"),
    entry(Route::Sdk(DONE), Methods::Post, "", "/track/v2/projects/{project_token}/campaigns/send-self-check-notification"),
    entry(Route::Sdk(DONE), Methods::Post, "", "/campaigns/send-self-check-notification"),
];

const NOTHING: &str = "{}";
const DONE: &str = r#"{"success": true}"#;
const NO_MESSAGES: &str = r#"{"success": true, "results": [], "data": []}"#;
const NO_BLOCKS: &str = r#"{"success": true, "in_app_content_blocks": []}"#;
const NO_BUNDLE: &str = r#"{"success": true, "in_app_content_blocks": [], "results": []}"#;
const NO_INBOX: &str = r#"{"success": true, "messages": [], "sync_token": "0"}"#;
const NO_RESULTS: &str = r#"{"success": true, "results": []}"#;

/// The route of a path, and the project's token in it. The token is empty if the route has none. Slashes in front are
/// collapsed, and one at the end is ignored.
pub fn find(path: &str) -> Option<(&'static Entry, &str)> {
    let path = path.trim_start_matches('/');
    let path = path.strip_suffix('/').unwrap_or(path);
    ENTRIES
        .iter()
        .find_map(|entry| Some((entry, token(entry, path)?)))
}

/// The token in a path of this route. The path has no slash in front.
fn token<'a>(entry: &Entry, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(entry.prefix)?;
    let is_one = |part: &str| !part.contains('/');
    match (entry.after_token, entry.after_cookie) {
        ("", _) => rest.is_empty().then_some(""),
        (end, "") => rest.strip_suffix(end).filter(|token| is_one(token)),
        (between, end) => {
            let (token, cookie) = rest.strip_suffix(end)?.split_once(between)?;
            (is_one(token) && is_one(cookie) && !cookie.is_empty()).then_some(token)
        }
    }
}

/// The class of a request that is not gRPC.
pub fn classify(method: &Method, path: &str) -> Classified {
    let entry = find(path).map(|(entry, _)| entry);
    let called = entry.filter(|entry| entry.methods.contains(method));
    let kind = called.map(|entry| entry.route.kind());
    let class = match kind {
        _ if *method == Method::OPTIONS => RequestClass::Preflight,
        Some(Kind::Probe(probe)) => RequestClass::Probe(probe),
        Some(Kind::Sdk(_)) => RequestClass::Sdk,
        Some(_) | None => RequestClass::Rest,
    };
    let answers = match kind {
        Some(Kind::Stream(Stream::Export)) => Answers::Stream,
        Some(Kind::Stream(Stream::Watch | Stream::WatchRefusals)) => Answers::Lasts,
        Some(_) | None => Answers::Once,
    };
    Classified {
        class,
        route: entry.map_or("other", |entry| entry.path),
        answers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Option<(Route, &str)> {
        find(path).map(|(entry, token)| (entry.route, token))
    }

    #[test]
    fn a_path_leads_to_its_route_and_token() {
        assert_eq!(
            found("/track/v2/projects/t-1/customers"),
            Some((Route::Customers, "t-1"))
        );
        assert_eq!(
            found("/data/v2/projects/t-1/customers/events"),
            Some((Route::Events, "t-1"))
        );
        assert_eq!(found("/healthz"), Some((Route::Healthz, "")));
        assert_eq!(found("/"), Some((Route::Root, "")));
        assert_eq!(
            found("/webxp/projects/t-1/cookies/c-1/link-ids"),
            Some((Route::Sdk(NOTHING), "t-1"))
        );
    }

    #[test]
    fn slashes_in_front_and_one_at_the_end_do_not_matter() {
        let route = Some((Route::CustomersEvents, "t"));
        assert_eq!(found("//track/v2/projects/t/customers/events"), route);
        assert_eq!(found("/track/v2/projects/t/customers/events/"), route);
        assert_eq!(found("/track/v2/projects/t/customers/events//"), None);
    }

    #[test]
    fn only_what_is_answered_as_a_probe_is_one() {
        let class = |method: Method, path| classify(&method, path).class;
        let ready = RequestClass::Probe(Probe::Readiness);
        for path in ["/readyz", "//readyz/"] {
            assert_eq!(class(Method::GET, path), ready);
            assert_eq!(class(Method::HEAD, path), ready);
            assert_eq!(class(Method::POST, path), RequestClass::Rest);
        }
        assert_eq!(class(Method::GET, "/"), RequestClass::Probe(Probe::Root));
        for path in ["/readyz/x", "/grpc.health.v1.Health/Check", "/x"] {
            assert_eq!(class(Method::GET, path), RequestClass::Rest, "{path}");
            assert_eq!(class(Method::OPTIONS, path), RequestClass::Preflight);
        }
    }

    #[test]
    fn everything_else_leads_nowhere() {
        for path in [
            "*",
            "/track",
            "/track/v2/projects/t",
            "/track/v2/projects/a/b/customers",
            "/track/v2/projects/t/customers/x",
            "/track/v2/projects/t//customers",
            "/track/v1/projects/t/customers",
            "/webxp/projects/t/cookies/link-ids",
            "/webxp/projects/t/cookies//link-ids",
            "/webxp/projects/t/cookies/a/b/link-ids",
        ] {
            assert_eq!(found(path), None, "{path:?}");
        }
    }
}
