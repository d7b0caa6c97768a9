//! The body of an answer that holds a resource until its caller has taken it, or has gone.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;

use super::Body;

/// A body with what it holds.
#[derive(Debug)]
pub(super) struct HeldBody<T> {
    inner: Body,
    /// None once the body has ended; its last pieces hold it then.
    held: Option<Arc<T>>,
}

/// A piece of a body. HTTP/2 keeps it as long as its caller's window is full.
struct Piece<T> {
    bytes: Bytes,
    _held: Arc<T>,
}

impl<T> AsRef<[u8]> for Piece<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<T: Send + Sync + Unpin + 'static> HeldBody<T> {
    /// `inner`, which holds `held`. An empty body holds nothing.
    pub(super) fn hold(inner: Body, held: Arc<T>) -> Body {
        Body::new(Self {
            inner,
            held: Some(held),
        })
    }
}

impl<T: Send + Sync + Unpin + 'static> http_body::Body for HeldBody<T> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        let Poll::Ready(Some(Ok(frame))) = polled else {
            if polled.is_ready() {
                self.held = None;
            }
            return polled;
        };
        let Some(held) = &self.held else {
            return Poll::Ready(Some(Ok(frame)));
        };
        let hold = |bytes| {
            Bytes::from_owner(Piece {
                bytes,
                _held: held.clone(),
            })
        };
        Poll::Ready(Some(Ok(frame.map_data(hold))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
