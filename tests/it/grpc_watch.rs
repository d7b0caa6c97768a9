//! Watching events over gRPC.

use std::time::Duration;

use footfall::grpc::pb;
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::calls::{ids, violations};
use crate::harness::watching::{after, beginning, now};
use crate::harness::{OTHER_TOKEN, PRIVATE, PUBLIC, Server, Setup, TOKEN, eventually};

/// Adds an event of `registered: a`, with a time of its own.
async fn adds(server: &Server, event_type: &str, time: u32) {
    let event =
        json!({"customer_ids": {"registered": "a"}, "event_type": event_type, "timestamp": time});
    server.adds(&event).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_told_as_it_comes_with_its_customers_ids() {
    let server = Server::start().await;
    adds(&server, "before", 1).await;
    let mut watcher = server.watches(now()).await;
    server.adds(&json!({"customer_ids": {"registered": "a", "cookie": "c"}, "event_type": "visit", "timestamp": 1.5, "properties": {"n": 9_007_199_254_740_993_u64, "deep": {"b": [1, "x", null]}}})).await;
    let (event, customer) = watcher.event().await;
    assert_eq!(event.r#type, "visit");
    let time = event.timestamp.unwrap();
    assert_eq!((time.seconds, time.nanos), (1, 500_000_000));
    assert_eq!(
        crate::harness::calls::json(event.properties),
        r#"{"deep":{"b":[1,"x",null]},"n":9007199254740993}"#
    );
    let id = |kind: &str, value: &str, soft| pb::CustomerId {
        r#type: kind.to_owned(),
        values: vec![value.to_owned()],
        soft,
    };
    assert_eq!(
        customer,
        [id("registered", "a", false), id("cookie", "c", true)]
    );
    drop(watcher);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_behind_any_cursor_also_after_a_restart() {
    let mut server = Server::start().await;
    for time in 0..5 {
        adds(&server, &format!("e{time}"), time).await;
        server
            .updates(&json!({"customer_ids": {"registered": "a"}, "properties": {"n": time}}))
            .await;
    }
    let types = ["e0", "e1", "e2", "e3", "e4"];
    for _ in 0..2 {
        let mut watcher = server.watches(beginning()).await;
        let mut cursors = vec![watcher.cursor.clone()];
        for expected in types {
            assert_eq!(watcher.tells(1).await, [expected]);
            cursors.push(watcher.cursor.clone());
        }
        for (told, cursor) in cursors.iter().enumerate() {
            let mut watcher = server.watches(after(cursor)).await;
            assert_eq!(&watcher.cursor, cursor);
            assert_eq!(watcher.tells(5 - told).await, types[told..]);
        }
        drop(watcher);
        let dir = server.stop().await;
        server = Setup::default().start_in(dir).await;
        let mut watcher = server.watches(after(&cursors[4])).await;
        assert_eq!(watcher.tells(1).await, ["e4"]);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_as_a_duplicate_is_not_told() {
    let server = Server::start().await;
    let mut live = server.watches(now()).await;
    for (event_type, time) in [("e", 1), ("e", 1), ("f", 2), ("e", 1), ("f", 2), ("e", 3)] {
        adds(&server, event_type, time).await;
    }
    for _ in 0..2 {
        adds(&server, "consent", 1).await;
    }
    adds(&server, "end", 1).await;
    let kept = ["e", "f", "e", "consent", "consent", "end"];
    assert_eq!(live.tells(6).await, kept);
    let mut again = server.watches(beginning()).await;
    assert_eq!(again.tells(6).await, kept);
    drop((live, again));
    server.stop().await;
}

/// The same content at two customers is two events, even when a cookie then leads from one to the other.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_another_customer_has_too_is_told_for_both() {
    let server = Server::start().await;
    let event = |ids| json!({"customer_ids": ids, "event_type": "e", "timestamp": 1});
    server.adds(&event(json!({"registered": "b"}))).await;
    server
        .adds(&event(json!({"registered": "a", "cookie": "c"})))
        .await;
    server
        .updates(&json!({"customer_ids": {"registered": "b", "cookie": "c"}}))
        .await;
    adds(&server, "end", 1).await;
    let mut watcher = server.watches(beginning()).await;
    assert_eq!(watcher.told().await, "e {} registered=b cookie=c");
    assert_eq!(watcher.told().await, "e {} registered=a");
    assert_eq!(watcher.tells(1).await, ["end"]);
    drop(watcher);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn types_are_chosen() {
    let server = Server::start().await;
    for time in 0..100 {
        adds(&server, ["a", "b", "c", "d"][time as usize % 4], time).await;
    }
    let mut watcher = server
        .watches(pb::WatchEventsRequest {
            event_types: vec!["b".to_owned(), " d ".to_owned()],
            ..beginning()
        })
        .await;
    assert_eq!(watcher.tells(50).await, ["b", "d"].repeat(25));
    drop(watcher);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_customer_is_watched_with_those_that_merged_into_it() {
    let server = Server::start().await;
    let event = |ids, name| json!({"customer_ids": ids, "event_type": name, "timestamp": 1});
    let of_a = pb::WatchEventsRequest {
        customer_ids: ids(&[("registered", "a")]),
        ..beginning()
    };
    // The customer does not exist yet.
    let mut live = server.watches(of_a.clone()).await;
    server
        .adds(&event(json!({"cookie": "c"}), "anonymous"))
        .await;
    server
        .adds(&event(json!({"registered": "b"}), "other"))
        .await;
    server
        .adds(&event(json!({"registered": "a"}), "known"))
        .await;
    assert_eq!(live.told().await, "known {} registered=a");
    server
        .updates(&json!({"customer_ids": {"registered": "a", "cookie": "c"}}))
        .await;
    server.adds(&event(json!({"cookie": "c"}), "after")).await;
    assert_eq!(live.told().await, "after {} registered=a cookie=c");
    let mut watcher = server.watches(of_a.clone()).await;
    for event_type in ["anonymous", "known", "after"] {
        let told = format!("{event_type} {{}} registered=a cookie=c");
        assert_eq!(watcher.told().await, told);
    }
    // The cookie goes to another customer; what was done with it stays.
    server
        .adds(&event(json!({"registered": "b", "cookie": "c"}), "moved"))
        .await;
    server.adds(&event(json!({"registered": "a"}), "end")).await;
    assert_eq!(live.told().await, "end {} registered=a");
    let mut all = server.watches(beginning()).await;
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(all.told().await);
    }
    assert_eq!(
        told,
        [
            // The cookie that it came with does not lead to its customer any more.
            "anonymous {}",
            "other {} registered=b cookie=c",
            "known {} registered=a",
            "after {}",
            "moved {} registered=b cookie=c",
            "end {} registered=a",
        ]
    );
    drop((live, watcher, all));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_without_a_customer_is_told_without_ids() {
    let server = Server::start().await;
    let mut watcher = server.watches(now()).await;
    server
        .accepts(
            "campaigns/clicks",
            r#"{"url":"https://x.example","timestamp":1}"#,
        )
        .await;
    assert_eq!(
        watcher.told().await,
        r#"campaign_click {"url":"https://x.example"}"#
    );
    drop(watcher);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cursor_moves_although_nothing_is_told() {
    let setup = Setup::default().with("[server]\nwatch_heartbeat = \"20ms\"");
    let server = setup.start().await;
    let never = pb::WatchEventsRequest {
        event_types: vec!["never".to_owned()],
        ..now()
    };
    let mut watcher = server.watches(never).await;
    for time in 0..3 {
        adds(&server, "passed", time).await;
    }
    let begin = watcher.cursor.clone();
    eventually("the cursor moves", async || {
        let message = watcher.message().await.unwrap().unwrap();
        assert_eq!((message.event, message.customer_ids), (None, Vec::new()));
        (watcher.cursor != begin).then_some(())
    })
    .await;
    // A batch may have ended in the midst of the three; a watch that begins now begins behind them.
    let end = server.watches(now()).await.cursor;
    eventually("the cursor moves behind the three", async || {
        if watcher.cursor == end {
            return Some(());
        }
        let message = watcher.message().await.unwrap().unwrap();
        assert_eq!(message.event, None);
        None
    })
    .await;
    adds(&server, "next", 9).await;
    let mut resumed = server.watches(after(&end)).await;
    assert_eq!(resumed.tells(1).await, ["next"]);
    drop((watcher, resumed));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_needs_private_access_with_the_permission() {
    let server = Server::start().await;
    for key in [PUBLIC, "Token events-only", "Basic cmVhZC1ub3RoaW5nOnM="] {
        let status = server.watches_as(key, now()).await.err().unwrap();
        assert_eq!(
            (status.code(), status.message()),
            (Code::PermissionDenied, "No permission"),
            "{key}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_keys_project_is_watched() {
    let server = Server::start().await;
    let path = format!("/track/v2/projects/{OTHER_TOKEN}/customers/events");
    let other = server
        .post(&path)
        .header("Authorization", "Token other-public-key")
        .body(r#"{"customer_ids":{"registered":"a"},"event_type":"other"}"#);
    assert_eq!(other.send().await.status, 200);
    adds(&server, "own", 1).await;
    let mut watcher = server.watches(beginning()).await;
    assert_eq!(watcher.tells(1).await, ["own"]);
    let foreign = pb::WatchEventsRequest {
        project_token: OTHER_TOKEN.to_owned(),
        ..after(&watcher.cursor)
    };
    // key-id:other-secret
    let key = "Basic a2V5LWlkOm90aGVyLXNlY3JldA==";
    let status = server.watches_as(key, foreign).await.err().unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);
    drop(watcher);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_breaks_a_rule_names_the_field() {
    let server = Server::start().await;
    adds(&server, "e", 1).await;
    let ahead = server.watches(now()).await.cursor;
    server.stop().await;
    let server = Server::start().await;
    let customer = |kind: &str, value: &str| pb::WatchEventsRequest {
        customer_ids: ids(&[(kind, value)]),
        ..now()
    };
    let types = |types: Vec<String>| pb::WatchEventsRequest {
        event_types: types,
        ..now()
    };
    for (field, question) in [
        ("cursor", after("7")),
        ("cursor", after("AAAAAAAAAAAAAAAA")),
        ("cursor", after(&"A".repeat(100_000))),
        ("cursor", after(&ahead)),
        ("start", pb::WatchEventsRequest { start: 7, ..now() }),
        ("customer_ids", customer("phone", "1")),
        ("customer_ids", customer("cookie", "null")),
        ("event_types", types(vec!["t".to_owned(); 256])),
        ("event_type", types(vec![" ".to_owned()])),
    ] {
        let status = server.watches_as(PRIVATE, question).await.err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}");
        assert_eq!(violations(&status)[0].0, field, "{status:?}");
    }
    let nobody = pb::WatchEventsRequest {
        project_token: TOKEN.replace('1', "0"),
        ..now()
    };
    let status = server.watches_as(PRIVATE, nobody).await.err().unwrap();
    assert_eq!(status.message(), "Could not authenticate");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_so_many_watches_and_no_more_until_one_ends() {
    let setup = Setup::default().with("[server]\nwatchers_max = 2");
    let server = setup.start().await;
    let first = server.watches(now()).await;
    let second = server.watches(now()).await;
    let status = server.watches_as(PRIVATE, now()).await.err().unwrap();
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::Unavailable,
            "the key has 2 watches and exports under way, which is the most"
        )
    );
    let delay = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Duration::from_secs(5)));
    // Another project's key of the same name has places of its own.
    let other = pb::WatchEventsRequest {
        project_token: OTHER_TOKEN.to_owned(),
        ..now()
    };
    let key = "Basic a2V5LWlkOm90aGVyLXNlY3JldA==";
    let other = server.watches_as(key, other).await.unwrap();
    drop(first);
    let third = eventually("the first gives its place back", async || {
        let watch = server.watches_as(PRIVATE, now()).await;
        if let Err(status) = &watch {
            assert_eq!(status.code(), Code::Unavailable);
        }
        watch.ok()
    })
    .await;
    drop((second, third, other));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_do_not_hold_up_a_stop() {
    let setup = Setup::default().with("[server]\ndrain_timeout = \"1h\"");
    let server = setup.start().await;
    let mut idle = server.watches(now()).await;
    adds(&server, "e", 1).await;
    assert_eq!(idle.tells(1).await, ["e"]);
    server.signal();
    assert_eq!(idle.message().await.unwrap(), None);
    server.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_does_not_read_slows_nobody_and_misses_nothing() {
    let server = Setup::default()
        .with("[rate_limit]\nexempt = [\"127.0.0.0/8\"]")
        .start()
        .await;
    let mut slow = server.watches(now()).await;
    let mut fast = server.watches(now()).await;
    let long = "x".repeat(15_000);
    // 15 MB: more than any buffer on the way.
    for number in 0..1_000 {
        server.adds(&json!({"customer_ids": {"registered": "a"}, "event_type": "e", "timestamp": number, "properties": {"long": long}})).await;
        assert_eq!(fast.event().await.0.timestamp.unwrap().seconds, number);
    }
    for number in 0..1_000 {
        assert_eq!(slow.event().await.0.timestamp.unwrap().seconds, number);
    }
    drop((slow, fast));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_many_write_at_once_is_told() {
    const WRITERS: u32 = 8;
    const EACH: u32 = 50;
    let server = Setup::default()
        .with("[rate_limit]\nexempt = [\"127.0.0.0/8\"]")
        .start()
        .await;
    let mut watcher = server.watches(now()).await;
    let write = async |writer: u32| {
        for number in 0..EACH {
            server.adds(&json!({"customer_ids": {"cookie": writer.to_string()}, "event_type": "e", "timestamp": number})).await;
        }
    };
    let writing = futures_util::future::join_all((0..WRITERS).map(write));
    let reading = async {
        let mut next = vec![0; WRITERS as usize];
        for _ in 0..WRITERS * EACH {
            let (event, ids) = watcher.event().await;
            let writer: usize = ids[0].values[0].parse().unwrap();
            assert_eq!(event.timestamp.unwrap().seconds, next[writer]);
            next[writer] += 1;
        }
    };
    tokio::join!(writing, reading);
    drop(watcher);
    server.stop().await;
}
