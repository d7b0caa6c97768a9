//! Asks the running service for a backup of its store.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::{BackupError, Report};
use crate::app::door::{Address, Door};

/// Longest that a service of this machine may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How the service says no.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// Waits as long as it takes: the store may be large, and the operator can interrupt.
pub(super) async fn ask(data: &Path, dir: &Path) -> Result<Report, BackupError> {
    let Some(text) = dir.to_str() else {
        return Err(BackupError::NotUtf8(dir.to_owned()));
    };
    let door = Door::path(data);
    let Some(Address { address, key }) =
        Door::read(data).map_err(|error| BackupError::io(&door, error))?
    else {
        return Err(BackupError::NoDoor {
            data: data.to_owned(),
            door,
        });
    };
    let no_answer = |why: &dyn Display| BackupError::NoAnswer {
        data: data.to_owned(),
        address,
        why: why.to_string(),
    };
    let key = key.to_header().map_err(|error| no_answer(&error))?;
    let dir: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let request = Request::post(format!("/backup?dir={dir}"))
        .header(HOST, address.to_string())
        .header(AUTHORIZATION, key)
        .body(Empty::new());
    let request = request.map_err(|error| no_answer(&error))?;
    let mut connection = connect(address).await.map_err(|error| no_answer(&error))?;
    let gone = |_| BackupError::Gone {
        address,
        dir: text.into(),
    };
    let response = connection.send_request(request).await.map_err(gone)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let body = body.collect().await.map_err(|error| no_answer(&error))?;
    answer(status, &body.to_bytes()).ok_or_else(|| no_answer(&status))?
}

async fn connect(
    address: SocketAddr,
) -> Result<http1::SendRequest<Empty<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // How it ends shows at the sender.
    tokio::spawn(connection);
    Ok(sender)
}

/// What an answer says, if it is one of this service's.
fn answer(status: StatusCode, body: &[u8]) -> Option<Result<Report, BackupError>> {
    match status {
        StatusCode::OK => serde_json::from_slice(body).ok().map(Ok),
        _ => {
            let refusal: Refusal = serde_json::from_slice(body).ok()?;
            Some(Err(BackupError::Refused(refusal.error)))
        }
    }
}
