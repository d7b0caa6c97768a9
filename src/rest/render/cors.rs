//! The pages of other origins that may call, and the headers for them.
//!
//! The service has no cookies, and a certificate is no key beside an `Origin`. So credentials of a browser give no
//! access. Tracking routes allow them all the same: a browser sends each beacon with them, or drops it.

use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers of every response to a preflight.
const PREFLIGHT: [(HeaderName, &str); 2] = [
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
    (ACCESS_CONTROL_MAX_AGE, "86400"),
];
/// Headers that a preflight allows if it asks for none.
const HEADERS: &str = "Authorization, Content-Type, x-request-id";
const EXPOSED: &str = "Retry-After, RateLimit, RateLimit-Policy, x-request-id";
/// The ports that browsers leave out.
const DEFAULT_PORTS: [(&str, &str); 2] = [("https://", ":443"), ("http://", ":80")];

/// The pages of other origins that may call.
#[derive(Clone, Debug)]
pub enum Cors {
    /// All pages.
    Any,
    /// Pages of these origins.
    Origins(Arc<[HeaderValue]>),
}

/// The page that sends a request.
#[derive(Debug)]
pub(super) struct Page {
    origin: HeaderValue,
    /// Whether the page may send credentials.
    credentials: bool,
}

impl Page {
    /// The page that sends a request, if there is one. `writes`: whether pages track on this path.
    pub(super) fn of(headers: &HeaderMap, writes: bool) -> Option<Self> {
        Some(Self {
            origin: headers.get(ORIGIN)?.clone(),
            credentials: writes,
        })
    }
}

impl Cors {
    /// The pages of these origins. `*` stands for all.
    pub fn new(origins: &[String]) -> Self {
        if origins.iter().any(|origin| origin == "*") {
            return Self::Any;
        }
        let origins = origins.iter().map(|origin| as_sent(origin));
        let origins = origins.map(HeaderValue::try_from);
        Self::Origins(origins.filter_map(Result::ok).collect())
    }

    /// Allows the page to read the response.
    pub(super) fn allow(&self, page: &Page, headers: &mut HeaderMap) {
        let is_allowed = match self {
            Self::Any => true,
            Self::Origins(origins) => origins.contains(&page.origin),
        };
        let any = matches!(self, Self::Any) && !page.credentials;
        if !any {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if !is_allowed {
            return;
        }
        let origin = match any {
            true => HeaderValue::from_static("*"),
            false => page.origin.clone(),
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if page.credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        let exposed = HeaderValue::from_static(EXPOSED);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

/// An origin as a browser sends it.
fn as_sent(origin: &str) -> &str {
    let port = DEFAULT_PORTS
        .iter()
        .find(|(scheme, _)| origin.starts_with(scheme));
    port.and_then(|(_, port)| origin.strip_suffix(port))
        .unwrap_or(origin)
}

/// The headers that a preflight asks for. Invalid names are left out.
pub(super) fn asked_for(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut asked = String::new();
    for value in headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
        let names = value.to_str().unwrap_or_default().split(',');
        let names = names.map(str::trim);
        for name in names.filter(|name| HeaderName::from_bytes(name.as_bytes()).is_ok()) {
            if !asked.is_empty() {
                asked.push_str(", ");
            }
            asked.push_str(name);
        }
    }
    (!asked.is_empty()).then(|| HeaderValue::try_from(asked).ok())?
}

/// Adds the headers of a response to a preflight.
pub(super) fn preflight(asked: Option<HeaderValue>, headers: &mut HeaderMap) {
    for (name, value) in PREFLIGHT {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let asked = asked.unwrap_or(HeaderValue::from_static(HEADERS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked);
    let vary = HeaderValue::from_static("access-control-request-headers");
    headers.append(VARY, vary);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_ports_are_left_out_as_browsers_do() {
        for (set, sent) in [
            ("https://a.example:443", "https://a.example"),
            ("http://a.example:80", "http://a.example"),
            ("https://a.example:80", "https://a.example:80"),
            ("http://a.example:443", "http://a.example:443"),
            ("https://a.example:8443", "https://a.example:8443"),
            ("http://[::1]:80", "http://[::1]"),
            ("app://x:443", "app://x:443"),
        ] {
            assert_eq!(as_sent(set), sent);
        }
    }

    #[test]
    fn only_names_of_headers_are_allowed() {
        let asked = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_str(value).unwrap();
                headers.append(ACCESS_CONTROL_REQUEST_HEADERS, value);
            }
            asked_for(&headers).map(|asked| asked.to_str().unwrap().to_owned())
        };
        assert_eq!(
            asked(&["authorization,traceparent , X-a"]).as_deref(),
            Some("authorization, traceparent, X-a")
        );
        assert_eq!(asked(&["a", "b"]).as_deref(), Some("a, b"));
        assert_eq!(asked(&["a b, c:d, , \"x\", e"]).as_deref(), Some("e"));
        assert_eq!(asked(&[""]), None);
        assert_eq!(asked(&[]), None);
    }
}
