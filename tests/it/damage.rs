//! Bits flip and files lose their ends at random places: the service says where, or answers rightly; it never
//! answers wrongly, and never panics.

mod folder;
mod harm;
mod stopped;

use std::sync::Arc;

use crate::harness::dice::{Dice, number_from_environment};
use harm::{Harm, Kind};
use stopped::{End, Stopped};

/// How many places the long form damages, unless `DAMAGE_PLACES` says otherwise.
const DAMAGE_PLACES: u64 = 2_000;

/// Damage that was once answered wrongly.
const FOUND: [(End, &str, Kind, u64); 4] = [
    // A view that cannot say its format was not rebuilt.
    (End::Stopped, "view/keyspaces/1/tables/0", Kind::Flip(4), 9),
    (End::Killed, "view/keyspaces/1/tables/0", Kind::Flip(4), 9),
    (End::Stopped, "view/keyspaces/1/current", Kind::Gone, 0),
    (End::Stopped, "log/00000000000000000001.seg", Kind::Gone, 0),
];

/// Does damage; tells of a wrong answer with what it takes to see it again.
async fn wrong(stopped: &Arc<Stopped>, harm: &Harm) -> Option<String> {
    let wrong = stopped.answers_rightly(harm).await.err()?;
    Some(format!("{:?}: {harm:?}: {wrong}\n", stopped.end))
}

async fn survive_many(places: u64) {
    let (mut dice, mut found) = (Dice::new(), String::new());
    for end in [End::Stopped, End::Killed] {
        let stopped = Stopped::new(end).await;
        for _ in 0..places / 2 {
            let harm = Harm::draw(stopped.files(), &mut dice);
            found.extend(wrong(&stopped, &harm).await);
        }
    }
    assert!(found.is_empty(), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_at_a_random_place_is_named_or_does_no_harm() {
    survive_many(60).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: DAMAGE_PLACES says how many places"]
async fn damage_at_many_random_places_is_named_or_does_no_harm() {
    survive_many(number_from_environment("DAMAGE_PLACES").unwrap_or(DAMAGE_PLACES)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_was_once_answered_wrongly_is_not_any_more() {
    for end in [End::Stopped, End::Killed] {
        let stopped = Stopped::new(end).await;
        for (_, file, kind, at) in FOUND.into_iter().filter(|found| found.0 == end) {
            assert_eq!(wrong(&stopped, &Harm::new(file, kind, at)).await, None);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_says_so_too_and_does_not_panic() {
    let stopped = Stopped::new(End::Stopped).await;
    let mut dice = Dice::new();
    for _ in 0..6 {
        let harm = Harm::draw(stopped.files(), &mut dice);
        if let Err(wrong) = stopped.serves_rightly(&harm).await {
            panic!("{harm:?}: {wrong}");
        }
    }
}
