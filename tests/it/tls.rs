//! TLS on the listeners: what is spoken inside, who may begin, and how certificates are replaced.

mod handshake;
mod mutual;
mod process;

use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::calls::event;
use crate::harness::tls::{Authority, Caller, Papers};
use crate::harness::{Answer, PUBLIC, Request, Server, Setup, TOKEN, authorized, eventually};

/// A service whose callers speak TLS, with the papers that it was started with.
async fn secured(more: &str) -> (Papers, Server) {
    let papers = Papers::new();
    let section = papers.section("server.tls", "");
    let server = Setup::default().with(more).with(&section).start().await;
    (papers, server)
}

/// Asks for the time.
fn time(server: &Server, authorization: &str) -> Request {
    let path = format!("/track/v2/projects/{TOKEN}/system/time");
    server.get(&path).header("Authorization", authorization)
}

async fn failed(server: &Server, reason: &str) -> u64 {
    let line =
        format!("footfall_tls_handshakes_failed_total{{listener=\"Calls\",reason=\"{reason}\"}}");
    server.counted(&line).await
}

/// Waits until so many handshakes have failed for this reason: callers learn of it before it is counted.
async fn comes_to(server: &Server, reason: &str, times: u64) {
    eventually(&format!("{reason} fails {times} handshakes"), async || {
        (failed(server, reason).await >= times).then_some(())
    })
    .await;
    assert_eq!(failed(server, reason).await, times, "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_and_rest_are_served_over_tls() {
    let (papers, server) = secured("").await;
    let caller = papers.caller();
    let channel = caller.channel(server.address).await.unwrap();
    let mut client = TrackingServiceClient::new(channel);
    let stored = client.add_event(authorized(event("visit"), PUBLIC)).await;
    stored.unwrap();
    let question = r#"{"customer_ids":{"registered":"a"},"event_types":["visit"]}"#;
    let read = server.data("events", question);
    let read = caller.send(server.address, read).await.unwrap();
    assert_eq!(read.json()["data"].as_array().unwrap().len(), 1);
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_inside_is_agreed_on() {
    let (papers, server) = secured("").await;
    for (offered, agreed) in [
        (["h2", "http/1.1"].as_slice(), Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["spdy/3", "http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let caller = papers.caller().offering(offered);
        let stream = caller.connect(server.address).await.unwrap();
        let spoken = stream.get_ref().1.alpn_protocol();
        assert_eq!(spoken, agreed.map(str::as_bytes), "{offered:?}");
        if agreed != Some("h2") {
            let answer = time(&server, PUBLIC).send_over(stream).await.unwrap();
            assert_eq!(answer.status, 200);
        }
    }
    let stranger = papers.caller().offering(&["spdy/3"]);
    let refused = stranger.connect(server.address).await;
    assert!(refused.is_err());
    comes_to(&server, "Protocol", 1).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_gets_no_answer_where_tls_is_spoken() {
    let (papers, server) = secured("").await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut request = b"POST /batch HTTP/1.1\r\nhost: x\r\n\r\n".to_vec();
    // What is still on its way must not cut off the alert.
    request.resize(1 << 20, b'x');
    stream.write_all(&request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer.first(), Some(&21), "not an alert of TLS: {answer:?}");
    comes_to(&server, "Protocol", 1).await;
    let caller = papers.caller();
    let answer = caller.send(server.address, time(&server, PUBLIC)).await;
    assert_eq!(answer.unwrap().status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_trust_the_certificate_leaves_and_is_counted() {
    let (_papers, server) = secured("").await;
    let stranger = Papers::new().caller();
    let refused = stranger.connect(server.address).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
    comes_to(&server, "Alert", 1).await;
    server.stop().await;
}

/// An HTTP/1.1 connection that goes on.
struct Kept(tokio_rustls::client::TlsStream<TcpStream>);

impl Kept {
    async fn open(caller: &Caller, server: &Server) -> Self {
        Self(caller.connect(server.address).await.unwrap())
    }

    fn certificate(&self) -> Vec<u8> {
        self.0.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    async fn asks_with(&mut self, header: &str) -> Answer {
        let path = format!("/track/v2/projects/{TOKEN}/system/time");
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{header}\r\n");
        self.0.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            assert_ne!(self.0.read_buf(&mut answer).await.unwrap(), 0);
        }
        Answer::parse(&answer)
    }

    async fn asks(&mut self) -> u16 {
        let header = format!("authorization: {PUBLIC}\r\n");
        self.asks_with(&header).await.status
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_while_a_connection_lives() {
    let (papers, server) = secured("").await;
    let caller = papers.caller();
    let mut before = Kept::open(&caller, &server).await;
    assert_eq!(before.asks().await, 200);
    let setup = || Setup::default().with(&papers.section("server.tls", ""));
    assert_eq!(server.reloads(&setup()).changed, [""; 0]);

    papers.issue(&["dns:localhost"]);
    let reloaded = server.reloads(&setup());
    assert_eq!(reloaded.changed, ["server.tls"]);
    assert_eq!(reloaded.left, [""; 0]);
    let mut after = Kept::open(&caller, &server).await;
    assert_ne!(before.certificate(), after.certificate());
    assert_eq!((before.asks().await, after.asks().await), (200, 200));
    assert_eq!(server.reloads(&setup()).changed, [""; 0]);
    // Whether TLS is spoken at all stays as it is.
    assert_eq!(server.reloads(&Setup::default()).left, ["server.tls"]);
    assert_eq!(after.asks().await, 200);
    drop((before, after));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_and_says_why() {
    let (papers, server) = secured("").await;
    let caller = papers.caller();
    let before = Kept::open(&caller, &server).await.certificate();
    let setup = || {
        let quota = "[rate_limit]\nrequests = 1";
        let section = papers.section("server.tls", "");
        Setup::default().with(quota).with(&section)
    };
    let good = [
        (
            "chain.pem",
            std::fs::read_to_string(papers.path("chain.pem")),
        ),
        ("key.pem", std::fs::read_to_string(papers.path("key.pem"))),
    ];
    let other = Authority::new().vouches(&["dns:localhost"]);
    let chain = papers.path("chain.pem");
    let not_its_key = format!("is not the key of {chain:?}");
    let half = &other.key[..other.key.len() / 2];
    let scrambled = other.chain.replace("MII", "!!!");
    for (file, text, setting, problem) in [
        ("chain.pem", "", "server.tls.cert", "has no certificate"),
        ("chain.pem", &scrambled, "server.tls.cert", "is broken PEM"),
        (
            "chain.pem",
            &other.key,
            "server.tls.cert",
            "has no certificate",
        ),
        (
            "key.pem",
            &other.chain,
            "server.tls.key",
            "has no private key",
        ),
        ("key.pem", half, "server.tls.key", "breaks off"),
        ("key.pem", &other.key, "server.tls.key", &not_its_key),
    ] {
        papers.write(file, text);
        let said = server.try_reload(&setup()).unwrap_err().to_string();
        let line = format!("{setting}: {:?} {problem}", papers.path(file));
        assert!(said.contains(&line), "{line}\nis not in\n{said}");
        for secret in text.lines().filter(|line| !line.is_empty()) {
            assert!(!said.contains(secret), "{said}");
        }
        for (file, text) in &good {
            papers.write(file, text.as_ref().unwrap());
        }
    }
    std::fs::remove_file(&chain).unwrap();
    papers.write("key.pem", "");
    let said = server.try_reload(&setup()).unwrap_err().to_string();
    for line in [
        format!("server.tls.cert: {chain:?} cannot be read"),
        format!("server.tls.key: {:?} has no", papers.path("key.pem")),
    ] {
        assert!(said.contains(&line), "{line}\nis not in\n{said}");
    }
    for _ in 0..3 {
        let mut after = Kept::open(&caller, &server).await;
        assert_eq!(after.certificate(), before);
        assert_eq!(after.asks().await, 200, "the quota has changed");
    }
    server.stop().await;
}
