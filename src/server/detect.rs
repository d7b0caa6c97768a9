//! Which protocol a connection speaks, by its first bytes.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads until the protocol is known. Gives the bytes that were read: they have to be read again.
pub(super) async fn detect(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<(Protocol, Vec<u8>)> {
    let mut first = Vec::with_capacity(PREFACE.len());
    while first.len() < PREFACE.len() {
        let left = (PREFACE.len() - first.len()) as u64;
        let read = (&mut *stream).take(left).read_buf(&mut first).await?;
        if read == 0 || !PREFACE.starts_with(&first) {
            return Ok((Protocol::Http1, first));
        }
    }
    Ok((Protocol::Http2, first))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Sends so many bytes at a time, and closes.
    async fn detected(sent: &[u8], at_once: usize) -> (Protocol, Vec<u8>) {
        let (mut near, mut far) = tokio::io::duplex(at_once);
        let sends = async {
            // The reader may have seen enough before the end.
            let _ = far.write_all(sent).await;
            drop(far);
        };
        let reads = async {
            let detected = detect(&mut near).await.unwrap();
            drop(near);
            detected
        };
        tokio::join!(reads, sends).0
    }

    #[tokio::test]
    async fn the_whole_preface_is_http_2_and_anything_else_http_1_1() {
        for at_once in [1, 5, 100] {
            let sent = [PREFACE, b"more"].concat();
            let expected = (Protocol::Http2, PREFACE.to_vec());
            assert_eq!(detected(&sent, at_once).await, expected);
            for sent in [
                &b""[..],
                b"PRI * HTTP/2.0\r\n",
                b"PRI * HTTP/2.0\r\n\r\nNO\r\n\r\n",
                b"POST / HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\nhost: a-long-name-of-a-host\r\n\r\n",
            ] {
                let (protocol, first) = detected(sent, at_once).await;
                assert_eq!(protocol, Protocol::Http1);
                assert!(sent.starts_with(&first), "{first:?}");
            }
        }
    }
}
