//! Normalizes paths: unescapes what need not be escaped (RFC 3986, 6.2.2.2): `%2D` is `-`. `%2F` differs from `/`.

use http::Uri;

/// The URI with another path, if something in its path need not be escaped.
pub(super) fn normalized(uri: &Uri) -> Option<Uri> {
    let path = unescaped(uri.path())?;
    let path = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.try_into().ok()?);
    Uri::from_parts(parts).ok()
}

fn unescaped(path: &str) -> Option<String> {
    let (mut out, mut rest) = (String::new(), path);
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        match unreserved(behind) {
            Some((character, behind)) => {
                out.push(character);
                rest = behind;
            }
            None => {
                out.push('%');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    (out.len() < path.len()).then_some(out)
}

/// The character whose two digits these are, if it is unreserved.
fn unreserved(digits: &str) -> Option<(char, &str)> {
    let (digits, behind) = digits.split_at_checked(2)?;
    // A sign is not a digit.
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = u8::from_str_radix(digits, 16).ok().filter(|_| are_digits)?;
    let is_unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    is_unreserved.then_some((char::from(byte), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_need_not_be_escaped_is_as_it_is_and_the_rest_stays() {
        for (sent, path) in [
            ("/a%2Db%5F%2e%7E", Some("/a-b_.~")),
            ("/%61%41%39?x=%61", Some("/aA9?x=%61")),
            ("/%2F%61", Some("/%2Fa")),
            ("/%25%36%31", Some("/%2561")),
            ("/a%2Fb", None),
            ("/%20%zz%+1%6", None),
            ("/a?%61", None),
            ("/", None),
        ] {
            let uri: Uri = sent.parse().unwrap();
            let got = normalized(&uri).map(|uri| uri.to_string());
            assert_eq!(got.as_deref(), path, "{sent}");
        }
        let uri: Uri = "http://host:1/%61".parse().unwrap();
        assert_eq!(normalized(&uri).unwrap(), "http://host:1/a");
        assert_eq!(normalized(&"*".parse().unwrap()), None);
    }
}
