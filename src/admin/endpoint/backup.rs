//! `POST /backup?dir=...`, over the unix socket.

use std::path::PathBuf;

use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde::Serialize;

use super::super::answer::{JSON, response};
use crate::admin::backup::{BackupError, Backups};
use crate::middleware::Body;

#[derive(Serialize)]
struct Refusal<'a> {
    error: &'a str,
}

pub(super) async fn backup(backups: Backups, request: Parts) -> Response<Body> {
    if request.method != Method::POST {
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "a backup is made by POST");
        let post = HeaderValue::from_static("POST");
        response.headers_mut().insert(ALLOW, post);
        return response;
    }
    let Some(dir) = dir(request.uri.query()) else {
        let why = "'dir' is needed: the absolute path, in UTF-8, of a new or empty folder";
        return refusal(StatusCode::BAD_REQUEST, why);
    };
    match backups.make(dir).await {
        Ok(report) => response(StatusCode::OK, JSON, json(&report)),
        Err(error) => refusal(status(&error), &error.to_string()),
    }
}

fn dir(query: Option<&str>) -> Option<PathBuf> {
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    let (_, dir) = pairs.find(|(name, _)| name == "dir")?;
    // A path that was not UTF-8 is another one by now.
    let is_named = !dir.is_empty() && !dir.contains([char::REPLACEMENT_CHARACTER, '\0']);
    is_named.then(|| PathBuf::from(dir.into_owned()))
}

fn status(error: &BackupError) -> StatusCode {
    match error {
        BackupError::NotAbsolute(_) | BackupError::NotUtf8(_) | BackupError::Inside { .. } => {
            StatusCode::BAD_REQUEST
        }
        BackupError::NotEmpty(_) | BackupError::Busy => StatusCode::CONFLICT,
        BackupError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        BackupError::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        BackupError::Io { .. }
        | BackupError::Write { .. }
        | BackupError::Log(_)
        | BackupError::Panicked
        // Only the command itself reports these.
        | BackupError::Left(_)
        | BackupError::NoSocket { .. }
        | BackupError::NoAnswer { .. }
        | BackupError::Gone { .. }
        | BackupError::Refused(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn refusal(status: StatusCode, error: &str) -> Response<Body> {
    response(status, JSON, json(&Refusal { error }))
}

/// JSON of texts and numbers alone, which cannot fail.
fn json(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).unwrap_or_default()
}
