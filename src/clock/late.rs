//! A timer that runs out only after the sockets were polled again.
//!
//! A process that was stopped for longer than a timeout finds the timeout over before it learns what waits in its
//! sockets: the system call that would report it was interrupted. So a wait for a caller lasts a moment longer once the
//! time is up, in which the sockets are polled.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

/// The extra moment. The runtime polls its sockets whenever it waits for a time.
const LOOK: Duration = Duration::from_millis(20);

pin_project! {
    /// Ends a moment after its deadline, and never without a poll of the sockets in between.
    #[derive(Debug)]
    pub struct Late {
        #[pin]
        sleep: Sleep,
        has_passed: bool,
    }
}

impl Late {
    /// A timer for a deadline.
    pub fn until(deadline: Instant) -> Self {
        Self {
            sleep: tokio::time::sleep_until(deadline),
            has_passed: false,
        }
    }

    /// A timer for a time from now on.
    pub fn after(time: Duration) -> Self {
        Self {
            sleep: tokio::time::sleep(time),
            has_passed: false,
        }
    }

    /// Begins again, for another deadline.
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        let this = self.project();
        *this.has_passed = false;
        this.sleep.reset(deadline);
    }
}

impl Future for Late {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        ready!(this.sleep.as_mut().poll(context));
        if std::mem::replace(this.has_passed, true) {
            return Poll::Ready(());
        }
        this.sleep.as_mut().reset(Instant::now() + LOOK);
        this.sleep.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_deadline_that_has_passed_long_ago_leaves_a_moment_to_look() {
        let begun = Instant::now();
        Late::until(begun).await;
        assert!(begun.elapsed() >= LOOK);
        let mut late = Box::pin(Late::after(LOOK));
        late.as_mut().await;
        let begun = Instant::now();
        late.as_mut().reset(begun + LOOK);
        late.await;
        assert!(begun.elapsed() >= 2 * LOOK);
    }
}
