//! Records that name the customer that they forget.

use super::take_out;
use crate::log::record::Record;
use crate::view::tests::{Bench, Request, anonymize, erase, event, update};

const A: (&str, &str) = ("registered", "a");
const C: (&str, &str) = ("cookie", "c");
const D: (&str, &str) = ("device", "d");

/// A bench that has taken requests, and then records that name customers.
fn after(requests: &[Request], named: &[(Request, &[u64])]) -> Bench {
    let bench = Bench::new();
    bench.takes(requests);
    let at = requests.len() as u64;
    let records = (at + 1..).zip(named);
    bench.append_records(records.map(|(arrival, (request, customers))| Record {
        customers: customers.to_vec(),
        ..request.record(arrival)
    }));
    bench.settle();
    bench
}

/// Checks that a fold of what is left gives the same, once everything erased is taken out.
fn is_of_one_piece(mut bench: Bench) {
    take_out(&bench);
    assert_eq!(bench.differences(), Vec::<String>::new());
}

#[test]
fn who_got_the_ids_since_stays() {
    let visit = event(&[A], "visit", "{}", 1);
    for (asks, again) in [
        (erase(&[A]), erase(&[A])),
        (anonymize(&[A]), anonymize(&[A])),
    ] {
        // Customer 1 is erased at position 2; customer 3 has its ID then.
        let bench = after(&[visit.clone(), asks, visit.clone()], &[(again, &[1])]);
        assert_eq!(bench.asks(A.0, A.1).event_types(), ["visit"]);
        is_of_one_piece(bench);
    }
}

#[test]
fn who_was_found_goes_although_its_ids_lead_elsewhere_by_then() {
    const B: (&str, &str) = ("registered", "b");
    let requests = [
        update(&[A, C], "{}", 1),
        // They clash, so that the cookie moves.
        update(&[B, C], "{}", 2),
    ];
    let bench = after(&requests, &[(erase(&[C]), &[1])]);
    assert_eq!(bench.ask("p", A.0, A.1), None);
    assert_eq!(bench.asks(B.0, B.1).values("cookie"), ["c"]);
    is_of_one_piece(bench);
}

#[test]
fn who_merged_since_goes_with_whom_it_merged_into() {
    let requests = [
        event(&[C], "visit", "{}", 1),
        event(&[D], "visit", "{}", 2),
        update(&[C, D], "{}", 3),
    ];
    for ids in [&[C][..], &[D]] {
        let bench = after(&requests, &[(erase(ids), &[2])]);
        assert_eq!(
            (bench.ask("p", C.0, C.1), bench.ask("p", D.0, D.1)),
            (None, None)
        );
        assert_eq!(bench.counts().erased, 1);
        is_of_one_piece(bench);
    }
}

#[test]
fn an_anonymous_customer_goes_with_its_events_and_leaves_nothing_behind() {
    let requests = [
        update(&[A, C], r#"{"x":"secret-1"}"#, 1),
        event(&[C], "visit", r#"{"y":"secret-2"}"#, 2),
        anonymize(&[A]),
        event(&[A], "visit", r#"{"y":"secret-3"}"#, 4),
    ];
    let bench = after(&requests, &[(erase(&[A]), &[1, 4])]);
    assert_eq!(bench.counts().erased, 2);
    take_out(&bench);
    assert!(!bench.log_says("secret"));
    assert_eq!(bench.ids_in_log(), [0; 5]);
    is_of_one_piece(bench);
}

#[test]
fn what_leads_to_anonymous_customers_needs_all_ids_that_anybody_had() {
    const B: (&str, &str) = ("registered", "b");
    const E: (&str, &str) = ("email", "e");
    let bench = Bench::new();
    bench.takes(&[
        update(&[A, C], "{}", 1),
        update(&[D], "{}", 2),
        update(&[B], "{}", 3),
        anonymize(&[A]),
        anonymize(&[D]),
        update(&[E], "{}", 6),
    ]);
    let leads_to = |ids: &[(&str, &str)]| {
        let ids: Vec<_> = ids
            .iter()
            .map(|(kind, value)| (*kind, (*value).to_owned()))
            .collect();
        let ids = crate::view::tests::ids(&ids);
        bench.view().snapshot().anonymous("p", &ids).unwrap()
    };
    assert_eq!(leads_to(&[A]), [1]);
    assert_eq!(leads_to(&[A, C]), [1]);
    assert_eq!(leads_to(&[D]), [2]);
    // Others may have used the browser of a customer with a hard ID.
    assert_eq!(leads_to(&[C]), [0; 0]);
    assert_eq!(leads_to(&[("registered", "nobody"), D]), [0; 0]);
    assert_eq!(leads_to(&[B]), [0; 0]);
    assert_eq!(leads_to(&[A, E]), [0; 0]);
    assert_eq!(leads_to(&[A, ("email", "nobody")]), [1]);
    // No read shows it.
    assert_eq!(bench.ask("p", A.0, A.1), None);
}

#[test]
fn an_anonymisation_that_finds_nobody_does_not_keep_its_ids_in_the_log() {
    let mut bench = Bench::new();
    bench.takes(&[update(&[A], "{}", 1), erase(&[A]), anonymize(&[A])]);
    take_out(&bench);
    assert_eq!(bench.ids_in_log(), [0; 3]);
    assert_eq!(bench.differences(), Vec::<String>::new());
}
