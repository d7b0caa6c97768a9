//! Closing a connection without cutting off its last answer.
//!
//! A socket that is closed while bytes of the caller's wait in it is reset, and the reset may overtake the answer: a
//! caller that was refused in the middle of a long body would see a broken connection and no reason. So the
//! writing half is closed first, and what still comes is read and dropped for a while.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Longest time to read on.
const LINGER: Duration = Duration::from_secs(2);
/// Most bytes to read on.
const LINGER_BYTES_MAX: usize = 32 * 1024 * 1024;
const BUFFER_BYTES: usize = 8 * 1024;

/// A connection that lingers when it is closed.
#[derive(Debug)]
pub(super) struct LingeringClose<S> {
    stream: S,
    closing: Option<Closing>,
}

#[derive(Debug)]
struct Closing {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl<S> LingeringClose<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            closing: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LingeringClose<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringClose<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, closing } = self.get_mut();
        if closing.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
        }
        let closing = closing.get_or_insert_with(|| Closing {
            until: Box::pin(tokio::time::sleep_until(Instant::now() + LINGER)),
            bytes_left: LINGER_BYTES_MAX,
        });
        let mut bytes = [0; BUFFER_BYTES];
        loop {
            if closing.until.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut bytes);
            // However the caller goes away, the answer has been sent.
            let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
            let count = buffer.filled().len();
            if read.is_err() || count == 0 || count >= closing.bytes_left {
                return Poll::Ready(Ok(()));
            }
            closing.bytes_left -= count;
        }
    }
}
