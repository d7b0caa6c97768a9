//! A body whose messages are checked before they are passed on, for a service that does not report which of them it
//! cannot decode.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::Verdict;
use super::messages::{HEAD_BYTES, first};

/// Decodes a message; the error says what is wrong with it.
type Check = fn(&[u8]) -> Result<(), prost::DecodeError>;

/// A body that ends with `INVALID_ARGUMENT` at the first message that cannot be decoded. None is compressed, and all
/// are small.
#[derive(Debug)]
pub struct Checked<B> {
    inner: Pin<Box<B>>,
    check: Check,
    verdict: Verdict,
    /// The received part of the next message.
    came: BytesMut,
    is_over: bool,
}

impl<B> Checked<B> {
    /// The messages of `inner`, as far as they pass the check.
    pub fn new(inner: B, check: Check, verdict: Verdict) -> Self {
        Self {
            inner: Box::pin(inner),
            check,
            verdict,
            came: BytesMut::new(),
            is_over: false,
        }
    }

    /// Checks the messages that are complete.
    fn look(&mut self, data: &[u8]) -> Result<(), Status> {
        self.came.extend_from_slice(data);
        while let Some((_, whole)) = first(&self.came) {
            let message = self.came.split_to(whole);
            let message = message.get(HEAD_BYTES..).unwrap_or_default();
            (self.check)(message)
                .map_err(|error| Status::invalid_argument(format!("malformed message: {error}")))?;
        }
        Ok(())
    }
}

impl<B> Body for Checked<B>
where
    B: Body<Data = Bytes, Error = super::Error>,
{
    type Data = Bytes;
    type Error = super::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, super::Error>>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        let Some(polled) = ready!(this.inner.as_mut().poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let checked = match polled.as_ref().ok().and_then(Frame::data_ref) {
            Some(data) => this.look(data),
            None => Ok(()),
        };
        Poll::Ready(Some(match checked {
            Ok(()) => polled,
            Err(status) => {
                this.is_over = true;
                this.verdict.set(&status);
                Err(status.into())
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
