//! A request's body, which is read to its end even where its call is answered before.
//!
//! Dropping an incomplete body ends the connection over HTTP/1.1, and resets its stream over HTTP/2. There, later frames
//! for that stream are the caller's error, and h2 ends a connection with many of them: that of a caller that goes on
//! sending while it is refused, or that of a proxy, with other callers' calls. So the rest is read and dropped, within
//! bounds.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tonic::Status;

use super::{CallerEnded, with_reason};
use crate::model::reason::Reason;

/// Most bytes of a rest.
const REST_BYTES_MAX: usize = 64 * 1024;
/// Longest that a rest may take.
const REST_TIME_MAX: Duration = Duration::from_secs(1);

type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every request.
#[derive(Debug)]
pub struct DrainedBody {
    /// None once it was dropped.
    body: Option<Incoming>,
    /// What was looked at already and is still to be read.
    ahead: Option<Result<Frame<Bytes>, BodyError>>,
    /// Whether the caller sends it without being asked to.
    is_coming: bool,
    /// Over HTTP/2: ends the wait for a rest that cannot come any more.
    ended: Option<CallerEnded>,
    /// Permits for waiting for a rest.
    permits: Arc<Semaphore>,
}

impl DrainedBody {
    /// The request, as it is passed on. `permits`: of bodies whose rest is waited for. `ended` says over HTTP/2 that
    /// the caller has closed its sending side.
    pub fn request(
        request: Request<Incoming>,
        permits: &Arc<Semaphore>,
        ended: impl FnOnce() -> CallerEnded,
    ) -> Request<Self> {
        let is_http2 = request.version() == Version::HTTP_2;
        let is_coming = is_http2 || !request.headers().contains_key(EXPECT);
        request.map(|body| Self {
            ended: (is_http2 && !body.is_end_stream()).then(ended),
            body: Some(body),
            ahead: None,
            is_coming,
            permits: permits.clone(),
        })
    }

    /// Looks at the beginning of what is sent. It is read all the same.
    pub async fn beginning(&mut self) -> Option<&Bytes> {
        if self.ahead.is_none() {
            let next = std::future::poll_fn(|context| Pin::new(&mut *self).poll_frame(context));
            self.ahead = next.await;
        }
        self.ahead.as_ref()?.as_ref().ok()?.data_ref()
    }
}

impl Body for DrainedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Some(frame) = this.ahead.take() {
            return Poll::Ready(Some(frame));
        }
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        // All that came before the end has been passed on.
        match &mut this.ended {
            Some(ended) => ended.poll(context).map(|()| {
                let status = Status::invalid_argument("The body ended early");
                Some(Err(with_reason(Reason::BodyIncomplete, status).into()))
            }),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_none() && self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(Incoming::size_hint);
        let mut hint = hint.unwrap_or(SizeHint::with_exact(0));
        if let Some(Ok(frame)) = &self.ahead {
            let ahead = frame.data_ref().map_or(0, Bytes::len) as u64;
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper.saturating_add(ahead));
            }
            hint.set_lower(hint.lower().saturating_add(ahead));
        }
        hint
    }
}

impl Drop for DrainedBody {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        let Some(body) = rest.filter(|_| self.is_coming) else {
            return;
        };
        let mut rest = Rest {
            body,
            bytes_left: REST_BYTES_MAX,
        };
        // Nearly always it has come already.
        let mut context = Context::from_waker(Waker::noop());
        if rest.poll_end(&mut context).is_ready() {
            return;
        }
        let permit = self.permits.clone().try_acquire_owned();
        let (Ok(permit), Ok(runtime)) = (permit, Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            let _permit = permit;
            let end = std::future::poll_fn(|context| rest.poll_end(context));
            // A stream whose rest does not come is reset after all.
            let _ = tokio::time::timeout(REST_TIME_MAX, end).await;
        });
    }
}

/// The rest of a body that has no reader.
struct Rest {
    body: Incoming,
    bytes_left: usize,
}

impl Rest {
    /// Waits for the end, or until it was too much.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(frame)) = ready!(Pin::new(&mut self.body).poll_frame(context)) {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match self.bytes_left.checked_sub(bytes) {
                Some(left) => self.bytes_left = left,
                None => break,
            }
        }
        Poll::Ready(())
    }
}
