//! What is left of a log once records have left it, and of the view.

mod forget;
mod meant;

use super::erase;
use crate::log::Position;
use crate::view::tests::Bench;

/// Takes everything that was erased out of the log.
fn take_out(bench: &Bench) {
    while let Some(erasure) = erase::oldest_erasure(bench.view()).unwrap() {
        erase::take_out(bench.view(), erasure.position).unwrap();
    }
}

/// Takes out the first so many arrivals.
fn expire(bench: &Bench, arrivals: u64) {
    let cutoff = Position::from_number(arrivals);
    super::expire(bench.view(), cutoff, &|| false).unwrap();
}
