//! Asks the running service for a backup of its store.

use std::fmt::Display;
use std::io;
use std::path::Path;

use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;

use super::{BackupError, Report};
use crate::admin::socket;

/// Largest response.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// A refusal by the service.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Waits as long as it takes: the store may be large, and the operator can interrupt.
pub(super) async fn ask(data: &Path, dir: &Path) -> Result<Report, BackupError> {
    let Some(text) = dir.to_str() else {
        return Err(BackupError::NotUtf8(dir.to_owned()));
    };
    let socket = socket::path(data);
    let no_answer = |why: &dyn Display| BackupError::NoAnswer {
        data: data.to_owned(),
        socket: socket.clone(),
        why: why.to_string(),
    };
    let not_connected = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            return BackupError::NoSocket {
                data: data.to_owned(),
                socket: socket.clone(),
            };
        }
        no_answer(&error)
    };
    let stream = socket::connect(data).await.map_err(not_connected)?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| no_answer(&error))?;
    // The sender sees how it ends.
    tokio::spawn(connection);
    let query: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let request = Request::post(format!("/backup?dir={query}"))
        .header(HOST, "localhost")
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| no_answer(&error))?;
    let gone = |_| BackupError::Gone {
        socket: socket.clone(),
        dir: text.into(),
    };
    let response = sender.send_request(request).await.map_err(gone)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX);
    let body = body.collect().await.map_err(|error| no_answer(&error))?;
    report(status, &body.to_bytes()).ok_or_else(|| no_answer(&status))?
}

/// The content of a response, if it is one of this service's.
fn report(status: StatusCode, body: &[u8]) -> Option<Result<Report, BackupError>> {
    match status {
        StatusCode::OK => serde_json::from_slice(body).ok().map(Ok),
        _ => {
            let refusal: Refusal = serde_json::from_slice(body).ok()?;
            Some(Err(BackupError::Refused(refusal.error)))
        }
    }
}
