//! Handshakes that take their time, and those that a stop meets.

use std::io::{self, Read as _};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{comes_to, failed, secured, time};
use crate::harness::{PRIVATE, PUBLIC, Server, eventually};

/// Waits until the service closes the connection.
async fn is_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // Reset or not, it is closed.
    let _ = stream.read_to_end(&mut rest).await;
}

/// The beginning of a handshake, and no more.
async fn hesitates(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&[22, 3, 1, 1, 0, 1]).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handshake_is_cut_off_and_nobody_else_waits_for_it() {
    let (papers, server) = secured("[server]\nheader_timeout = \"2s\"").await;
    let mut slow = hesitates(&server).await;
    let caller = papers.caller();
    let answer = caller.send(server.address, time(&server, PUBLIC)).await;
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!(
        failed(&server, "Timeout").await,
        0,
        "the honest caller waited"
    );
    is_closed(&mut slow).await;
    comes_to(&server, "Timeout", 1).await;
    // Anyone who shook hands and says nothing is no better.
    let mut silent = caller.connect(server.address).await.unwrap();
    let mut nothing = Vec::new();
    let _ = silent.read_to_end(&mut nothing).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_counts_as_a_connection() {
    // The slot is for anyone who comes next.
    let limited = "[server]\nheader_timeout = \"1s\"\nconnections_max = 1";
    let (papers, server) = secured(limited).await;
    let slow = hesitates(&server).await;
    let caller = papers.caller();
    let answer = caller.send(server.address, time(&server, PUBLIC)).await;
    assert_eq!(answer.unwrap().status, 200);
    // There was no room before the slow one had to leave.
    let mut bytes = [0; 1];
    let gone = slow.into_std().unwrap().read(&mut bytes);
    let waits = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    assert!(!gone.as_ref().is_err_and(waits), "{gone:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_under_way_does_not_hold_up_a_stop() {
    let (_papers, server) = secured("[server]\nheader_timeout = \"1h\"").await;
    let slow = hesitates(&server).await;
    let stopped = tokio::time::timeout(Duration::from_secs(20), server.stop()).await;
    assert!(stopped.is_ok(), "the stop waits for a handshake");
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_over_tls_is_answered_before_a_stop() {
    let (papers, server) = secured("").await;
    let stream = papers.caller().connect(server.address).await.unwrap();
    server.signal();
    // Until nobody is accepted any more, and anyone who is there is told to end.
    eventually("nobody is accepted any more", async || {
        let refused = TcpStream::connect(server.address).await.is_err();
        refused.then_some(())
    })
    .await;
    let answer = time(&server, PRIVATE).send_over(stream).await.unwrap();
    assert_eq!(answer.status, 200);
    server.ended().await;
}
