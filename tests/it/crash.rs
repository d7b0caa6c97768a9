//! Killed or stopped while many write: what was acknowledged is there, once, and nothing that was never sent.

pub mod commands;
mod rest;
mod rpc;
pub mod scene;
mod soak;
pub mod writer;

use std::error::Error as _;
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Status};

use crate::harness::dice::Dice;
use crate::harness::process::log;
use scene::Scene;
use writer::{Silence, Writer};

/// How long is written in all.
const WRITING: Duration = Duration::from_secs(10);

/// Whether the client knows that the service has not taken the call: the connection was gone before it was sent,
/// or the service named it as beyond the last one that it would answer. The client gives that other codes.
fn was_not_taken(status: &Status) -> bool {
    let source = status.source().and_then(|transport| transport.source());
    let error = source.and_then(|error| error.downcast_ref::<hyper::Error>());
    error.is_some_and(|error| {
        error.is_canceled() || format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_service_keeps_exactly_what_it_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice::new();
    let moment = dice.between(2_000..8_000);
    let mut scene = Scene::new(dir.path(), &[]);
    let begin = Instant::now();
    let writing = scene.write(begin + WRITING);

    // The moment is drawn, nothing is waited for.
    tokio::time::sleep_until(begin + moment).await;
    let stopping = scene.process;
    let stopped = tokio::task::spawn_blocking(move || stopping.terminate());
    let writers = writing.join_all().await;
    let status = stopped.await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", log(dir.path()));

    // A server may close a kept connection while its caller begins the next request: that request was never
    // read, and no byte answers it. HTTP/2 says which calls it has not taken, so a client knows of each call
    // without an answer that it was not carried out.
    for writer in &writers {
        let never_read = match &writer.silence {
            Some(Silence::NotConnected) => true,
            Some(Silence::Cut(cut)) => cut.answered.is_empty(),
            Some(Silence::Status(status)) => {
                status.code() == Code::Unavailable || was_not_taken(status)
            }
            Some(Silence::Later) | None => false,
        };
        assert!(never_read, "{writer:?}");
    }

    let scene = Scene::of(writers, dir.path(), &[]);
    // Were there more, somebody would not know of it: a request was carried out and its answer lost.
    scene.holds(|writer| vec![writer.acknowledged()]).await;
    scene.goes_on(Instant::now() + WRITING - moment, &[]).await;
}
