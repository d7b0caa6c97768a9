//! The head of a connection that a balancer opens, of any bytes and however it is cut into pieces: it is read or refused,
//! no byte behind it is touched, and what is read does not depend on the pieces.
#![no_main]

use std::io;
use std::pin::pin;

use arbitrary::Arbitrary;
use footfall::server::proxy_protocol::read;
use futures_util::FutureExt as _;
use libfuzzer_sys::fuzz_target;
use tokio::io::AsyncReadExt as _;

/// How heads begin, so that a fuzzer need not find it out.
const BEGINS: [&[u8]; 4] = [
    b"",
    b"PROXY ",
    b"PROXY TCP4 203.0.113.9 ",
    b"\r\n\r\n\0\r\nQUIT\n\x21",
];
/// Longest head that is read, in bytes.
const HEAD_BYTES_MAX: usize = 4096;

#[derive(Arbitrary, Debug)]
struct Connection {
    begin: u8,
    rest: Vec<u8>,
    cut: u16,
}

fuzz_target!(|connection: Connection| {
    let begin = BEGINS[usize::from(connection.begin) % BEGINS.len()];
    let bytes = [begin, &connection.rest].concat();
    let mut left = &bytes[..];
    let whole = pin!(read(&mut left)).now_or_never().expect("all is there");
    let (before, behind) = bytes.split_at(usize::from(connection.cut) % (bytes.len() + 1));
    let mut pieces = before.chain(behind);
    let cut = pin!(read(&mut pieces))
        .now_or_never()
        .expect("all is there");
    let named = |read: &io::Result<_>| read.as_ref().copied().map_err(io::Error::kind);
    assert_eq!(named(&whole), named(&cut));
    assert!(bytes.len() - left.len() <= HEAD_BYTES_MAX);
    if whole.is_ok() {
        let head = &bytes[..bytes.len() - left.len()];
        let is_text = head.starts_with(b"PROXY ") && head.ends_with(b"\r\n");
        assert!(is_text || head.starts_with(&BEGINS[3][..12]));
    }
});
