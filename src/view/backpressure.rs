//! Makes writers wait for a fold that is far behind them.
//!
//! A record that cannot be read soon is of no use. So the answer to a durable write waits until few and recent records
//! of its project are left to be folded. Callers see slower answers, and no refusals; a project that writes little does
//! not wait for others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::{Progress, ProjectProgress};
use crate::clock::Clock;

/// Longest that an answer waits.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// The age of the project's oldest unfolded record beyond which answers wait.
const AGE_MAX: Duration = Duration::from_millis(500);

/// The wait before the answers to writes.
#[derive(Clone, Debug)]
pub struct Backpressure {
    progress: watch::Receiver<Progress>,
    lag_max: u64,
    wait_max: Duration,
}

impl Backpressure {
    pub(super) fn new(progress: watch::Receiver<Progress>, lag_max: usize) -> Self {
        Self {
            progress,
            lag_max: lag_max as u64,
            wait_max: WAIT_MAX,
        }
    }

    /// Waits until each of the projects is folded except for a few recent records, at most for a second.
    pub async fn wait(mut self, projects: &[Arc<ProjectProgress>], clock: &dyn Clock) {
        let lag_max = self.lag_max;
        let keeps_up = || {
            let lag = |project: &Arc<ProjectProgress>| {
                let expected = project.expected().get();
                expected.saturating_sub(project.applied().get())
            };
            let now = clock.elapsed();
            let mut projects = projects.iter();
            projects.all(|project| lag(project) <= lag_max && project.lag(now) <= AGE_MAX)
        };
        if keeps_up() {
            return;
        }
        let is_over = |progress: &Progress| progress.failure.is_some() || keeps_up();
        // How it ends does not matter: the write is durable.
        let _ = timeout(self.wait_max, self.progress.wait_for(is_over)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::task::yield_now;

    use super::super::progress::Projects;
    use super::*;
    use crate::clock::ManualClock;
    use crate::log::Position;

    fn at(position: u64) -> Position {
        Position::from_number(position)
    }

    /// A wait for more than ten records, and the sender that reports what was folded.
    fn backpressure(wait_max: Duration) -> (watch::Sender<Progress>, Backpressure) {
        let (sender, progress) = watch::channel(Progress::default());
        let backpressure = Backpressure {
            wait_max,
            ..Backpressure::new(progress, 10)
        };
        (sender, backpressure)
    }

    #[tokio::test]
    async fn a_write_is_answered_once_its_project_is_folded_wherever_the_others_are() {
        let (sender, backpressure) = backpressure(Duration::from_hours(1));
        let clock = ManualClock::starting_at(Duration::ZERO);
        let projects = Projects::new(at(0), at(0));
        let (project, other) = (projects.get("p"), projects.get("q"));
        project.expect(at(100));
        let waiting = {
            let (backpressure, project) = (backpressure.clone(), project.clone());
            tokio::spawn(async move {
                backpressure
                    .wait(&[project], &ManualClock::starting_at(Duration::ZERO))
                    .await
            })
        };
        // It has its own lane, and the others are done.
        for of_lane in [0, 50, 89] {
            let lanes = BTreeMap::from([("p".to_owned(), at(of_lane))]);
            projects.publish(at(200), lanes);
            sender.send_replace(Progress::default());
            yield_now().await;
            yield_now().await;
            assert!(!waiting.is_finished(), "{of_lane}");
        }
        other.expect(at(210));
        backpressure.clone().wait(&[other], &clock).await;
        projects.publish(at(200), BTreeMap::from([("p".to_owned(), at(90))]));
        sender.send_replace(Progress::default());
        waiting.await.unwrap();
        backpressure.wait(&[project], &clock).await;
    }

    #[tokio::test]
    async fn a_write_waits_neither_for_ever_nor_for_a_fold_that_has_stopped() {
        let projects = Projects::new(at(0), at(0));
        let project = projects.get("p");
        project.expect(at(100));
        let clock = ManualClock::starting_at(Duration::ZERO);
        let (_sender, impatient) = backpressure(Duration::ZERO);
        impatient.wait(std::slice::from_ref(&project), &clock).await;
        let (sender, patient) = backpressure(Duration::from_hours(1));
        sender.send_modify(|progress| progress.failure = Some("a reason".into()));
        patient
            .clone()
            .wait(std::slice::from_ref(&project), &clock)
            .await;
        drop(sender);
        patient.wait(&[project], &clock).await;
    }

    #[tokio::test]
    async fn a_write_is_answered_once_its_project_is_folded_up_to_what_is_not_old() {
        let (sender, backpressure) = backpressure(Duration::from_hours(1));
        let projects = Projects::new(at(0), at(0));
        let clock = Arc::new(ManualClock::starting_at(Duration::ZERO));
        let project = projects.get("p");
        project.acknowledge(at(1), clock.elapsed());
        clock.advance(AGE_MAX);
        let written = std::slice::from_ref(&project);
        backpressure.clone().wait(written, &*clock).await;
        clock.advance(Duration::from_millis(1));
        let waiting = {
            let (project, clock) = (project.clone(), clock.clone());
            tokio::spawn(async move { backpressure.wait(&[project], &*clock).await })
        };
        yield_now().await;
        assert!(!waiting.is_finished());
        projects.publish(at(1), BTreeMap::new());
        sender.send_replace(Progress::default());
        waiting.await.unwrap();
    }
}
