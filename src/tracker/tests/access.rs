//! Which callers are authenticated, and for what.

use super::super::{
    AccessError, AddEvent, Attribute, Error, ListEvents, TrackClick, UpdateCustomer,
};
use super::bench::{Bench, ids, list_events, private, public, read_customer};
use crate::model::credentials::Credentials;
use crate::model::project::Permission;
use crate::model::properties::Object;
use crate::view::Order;

#[tokio::test]
async fn each_kind_of_credentials_has_its_answer() {
    use AccessError::{NoKey, UnknownKey, UnknownProject, UnreadableKey, WrongSecret};
    let bench = Bench::new();
    let rows = [
        ("p", public("p-both"), Ok("p")),
        ("q", public("q-both"), Ok("q")),
        ("p", private("all", "s"), Ok("p")),
        ("p", private("all", "next"), Ok("p")),
        ("p", private("nothing", "s"), Ok("p")),
        ("unheard of", public("p-both"), Err(UnknownProject)),
        ("", public("p-both"), Err(UnknownProject)),
        ("P", public("p-both"), Err(UnknownProject)),
        ("unheard of", Credentials::Missing, Err(UnknownProject)),
        ("p", Credentials::Missing, Err(NoKey)),
        ("p", Credentials::Unreadable, Err(UnreadableKey)),
        ("p", public("unheard of"), Err(UnknownKey)),
        ("p", public(""), Err(UnknownKey)),
        ("p", public("q-both"), Err(UnknownKey)),
        ("p", public("all"), Err(UnknownKey)),
        ("p", private("p-both", "s"), Err(UnknownKey)),
        ("p", private("unheard of", "s"), Err(UnknownKey)),
        ("p", private("all", "wrong"), Err(WrongSecret)),
        ("p", private("all", ""), Err(WrongSecret)),
        ("p", private("nothing", "next"), Err(WrongSecret)),
    ];
    for (token, credentials, expected) in rows {
        let access = bench.enter(token, &credentials);
        let let_in = match &access {
            Ok(access) => Ok(access.token()),
            Err(Error::Access(error)) => Err(*error),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(let_in, expected, "{token} {credentials:?}");
    }
}

/// What one caller may do: set customers, set events, read customers, read events.
async fn allowed(bench: &Bench, credentials: &Credentials) -> [bool; 4] {
    let access = bench.enter("p", credentials).unwrap();
    let customer_ids = &ids(&[("cookie", "c")]);
    let update = UpdateCustomer {
        customer_ids,
        properties: Object::default(),
        time: None,
    };
    let event = AddEvent {
        customer_ids,
        event_type: "visit",
        properties: Object::default(),
        time: None,
    };
    let click = TrackClick {
        customer_ids,
        url: "https://example.com",
        properties: Object::default(),
        time: None,
    };
    let request = ListEvents {
        customer_ids,
        event_types: vec!["visit".into()],
        order: Order::Ascending,
        limit: None,
        skip: 0,
        page_token: "",
    };
    let set_events = may(bench.tracker.event(&access, event));
    assert_eq!(may(bench.tracker.click(&access, click)), set_events);
    let attributes = vec![Attribute::Property("p".into())];
    let attributes = bench.tracker.attributes(&access, customer_ids, attributes);
    let allowed = [
        may(bench.tracker.update(&access, update)),
        set_events,
        may(attributes.await),
        may(list_events(&bench.tracker, &access, request).await),
    ];
    // A whole customer needs both.
    let whole = may(read_customer(&bench.tracker, &access, customer_ids).await);
    assert_eq!(whole, allowed[2] && allowed[3]);
    allowed
}

fn may<T>(result: Result<T, Error>) -> bool {
    match result {
        Ok(_) => true,
        Err(Error::Access(AccessError::NoPermission(_))) => false,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_key_may_do_what_its_permissions_say() {
    let bench = Bench::new();
    bench
        .commits(vec![bench.update(&[("cookie", "c")], "{}").unwrap()])
        .await;
    let rows = [
        (public("p-both"), [true, true, false, false]),
        (public("p-customers"), [true, false, false, false]),
        (public("p-events"), [false, true, false, false]),
        // A public key only writes, whatever its settings say.
        (public("p-greedy"), [true, true, false, false]),
        (private("all", "s"), [true, true, true, true]),
        (private("reads-customers", "s"), [false, false, true, false]),
        (private("reads-events", "s"), [false, false, false, true]),
        (private("nothing", "s"), [false, false, false, false]),
    ];
    for (number, (credentials, expected)) in rows.iter().enumerate() {
        assert_eq!(
            allowed(&bench, credentials).await,
            *expected,
            "row {number}"
        );
    }
}

#[tokio::test]
async fn who_may_not_is_told_so_before_anything_else() {
    let bench = Bench::new();
    let access = bench.enter("p", &private("nothing", "s"));
    let nobody = AddEvent {
        customer_ids: &ids(&[("unheard of", "")]),
        event_type: "",
        properties: Object::default(),
        time: None,
    };
    let refused = bench.tracker.event(&access.unwrap(), nobody).unwrap_err();
    let expected = AccessError::NoPermission(Permission::SetEvents);
    assert!(matches!(refused, Error::Access(error) if error == expected));
}
