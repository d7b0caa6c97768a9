//! Limits how many streams stall at once: streams that send, and whose callers do not read their answers.
//!
//! Nothing runs on a stream's behalf, so it is not read while its caller does not accept the next answer. It then holds
//! what the caller may send before it is read, and the answers that are ready. Beyond a limit of such streams, one of
//! them ends: of the key or address with the most, the one that has waited longest. So a caller that reads its answers
//! is never affected, nor is one with a few stalled streams while another has hundreds.
//!
//! HTTP/2 keeps the part of an answer that it was given until the caller takes it, even for a stream that has ended
//! here. So it is given small pieces.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tonic::Status;

use super::guard::{Guard, Rejections};
use super::{Body, refusal};
use crate::limit::Holder;

/// Largest piece of an answer, in bytes.
const PIECE_BYTES_MAX: usize = 4 * 1024;

/// The streams that stall. Clones share them.
#[derive(Clone, Debug)]
pub struct Stalls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: NonZeroUsize,
    rejections: Rejections,
    listed: Mutex<Listed>,
}

#[derive(Debug, Default)]
struct Listed {
    next: u64,
    /// By when they stalled, the oldest first.
    streams: BTreeMap<u64, Stalled>,
}

#[derive(Debug)]
struct Stalled {
    holder: Holder,
    answer: Answer,
}

/// The answer of a stream; none once it had to end.
type Answer = Arc<Mutex<Option<Lasting>>>;

#[derive(Debug)]
struct Lasting {
    body: Body,
    /// The rest of the last frame.
    rest: Bytes,
}

/// The answer to a stream that sends. It stalls from each piece until it is polled for the next one.
#[derive(Debug)]
struct Stalling {
    stalls: Stalls,
    holder: Holder,
    answer: Answer,
    listed: Option<u64>,
    /// Whether the caller was sent the reason for its end.
    is_over: bool,
}

impl Stalls {
    /// At most `max` at once.
    pub(super) fn new(max: NonZeroUsize, rejections: Rejections) -> Self {
        Self(Arc::new(Shared {
            max,
            rejections,
            listed: Mutex::default(),
        }))
    }

    /// The answer to a stream of this holder. It was not polled yet.
    pub(super) fn watch(&self, body: Body, holder: Holder) -> Body {
        let rest = Bytes::new();
        let mut stalling = Stalling {
            stalls: self.clone(),
            holder,
            answer: Arc::new(Mutex::new(Some(Lasting { body, rest }))),
            listed: None,
            is_over: false,
        };
        stalling.begin();
        Body::new(stalling)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.listed().streams.len()
    }

    fn begin(&self, holder: Holder, answer: Answer) -> u64 {
        let mut listed = self.0.listed();
        let number = listed.next;
        listed.next += 1;
        listed.streams.insert(number, Stalled { holder, answer });
        let ends = match listed.streams.len() > self.0.max.get() {
            true => listed.take_one(),
            false => None,
        };
        drop(listed);
        if let Some(ends) = ends {
            self.0.rejections.count(Guard::StalledStreams);
            // Dropped outside of the lock, as it may be large: its request's body goes with it.
            drop(lock(&ends.answer).take());
        }
        number
    }

    fn end(&self, number: u64) {
        self.0.listed().streams.remove(&number);
    }
}

impl Shared {
    fn listed(&self) -> MutexGuard<'_, Listed> {
        lock(&self.listed)
    }
}

impl Listed {
    /// Takes the stream that has waited longest, of the holder with the most.
    fn take_one(&mut self) -> Option<Stalled> {
        let mut counts: HashMap<&Holder, usize> = HashMap::new();
        for stalled in self.streams.values() {
            *counts.entry(&stalled.holder).or_default() += 1;
        }
        let most = counts.values().copied().max()?;
        let mut streams = self.streams.iter();
        let (&number, _) = streams.find(|(_, of)| counts.get(&of.holder) == Some(&most))?;
        self.streams.remove(&number)
    }
}

impl Lasting {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.rest.is_empty() {
            let polled = Pin::new(&mut self.body).poll_frame(context);
            let Poll::Ready(Some(Ok(frame))) = polled else {
                return polled;
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            }
        }
        let bytes = self.rest.len().min(PIECE_BYTES_MAX);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(bytes)))))
    }
}

impl Stalling {
    fn begin(&mut self) {
        let begun = self.stalls.begin(self.holder.clone(), self.answer.clone());
        self.listed = Some(begun);
    }

    fn end(&mut self) {
        if let Some(number) = self.listed.take() {
            self.stalls.end(number);
        }
    }

    fn ended(&self) -> Status {
        let text = format!(
            "{} streams wait for their callers to take what they are answered, which is the most",
            self.stalls.0.max
        );
        refusal::unavailable(text)
    }
}

impl http_body::Body for Stalling {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        this.end();
        let polled = lock(&this.answer)
            .as_mut()
            .map(|answer| answer.poll_frame(context));
        let Some(polled) = polled else {
            if std::mem::replace(&mut this.is_over, true) {
                return Poll::Ready(None);
            }
            let trailers = this.ended().into_http::<Body>().into_parts().0.headers;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        };
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && frame.is_data()
        {
            this.begin();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &*lock(&self.answer) {
            Some(answer) => answer.rest.is_empty() && answer.body.is_end_stream(),
            None => self.is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Stalling {
    fn drop(&mut self) {
        self.end();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A body that panicked is not polled again.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
