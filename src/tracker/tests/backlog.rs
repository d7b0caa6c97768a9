//! Writes of a project whose fold is far behind.

use std::time::Duration;

use super::super::{AddEvent, Error};
use super::bench::{Bench, ids, object, private};
use crate::clock::Clock as _;
use crate::view;

const C: &[(&str, &str)] = &[("cookie", "c")];

#[expect(
    clippy::await_holding_lock,
    reason = "what is awaited does not need the fold"
)]
#[tokio::test(flavor = "multi_thread")]
async fn writes_wait_for_a_backlog_that_is_too_old_and_other_projects_go_on() {
    let bench = Bench::new();
    let visit = || vec![bench.event(C, "visit", "{}").unwrap()];
    let last = {
        let paused = bench.view.pause();
        bench.commits(visit()).await;
        let passes = |seconds| {
            for _ in 0..seconds {
                bench.clock.advance(Duration::from_secs(1));
                bench.view.least_lag(bench.clock.elapsed());
            }
        };
        passes(30);
        bench.commits(visit()).await;
        passes(1);
        let refused = bench.tracker.commit(visit()).await;
        assert!(
            matches!(refused, Err(Error::View(view::Error::Backlog(lag))) if lag.as_secs() == 31),
            "{refused:?}"
        );
        let least = || bench.view.least_lag(bench.clock.elapsed()).as_secs();
        assert_eq!(least(), 0, "the other project can be read");
        let other = bench.enter("q", &private("all", "s")).unwrap();
        let event = AddEvent {
            customer_ids: &ids(C),
            event_type: "visit",
            properties: object("{}"),
            time: None,
        };
        bench
            .commits(vec![bench.tracker.event(&other, event).unwrap()])
            .await;
        passes(2);
        assert_eq!(least(), 2);
        drop(paused);
        bench.log.last()
    };
    assert_eq!(last.get(), 3, "what is refused is not stored");
    assert_eq!(bench.customer(C).await.unwrap().events.len(), 2);
    bench.commits(visit()).await;
}
