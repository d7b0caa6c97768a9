//! What can be called over REST.

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
    /// Events as they come.
    Watch,
    /// What an SDK asks beside tracking, and the answer, with nothing in it.
    Sdk(&'static str),
    /// What is running.
    Root,
    /// Liveness.
    Healthz,
    /// Readiness.
    Readyz,
    /// Whether the start is over.
    Startupz,
}

/// How a route is called.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The route.
    pub route: Route,
    /// The path in the form of the annotations.
    pub path: &'static str,
    /// The path around the project's token; it is all before where there is no token.
    around: Around,
    /// Whether it is read with GET, written with POST, or both.
    pub methods: Methods,
    /// The rpc behind it; empty for what is REST's own.
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

/// A path around what varies in it, without the slash in front.
#[derive(Clone, Copy, Debug)]
struct Around {
    before: &'static str,
    /// What stands between the token and another part that varies; empty where there is none.
    between: &'static str,
    after: &'static str,
}

const fn entry(route: Route, methods: Methods, rpc: &'static str, path: &'static str) -> Entry {
    Entry {
        route,
        path,
        around: around(path),
        methods,
        rpc,
    }
}

/// What stands around [`TOKEN`] and [`COOKIE`]. It is found out by the compiler, for each request looks at it.
const fn around(path: &'static str) -> Around {
    let (_, path) = path.split_at(1);
    let (before, rest) = until_brace(path);
    if rest.is_empty() {
        return Around {
            before: path,
            between: "",
            after: "",
        };
    }
    let (_, rest) = rest.split_at(TOKEN.len());
    let (between, after) = until_brace(rest);
    match after.is_empty() {
        true => Around {
            before,
            between: "",
            after: rest,
        },
        false => Around {
            before,
            between,
            after: after.split_at(COOKIE.len()).1,
        },
    }
}

/// What stands before the first brace, and the rest.
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

/// Every route.
#[rustfmt::skip]
pub const ENTRIES: [Entry; 27] = [
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

const TOKEN: &str = "{project_token}";
const COOKIE: &str = "{cookie}";

/// The route of a path, and the project's token in it; empty where the route has none. Slashes in front are
/// collapsed and one at the end is passed over.
pub fn find(path: &str) -> Option<(&'static Entry, &str)> {
    let path = path.trim_start_matches('/');
    let path = path.strip_suffix('/').unwrap_or(path);
    ENTRIES
        .iter()
        .find_map(|entry| Some((entry, token(entry, path)?)))
}

/// What stands for the token in a path without a slash in front.
fn token<'a>(entry: &Entry, path: &'a str) -> Option<&'a str> {
    let around = entry.around;
    let varies = path
        .strip_prefix(around.before)?
        .strip_suffix(around.after)?;
    let is_one = |part: &str| !part.contains('/');
    match (around.between, around.after) {
        ("", "") => varies.is_empty().then_some(""),
        ("", _) => is_one(varies).then_some(varies),
        (between, _) => {
            let (token, other) = varies.split_once(between)?;
            (is_one(token) && is_one(other) && !other.is_empty()).then_some(token)
        }
    }
}

/// The class of a request that is not gRPC.
pub fn classify(method: &Method, path: &str) -> Classified {
    let entry = find(path).map(|(entry, _)| entry);
    let meant = entry.filter(|entry| entry.methods.contains(method));
    let class = match meant.map(|entry| entry.route) {
        _ if *method == Method::OPTIONS => RequestClass::Preflight,
        Some(Route::Healthz) => RequestClass::Probe(Probe::Liveness),
        Some(Route::Readyz) => RequestClass::Probe(Probe::Readiness),
        Some(Route::Startupz) => RequestClass::Probe(Probe::Startup),
        Some(Route::Root) => RequestClass::Probe(Probe::Root),
        Some(Route::Sdk(_)) => RequestClass::Sdk,
        Some(_) | None => RequestClass::Rest,
    };
    Classified {
        class,
        route: entry.map_or("other", |entry| entry.path),
        answers: meant.map_or(Answers::Once, |entry| entry.route.answers()),
    }
}

impl Route {
    /// Whether a body may say that it is plain text: pages write with beacons, which say so of a text.
    pub(super) fn takes_text(self) -> bool {
        match self {
            Self::Customers | Self::CustomersEvents | Self::CampaignsClicks | Self::Batch => true,
            Self::SystemTime
            | Self::Attributes
            | Self::ExportOne
            | Self::Events
            | Self::Anonymize
            | Self::AnonymizeBulk
            | Self::Export
            | Self::Watch
            | Self::Sdk(_)
            | Self::Root
            | Self::Healthz
            | Self::Readyz
            | Self::Startupz => false,
        }
    }

    /// Whether the answer is one piece, a stream, or lasts.
    fn answers(self) -> Answers {
        match self {
            Self::Export => Answers::Stream,
            Self::Watch => Answers::Lasts,
            Self::SystemTime
            | Self::Customers
            | Self::CustomersEvents
            | Self::CampaignsClicks
            | Self::Batch
            | Self::Attributes
            | Self::ExportOne
            | Self::Events
            | Self::Anonymize
            | Self::AnonymizeBulk
            | Self::Sdk(_)
            | Self::Root
            | Self::Healthz
            | Self::Readyz
            | Self::Startupz => Answers::Once,
        }
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
