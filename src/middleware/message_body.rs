//! The body of a gRPC call, read message by message.
//!
//! tonic collects a message before it can be checked, and keeps the memory of the largest one as long as the stream
//! lasts. So the body is measured here, in front of tonic:
//!
//! - bytes are held from the call's [`Meter`] until the message has been passed on
//! - a message that has begun has to end in time
//! - a call of one message has no second one
//! - each further message of a stream is charged, unless the service does so itself

mod checked;
mod ending;
mod messages;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tonic::Status;

use super::guard::{Guard, Rejections};
use super::rate_limit::MessageCharge;
use super::{refusal, with_reason};
use crate::clock::late::Late;
use crate::limit::Meter;
use crate::limit::budget::FREE_BYTES;
use crate::model::reason::Reason;
pub use checked::Checked;
pub use ending::{Ending, Verdict};
use messages::Messages;
pub(super) use messages::{HEAD_BYTES, first};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a call may send, and for how long.
#[derive(Debug)]
pub enum Pace {
    /// One message, all of which has to be there in time.
    One,
    /// Many messages, all of which have to be there in time. Those behind the first are charged here.
    ManyInTime(Option<MessageCharge>),
    /// Many messages, for as long as the caller likes; each has its time from its first byte on.
    Many,
}

pin_project! {
    /// A body of messages. It ends with a status where one of its limits is exceeded.
    #[derive(Debug)]
    pub struct MessageBody<B> {
        #[pin]
        inner: B,
        pace: Pace,
        messages: Messages,
        limits: Limits,
        held: usize,
        deadline: Option<Instant>,
        // The message that the deadline is for, where each has its own.
        timed: u64,
        // Created at the first wait: most messages arrive with their heads.
        #[pin]
        sleep: Option<Late>,
        verdict: Verdict,
        is_over: bool,
    }
}

/// What bounds a call's messages.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest message, in bytes.
    pub bytes_max: usize,
    /// Longest that a message takes to arrive.
    pub timeout: Duration,
    /// What the call holds.
    pub meter: Meter,
    /// Counts refusals, which an answer that has begun does not report.
    pub rejections: Rejections,
    /// Whether the call has said how its messages may be compressed.
    pub is_coded: bool,
    /// Memory of the largest decompressed message, beside the received bytes, in bytes.
    pub kept: Arc<AtomicUsize>,
}

/// The memory that messages may take once decompressed.
#[derive(Clone, Debug)]
pub(super) struct MessageMemory {
    /// Largest message, in bytes.
    pub(super) bytes_max: usize,
    meter: Meter,
    rejections: Rejections,
    kept: Arc<AtomicUsize>,
}

impl MessageMemory {
    /// Takes bytes beside the received ones.
    pub(super) fn take(&self, is_single: bool, bytes: usize) -> Result<(), Status> {
        self.meter.take(bytes).map_err(|spent| {
            let status = refusal::memory(spent);
            self.refuse(is_single, refusal::memory_guard(spent), status)
        })
    }

    /// A refusal, counted here if no other layer does.
    pub(super) fn refuse(&self, is_single: bool, guard: Guard, status: Status) -> Status {
        match is_single {
            true => guard.behind(status),
            false => {
                self.rejections.count(guard);
                status
            }
        }
    }

    /// Notes that the reader of the messages keeps the memory of the largest.
    pub(super) fn largest(&self, bytes: usize) {
        self.kept.fetch_max(bytes, Ordering::Relaxed);
    }
}

impl<B> MessageBody<B> {
    /// A body with these limits, whose time begins now.
    pub fn new(inner: B, pace: Pace, limits: Limits) -> Self {
        let deadline = match pace {
            Pace::One | Pace::ManyInTime(_) => Some(Instant::now() + limits.timeout),
            Pace::Many => None,
        };
        Self {
            inner,
            pace,
            messages: Messages::default(),
            limits,
            held: 0,
            deadline,
            timed: 0,
            sleep: None,
            verdict: Verdict::default(),
            is_over: false,
        }
    }

    /// Will say why the body ended early.
    pub fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }
}

impl Limits {
    /// The memory that messages may take once decompressed.
    pub(super) fn memory(&self) -> MessageMemory {
        MessageMemory {
            bytes_max: self.bytes_max,
            meter: self.meter.clone(),
            rejections: self.rejections.clone(),
            kept: self.kept.clone(),
        }
    }

    /// Counts a refusal if no other layer does: the layer in front counts the statuses of answers.
    fn refuse(&self, pace: &Pace, guard: Guard, status: Status) -> Status {
        match pace {
            Pace::One => guard.behind(status),
            Pace::ManyInTime(_) | Pace::Many => {
                self.rejections.count(guard);
                status
            }
        }
    }

    fn hold(&self, pace: &Pace, held: &mut usize, bytes: usize) -> Result<(), Status> {
        if bytes.max(*held) > FREE_BYTES || self.is_coded {
            let refuse =
                |spent| self.refuse(pace, refusal::memory_guard(spent), refusal::memory(spent));
            let kept = self.kept.load(Ordering::Relaxed);
            self.meter.hold(bytes + kept).map_err(refuse)?;
        }
        *held = bytes;
        Ok(())
    }

    fn late(&self, pace: &Pace) -> Status {
        let seconds = self.timeout.as_secs_f64();
        let text = format!("The body did not arrive within {seconds} s");
        self.refuse(pace, Guard::BodyTimeout, Status::deadline_exceeded(text))
    }
}

impl Pace {
    /// What a message costs that is not the call's first.
    fn charge(&self) -> Result<(), Status> {
        match self {
            Self::One => Err(Status::invalid_argument(
                "a second message came in a call of one message",
            )),
            Self::ManyInTime(message_charge) => {
                let charge = message_charge.as_ref().and_then(MessageCharge::charge);
                match refusal::status(charge.as_slice()) {
                    Some(status) => Err(status),
                    None => Ok(()),
                }
            }
            // The service charges each to all quotas.
            Self::Many => Ok(()),
        }
    }
}

impl<B> Body for MessageBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut this = self.project();
        if *this.is_over {
            return Poll::Ready(None);
        }
        // A reader that polls for more has passed on the complete messages; their memory is kept for the next one.
        let lasts = !matches!(this.pace, Pace::One);
        let kept = this.messages.partial.max(this.messages.largest);
        if lasts && kept < *this.held {
            // Holding less always succeeds.
            let _ = this.limits.hold(this.pace, this.held, kept);
        }
        let polled = match this.inner.poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let followed = match frame.data_ref() {
                    Some(data) => follow(this.messages, this.pace, this.limits, this.held, data),
                    None => Ok(()),
                };
                followed.map(|()| Poll::Ready(Some(Ok(frame))))
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => match ended(this.messages, this.pace) {
                Ok(()) => return Poll::Ready(None),
                Err(status) => Err(status),
            },
            Poll::Pending => Ok(Poll::Pending),
        };
        if matches!(this.pace, Pace::Many) {
            let begun = match this.messages.is_within() {
                true => this.messages.begun,
                false => 0,
            };
            if begun != *this.timed {
                let timeout = this.limits.timeout;
                *this.deadline = (begun > 0).then(|| Instant::now() + timeout);
                *this.timed = begun;
                this.sleep.set(None);
            }
        }
        let ended = match polled {
            Ok(Poll::Pending) => {
                let Some(deadline) = *this.deadline else {
                    return Poll::Pending;
                };
                if this.sleep.is_none() {
                    this.sleep.set(Some(Late::until(deadline)));
                }
                let late = this.sleep.as_mut().as_pin_mut();
                if late.is_none_or(|sleep| sleep.poll(context).is_pending()) {
                    return Poll::Pending;
                }
                this.limits.late(this.pace)
            }
            Ok(ready) => return ready,
            Err(status) => status,
        };
        // Counted and reported only once.
        *this.is_over = true;
        this.verdict.set(&ended);
        Poll::Ready(Some(Err(ended.into())))
    }

    fn is_end_stream(&self) -> bool {
        // If something is missing, the end still has to report it.
        let is_whole = ended(&self.messages, &self.pace).is_ok();
        self.is_over || is_whole && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Checks that the received messages are complete.
fn ended(messages: &Messages, pace: &Pace) -> Result<(), Status> {
    let text = match (messages.is_within(), pace) {
        (true, _) => "the last message ended early",
        (false, Pace::One) if messages.begun == 0 => "the message is missing",
        (false, _) => return Ok(()),
    };
    Err(with_reason(
        Reason::BodyIncomplete,
        Status::invalid_argument(text),
    ))
}

/// Accounts for received data, before it is passed on.
fn follow(
    messages: &mut Messages,
    pace: &Pace,
    limits: &Limits,
    held: &mut usize,
    data: &[u8],
) -> Result<(), Status> {
    let before = messages.begun;
    messages.follow(data);
    if messages.is_compressed && !limits.is_coded {
        let text = "malformed message: it is compressed, and grpc-encoding does not say how";
        return Err(Status::invalid_argument(text));
    }
    if let Some(flag) = messages.odd_flag {
        let text =
            format!("malformed message: its compressed flag is {flag}, which is neither 0 nor 1");
        return Err(Status::invalid_argument(text));
    }
    if messages.announced > limits.bytes_max {
        let (found, limit) = (messages.announced, limits.bytes_max);
        let text =
            format!("message length too large: found {found} bytes, the limit is: {limit} bytes");
        let status = Status::out_of_range(text);
        return Err(limits.refuse(pace, Guard::MessageBytes, status));
    }
    for _ in before.max(1)..messages.begun {
        pace.charge()?;
    }
    limits.hold(pace, held, *held + data.len())
}
