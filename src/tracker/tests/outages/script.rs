//! What happens in a history.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;

use crate::view::tests::{Request, What, commands};

/// Every ID that callers send.
pub(super) const IDS: [(&str, &str); 7] = [
    ("registered", "registered-0"),
    ("registered", "registered-1"),
    ("cookie", "cookie-0"),
    ("cookie", "cookie-1"),
    ("cookie", "cookie-2"),
    ("cookie", "cookie-3"),
    STEADY,
];
/// The ID of a customer that has no other, so that its events can be counted without any rule of IDs.
pub(super) const STEADY: (&str, &str) = ("registered", "steady");

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A caller sends commands, to be kept all or none.
    Send(Vec<Request>, Waiting),
    /// A caller repeats what was not acknowledged.
    Retry,
    /// The disk hangs from now on.
    Stall,
    /// It goes on.
    Resume,
    /// Time passes.
    Pass(u64),
    /// A commit will fail.
    Fail { after: usize, keeps: bool },
    /// The disk is full, or has space again.
    Full(bool),
    /// The service stops cleanly.
    Close,
    /// The service is killed and started again.
    Restart { keeps: bool, view_lost: bool },
}

/// What a caller does while its answer takes long.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiting {
    Patient,
    /// Goes away.
    Leaving,
    /// Gets a timeout at once.
    Hurried,
}

pub(super) fn script() -> impl Strategy<Value = Vec<Step>> {
    let steps = vec(steps(), 1..24);
    // The events of the steady customer are distinguished by their numbers.
    steps.prop_map(|mut steps| {
        let mut number = 0;
        for step in &mut steps {
            if let Step::Send(batch, _) = step {
                for request in batch.iter_mut().filter(|r| is_steady(r)) {
                    number += 1;
                    request.what = What::Event {
                        event_type: "step",
                        json: format!(r#"{{"n":{number}}}"#),
                        seconds: number,
                    };
                }
            }
        }
        steps
    })
}

pub(super) fn is_steady(request: &Request) -> bool {
    request.ids.iter().any(|(_, value)| value == STEADY.1)
}

fn steps() -> impl Strategy<Value = Step> {
    let waiting = prop_oneof![
        3 => Just(Waiting::Patient),
        1 => Just(Waiting::Leaving),
        1 => Just(Waiting::Hurried),
    ];
    let batch = vec(requests(), 1..5);
    prop_oneof![
        12 => (batch, waiting).prop_map(|(batch, waiting)| Step::Send(batch, waiting)),
        3 => Just(Step::Retry),
        2 => Just(Step::Stall),
        2 => Just(Step::Resume),
        1 => (1..8_u64).prop_map(Step::Pass),
        2 => (0..3_usize, any::<bool>()).prop_map(|(after, keeps)| Step::Fail { after, keeps }),
        2 => any::<bool>().prop_map(Step::Full),
        1 => Just(Step::Close),
        2 => any::<(bool, bool)>()
            .prop_map(|(keeps, view_lost)| Step::Restart { keeps, view_lost }),
    ]
}

fn requests() -> impl Strategy<Value = Request> {
    let ids = (weighted(0.5, 0..2_usize), weighted(0.7, 2..6_usize));
    let ids = ids.prop_map(|(registered, cookie)| {
        let chosen: Vec<_> = [registered, cookie].into_iter().flatten().collect();
        match chosen.is_empty() {
            true => vec![owned(STEADY)],
            false => chosen.into_iter().map(|at| owned(IDS[at])).collect(),
        }
    });
    (ids, commands()).prop_map(|(ids, what)| Request {
        project: "p",
        ids,
        what,
    })
}

fn owned((kind, value): (&'static str, &str)) -> (&'static str, String) {
    (kind, value.to_owned())
}
