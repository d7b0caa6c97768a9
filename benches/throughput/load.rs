//! Callers that wait for each answer and read it.

use std::ops::Add;
use std::time::{Duration, Instant};

/// How much one side is asked at once.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) callers: usize,
    pub(super) time: Duration,
    pub(super) calls: Calls,
}

/// What is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    /// Events, one a call; a refusal by the rate limit ends the run.
    Events,
    /// The same; refusals by the rate limit are counted.
    Limited,
    /// The same, and each tenth call reads the events of a customer.
    WithReads,
}

/// What was answered; all else ends the run. In numbers, or a second.
#[derive(Clone, Copy, Default)]
pub(super) struct Answers {
    pub(super) accepted: f64,
    pub(super) refused: f64,
}

/// One answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    Refused,
}

impl Calls {
    /// Whether a read of its customer follows an event.
    pub(super) fn reads_behind(self, number: u64) -> bool {
        self == Self::WithReads && number.is_multiple_of(9)
    }
}

impl Answers {
    pub(super) fn count(&mut self, answer: Answer, calls: Calls) {
        match answer {
            Answer::Accepted => self.accepted += 1.0,
            Answer::Refused => {
                assert!(calls == Calls::Limited, "a call was refused");
                self.refused += 1.0;
            }
        }
    }

    pub(super) fn all(self) -> f64 {
        self.accepted + self.refused
    }

    pub(super) fn per_second(self, time: Duration) -> Self {
        Self {
            accepted: self.accepted / time.as_secs_f64(),
            refused: self.refused / time.as_secs_f64(),
        }
    }
}

impl Add for Answers {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            refused: self.refused + other.refused,
        }
    }
}

impl Load {
    /// Runs callers at once until the time is over; answers a second of all together.
    pub(super) async fn run<F>(self, mut caller: impl FnMut(usize, Instant) -> F) -> Answers
    where
        F: Future<Output = Answers> + Send + 'static,
    {
        let began = Instant::now();
        let until = began + self.time;
        let tasks: Vec<_> = (0..self.callers)
            .map(|index| tokio::spawn(caller(index, until)))
            .collect();
        let mut answers = Answers::default();
        for task in tasks {
            answers = answers + task.await.unwrap();
        }
        answers.per_second(began.elapsed())
    }
}
