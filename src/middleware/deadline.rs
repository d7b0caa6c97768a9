//! The time that a gRPC caller gives its call, `grpc-timeout`: beyond it the call ends with `DEADLINE_EXCEEDED`, and
//! what it held is released, whatever it was doing.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tonic::Status;

use super::{Body, with_reason};
use crate::clock::late::Late;
use crate::model::quote::quoted;
use crate::model::reason::Reason;

const GRPC_TIMEOUT: &str = "grpc-timeout";
/// Most digits of a timeout, by the protocol.
const DIGITS_MAX: usize = 8;
/// A longer time is none: no process lasts as long.
const TIMEOUT_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// When a call has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline of a call that begins now; none if its caller sets none.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: the header is malformed.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Status> {
        let Some(value) = headers.get(GRPC_TIMEOUT) else {
            return Ok(None);
        };
        let timeout = timeout(value.as_bytes()).ok_or_else(|| {
            let value = String::from_utf8_lossy(value.as_bytes());
            let text = format!(
                "grpc-timeout must be 1 to {DIGITS_MAX} digits and one of H, M, S, m, u, n, not '{}'",
                quoted(&value)
            );
            with_reason(Reason::DeadlineInvalid, Status::invalid_argument(text))
        })?;
        let deadline = Instant::now().checked_add(timeout);
        Ok(deadline.filter(|_| timeout <= TIMEOUT_MAX).map(Self))
    }
}

fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=DIGITS_MAX).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

fn exceeded() -> Status {
    Status::deadline_exceeded("the call's own deadline has passed")
}

pin_project! {
    /// A call that ends at its deadline.
    #[derive(Debug)]
    pub struct InTime<F> {
        // None once the deadline has passed.
        answer: Option<Pin<Box<F>>>,
        deadline: Deadline,
        // Created when the answer is first polled.
        #[pin]
        sleep: Option<Late>,
    }
}

impl<F> InTime<F> {
    /// `answer` until `deadline`.
    pub fn new(answer: F, deadline: Deadline) -> Self {
        Self {
            answer: Some(Box::pin(answer)),
            deadline,
            sleep: None,
        }
    }
}

impl<F> Future for InTime<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(answer) = this.answer
            && let Poll::Ready(response) = answer.as_mut().poll(context)
        {
            let deadline = *this.deadline;
            return Poll::Ready(response.map(|response| {
                response.map(|inner| Body::new(UntilDeadline::new(inner, deadline)))
            }));
        }
        if this.sleep.is_none() {
            this.sleep.set(Some(Late::until(this.deadline.0)));
        }
        let sleep = this.sleep.as_mut().as_pin_mut();
        if sleep.is_some_and(|sleep| sleep.poll(context).is_pending()) {
            return Poll::Pending;
        }
        *this.answer = None;
        Poll::Ready(Ok(exceeded().into_http()))
    }
}

/// The body of an answer that ends at a deadline.
#[derive(Debug)]
struct UntilDeadline {
    /// None once it has ended.
    inner: Option<Body>,
    deadline: Deadline,
    sleep: Option<Pin<Box<Late>>>,
}

impl UntilDeadline {
    fn new(inner: Body, deadline: Deadline) -> Self {
        Self {
            inner: Some(inner),
            deadline,
            sleep: None,
        }
    }
}

impl http_body::Body for UntilDeadline {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        let deadline = this.deadline.0;
        let sleep = this
            .sleep
            .get_or_insert_with(|| Box::pin(Late::until(deadline)));
        if sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        this.inner = None;
        let (head, _) = exceeded().into_http::<Body>().into_parts();
        Poll::Ready(Some(Ok(Frame::trailers(head.headers))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit_and_nothing_else() {
        for (value, time) in [
            ("1H", Duration::from_secs(3_600)),
            ("2M", Duration::from_secs(120)),
            ("5S", Duration::from_secs(5)),
            ("500m", Duration::from_millis(500)),
            ("7u", Duration::from_micros(7)),
            ("99999999n", Duration::from_nanos(99_999_999)),
            ("0S", Duration::ZERO),
        ] {
            assert_eq!(timeout(value.as_bytes()), Some(time), "{value}");
        }
        for value in [
            "",
            "S",
            "5",
            "5s",
            "5 S",
            "-5S",
            "+5S",
            "1.5S",
            "123456789S",
            "5SS",
        ] {
            assert_eq!(timeout(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn what_is_longer_than_any_process_lasts_is_no_deadline() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, value.parse().unwrap());
            Deadline::of(&headers)
        };
        assert_eq!(of("99999999H").unwrap(), None);
        assert!(of("87600H").unwrap().is_some());
        let refused = of("x").unwrap_err();
        assert!(refused.message().ends_with("not 'x'"), "{refused}");
        assert_eq!(Deadline::of(&HeaderMap::new()).unwrap(), None);
    }
}
