//! Keeps health up to date with the log and the view.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::grpc::health::{Health, Readiness};
use crate::log::{Log, State};
use crate::view::View;

/// How often the log and the view are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Looks at the log and the view until it is stopped.
#[derive(Debug)]
pub(super) struct Watchdog {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Watchdog {
    pub(super) fn start(health: Health, log: Log, view: View) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let start = log.last();
            let mut started = false;
            loop {
                // A start is over once everything that was there before can be read.
                started |= view.progress().borrow().applied >= start;
                health.set(Readiness {
                    started,
                    obstacle: obstacle(&log, &view),
                });
                let pause = match started {
                    true => LOOK_EVERY,
                    false => Duration::from_millis(10),
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = &mut stopped => return,
                }
            }
        });
        Self { stop, task }
    }

    pub(super) async fn stop(self) {
        // The task has ended already, if nobody listens.
        let _ = self.stop.send(());
        if self.task.await.is_err() {
            tracing::error!("the watchdog panicked");
        }
    }
}

/// Why calls do not succeed.
fn obstacle(log: &Log, view: &View) -> Option<String> {
    match log.state() {
        State::Ready => view
            .progress()
            .borrow()
            .failure
            .as_ref()
            // Why is in the log: who probes is told no words of the engine's.
            .map(|_| "the view has stopped".to_owned()),
        State::Stalled(since) => Some(format!(
            "the disk has not answered for {} s",
            since.as_secs()
        )),
        State::Full => Some("the disk is full".to_owned()),
        State::Damaged(position) => {
            Some(format!("the log is damaged at position {}", position.get()))
        }
        State::Failed(_) => Some("the log cannot be written".to_owned()),
    }
}
