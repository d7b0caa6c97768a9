//! A service that was stopped for longer than its timeouts: what waits for it then is not late.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::harness::first_run::Project;
use crate::harness::keep_alive::Connection;
use crate::harness::process::{Process, log};

const TIMEOUT: Duration = Duration::from_millis(300);
/// So often, for it depends on which of the system's calls is interrupted.
const ROUNDS: usize = 5;
const CONNECTIONS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn connections_with_something_to_read_outlive_a_pause_longer_than_their_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("FOOTFALL_SERVER_HEADER_TIMEOUT", "300ms"),
        ("FOOTFALL_RATE_LIMIT_EXEMPT", "127.0.0.0/8"),
    ];
    let process = Process::start_with(dir.path(), &settings);
    let project = Project::read(dir.path());
    let path = format!("/track/v2/projects/{}/customers/events", project.token);
    let event = r#"{"customer_ids":{"registered":"a"},"event_type":"visit"}"#;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-length: {}\r\n\r\n",
        project.private(),
        event.len()
    );
    for round in 0..ROUNDS {
        // New ones, and ones that had an answer already.
        let mut connections = Vec::new();
        for number in 0..CONNECTIONS {
            let mut connection = Connection::open(process.address).await.unwrap();
            if number % 2 == 0 {
                connection
                    .write(format!("{head}{event}").as_bytes())
                    .await
                    .unwrap();
                assert_eq!(connection.answer().await.unwrap().status, 200);
            }
            connections.push(connection);
        }
        // Accepted, as one that is answered is behind all the others.
        let mut last = Connection::open(process.address).await.unwrap();
        last.write(format!("{head}{event}").as_bytes())
            .await
            .unwrap();
        assert_eq!(last.answer().await.unwrap().status, 200);
        process.signal("STOP");
        for connection in &mut connections {
            connection
                .write(format!("{head}{event}").as_bytes())
                .await
                .unwrap();
        }
        tokio::time::sleep(2 * TIMEOUT).await;
        process.signal("CONT");
        for (number, connection) in connections.iter_mut().enumerate() {
            let answer = connection.answer().await;
            assert_eq!(
                answer.map(|answer| answer.status),
                Ok(200),
                "{round} {number}"
            );
        }
    }
    // The timeout is there all the same.
    let silent = TcpStream::connect(process.address).await.unwrap();
    silent.readable().await.unwrap();
    assert_eq!(silent.try_read(&mut [0]).unwrap(), 0, "{}", log(dir.path()));
    assert!(process.terminate().success());
}
