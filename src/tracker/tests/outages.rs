//! Random histories over a disk that fails, hangs and fills up: what callers are answered is true, whatever happens.
//!
//! [`truth`] says what must be stored and what each caller must be answered; [`service`] is the real service, which is
//! killed and started again over the same disk; [`script`] generates what happens.

mod script;
mod service;
mod truth;

use std::pin::Pin;
use std::time::Duration;

use proptest::prelude::*;

use super::super::Error;
use crate::log;
use crate::view::tests::Request;
use script::{IDS, STEADY, Step, Waiting, script};
use service::Service;
use truth::{Reported, Truth};

type Answer = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

/// A service beside the truth about it.
struct Play {
    service: Service,
    truth: Truth,
    /// The batches that wait for a disk that hangs, with their answers; none if the caller is gone.
    waiting: Vec<(Vec<Request>, Option<Answer>)>,
    /// What was sent and not acknowledged, or acknowledged to a caller that is gone.
    open: Vec<Vec<Request>>,
}

impl Play {
    fn new() -> Self {
        Self {
            service: Service::new(),
            truth: Truth::default(),
            waiting: Vec::new(),
            open: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Send(batch, waiting) => self.send(batch, waiting)?,
            Step::Retry => {
                if !self.open.is_empty() {
                    let batch = self.open.remove(0);
                    self.send(batch, Waiting::Patient)?;
                }
            }
            Step::Stall => {
                self.service.store.stall(true);
                self.truth.stalled = true;
            }
            Step::Resume => self.resume()?,
            Step::Pass(seconds) => self.service.clock.advance(Duration::from_secs(seconds)),
            Step::Fail { after, keeps } => self.fail(after, keeps),
            Step::Full(full) => {
                let failure = full.then_some(log::StoreError::Full);
                self.service.store.fail(failure);
                self.truth.full = full;
            }
            Step::Close => {
                self.resume()?;
                self.service.close();
                self.truth.close();
            }
            Step::Restart { keeps, view_lost } => {
                // A kill comes in the middle of a commit, and its callers get no answer.
                if !self.waiting.is_empty() {
                    self.fail(0, keeps);
                }
                self.resume()?;
                self.service.restart(view_lost);
                self.truth.restart();
            }
        }
        self.check()
    }

    fn fail(&mut self, after: usize, keeps: bool) {
        self.service.store.fail_once(after, keeps);
        self.truth.fails = Some((after, keeps));
    }

    /// Sends a batch; the result must be what the truth says.
    fn send(&mut self, batch: Vec<Request>, waiting: Waiting) -> Result<(), TestCaseError> {
        let first = self.truth.waits() == 0;
        let reported = self.truth.send(&batch);
        if reported != Reported::Nothing {
            let answered = self.service.send(&batch);
            return self.answered(batch, reported, &answered);
        }
        let answer = match waiting {
            Waiting::Hurried => {
                let answered = self.service.send_hurried(&batch);
                let stalled = matches!(&answered, Err(Error::Log(log::Error::Stalled(_))));
                prop_assert!(stalled, "{answered:?}");
                None
            }
            Waiting::Patient => Some(self.service.begin_to_send(&batch)),
            Waiting::Leaving => {
                drop(self.service.begin_to_send(&batch));
                None
            }
        };
        if first {
            // Later batches must find this one in the commit that hangs.
            self.service.store.wait_for_hanging();
            self.truth.hangs_since(self.service.elapsed());
        }
        self.waiting.push((batch, answer));
        Ok(())
    }

    /// Lets the disk go on; all waiting callers are answered.
    fn resume(&mut self) -> Result<(), TestCaseError> {
        self.service.store.stall(false);
        let reported = self.truth.resume();
        let waiting = std::mem::take(&mut self.waiting);
        prop_assert_eq!(reported.len(), waiting.len());
        for ((batch, answer), reported) in waiting.into_iter().zip(reported) {
            match answer {
                Some(answer) => {
                    let answered = self.service.runtime.block_on(answer);
                    self.answered(batch, reported, &answered)?;
                }
                None => self.open.push(batch),
            }
        }
        // Callers that are gone do not show when their commits have ended.
        self.service.settle();
        Ok(())
    }

    fn answered(
        &mut self,
        batch: Vec<Request>,
        reported: Reported,
        answered: &Result<(), Error>,
    ) -> Result<(), TestCaseError> {
        let as_reported = match answered {
            Ok(()) => reported == Reported::Done,
            Err(Error::Log(log::Error::Full)) => reported == Reported::Full,
            Err(Error::Log(log::Error::Overloaded)) => reported == Reported::Overloaded,
            Err(Error::Log(log::Error::Closed)) => reported == Reported::Closed,
            Err(Error::Log(log::Error::Failed(_))) => reported == Reported::Failed,
            Err(_) => false,
        };
        prop_assert!(as_reported, "{answered:?} instead of {reported:?}");
        if reported != Reported::Done {
            self.open.push(batch);
        }
        Ok(())
    }

    /// Compares the log's state, and everything that can be read.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let elapsed = self.service.elapsed();
        prop_assert_eq!(self.service.state(), self.truth.state(elapsed));
        prop_assert_eq!(self.service.last(), self.truth.last());
        for (kind, value) in IDS {
            let expected = self.truth.customer(kind, value);
            prop_assert_eq!(self.service.customer(kind, value), expected, "{}", value);
        }
        Ok(())
    }

    /// The disk recovers, and all callers repeat what was not acknowledged: then everything is stored.
    fn ends(mut self) -> Result<(), TestCaseError> {
        self.step(Step::Full(false))?;
        self.step(Step::Restart {
            keeps: true,
            view_lost: false,
        })?;
        for batch in std::mem::take(&mut self.open) {
            self.step(Step::Send(batch, Waiting::Patient))?;
        }
        prop_assert!(self.open.is_empty());
        let kept = self.service.kept();
        let expected = self.truth.log();
        prop_assert_eq!(kept, expected);
        let steady = self.service.customer(STEADY.0, STEADY.1);
        let steady = steady.map(|steady| steady.events).unwrap_or_default();
        let steady: Vec<i64> = steady.iter().map(|(seconds, ..)| *seconds).collect();
        prop_assert_eq!(steady, self.truth.steady());
        // However it has come to its state: the view is a function of the log.
        self.step(Step::Restart {
            keeps: true,
            view_lost: true,
        })
    }
}

/// A thousand histories, more if the environment says so.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig {
        cases: asked.cases.max(1_000),
        // A history in which a caller waits without an answer takes long.
        max_shrink_time: 60_000,
        ..asked
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn callers_are_told_the_truth_whatever_the_disk_does(script in script()) {
        let mut play = Play::new();
        for step in script {
            play.step(step)?;
        }
        play.ends()?;
    }
}
