//! How long a connection is waited for where hyper waits forever.
//!
//! - A caller that sends the beginning of HTTP/2's preface, even one byte of it, has chosen neither HTTP/2 nor
//!   HTTP/1.1, so that the timeouts of neither hold.
//! - A caller that sends a part of a head, or nothing after an answer, keeps an HTTP/1.1 connection. A head's time
//!   begins with its first byte. An idle connection has more time: balancers must not find it closed while they still
//!   use it.
//! - A caller that reads nothing of its answer keeps an HTTP/1.1 connection, with that answer, without a limit.
//!
//! Since it finds out which protocol is spoken, it also reads what is sent over HTTP/2 for guards of h2's, and gives
//! the answers that hyper makes by itself over HTTP/1.1 a body ([`bare`]).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::bare;
use super::open_calls::OpenCalls;
use super::outgoing::Outgoing;
use crate::clock::late::Late;
use crate::middleware::observe::Ids;
use crate::middleware::{Guard, Rejections};

/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that are read before hyper asks for them, while it only wants to know whether the caller is still there.
const AHEAD_BYTES: usize = 1024;

/// How long a connection is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct IoTimeouts {
    /// For the end of an HTTP/1.1 head, from its first byte on; and for a caller that takes nothing of what HTTP/2
    /// still has for it, and cannot make room any more.
    pub(super) header: Duration,
    /// For the first byte of the next one.
    pub(super) keep_alive: Duration,
    /// For a caller that takes nothing.
    pub(super) idle: Duration,
}

/// A connection that is not waited for longer than these times.
#[derive(Debug)]
pub(super) struct DeadlineIo<S> {
    stream: S,
    waits: IoTimeouts,
    rejections: Rejections,
    protocol: Protocol,
    /// There is one while the caller takes nothing.
    stall: Option<Pin<Box<Late>>>,
    /// Nothing more is waited for.
    is_over: bool,
    ids: Arc<Ids>,
    /// An answer that is sent in the place of another.
    instead: Option<Instead>,
    /// Whether a part of what was to be written last is left: what comes next is in the middle of an answer.
    is_within: bool,
    open_calls: OpenCalls,
    /// What was read ahead and not handed on yet.
    ahead: Vec<u8>,
    /// Whether the caller has closed its sending side.
    has_ended: bool,
    next: Next,
}

/// The wait for the next head of HTTP/1.1.
#[derive(Debug)]
struct Next {
    wait: Wait,
    /// Heads that had come when the wait began.
    heads: u32,
    /// Made when it is first waited for, and kept.
    timer: Option<Pin<Box<Late>>>,
    is_set: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// None, or for what hyper reads of a body.
    None,
    /// For the end of a head that has begun.
    Head(Instant),
    /// For the beginning of the next one.
    KeptAlive(Instant),
    /// For what a caller takes that has closed its sending side.
    Taken(Instant),
}

/// Bytes that are sent in the place of others.
#[derive(Debug)]
struct Instead {
    bytes: Vec<u8>,
    sent: usize,
    /// How many bytes they stand for.
    of: usize,
}

/// What is spoken.
#[derive(Debug)]
enum Protocol {
    /// Nothing yet; the part of HTTP/2's preface that has not come.
    Unknown(&'static [u8]),
    Http1,
    Http2(Outgoing),
}

impl<S> DeadlineIo<S> {
    /// Waits until `first_until` for what tells the protocol and for the first head, and then as `waits` say.
    pub(super) fn new(
        stream: S,
        first_until: Instant,
        waits: IoTimeouts,
        rejections: Rejections,
        ids: Arc<Ids>,
        open_calls: OpenCalls,
    ) -> Self {
        Self {
            stream,
            waits,
            rejections,
            protocol: Protocol::Unknown(PREFACE),
            stall: None,
            is_over: false,
            ids,
            instead: None,
            is_within: false,
            open_calls,
            ahead: Vec::new(),
            has_ended: false,
            next: Next {
                wait: Wait::Head(first_until),
                heads: 0,
                timer: None,
                is_set: false,
            },
        }
    }

    /// Finds out from the first bytes which protocol is spoken.
    fn tell(&mut self, new: &[u8]) {
        let Protocol::Unknown(left) = &mut self.protocol else {
            return;
        };
        if new.starts_with(left) {
            self.protocol = Protocol::Http2(Outgoing::default());
            self.next.set(Wait::None);
            return;
        }
        match left.strip_prefix(new) {
            Some(rest) if !new.is_empty() => *left = rest,
            _ => self.protocol = Protocol::Http1,
        }
    }

    /// Something of the next head has come, if it is not of a body.
    fn heard(&mut self) {
        self.next.look(&self.open_calls);
        let is_http1 = matches!(self.protocol, Protocol::Http1);
        let is_within = matches!(self.next.wait, Wait::Head(_));
        if is_http1 && !is_within && !self.open_calls.is_called() {
            let until = Instant::now() + self.waits.header;
            self.next.set(Wait::Head(until));
        }
    }

    /// Nothing has come: what became of waiting.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.next.look(&self.open_calls);
        let is_http1 = matches!(self.protocol, Protocol::Http1);
        if is_http1 && self.next.wait == Wait::None && !self.open_calls.is_called() {
            let until = Instant::now() + self.waits.keep_alive;
            self.next.set(Wait::KeptAlive(until));
        }
        if self.next.poll(context).is_pending() {
            return Poll::Pending;
        }
        match self.next.wait {
            Wait::Head(_) => {
                self.rejections.count(Guard::HeaderTimeout);
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            // Nothing is lost: it ends as if the caller had closed it.
            Wait::KeptAlive(_) | Wait::Taken(_) | Wait::None => {
                self.has_ended = true;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// The caller has closed its sending side. Over HTTP/2 that is kept back until everything is answered.
    fn end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.open_calls.end();
        }
        match &self.protocol {
            Protocol::Http2(_) if !self.open_calls.is_over(context) => {
                self.end_untaken(context).map(|()| Ok(()))
            }
            Protocol::Http2(_) | Protocol::Http1 | Protocol::Unknown(_) => Poll::Ready(Ok(())),
        }
    }

    /// IoTimeouts no longer for answers that have no room left: who has closed its sending side cannot make any.
    fn end_untaken(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match (self.open_calls.is_unasked(), self.next.wait) {
            (true, Wait::Taken(_)) => {}
            (true, _) => self
                .next
                .set(Wait::Taken(Instant::now() + self.waits.header)),
            (false, _) => self.next.set(Wait::None),
        }
        self.next.poll(context)
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
        // It still takes something.
        if self.has_ended {
            self.next.set(Wait::None);
        }
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
        let idle_timeout = self.waits.idle;
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

impl<S: AsyncWrite + Unpin> DeadlineIo<S> {
    /// Begins to send something in the place of `pieces`, where they are an answer without a body and nothing else: a
    /// body may say what looks like one.
    fn replace(&mut self, pieces: &[io::IoSlice<'_>]) {
        if self.instead.is_some() || self.is_within || !matches!(self.protocol, Protocol::Http1) {
            return;
        }
        if let [bare] = pieces
            && let Some(bytes) = bare::with_body(bare, &self.ids)
        {
            let (sent, of) = (0, bare.len());
            self.instead = Some(Instead { bytes, sent, of });
        }
    }

    /// Notes whether all of so many bytes were taken.
    fn note(&mut self, written: &Poll<io::Result<usize>>, of: usize) {
        if let Poll::Ready(Ok(taken)) = written {
            self.is_within = *taken < of;
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
                written @ (Poll::Ready(Err(_)) | Poll::Pending) => {
                    return Some(self.taken(written, context));
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> DeadlineIo<S> {
    /// Looks whether the caller of an HTTP/1.1 call is still there, which hyper does not.
    fn look_ahead(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.has_ended || !self.ahead.is_empty() || !self.open_calls.is_in_flight() {
            return Ok(());
        }
        let mut bytes = [0; AHEAD_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Pending => {}
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.has_ended = true;
                self.open_calls.end();
            }
            Poll::Ready(Ok(())) => {
                self.ahead.extend_from_slice(buffer.filled());
                // The reader has seen `Pending`.
                context.waker().wake_by_ref();
            }
        }
        Ok(())
    }
}

impl Next {
    /// A head that has come is not waited for any more.
    fn look(&mut self, open_calls: &OpenCalls) {
        let heads = open_calls.heads();
        if heads != self.heads {
            self.heads = heads;
            self.set(Wait::None);
        }
    }

    fn set(&mut self, wait: Wait) {
        self.wait = wait;
        self.is_set = false;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (Wait::Head(until) | Wait::KeptAlive(until) | Wait::Taken(until)) = self.wait else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(Late::until(until)));
        if !std::mem::replace(&mut self.is_set, true) {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for DeadlineIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.ahead.is_empty() {
            let count = this.ahead.len().min(buffer.remaining());
            let handed: Vec<u8> = this.ahead.drain(..count).collect();
            buffer.put_slice(&handed);
            this.heard();
            return Poll::Ready(Ok(()));
        }
        if this.has_ended {
            return this.end(context);
        }
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let new = buffer.filled().get(before..).unwrap_or_default();
        match read {
            Poll::Pending => this.wait(context),
            Poll::Ready(Ok(())) if new.is_empty() && room > 0 => {
                this.tell(new);
                this.end(context)
            }
            Poll::Ready(read) => {
                this.tell(new);
                this.heard();
                Poll::Ready(read)
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for DeadlineIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.replace(&[io::IoSlice::new(bytes)]);
        if let Some(written) = self.poll_instead(context) {
            return written;
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(&written, bytes.len());
        self.follow(&written, [bytes]);
        self.taken(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.replace(bytes);
        if let Some(written) = self.poll_instead(context) {
            return written;
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.note(&written, bytes.iter().map(|piece| piece.len()).sum());
        self.follow(&written, bytes.iter().map(|piece| &**piece));
        self.taken(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.protocol, Protocol::Http1) {
            self.look_ahead(context)?;
        }
        let is_closed = self.has_ended && self.open_calls.is_closed();
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if is_closed && matches!(flushed, Poll::Ready(Ok(()))) {
            self.open_calls.flushed();
        }
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

    /// Sends two such frames, at once and in pieces, to a caller that has begun so; tells whether just these two were
    /// counted.
    async fn counts_two(begun: &[u8]) -> bool {
        let mut registry = Registry::default();
        let rejections = Rejections::new(&mut registry);
        let (near, mut far) = tokio::io::duplex(TAKEN_BYTES_MAX);
        let minute = Duration::from_mins(1);
        let waits = IoTimeouts {
            header: minute,
            keep_alive: minute,
            idle: minute,
        };
        let mut near = DeadlineIo::new(
            near,
            Instant::now() + minute,
            waits,
            rejections,
            Arc::new(Ids::new(1)),
            OpenCalls::default(),
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
