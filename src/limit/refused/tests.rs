use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

fn address(number: u32) -> AddressKey {
    AddressKey::V4(Ipv4Addr::from(number))
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn refused() -> Refused {
    Refused::new(RandomState::new())
}

fn count(refused: &Refused, number: u32, times: u64, seconds: u64) {
    for _ in 0..times {
        refused.count(address(number), at(seconds));
    }
}

#[test]
fn the_most_refused_come_first_with_their_first_and_last_time() {
    let refused = refused();
    count(&refused, 1, 2, 1_000);
    count(&refused, 2, 3, 1_001);
    count(&refused, 1, 2, 1_002);
    let summary = refused.summary(10, at(1_003));
    let offender = |number, refused, first, last| Offender {
        address: address(number),
        refused,
        refused_min: refused,
        first: at(first),
        last: at(last),
    };
    assert_eq!(
        summary,
        Summary {
            since: at(600),
            refused: 7,
            unlisted_max: 0,
            addresses: vec![offender(1, 4, 1_000, 1_002), offender(2, 3, 1_001, 1_001)],
        }
    );
    let first = refused.summary(1, at(1_003));
    assert_eq!(first.addresses, [offender(1, 4, 1_000, 1_002)]);
    assert_eq!(first.unlisted_max, 3, "the second is not listed");
}

#[test]
fn what_is_told_is_of_this_window_and_the_one_before() {
    let refused = refused();
    count(&refused, 1, 5, 10);
    count(&refused, 1, 7, 310);
    let both = refused.summary(10, at(599));
    assert_eq!((both.since, both.addresses[0].refused), (at(0), 12));
    assert_eq!(both.addresses[0].first, at(10));
    let later = refused.summary(10, at(600));
    assert_eq!((later.since, later.addresses[0].refused), (at(300), 7));
    assert_eq!(later.addresses[0].first, at(310));
    assert_eq!(refused.summary(10, at(900)).addresses, []);
}

#[test]
fn after_a_long_silence_nothing_is_left() {
    let refused = refused();
    count(&refused, 1, 5, 10);
    assert_eq!(refused.summary(10, at(100_000)).refused, 0);
    // A late thread does not turn the time back.
    count(&refused, 2, 1, 99_999);
    count(&refused, 2, 1, 10);
    assert_eq!(refused.summary(10, at(100_000)).refused, 2);
}

#[test]
fn a_flood_of_addresses_neither_grows_it_nor_hides_who_is_refused_most() {
    let refused = refused();
    for round in 0..200 {
        count(&refused, 1, 50, 10);
        for number in 0..100 {
            count(&refused, 1_000_000 + round * 100 + number, 1, 10);
        }
    }
    let summary = refused.summary(usize::MAX, at(10));
    assert_eq!(summary.refused, 200 * 150);
    assert!(summary.addresses.len() <= COUNTERS * STRIPES);
    let first = summary.addresses[0];
    assert_eq!(first.address, address(1));
    assert!(
        first.refused_min <= 10_000 && first.refused >= 10_000,
        "{first:?}"
    );
    assert!(summary.unlisted_max <= summary.refused / COUNTERS as u64);
}

proptest! {
    #[test]
    fn every_count_is_within_its_own_bounds_and_the_stated_one(
        numbers in prop::collection::vec((0_u32..1_500, 0_u64..900), 0..6_000),
    ) {
        let mut numbers = numbers;
        numbers.sort_by_key(|(_, seconds)| *seconds);
        // Squared, so that some come much more often than others.
        let numbers: Vec<_> = numbers.into_iter().map(|(n, seconds)| (n * n / 1_500, seconds)).collect();
        let refused = refused();
        let mut exact: HashMap<AddressKey, u64> = HashMap::new();
        for (number, seconds) in &numbers {
            count(&refused, *number, 1, *seconds);
            if *seconds >= 300 {
                *exact.entry(address(*number)).or_default() += 1;
            }
        }
        let summary = refused.summary(usize::MAX, at(899));
        let last = numbers.last().map_or(0, |(_, seconds)| *seconds);
        prop_assume!(last >= 600);
        prop_assert_eq!(summary.refused, exact.values().sum::<u64>());
        for one in &summary.addresses {
            let truth = exact.remove(&one.address).unwrap_or_default();
            prop_assert!(one.refused_min <= truth && truth <= one.refused, "{} of {:?}", truth, one);
            prop_assert!(one.refused - one.refused_min <= summary.refused / COUNTERS as u64 + 1);
        }
        for (address, truth) in exact {
            prop_assert!(truth <= summary.unlisted_max, "{} has {}", address, truth);
        }
    }
}
