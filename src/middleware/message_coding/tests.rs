use std::convert::Infallible;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tonic::{Code, Status};

use super::super::message_body::{Limits, MessageBody, Pace};
use super::super::{Body, Guard, Rejections};
use super::*;
use crate::limit::{Budget, BudgetOptions};

const CODINGS: [MessageCoding; 2] = [MessageCoding::Gzip, MessageCoding::Zstd];

fn encoded(coding: MessageCoding, bytes: &[u8]) -> Vec<u8> {
    match coding {
        MessageCoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        MessageCoding::Zstd => zstd::encode_all(bytes, 3).unwrap(),
    }
}

fn message(is_compressed: bool, bytes: &[u8]) -> Vec<u8> {
    [&head(is_compressed, bytes.len())[..], bytes].concat()
}

fn budget(bytes: usize) -> Budget {
    let max = NonZeroUsize::new(bytes).unwrap();
    Budget::new(BudgetOptions {
        all_max: max,
        address_max: max,
        key_max: max,
    })
}

async fn read(
    coding: MessageCoding,
    bytes: Vec<u8>,
    pace: Pace,
    budget: &Budget,
) -> Result<Vec<u8>, Status> {
    let limits = Limits {
        bytes_max: 100_000,
        timeout: Duration::from_mins(1),
        meter: budget.meter(None),
        rejections: Rejections::new(&mut Registry::default()),
        is_coded: true,
        kept: Arc::default(),
    };
    // However it is split.
    let pieces: Vec<_> = bytes
        .chunks(7)
        .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    let decoders = Arc::new(Semaphore::new(1));
    let is_single = matches!(pace, Pace::One);
    let body = MessageBody::new(StreamBody::new(stream::iter(pieces)), pace, limits.clone());
    let verdict = body.verdict();
    let body = Decoded::new(body, Some(coding), is_single, &limits, verdict, &decoders);
    match Box::pin(body).collect().await {
        Ok(collected) => Ok(collected.to_bytes().to_vec()),
        Err(error) => Err(*error.downcast().unwrap()),
    }
}

#[tokio::test]
async fn messages_are_decompressed_and_others_pass() {
    for coding in CODINGS {
        for text in [&b""[..], b"x", &b"0123456789".repeat(1_000)] {
            let sent = [
                message(true, &encoded(coding, text)),
                message(false, text),
                message(true, &encoded(coding, text)),
            ];
            let budget = budget(1 << 20);
            let got = read(coding, sent.concat(), Pace::Many, &budget).await;
            assert_eq!(got.unwrap(), message(false, text).repeat(3));
            let one = read(coding, sent[0].clone(), Pace::One, &budget).await;
            assert_eq!(one.unwrap(), message(false, text));
            let two = read(coding, sent.concat(), Pace::One, &budget).await;
            assert_eq!(two.unwrap_err().code(), Code::InvalidArgument);
        }
    }
}

#[tokio::test]
async fn what_bursts_is_refused_at_its_limit_and_for_want_of_memory() {
    for coding in CODINGS {
        let bomb = |bytes: usize| message(true, &encoded(coding, &vec![0; bytes]));
        for pace in [|| Pace::One, || Pace::Many] {
            let free = budget(1 << 20);
            let fits = read(coding, bomb(100_000), pace(), &free).await;
            assert_eq!(fits.unwrap().len(), 100_005);
            let beyond = read(coding, bomb(100_001), pace(), &free).await;
            let status = beyond.unwrap_err();
            assert_eq!(status.code(), Code::OutOfRange, "{status}");
            assert_eq!(free.taken(), 0);
            let full = budget(1 << 20);
            let others = full.meter(None);
            others.take((1 << 20) - 50_000).unwrap();
            let status = read(coding, bomb(100_000), pace(), &full)
                .await
                .unwrap_err();
            assert_eq!(status.code(), Code::Unavailable, "{status}");
        }
        let budget = budget(1 << 20);
        let status = read(coding, bomb(100_001), Pace::One, &budget).await;
        let guard = Guard::of(&status.unwrap_err());
        assert_eq!(guard, Some(Guard::MessageBytes));
        let broken = message(true, b"0123456789");
        let status = read(coding, broken, Pace::One, &budget).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn large_messages_of_an_answer_are_compressed_and_small_ones_are_not() {
    for coding in CODINGS {
        let large = vec![b'x'; 100_000];
        for texts in [
            &[&b"small"[..]][..],
            &[&large],
            &[b"a", &large[..2_000], b""],
        ] {
            let data: Vec<u8> = texts.iter().flat_map(|text| message(false, text)).collect();
            let frames = stream::iter([Ok::<_, Status>(Frame::data(Bytes::from(data.clone())))]);
            let response = Response::new(Body::new(StreamBody::new(frames)));
            let response = compressed(response, coding, &Arc::new(Semaphore::new(1)));
            assert_eq!(response.headers()["grpc-encoding"], coding.name());
            let sent = response.into_body().collect().await.unwrap().to_bytes();
            let is_large = texts.iter().any(|text| text.len() > 1_400);
            assert_eq!(sent.len() < data.len() / 2, is_large);
            let back = read(coding, sent.to_vec(), Pace::Many, &budget(1 << 20)).await;
            assert_eq!(back.unwrap(), data);
        }
    }
}

#[test]
fn codings_are_known_by_their_names() {
    let headers = |name: &'static str, value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    };
    for (value, coding) in [
        ("identity", None),
        ("gzip", Some(MessageCoding::Gzip)),
        ("zstd", Some(MessageCoding::Zstd)),
    ] {
        let mut headers = headers("grpc-encoding", value);
        assert_eq!(MessageCoding::take(&mut headers).unwrap(), coding);
        assert!(headers.is_empty());
    }
    let status = MessageCoding::take(&mut headers("grpc-encoding", "snappy")).unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(
        status.metadata().get("grpc-accept-encoding").unwrap(),
        ACCEPTED
    );
    for (value, coding) in [
        ("identity, deflate, gzip", Some(MessageCoding::Gzip)),
        ("zstd,gzip", Some(MessageCoding::Zstd)),
        ("identity", None),
        ("", None),
    ] {
        let headers = headers("grpc-accept-encoding", value);
        assert_eq!(MessageCoding::accepted(&headers), coding, "{value}");
    }
}
