//! An answer that says why the body of its request ended early, where the service does not.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

/// Why a body ended early, for an answer that would not say so by itself.
#[derive(Clone, Debug, Default)]
pub struct Verdict(Arc<OnceLock<Status>>);

impl Verdict {
    /// The first one counts: what follows is its consequence.
    pub(in super::super) fn set(&self, status: &Status) {
        let _ = self.0.set(status.clone());
    }
}

/// The answer of a stream whose body ended early, where it would not say so by itself.
#[derive(Debug)]
pub struct Ending<B> {
    inner: B,
    verdict: Verdict,
}

impl<B> Ending<B> {
    /// An answer that ends as `verdict` says.
    pub fn new(inner: B, verdict: Verdict) -> Self {
        Self { inner, verdict }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Ending<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        let is_end = matches!(&polled, Poll::Ready(Some(Ok(frame))) if frame.is_trailers());
        match self.verdict.0.get().filter(|_| is_end) {
            None => polled,
            Some(status) => {
                let head = status
                    .clone()
                    .into_http::<super::super::Body>()
                    .into_parts()
                    .0;
                Poll::Ready(Some(Ok(Frame::trailers(head.headers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
