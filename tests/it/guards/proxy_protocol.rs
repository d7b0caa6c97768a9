//! The PROXY protocol: whose connection it is, by the word of a balancer that passes bytes through.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::{UPDATE, path};
use crate::harness::process::{command, run};
use crate::harness::tls::Papers;
use crate::harness::{Answer, PUBLIC, Request, Server, Setup};

const SETTINGS: &str = "[server]\nproxy_protocol = true";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 1's head for a client.
fn text(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 10.0.0.1 40000 443\r\n").into_bytes()
}

/// Version 2's head for a client, or for the balancer itself.
fn binary(client: Option<Ipv4Addr>) -> Vec<u8> {
    match client {
        None => [SIGNATURE, &[0x20, 0, 0, 0]].concat(),
        Some(client) => {
            let addresses = [&client.octets()[..], &[10, 0, 0, 1], &[0x9c, 0x40, 1, 0xbb]].concat();
            [SIGNATURE, &[0x21, 0x11, 0, 12], &addresses].concat()
        }
    }
}

/// A connection that begins so.
async fn begun(server: &Server, head: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head).await.unwrap();
    stream
}

fn update(server: &Server) -> Request {
    let request = Request::new(server.address, "POST", &path());
    request.header("authorization", PUBLIC).body(UPDATE)
}

async fn updates(server: &Server, head: &[u8]) -> u16 {
    let stream = begun(server, head).await;
    update(server).send_over(stream).await.unwrap().status
}

/// Waits until the service closes the connection; gives what it sent before.
async fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut sent = Vec::new();
    // Reset or not, it is closed.
    let _ = stream.read_to_end(&mut sent).await;
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_that_a_head_of_either_version_names_is_the_one_that_is_charged() {
    let limit = "[rate_limit]\nrequests = 2\nperiod = \"1h\"";
    let server = Setup::default().with(SETTINGS).with(limit).start().await;
    let client = Some(Ipv4Addr::new(203, 0, 113, 9));
    assert_eq!(updates(&server, &text("203.0.113.9")).await, 200);
    assert_eq!(updates(&server, &binary(client)).await, 200);
    assert_eq!(updates(&server, &text("203.0.113.9")).await, 429);
    assert_eq!(updates(&server, &binary(client)).await, 429);
    // Others are charged for themselves, and so is the balancer.
    assert_eq!(updates(&server, &text("203.0.113.10")).await, 200);
    for (head, status) in [
        (&binary(None)[..], 200),
        (b"PROXY UNKNOWN\r\n", 200),
        (b"PROXY UNKNOWN\r\n", 429),
    ] {
        assert_eq!(updates(&server, head).await, status, "{head:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_named_is_not_believed_about_others() {
    let limit = "[rate_limit]\nrequests = 1\nperiod = \"1h\"";
    let server = Setup::default().with(SETTINGS).with(limit).start().await;
    for (forwarded, status) in [("198.51.100.1", 200), ("198.51.100.2", 429)] {
        let stream = begun(&server, &text("203.0.113.9")).await;
        let request = update(&server).header("x-forwarded-for", forwarded);
        let answer = request.send_over(stream).await.unwrap();
        assert_eq!(answer.status, status, "{forwarded}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_named_has_so_many_connections_as_if_it_had_come_by_itself() {
    let limit = "connections_per_address_max = 2";
    let server = Setup::default().with(SETTINGS).with(limit).start().await;
    let kept = update(&server);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = begun(&server, &text("203.0.113.9")).await;
        let request = crate::harness::keep_alive::post(&path(), PUBLIC, UPDATE);
        stream.write_all(request.as_bytes()).await.unwrap();
        // It is served, and so it has its place.
        assert_eq!(stream.read_u8().await.unwrap(), b'H');
        open.push(stream);
    }
    let third = begun(&server, &text("203.0.113.9")).await;
    assert_eq!(closed(third).await, b"");
    server.rejects("connections_per_address_max", 1).await;
    let other = begun(&server, &text("203.0.113.10")).await;
    assert_eq!(kept.send_over(other).await.unwrap().status, 200);
    drop(open);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_head_is_closed_and_nothing_of_it_is_done() {
    let server = Setup::default().with(SETTINGS).start().await;
    let request = crate::harness::keep_alive::post(&path(), PUBLIC, UPDATE);
    let too_long = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat();
    let heads = [
        request.as_bytes(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PROXY TCP4 nobody 10.0.0.1 1 2\r\n",
        &too_long,
    ];
    for (count, head) in heads.iter().enumerate() {
        let stream = begun(&server, head).await;
        assert_eq!(closed(stream).await, b"", "{head:?}");
        server.rejects("proxy_protocol", count as u64 + 1).await;
    }
    let question = r#"{"customer_ids":{"registered":"honest"}}"#;
    let stream = begun(&server, &text("203.0.113.9")).await;
    let read = server.data("export-one", question).send_over(stream).await;
    assert_eq!(read.unwrap().status, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_from_anywhere_but_a_trusted_proxy_is_not_even_read() {
    let trusted = "[client_address]\ntrusted_proxies = [\"127.0.0.2\"]";
    let server = Setup::default().with(SETTINGS).with(trusted).start().await;
    let stream = begun(&server, &text("203.0.113.9")).await;
    assert_eq!(closed(stream).await, b"");
    server.rejects("proxy_protocol", 1).await;
    let socket = TcpSocket::new_v4().unwrap();
    let proxy = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
    socket.bind(proxy).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    stream.write_all(&text("203.0.113.9")).await.unwrap();
    let answer: Answer = update(&server).send_over(stream).await.unwrap();
    assert_eq!(answer.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let timeout = "header_timeout = \"400ms\"";
    let server = Setup::default().with(SETTINGS).with(timeout).start().await;
    let unfinished = [&SIGNATURE[..5], SIGNATURE, b"PROXY TCP4 203.0.113.9 ", b""];
    for (count, head) in unfinished.into_iter().enumerate() {
        let stream = begun(&server, head).await;
        assert_eq!(closed(stream).await, b"", "{head:?}");
        server.rejects("header_timeout", count as u64 + 1).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_stands_before_tls_which_is_passed_through() {
    let papers = Papers::new();
    let tls = papers.section("server.tls", "");
    let limit = "[rate_limit]\nrequests = 1\nperiod = \"1h\"";
    let setup = Setup::default().with(SETTINGS).with(&tls).with(limit);
    let server = setup.start().await;
    for (client, status) in [
        ("203.0.113.9", 200),
        ("203.0.113.9", 429),
        ("203.0.113.10", 200),
    ] {
        let stream = begun(&server, &text(client)).await;
        let stream = papers.caller().connect_over(stream).await.unwrap();
        let answer = update(&server).send_over(stream).await.unwrap();
        assert_eq!(answer.status, status, "{client}");
    }
    server.stop().await;
}

#[test]
fn heads_that_nobody_is_believed_in_are_refused_with_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    for trust in ["trusted_proxies = []", "trusted_hops = 1"] {
        let settings = format!("{SETTINGS}\n[client_address]\n{trust}\n");
        fs::write(dir.path().join("footfall.toml"), settings).unwrap();
        for verb in ["serve", "check-config"] {
            let (code, said) = run(command(dir.path()).args([verb, "--config", "footfall.toml"]));
            assert_eq!(code, Some(1), "{said}");
            let text = "server.proxy_protocol: true needs client_address.trusted_proxies";
            assert!(said.contains(text), "{said}");
        }
    }
}
