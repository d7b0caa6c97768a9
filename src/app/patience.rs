//! How long a connection is waited for where hyper waits for ever.
//!
//! - Whoever sends the beginning of HTTP/2's preface, even one byte of it, has said neither that it speaks HTTP/2 nor HTTP/1.1, so
//!   that the timeouts of neither hold.
//! - Whoever takes nothing of what it is sent keeps an HTTP/1.1 connection, with the answer that is on its way, without a limit.
//!
//! Since it finds out which protocol is spoken, it also reads what is sent over HTTP/2 for guards of h2's, and gives the answers
//! that hyper makes by itself over HTTP/1.1 a body ([`bare`]).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::bare;
use super::outgoing::Outgoing;
use crate::clock::late::Late;
use crate::middleware::observe::Ids;
use crate::middleware::{Guard, Rejections};

/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that is not waited for longer than so.
#[derive(Debug)]
pub(super) struct Patience<S> {
    stream: S,
    idle_timeout: Duration,
    rejections: Rejections,
    protocol: Protocol,
    /// There is one while the caller takes nothing.
    stall: Option<Pin<Box<Late>>>,
    /// Nothing more is waited for.
    is_over: bool,
    asked: Asked,
    ids: Arc<Ids>,
    /// An answer that is sent in the place of another.
    instead: Option<Instead>,
}

/// Bytes that are sent in the place of others.
#[derive(Debug)]
struct Instead {
    bytes: Vec<u8>,
    sent: usize,
    /// How many bytes they stand for.
    of: usize,
}

/// Whether the caller has sent something since it was last sent something: it has begun to ask for the next answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<AtomicBool>);

/// What is spoken.
#[derive(Debug)]
enum Protocol {
    /// Nothing yet.
    Unknown(Preface),
    Http1,
    Http2(Outgoing),
}

#[derive(Debug)]
struct Preface {
    /// The part that has not come yet.
    left: &'static [u8],
    until: Pin<Box<Late>>,
}

impl Asked {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, asked: bool) {
        self.0.store(asked, Ordering::Relaxed);
    }
}

impl<S> Patience<S> {
    /// Waits until `preface_until` for what tells the protocol, and for `idle_timeout` for a caller that takes nothing.
    pub(super) fn new(
        stream: S,
        preface_until: Instant,
        idle_timeout: Duration,
        rejections: Rejections,
        ids: Arc<Ids>,
    ) -> Self {
        Self {
            stream,
            idle_timeout,
            rejections,
            protocol: Protocol::Unknown(Preface {
                left: PREFACE,
                until: Box::pin(Late::until(preface_until)),
            }),
            stall: None,
            is_over: false,
            asked: Asked::default(),
            ids,
            instead: None,
        }
    }

    /// What tells, from then on, whether the caller has begun to ask.
    pub(super) fn asked(&self) -> Asked {
        self.asked.clone()
    }

    /// Follows what was written of `pieces`, where that are frames.
    fn follow<'a>(
        &mut self,
        written: &Poll<io::Result<usize>>,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) {
        let Protocol::Http2(outgoing) = &mut self.protocol else {
            return;
        };
        let Poll::Ready(Ok(mut left)) = *written else {
            return;
        };
        for piece in pieces {
            let (sent, _) = piece.split_at(left.min(piece.len()));
            left -= sent.len();
            outgoing.follow(sent, |guard| self.rejections.count(guard));
        }
    }

    /// What became of writing, unless that has been pending for too long.
    fn taken<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let idle_timeout = self.idle_timeout;
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(Late::after(idle_timeout)));
        if stall.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        if !std::mem::replace(&mut self.is_over, true) {
            self.rejections.count(Guard::IdleTimeout);
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> Patience<S> {
    /// Begins to send something in the place of `pieces`, where they end with an answer without a body.
    fn replace(&mut self, pieces: &[io::IoSlice<'_>]) {
        if self.instead.is_some() || !matches!(self.protocol, Protocol::Http1) {
            return;
        }
        let Some((last, before)) = pieces.split_last() else {
            return;
        };
        if let Some((at, answer)) = bare::with_body(last, &self.ids) {
            let mut bytes: Vec<u8> = before
                .iter()
                .flat_map(|piece| piece.iter().copied())
                .collect();
            let of = bytes.len() + last.len();
            bytes.extend_from_slice(last.get(..at).unwrap_or_default());
            bytes.extend_from_slice(&answer);
            self.instead = Some(Instead { bytes, sent: 0, of });
        }
    }

    /// Sends what stands in the place of others, if there is such; none: there is not.
    fn poll_instead(&mut self, context: &mut Context<'_>) -> Option<Poll<io::Result<usize>>> {
        loop {
            let instead = self.instead.as_mut()?;
            let left = instead.bytes.get(instead.sent..).unwrap_or_default();
            if left.is_empty() {
                let of = instead.of;
                self.instead = None;
                return Some(Poll::Ready(Ok(of)));
            }
            match Pin::new(&mut self.stream).poll_write(context, left) {
                Poll::Ready(Ok(0)) => {
                    return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(sent)) => instead.sent += sent,
                other => return Some(self.taken(other, context)),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let new = buffer.filled().get(before..).unwrap_or_default();
        if !new.is_empty() {
            this.asked.set(true);
        }
        let Protocol::Unknown(preface) = &mut this.protocol else {
            return read;
        };
        match &read {
            Poll::Ready(_) if new.starts_with(preface.left) => {
                this.protocol = Protocol::Http2(Outgoing::default());
            }
            Poll::Ready(_) => match preface.left.strip_prefix(new) {
                Some(left) if !new.is_empty() => preface.left = left,
                _ => this.protocol = Protocol::Http1,
            },
            Poll::Pending => {
                if preface.until.as_mut().poll(context).is_ready() {
                    this.rejections.count(Guard::HeaderTimeout);
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked.set(false);
        self.replace(&[io::IoSlice::new(bytes)]);
        if let Some(written) = self.poll_instead(context) {
            return written;
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.follow(&written, [bytes]);
        self.taken(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.asked.set(false);
        self.replace(bytes);
        if let Some(written) = self.poll_instead(context) {
            return written;
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.follow(&written, bytes.iter().map(|piece| &**piece));
        self.taken(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.taken(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(context);
        self.taken(closed, context)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A stream that is one too many, as HTTP/2 says it.
    const REFUSED: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7];
    /// How many bytes are on their way at most, so that what is written is written in parts.
    const TAKEN_BYTES_MAX: usize = 5;

    /// Sends two such frames, at once and in pieces, to a caller that has begun so; tells whether just these two were counted.
    async fn counts_two(begun: &[u8]) -> bool {
        let mut registry = Registry::default();
        let rejections = Rejections::new(&mut registry);
        let (near, mut far) = tokio::io::duplex(TAKEN_BYTES_MAX);
        let minute = Duration::from_mins(1);
        let mut near = Patience::new(
            near,
            Instant::now() + minute,
            minute,
            rejections,
            Arc::new(Ids::new(1)),
        );
        let sends = async {
            near.read_exact(&mut vec![0; begun.len()]).await.unwrap();
            near.write_all(REFUSED).await.unwrap();
            let (head, code) = REFUSED.split_at(9);
            let mut pieces = &mut [head, code].map(io::IoSlice::new)[..];
            while !pieces.is_empty() {
                let sent = near.write_vectored(pieces).await.unwrap();
                io::IoSlice::advance_slices(&mut pieces, sent);
            }
            drop(near);
        };
        let takes = async {
            far.write_all(begun).await.unwrap();
            let mut taken = Vec::new();
            far.read_to_end(&mut taken).await.unwrap();
            assert_eq!(taken, REFUSED.repeat(2));
        };
        tokio::join!(sends, takes);
        let mut shown = String::new();
        prometheus_client::encoding::text::encode(&mut shown, &registry).unwrap();
        shown.contains("{guard=\"streams_max\"} 2\n")
    }

    #[tokio::test]
    async fn what_is_sent_is_read_over_http_2_and_not_over_http_1_1() {
        assert!(counts_two(PREFACE).await);
        assert!(counts_two(&[PREFACE, &[0, 0, 0, 4, 0]].concat()).await);
        for begun in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nNO"] {
            assert!(!counts_two(begun).await);
        }
    }
}
