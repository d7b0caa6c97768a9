//! The page's files, compressed when the service is built.

use std::io::Read as _;

use flate2::read::GzDecoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::super::answer;
use crate::middleware::Body;
use crate::model::quote::quoted;

/// Name and compressed content of each file.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/console.rs"));

/// A file of the page. A caller that does not take it compressed gets it as it is.
pub(super) fn file(name: &str, headers: &HeaderMap) -> Response<Body> {
    let found = FILES.iter().find(|(known, _)| *known == name);
    let Some((_, compressed)) = found else {
        let text = format!("the page has no file '{}'", quoted(name));
        return answer::error(StatusCode::NOT_FOUND, &text);
    };
    let accepted = headers.get_all(ACCEPT_ENCODING).iter();
    let takes_gzip = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim() == "gzip" || coding.trim().starts_with("gzip;q=1"));
    let content_type = content_type(name);
    if takes_gzip {
        let mut response = answer::shown(content_type, Body::new(Full::from(*compressed)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        return response;
    }
    let mut plain = Vec::new();
    match GzDecoder::new(*compressed).read_to_end(&mut plain) {
        Ok(_) => answer::shown(content_type, Body::new(Full::from(plain))),
        Err(error) => {
            let text = format!("the file '{name}' cannot be read: {error}");
            answer::error(StatusCode::INTERNAL_SERVER_ERROR, &text)
        }
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some(_) | None => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the page may take, compressed.
    const BYTES_MAX: usize = 150 * 1024;

    #[test]
    fn the_page_is_small_and_asks_for_files_that_are_there() {
        let all: usize = FILES.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(all <= BYTES_MAX, "{all}");
        for name in ["index.html", "app.js", "console.css", "vendor/uplot.js"] {
            assert_eq!(
                file(name, &HeaderMap::new()).status(),
                StatusCode::OK,
                "{name}"
            );
        }
        assert_eq!(
            file("../x", &HeaderMap::new()).status(),
            StatusCode::NOT_FOUND
        );
    }
}
