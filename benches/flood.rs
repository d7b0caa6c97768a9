//! The whole service under a flood of callers that were never seen before.
//!
//! `cargo bench --bench flood` plays a proxy that is believed: every request of the flood names another client address,
//! as many as two threads can send. Beside it, an honest caller stores events at half of its quota, and a caller that
//! has spent its quota goes on at twice of it. What is printed, for the time before and for each flood: how the honest
//! caller fared, how many requests the spent one got through (its quota earns 100 a second), and how much memory the
//! service takes.
//!
//! A flood from new IPv4 addresses passes the limiter, for each is a caller of its own; what it must not do is to make
//! the service forget who is limited, or grow. A flood from the /64s of one IPv6 /48 is a caller's, and is refused.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking, and measures real time"
)]

#[path = "flood/connection.rs"]
mod connection;
#[allow(dead_code, reason = "each benchmark uses its part")]
#[path = "common/server.rs"]
mod server;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use connection::{Answers, Connection};
use server::{AUTHORIZATION, Server, TOKEN};

const FLOODERS: u64 = 2;
/// Requests that a flooder sends before it reads their answers.
const PIPELINED: usize = 256;
const PHASE: Duration = Duration::from_secs(10);
const HONEST: &str = "198.51.100.1";
const SPENT: &str = "198.51.100.2";
/// What an address may send by default.
const QUOTA: usize = 6_000;

/// Who a flood's requests come from.
#[derive(Clone, Copy)]
enum Flood {
    /// Nobody floods.
    None,
    /// IPv4 addresses from everywhere.
    World,
    /// The /64s of one IPv6 /48.
    Network,
}

fn main() {
    let dir = server::folder();
    let (server, admin) = Server::footfall_with(dir.path(), "");
    let spent = Connection::open(server.address).send(&vec![event(SPENT); QUOTA]);
    assert_eq!(spent.ok, QUOTA, "{spent:?}");
    println!("{PHASE:?} each; requests a second; the honest caller's latency");
    println!(
        "{:<18}{:>10}{:>10}{:>10}{:>10}{:>10}{:>12}{:>12}{:>10}",
        "flood", "sent", "refused", "p50", "p99", "max", "refused", "spent", "memory"
    );
    println!(
        "{:<18}{:>10}{:>10}{:>10}{:>10}{:>10}{:>12}{:>12}{:>10}",
        "", "", "", "", "", "", "of honest", "got", ""
    );
    phase("none", Flood::None, &server);
    // The table's memory is touched once; from then on nothing may grow.
    for _ in 0..3 {
        phase("new IPv4", Flood::World, &server);
    }
    // The first time it spends the network's quota, 64 times an address's.
    for _ in 0..2 {
        phase("one IPv6 /48", Flood::Network, &server);
    }
    phase("none", Flood::None, &server);
    println!();
    for line in server::get(admin, "/metrics").lines() {
        if line.starts_with("footfall_rate_limit_") {
            println!("{line}");
        }
    }
}

/// Runs callers and flood side by side, and prints how they fared.
fn phase(name: &str, flood: Flood, server: &Server) {
    let until = Instant::now() + PHASE;
    let number = AtomicU64::new(0);
    let address = server.address;
    let (flooded, (mut latencies, honest), spent) = scope(|scope| {
        let number = &number;
        let flooders: Vec<_> = (0..FLOODERS)
            .map(|_| scope.spawn(move || flood.run(address, number, until)))
            .collect();
        let honest = scope.spawn(move || honest(address, until));
        let spent = scope.spawn(move || go_on_spent(address, until));
        let flooded = flooders.into_iter().map(|one| one.join().unwrap());
        (
            flooded.fold(Answers::default(), Answers::plus),
            honest.join().unwrap(),
            spent.join().unwrap(),
        )
    });
    assert_eq!(honest.other + spent.other, 0, "{honest:?} {spent:?}");
    latencies.sort();
    let quantile = |permille: usize| {
        let place = permille * (latencies.len() - 1) / 1_000;
        format!("{:.1} ms", latencies[place].as_secs_f64() * 1e3)
    };
    let rate = |count: usize| format!("{:.0}", count as f64 / PHASE.as_secs_f64());
    println!(
        "{name:<18}{:>10}{:>10}{:>10}{:>10}{:>10}{:>12}{:>12}{:>6} MiB",
        rate(flooded.all()),
        rate(flooded.refused),
        quantile(500),
        quantile(990),
        quantile(1_000),
        honest.refused,
        rate(spent.ok),
        memory_mib(server),
    );
}

impl Flood {
    /// Sends until the time is up: as fast as answers come, each from another address.
    fn run(self, server: SocketAddr, number: &AtomicU64, until: Instant) -> Answers {
        let mut answers = Answers::default();
        if matches!(self, Self::None) {
            return answers;
        }
        let mut connection = Connection::open(server);
        while Instant::now() < until {
            let requests: Vec<_> = (0..PIPELINED)
                .map(|_| stranger(&self.address(number.fetch_add(1, Ordering::Relaxed))))
                .collect();
            answers = answers.plus(connection.send(&requests));
        }
        answers
    }

    fn address(self, number: u64) -> String {
        match self {
            // All of 128.0.0.0/2, in no order: the factor is odd, so 2^30 come before one comes again.
            Self::None | Self::World => {
                let place = number.wrapping_mul(2_654_435_761) & 0x3fff_ffff;
                Ipv4Addr::from_bits(0x8000_0000 | place as u32).to_string()
            }
            Self::Network => {
                let network = 0x2001_0db8_0007_u128 << 80;
                let of_64 = u128::from(number & 0xffff) << 64;
                Ipv6Addr::from_bits(network | of_64 | 1).to_string()
            }
        }
    }
}

/// Stores an event every 20 ms; half of what its quota earns.
fn honest(server: SocketAddr, until: Instant) -> (Vec<Duration>, Answers) {
    let mut connection = Connection::open(server);
    let (mut latencies, mut answers) = (Vec::new(), Answers::default());
    while Instant::now() < until {
        let began = Instant::now();
        answers = answers.plus(connection.send(&[event(HONEST)]));
        latencies.push(began.elapsed());
        sleep(Duration::from_millis(20).saturating_sub(began.elapsed()));
    }
    (latencies, answers)
}

/// Sends 20 events every 100 ms, twice what its quota earns.
fn go_on_spent(server: SocketAddr, until: Instant) -> Answers {
    let mut connection = Connection::open(server);
    let mut answers = Answers::default();
    while Instant::now() < until {
        let began = Instant::now();
        answers = answers.plus(connection.send(&vec![event(SPENT); 20]));
        sleep(Duration::from_millis(100).saturating_sub(began.elapsed()));
    }
    answers
}

fn event(from: &str) -> String {
    post(from, TOKEN, AUTHORIZATION)
}

/// A request of somebody who has no key.
fn stranger(from: &str) -> String {
    post(from, "none", "Token none")
}

fn post(from: &str, token: &str, authorization: &str) -> String {
    let body = r#"{"customer_ids":{"registered":"ada"},"event_type":"visit","properties":{}}"#;
    format!(
        "POST /track/v2/projects/{token}/customers/events HTTP/1.1\r\nhost: bench\r\nx-forwarded-for: {from}\r\nauthorization: {authorization}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn memory_mib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib: u64 = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib / 1024
}
