//! What hyper answers by itself over HTTP/1.1, given the shape of every other error.
//!
//! A head that hyper cannot read reaches no service: it answers with a status and no body, and closes the connection.
//! Clients that read each answer as JSON break on that. Such an answer is known by its head, for it has no ID, which
//! all others have.

use http::StatusCode;
use tonic::Status;

use crate::middleware::observe::Ids;
use crate::rest;

/// Longest head of such an answer, in bytes.
const HEAD_BYTES_MAX: usize = 256;
const END: &[u8] = b"\r\n\r\n";
/// All headers that such an answer has.
const HEADERS: [&str; 3] = ["content-length", "connection", "date"];

/// What to send in the place of `bytes`, if they are an answer without a body.
pub(super) fn with_body(bytes: &[u8], ids: &Ids) -> Option<Vec<u8>> {
    if bytes.len() > HEAD_BYTES_MAX || !bytes.starts_with(b"HTTP/1.") {
        return None;
    }
    let head = std::str::from_utf8(bytes.strip_suffix(END)?).ok()?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next()?;
    let text = text(status_line)?;
    let mut kept = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        let name = HEADERS
            .iter()
            .find(|known| name.eq_ignore_ascii_case(known))?;
        match (*name, value) {
            ("content-length", "0") => {}
            ("content-length", _) => return None,
            _ => kept.push(line),
        }
    }
    let body = rest::error_body(&Status::invalid_argument(text));
    let id = ids.next();
    let id = id.to_str().unwrap_or_default();
    let mut answer = format!(
        "{status_line}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nx-request-id: {id}\r\n",
        body.len()
    );
    for line in kept {
        answer.push_str(line);
        answer.push_str("\r\n");
    }
    answer.push_str("\r\n");
    let mut answer = answer.into_bytes();
    answer.extend_from_slice(&body);
    Some(answer)
}

/// What hyper means by a status that it answers with by itself.
fn text(status_line: &str) -> Option<&'static str> {
    let status = StatusCode::from_bytes(status_line.as_bytes().get(9..12)?).ok()?;
    match status {
        StatusCode::BAD_REQUEST => Some("Malformed request: its head is not HTTP/1.1"),
        StatusCode::URI_TOO_LONG => Some("The request's path is too long"),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            Some("The request's head is too large, or has more than 100 headers")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Tue, 14 Nov 2023 22:13:20 GMT\r\n\r\n";

    fn replaced(bytes: &[u8]) -> Option<String> {
        let answer = with_body(bytes, &Ids::new(7))?;
        Some(String::from_utf8(answer).unwrap())
    }

    #[test]
    fn an_answer_without_a_body_gets_one_and_keeps_its_headers() {
        let answer = replaced(BARE).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"));
        for line in ["connection: close", "x-request-id: 0000000000000007-1"] {
            assert!(head.lines().any(|found| found == line), "{head}");
        }
        let length = format!("content-length: {}", body.len());
        assert!(head.lines().any(|line| line == length), "{head}");
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["success"], false);
        assert_eq!(json["code"], "INVALID_ARGUMENT");
    }

    #[test]
    fn what_a_body_says_is_never_taken_for_an_answer() {
        for before in [&b"HTTP/1.1 200 OK\r\n\r\n{}"[..], b"1f\r\n", b"x", b"\r\n"] {
            assert_eq!(replaced(&[before, BARE].concat()), None);
            assert_eq!(replaced(&[BARE, before].concat()), None);
        }
        assert_eq!(replaced(&[BARE, BARE].concat()), None);
    }

    #[test]
    fn whatever_else_is_sent_is_left_as_it_is() {
        let text = String::from_utf8(BARE.to_vec()).unwrap();
        for bytes in [
            text.replace("400 Bad Request", "200 OK"),
            text.replace("content-length: 0", "content-length: 1"),
            text.replace("date", "x-request-id"),
            text.replace("\r\n\r\n", "\r\n\r\n{}"),
            text.replace("HTTP/1.1", "HTTP"),
            text.replace("Tue", &"Tue".repeat(100)),
            "0\r\n\r\n".to_owned(),
            "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
            "\r\n\r\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(replaced(bytes.as_bytes()), None, "{bytes}");
        }
    }
}
