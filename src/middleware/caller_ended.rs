//! Whether the caller of a connection has closed its sending side.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream as _;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

/// Becomes ready once the caller has closed its sending side. Waits only once it is polled.
#[derive(Debug)]
pub struct CallerEnded {
    ended: Option<watch::Receiver<bool>>,
    waiting: Option<WatchStream<bool>>,
    has_ended: bool,
}

impl CallerEnded {
    /// Follows `ended`.
    pub fn new(ended: watch::Receiver<bool>) -> Self {
        Self {
            ended: Some(ended),
            waiting: None,
            has_ended: false,
        }
    }

    /// Ready once it has, and from then on.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(ended) = self.ended.take() {
            self.waiting = Some(WatchStream::new(ended));
        }
        while let Some(waiting) = self.waiting.as_mut().filter(|_| !self.has_ended) {
            // Without a stream there is no caller either.
            let ended = ready!(Pin::new(waiting).poll_next(context));
            self.has_ended = ended.unwrap_or(true);
        }
        Poll::Ready(())
    }
}

/// Marks an answer that goes on as long as its caller is connected, so that it may end with it.
#[derive(Clone, Copy, Debug)]
pub struct Lasting;
