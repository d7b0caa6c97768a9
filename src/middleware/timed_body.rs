//! A body that has to be there in time: a call that never says all of its message would be kept for ever.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tonic::Status;

use super::guard::{Guard, Rejections};

type Error = Box<dyn std::error::Error + Send + Sync>;

pin_project! {
    /// Ends with `DEADLINE_EXCEEDED` if its last byte is waited for too long.
    #[derive(Debug)]
    pub struct TimedBody<B> {
        #[pin]
        inner: B,
        // None: it may take as long as it takes.
        limit: Option<Limit>,
        // Made when something is first waited for: most bodies are there with their heads.
        #[pin]
        sleep: Option<Sleep>,
    }
}

#[derive(Debug)]
struct Limit {
    timeout: Duration,
    deadline: Instant,
    rejections: Rejections,
}

impl<B> TimedBody<B> {
    /// A body with `timeout` from now on.
    pub fn new(inner: B, timeout: Duration, rejections: Rejections) -> Self {
        Self {
            inner,
            limit: Some(Limit {
                timeout,
                deadline: Instant::now() + timeout,
                rejections,
            }),
            sleep: None,
        }
    }

    /// A body without a deadline.
    pub fn endless(inner: B) -> Self {
        Self {
            inner,
            limit: None,
            sleep: None,
        }
    }
}

impl<B> Body for TimedBody<B>
where
    B: Body,
    B::Error: Into<Error>,
{
    type Data = B::Data;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Error>>> {
        let mut this = self.project();
        if let Poll::Ready(frame) = this.inner.poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(limit) = this.limit else {
            return Poll::Pending;
        };
        if this.sleep.is_none() {
            this.sleep
                .set(Some(tokio::time::sleep_until(limit.deadline)));
        }
        let late = this.sleep.as_mut().as_pin_mut();
        if late.is_none_or(|sleep| sleep.poll(context).is_pending()) {
            return Poll::Pending;
        }
        limit.rejections.count(Guard::BodyTimeout);
        let seconds = limit.timeout.as_secs_f64();
        // Once is enough, for its count and for who reads on.
        *this.limit = None;
        let message = format!("The body did not arrive within {seconds} s");
        Poll::Ready(Some(Err(Status::deadline_exceeded(message).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
