//! Keeps health up to date with the log and the view.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::grpc::health::{Health, Readiness};
use crate::log::{Log, State};
use crate::view::View;

/// How often the log and the view are checked.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Checks the log and the view until it is stopped.
#[derive(Debug)]
pub(super) struct ReadinessUpdater {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl ReadinessUpdater {
    /// `read_timeout`: how long a read waits for the view.
    pub(super) fn start(
        health: Health,
        log: Log,
        view: View,
        clock: Arc<dyn Clock>,
        read_timeout: Duration,
    ) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let start = log.last();
            let mut started = false;
            loop {
                // A start is over once everything stored before can be read, except for projects in lanes.
                started |= view.progress().borrow().front >= start;
                health.set(Readiness {
                    started,
                    obstacle: obstacle(&log, &view, clock.elapsed(), read_timeout),
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
        // The task has ended already if there is no receiver.
        let _ = self.stop.send(());
        if self.task.await.is_err() {
            tracing::error!("the readiness panicked");
        }
    }
}

/// Why calls do not succeed. A backlog is a reason only if because of it no project can be read within `read_timeout`.
/// `now`: since the clock's start.
fn obstacle(log: &Log, view: &View, now: Duration, read_timeout: Duration) -> Option<String> {
    match log.state() {
        // The cause is in the log; a probe's answer has no text of the engine's.
        State::Ready if view.progress().borrow().failure.is_some() => {
            Some("the view has stopped".to_owned())
        }
        State::Ready => {
            let lag = view.least_lag(now);
            (lag > read_timeout).then(|| format!("the view is {} s behind", lag.as_secs()))
        }
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

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::*;
    use crate::clock::ManualClock;
    use crate::log::memory::MemoryStore;
    use crate::log::{Options, Position};

    #[tokio::test]
    async fn a_backlog_is_an_obstacle_once_no_project_can_be_read_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::starting_at(Duration::ZERO));
        let store = Arc::new(MemoryStore::default());
        let log = Log::start(store, &Options::default(), clock).unwrap();
        let view = View::start(dir.path(), log.clone(), Handle::current()).unwrap();
        let second = Duration::from_secs(1);
        let mut now = Duration::ZERO;
        // Checked each second: at most one second counts between two checks.
        let mut after = |seconds| {
            for _ in 0..seconds {
                now += second;
                view.least_lag(now);
            }
            obstacle(&log, &view, now, 10 * second)
        };
        let written = Position::from_number(1);
        view.project("p").acknowledge(written, Duration::ZERO);
        assert_eq!(after(10), None);
        assert_eq!(after(1).as_deref(), Some("the view is 11 s behind"));
        view.project("q").acknowledge(written, 11 * second);
        assert_eq!(after(10), None, "the other project can be read");
        assert_eq!(after(1).as_deref(), Some("the view is 11 s behind"));
        view.close();
    }
}
