//! The types of bodies that are read.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::super::error::{Error, Result};
use crate::model::quote::quoted;

const JSON: &str = "application/json";
/// The type that browsers give to a beacon's text.
const TEXT: &str = "text/plain";

/// Checks that each `Content-Type` is JSON in UTF-8. A request may have none.
///
/// A proxy may join several headers into one, so each part is checked. With `takes_text`, plain text is accepted, too.
pub(in super::super) fn check(headers: &HeaderMap, takes_text: bool) -> Result<()> {
    for value in headers.get_all(CONTENT_TYPE) {
        if value == JSON {
            continue;
        }
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split(',')
            .try_for_each(|part| check_part(part, takes_text))?;
    }
    Ok(())
}

fn check_part(part: &str, takes_text: bool) -> Result<()> {
    let mut fields = part.split(';');
    let essence = fields.next().unwrap_or_default().trim();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    if !(essence.is_empty() || is(JSON) || takes_text && is(TEXT)) {
        return Err(Error::unsupported(format!(
            "Content-Type must be {JSON}, not '{}'",
            quoted(essence)
        )));
    }
    for (name, value) in fields.filter_map(|field| field.split_once('=')) {
        let value = value.trim().trim_matches('"');
        let is = |name: &str| value.eq_ignore_ascii_case(name);
        if name.trim().eq_ignore_ascii_case("charset") && !is("utf-8") && !is("utf8") {
            return Err(Error::unsupported(format!(
                "Content-Type's charset must be utf-8, not '{}'",
                quoted(value)
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(values: &[&str], takes_text: bool) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_TYPE, value.parse().unwrap());
        }
        let refused = check(&headers, takes_text).err();
        refused.map(|error| error.into_status().message().to_owned())
    }

    #[test]
    fn every_part_has_to_say_json_in_utf_8() {
        for values in [
            &[][..],
            &[""],
            &["application/json"],
            &["Application/JSON ; charset=\"UTF-8\"; x=y"],
            &["application/json;charset=utf8"],
            &["application/json, application/json;charset=utf-8"],
            &["application/json,,application/json"],
            &["application/json", "application/json; charset=utf-8"],
        ] {
            assert_eq!(refused(values, false), None, "{values:?}");
        }
        for (values, says) in [
            (&["text/plain"][..], "not 'text/plain'"),
            (&["application/json, text/html"], "not 'text/html'"),
            (&["application/json", "text/html"], "not 'text/html'"),
            (
                &["application/json; charset=utf-16"],
                "charset must be utf-8, not 'utf-16'",
            ),
            (&["application/json;charset=ISO-8859-1"], "not 'ISO-8859-1'"),
            (
                &["application/json, application/json; charset=x"],
                "not 'x'",
            ),
        ] {
            let text = refused(values, false).unwrap_or_else(|| panic!("{values:?}"));
            assert!(text.ends_with(says), "{text}");
        }
    }

    #[test]
    fn plain_text_is_taken_where_it_may_be() {
        for value in [
            "text/plain",
            "text/plain;charset=UTF-8",
            "text/plain, application/json",
        ] {
            assert_eq!(refused(&[value], true), None);
            assert!(refused(&[value], false).is_some());
        }
        assert!(refused(&["text/plain;charset=utf-16"], true).is_some());
        assert!(refused(&["text/html"], true).is_some());
    }
}
