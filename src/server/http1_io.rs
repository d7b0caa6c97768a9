//! What hyper leaves to the stream below an HTTP/1.1 connection.
//!
//! - A head's time begins with its first byte. A kept connection has more time until then: balancers must not find it
//!   closed while they still use it. hyper has one timeout for both.
//! - hyper does not look whether the caller of a call in flight is still there.
//! - The answers that hyper makes by itself get a body ([`bare`]).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::bare;
use super::open_calls::OpenCalls;
use super::write_timeout::WriteTimeout;
use crate::clock::late::Late;
use crate::middleware::observe::Ids;
use crate::middleware::{Guard, Rejections};

/// Bytes that are read before hyper asks for them, while it only wants to know whether the caller is still there.
const AHEAD_BYTES: usize = 1024;

/// How long the next head is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadTimeouts {
    /// For the end of a head, from its first byte on.
    pub(super) head: Duration,
    /// For the first byte of the next one.
    pub(super) keep_alive: Duration,
}

/// The stream of an HTTP/1.1 connection.
#[derive(Debug)]
pub(super) struct Http1Io<S> {
    stream: WriteTimeout<S>,
    timeouts: HeadTimeouts,
    rejections: Rejections,
    ids: Arc<Ids>,
    open_calls: OpenCalls,
    /// A response that is sent in the place of another.
    instead: Option<Instead>,
    /// Whether a part of what was to be written last is left: what comes next is in the middle of a response.
    is_within: bool,
    /// Whether the caller has closed its sending side.
    has_ended: bool,
    next: NextHead,
}

/// The wait for the next head.
#[derive(Debug)]
struct NextHead {
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
}

/// Bytes that are sent in the place of others.
#[derive(Debug)]
struct Instead {
    bytes: Vec<u8>,
    sent: usize,
    /// How many bytes they stand for.
    of: usize,
}

impl<S> Http1Io<S> {
    /// Waits until `first_until` for the first head.
    pub(super) fn new(
        stream: WriteTimeout<S>,
        first_until: Instant,
        timeouts: HeadTimeouts,
        rejections: Rejections,
        ids: Arc<Ids>,
        open_calls: OpenCalls,
    ) -> Self {
        Self {
            stream,
            timeouts,
            rejections,
            ids,
            open_calls,
            instead: None,
            is_within: false,
            has_ended: false,
            next: NextHead {
                wait: Wait::Head(first_until),
                heads: 0,
                timer: None,
                is_set: false,
            },
        }
    }

    /// Something of the next head has come, if it is not of a body.
    fn heard(&mut self) {
        self.next.look(&self.open_calls);
        let is_within = matches!(self.next.wait, Wait::Head(_));
        if !is_within && !self.open_calls.is_called() {
            let until = Instant::now() + self.timeouts.head;
            self.next.set(Wait::Head(until));
        }
    }

    /// Nothing has come: what became of waiting.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.next.look(&self.open_calls);
        if self.next.wait == Wait::None && !self.open_calls.is_called() {
            let until = Instant::now() + self.timeouts.keep_alive;
            self.next.set(Wait::KeptAlive(until));
        }
        ready!(self.next.poll(context));
        if let Wait::Head(_) = self.next.wait {
            self.rejections.count(Guard::HeaderTimeout);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        // Nothing is lost: it ends as if the caller had closed it.
        self.has_ended = true;
        Poll::Ready(Ok(()))
    }

    /// The caller has closed its sending side.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.open_calls.end();
        }
    }

    /// Begins to send something in the place of `pieces`, where they are a response without a body and nothing else: a
    /// body may have what looks like one.
    fn replace(&mut self, pieces: &[io::IoSlice<'_>]) {
        if self.instead.is_some() || self.is_within {
            return;
        }
        if let [bare] = pieces
            && let Some(bytes) = bare::with_body(bare, &self.ids)
        {
            let (sent, of) = (0, bare.len());
            self.instead = Some(Instead { bytes, sent, of });
        }
    }
}

impl<S: AsyncWrite + Unpin> Http1Io<S> {
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
                written @ (Poll::Ready(Err(_)) | Poll::Pending) => return Some(written),
            }
        }
    }
}

impl<S: AsyncRead + Unpin> Http1Io<S> {
    /// Looks whether the caller of a call is still there, which hyper does not.
    fn look_ahead(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.has_ended || self.stream.has_unread() || !self.open_calls.is_in_flight() {
            return Ok(());
        }
        let mut bytes = [0; AHEAD_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Pending => {}
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.end(),
            Poll::Ready(Ok(())) => {
                self.stream.unread(buffer.filled());
                // The reader has seen `Pending`.
                context.waker().wake_by_ref();
            }
        }
        Ok(())
    }
}

impl NextHead {
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
        let (Wait::Head(until) | Wait::KeptAlive(until)) = self.wait else {
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

impl<S: AsyncRead + Unpin> AsyncRead for Http1Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.has_ended && !this.stream.has_unread() {
            return Poll::Ready(Ok(()));
        }
        let (before, space) = (buffer.filled().len(), buffer.remaining());
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Pending => return this.wait(context),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {}
        }
        match buffer.filled().len() == before && space > 0 {
            true => this.end(),
            false => this.heard(),
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Http1Io<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
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
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes))?;
        self.is_within = written < bytes.iter().map(|piece| piece.len()).sum();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look_ahead(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
