//! Compressed requests and answers.

use std::io::{Read as _, Write as _};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{PRIVATE, Server, TOKEN};

pub const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

pub fn compressed(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 5, 22)
                .write_all(bytes)
                .unwrap();
            out
        }
        "zstd" => zstd::encode_all(bytes, 3).unwrap(),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_be_compressed_in_each_way() {
    let server = Server::start().await;
    for coding in CODINGS {
        let body =
            json!({"customer_ids": {"registered": coding}, "properties": {"coding": coding}});
        let body = compressed(coding, body.to_string().as_bytes());
        let sent = server
            .track("customers", "")
            .header("Content-Encoding", coding)
            .body(body);
        assert_eq!(sent.send().await.status, 200, "{coding}");
        let properties = server.properties(json!({"registered": coding})).await;
        assert_eq!(properties, json!({"coding": coding}));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_counts_what_a_body_decompresses_to() {
    let server = Server::start().await;
    let text = "Body is too large, at most 1048576 bytes";
    for coding in CODINGS {
        let body = |bytes: usize| {
            let mut body = br#"{"customer_ids":{"registered":"a"}}"#.to_vec();
            body.resize(bytes, b' ');
            let body = compressed(coding, &body);
            server
                .track("customers", "")
                .header("Content-Encoding", coding)
                .body(body)
        };
        assert_eq!(body(1 << 20).send().await.status, 200, "{coding}");
        assert_eq!(
            body((1 << 20) + 1).refused().await,
            (413, text.to_owned()),
            "{coding}"
        );
        // A bomb: small on the wire, 64 MiB in memory.
        assert_eq!(
            body(1 << 26).refused().await,
            (413, text.to_owned()),
            "{coding}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_what_its_coding_says_is_refused() {
    let server = Server::start().await;
    for coding in CODINGS {
        let sent = server.track("customers", r#"{"customer_ids":{"registered":"a"}}"#);
        let refused = sent.header("Content-Encoding", coding).refused().await;
        let text = "The body is not compressed as Content-Encoding says";
        assert_eq!(refused, (400, text.to_owned()), "{coding}");
        let body = compressed(coding, br#"{"customer_ids":{"registered":"a"}}"#);
        let cut = server.track("customers", "").body(&body[..body.len() / 2]);
        assert_eq!(
            cut.header("Content-Encoding", coding).send().await.status,
            400,
            "{coding}"
        );
    }
    for coding in ["compress", "gzip, br"] {
        let sent = server
            .track("customers", "{}")
            .header("Content-Encoding", coding);
        let text =
            format!("Content-Encoding must be one of gzip, deflate, br, zstd, not '{coding}'");
        assert_eq!(sent.refused().await, (415, text));
    }
    server.stop().await;
}

/// Head and body of a large answer, as they came.
async fn large(server: &Server, accept: &str) -> (String, Vec<u8>) {
    let question = r#"{"customer_ids":{"registered":"a"}}"#;
    let sent = format!(
        "POST /data/v2/projects/{TOKEN}/customers/export-one HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {PRIVATE}\r\nContent-Length: {}\r\n{accept}\r\n{question}",
        question.len()
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    let end = read
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(read[..end].to_vec()).unwrap();
    (head.to_ascii_lowercase(), read[end + 4..].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_compressed_only_for_who_asks() {
    let server = Server::start().await;
    let long = "x".repeat(10_000);
    server
        .updates(&json!({"customer_ids": {"registered": "a"}, "properties": {"long": long}}))
        .await;
    let (head, plain) = large(&server, "").await;
    assert!(!head.contains("content-encoding"), "{head}");
    for accept in ["identity", "gzip;q=0", "compress"] {
        let (head, body) = large(&server, &format!("Accept-Encoding: {accept}\r\n")).await;
        assert!(!head.contains("content-encoding"), "{head}");
        assert_eq!(body, plain);
    }
    let (head, body) = large(&server, "Accept-Encoding: deflate, GZIP;q=0.5\r\n").await;
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(head.contains("vary: accept-encoding"), "{head}");
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{head}"
    );
    let mut read = Vec::new();
    flate2::read::GzDecoder::new(body.as_slice())
        .read_to_end(&mut read)
        .unwrap();
    assert_eq!(read, plain);
    server.stop().await;
}
