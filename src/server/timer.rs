//! hyper's timer, which looks at the sockets before it says that time is up.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use pin_project_lite::pin_project;

use crate::clock::late::Late;

/// Tokio's time, with [`Late`].
#[derive(Clone, Copy, Debug)]
pub(super) struct LateTimer;

pin_project! {
    struct LateSleep {
        #[pin]
        late: Late,
    }
}

impl Future for LateSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.project().late.poll(context)
    }
}

impl Sleep for LateSleep {}

impl Timer for LateTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        let late = Late::after(duration);
        Box::pin(LateSleep { late })
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let late = Late::until(deadline.into());
        Box::pin(LateSleep { late })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<LateSleep>() {
            Some(sleep) => sleep.project().late.reset(deadline.into()),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}
