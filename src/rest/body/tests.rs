use std::convert::Infallible;
use std::io::Write as _;
use std::num::NonZeroUsize;

use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use tonic::Code;

use super::decode::decode;
use super::*;
use crate::limit::{Budget, BudgetOptions};

fn compressed(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Identity => bytes.to_vec(),
        Coding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Brotli => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 5, 22)
                .write_all(bytes)
                .unwrap();
            out
        }
        Coding::Zstd => zstd::encode_all(bytes, 3).unwrap(),
    }
}

fn within(bytes_max: usize, meter: &Meter) -> Limits<'_> {
    Limits {
        bytes_max,
        guard: Guard::BodyBytes,
        meter,
    }
}

fn budget(bytes: usize) -> Budget {
    let max = NonZeroUsize::new(bytes).unwrap();
    Budget::new(BudgetOptions {
        all_max: max,
        address_max: max,
        key_max: max,
    })
}

const CODINGS: [Coding; 5] = [
    Coding::Identity,
    Coding::Gzip,
    Coding::Deflate,
    Coding::Brotli,
    Coding::Zstd,
];

#[test]
fn every_coding_is_read_up_to_the_limit() {
    let text = b"0123456789".repeat(100);
    let budget = budget(1 << 20);
    for coding in CODINGS {
        let bytes = compressed(coding, &text);
        let meter = budget.meter(None);
        let decoded = decode(coding, &bytes, within(1000, &meter)).unwrap();
        assert_eq!(decoded, text, "{coding:?}");
        let beyond = decode(coding, &bytes, within(999, &meter));
        assert!(beyond.is_err(), "{coding:?}");
    }
}

#[test]
fn deflate_is_read_with_and_without_its_wrapper() {
    for text in [&b""[..], b"x", &b"0123456789".repeat(1000)] {
        for level in 0..=9 {
            let level = flate2::Compression::new(level);
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            let bytes = encoder.finish().unwrap();
            let meter = budget(1 << 20).meter(None);
            let decoded = decode(Coding::Deflate, &bytes, within(10_000, &meter)).unwrap();
            assert_eq!(decoded, text, "{level:?}");
            if text.len() > 9_999 {
                assert!(decode(Coding::Deflate, &bytes, within(9_999, &meter)).is_err());
            }
        }
    }
}

#[test]
fn zeros_behind_gzip_do_not_matter_and_anything_else_does() {
    let one = compressed(Coding::Gzip, b"0123456789");
    let two = [one.clone(), compressed(Coding::Gzip, b"abc")].concat();
    let meter = budget(1 << 20).meter(None);
    let read = |bytes: Vec<u8>| decode(Coding::Gzip, &bytes, within(1000, &meter));
    for zeros in [0, 1, 8, 1000] {
        let padded = |bytes: &[u8]| [bytes, &vec![0; zeros]].concat();
        assert_eq!(read(padded(&one)).unwrap(), b"0123456789"[..]);
        assert_eq!(read(padded(&two)).unwrap(), b"0123456789abc"[..]);
    }
    for behind in [&b"x"[..], b"\0\0x", &one[..10]] {
        assert!(read([&one[..], behind].concat()).is_err(), "{behind:?}");
    }
    assert!(read(one[..one.len() - 1].to_vec()).is_err());
}

#[test]
fn what_is_not_compressed_as_it_says_is_refused() {
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
        let meter = Meter::none();
        let decoded = decode(coding, b"{\"a\": 1}", within(1000, &meter));
        let status = decoded.unwrap_err().into_status();
        assert_eq!(status.code(), Code::InvalidArgument, "{coding:?}");
    }
}

#[test]
fn what_bursts_beyond_the_memory_is_unavailable_and_nobodys_mistake() {
    let text = vec![b' '; 1 << 20];
    for coding in CODINGS {
        let budget = budget(2 << 20);
        let others = budget.meter(None);
        others.take(3 << 19).unwrap();
        let bytes = compressed(coding, &text);
        let meter = budget.meter(None);
        let decoded = decode(coding, &bytes, within(1 << 20, &meter));
        let status = decoded.unwrap_err().into_status();
        assert_eq!(status.code(), Code::Unavailable, "{coding:?}");
        assert_eq!(Guard::of(&status), Some(Guard::BodyMemory), "{coding:?}");
        drop(meter);
        drop(others);
        assert_eq!(budget.taken(), 0, "{coding:?}");
    }
}

#[tokio::test]
async fn pieces_are_copied_together_and_hold_little_more_than_they_are() {
    let budget = budget(1 << 20);
    let meter = budget.meter(None);
    let piece = || Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b' '; 7])));
    let pieces = stream::iter((0..20_000).map(|_| piece()));
    let limits = within(140_000, &meter);
    let body = collect(StreamBody::new(pieces), limits).await.unwrap();
    assert_eq!(body.len(), 140_000);
    assert!(budget.taken() <= 144 * 1024, "{}", budget.taken());
    let pieces = stream::iter((0..20_001).map(|_| piece()));
    let beyond = collect(StreamBody::new(pieces), limits).await;
    assert_eq!(
        Guard::of(&beyond.unwrap_err().into_status()),
        Some(Guard::BodyBytes)
    );
    drop(body);
    drop(meter);
    assert_eq!(budget.taken(), 0);
}
