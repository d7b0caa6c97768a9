//! The guards, attacked from outside: what the attacker gets, what is counted, and that others are served beside it.

mod bodies;
mod connections;
mod http1;
mod http2;
mod memory;
mod proxy_protocol;
mod requests;
mod streams;

use crate::harness::keep_alive::{Connection, post};
use crate::harness::{PUBLIC, Server, TOKEN, eventually};

const UPDATE: &str = r#"{"customer_ids":{"registered":"honest"}}"#;

fn path() -> String {
    format!("/track/v2/projects/{TOKEN}/customers")
}

fn time() -> String {
    format!("/track/v2/projects/{TOKEN}/system/time")
}

impl Server {
    /// What a guard has turned away.
    async fn rejected(&self, guard: &str) -> u64 {
        let line = format!("footfall_guard_rejections_total{{guard=\"{guard}\"}}");
        self.counted(&line).await
    }

    /// Waits until a guard has turned away so much: a connection is counted when it is over.
    async fn rejects(&self, guard: &str, count: u64) {
        eventually(&format!("{guard} turns {count} away"), async || {
            (self.rejected(guard).await >= count).then_some(())
        })
        .await;
        assert_eq!(self.rejected(guard).await, count, "{guard}");
    }

    /// An honest caller is served, and no call has panicked.
    async fn serves(&self) {
        self.accepts("customers", UPDATE).await;
        assert_eq!(self.counted("footfall_panics_total").await, 0);
    }
}

/// A request of which the service waits for the body.
async fn half_sent(server: &Server, from: &str) -> Connection {
    let mut connection = Connection::open(server.address).await.unwrap();
    let headers = format!("expect: 100-continue\r\nx-forwarded-for: {from}\r\nhost:");
    let request = post(&path(), PUBLIC, UPDATE).replace("host:", &headers);
    let head = request.strip_suffix(UPDATE).unwrap();
    connection.write(head.as_bytes()).await.unwrap();
    connection.is_asked_to_continue().await;
    connection
}
