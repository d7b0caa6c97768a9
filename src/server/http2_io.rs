//! What hyper leaves to the stream below an HTTP/2 connection: a caller that closes its sending side still waits for
//! its answers, which hyper takes for the end of the connection. So the end is kept from hyper until all is answered.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::open_calls::OpenCalls;
use super::write_timeout::WriteTimeout;
use crate::clock::late::Late;

/// The stream of an HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Http2Io<S> {
    stream: WriteTimeout<S>,
    open_calls: OpenCalls,
    /// How long a caller that has closed its sending side may take nothing of what HTTP/2 has no window for: it cannot
    /// open that any more.
    untaken_timeout: Duration,
    /// There is one while that is waited for.
    untaken: Option<Pin<Box<Late>>>,
    /// Whether the caller has closed its sending side.
    has_ended: bool,
}

impl<S> Http2Io<S> {
    pub(super) fn new(
        stream: WriteTimeout<S>,
        untaken_timeout: Duration,
        open_calls: OpenCalls,
    ) -> Self {
        Self {
            stream,
            open_calls,
            untaken_timeout,
            untaken: None,
            has_ended: false,
        }
    }

    /// The caller has closed its sending side: pending until everything is answered, or cannot be any more.
    fn end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.open_calls.end();
        }
        if self.open_calls.is_over(context) {
            return Poll::Ready(Ok(()));
        }
        if !self.open_calls.is_unasked() {
            self.untaken = None;
            return Poll::Pending;
        }
        let timeout = self.untaken_timeout;
        let timer = self
            .untaken
            .get_or_insert_with(|| Box::pin(Late::after(timeout)));
        timer.as_mut().poll(context).map(Ok)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http2Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_ended {
            return self.end(context);
        }
        let (before, space) = (buffer.filled().len(), buffer.remaining());
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        match buffer.filled().len() == before && space > 0 {
            true => self.end(context),
            false => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http2Io<S> {
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
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes))?;
        // It still takes something.
        self.untaken = None;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Asked before what is queued is given to the socket.
        let is_closed = self.has_ended && self.open_calls.is_closed();
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if is_closed {
            self.open_calls.flushed();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
