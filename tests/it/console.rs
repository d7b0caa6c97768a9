//! The console's data over the second listener: what it shows, to whom, and what may change something.

use serde_json::{Value, json};

use crate::harness::event_source::EventSource;
use crate::harness::http::Request;
use crate::harness::{Answer, PRIVATE, Server, Setup, TOKEN, eventually};

const EVENT: &str = r#"{"customer_ids":{"registered":"a"},"event_type":"visit","timestamp":1700000000,"properties":{"n":1}}"#;
const PROJECT: &str = "project=";

/// A request to the second listener.
fn asks(server: &Server, method: &'static str, path: &str) -> Request {
    Request::new(server.admin, method, path)
}

async fn shows(server: &Server, path: &str) -> Value {
    let answer = asks(server, "GET", path).send().await;
    assert_eq!(answer.status, 200, "{path} {answer:?}");
    answer.json()
}

async fn visits(server: &Server, count: usize) {
    for number in 0..count {
        let event = json!({"customer_ids": {"registered": "a"}, "event_type": "visit",
            "properties": {"n": number}});
        server.adds(&event).await;
    }
}

/// The next message of a feed: its name, ID and data.
async fn message(feed: &mut EventSource) -> (String, String, Value) {
    loop {
        let piece = feed.piece().await.expect("a message");
        let field = |name: &str| {
            let mut lines = piece.lines();
            lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
        };
        if let Some(name) = field("event: ") {
            let data = serde_json::from_str(&field("data: ").unwrap()).unwrap();
            return (name, field("id: ").unwrap(), data);
        }
    }
}

impl Server {
    async fn feed(&self, query: &str) -> EventSource {
        let mut feed = EventSource::get(self.admin, &format!("/feed{query}"), "", "").await;
        assert_eq!(feed.head.status, 200, "{:?}", feed.head);
        assert_eq!(message(&mut feed).await.0, "ready");
        feed
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_its_files_come_from_the_binary() {
    let server = Server::start().await;
    let page = asks(&server, "GET", "/").send().await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(page.body.contains("console/app.js"), "{}", page.body);
    for (name, content_type) in [
        ("app.js", "text/javascript; charset=utf-8"),
        ("console.css", "text/css; charset=utf-8"),
        ("vendor/uplot.js", "text/javascript; charset=utf-8"),
    ] {
        let file = asks(&server, "GET", &format!("/console/{name}"))
            .send()
            .await;
        assert_eq!(file.header("content-type"), Some(content_type), "{name}");
        let policy = file.header("content-security-policy");
        assert_eq!(policy, Some("default-src 'self'; frame-ancestors 'none'"));
    }
    assert_eq!(asks(&server, "GET", "/console/x").send().await.status, 404);
    server.stop().await;
    let off = Setup::default()
        .with("[server]\nconsole = false")
        .start()
        .await;
    for path in [
        "/",
        "/console/app.js",
        "/status",
        "/feed",
        "/customer",
        "/settings",
    ] {
        assert_eq!(asks(&off, "GET", path).send().await.status, 404, "{path}");
    }
    assert_eq!(asks(&off, "GET", "/refusals").send().await.status, 200);
    off.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_says_what_there_is_and_since_when() {
    let server = Server::start().await;
    visits(&server, 3).await;
    assert_eq!(server.track("customers", "{").send().await.status, 400);
    let state = eventually("all is read", async || {
        let state = shows(&server, "/status").await;
        (state["view"]["lag_records"] == 0).then_some(state)
    })
    .await;
    assert_eq!(state["state"], "serving");
    assert_eq!(state["log"]["position"], 3);
    assert_eq!(state["projects"][0]["token"], TOKEN);
    let newest = state["projects"][0]["last_event"].as_str().unwrap();
    assert!(newest.starts_with("2023-11-14T22:13:20.0000"), "{newest}");
    assert_eq!(state["calls"]["url"], format!("http://{}", server.address));
    let reasons = shows(&server, "/reasons").await;
    let reasons = reasons["reasons"].as_array().unwrap();
    let wrong = reasons
        .iter()
        .find(|one| one["tag"] == "json_invalid")
        .unwrap();
    assert_eq!(wrong["counts"], json!({TOKEN: 1}));
    assert_eq!(wrong["last"]["excerpt"], "{");
    assert_eq!(wrong["severity"], "refused");
    let history = eventually("two steps", async || {
        let history = shows(&server, "/history?seconds=5").await;
        let steps = history["series"][0]["values"].as_array().unwrap().len();
        (steps >= 2).then_some(history)
    })
    .await;
    assert_eq!(history["step_seconds"], 1);
    let answer = asks(&server, "GET", "/history?seconds=x").send().await;
    assert_eq!(
        answer.json()["error"],
        "'seconds' must be a number, not 'x'"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_shows_events_and_refusals_as_they_come() {
    let server = Server::start().await;
    let mut all = server.feed("").await;
    let mut chosen = server
        .feed("?type=buy&customer=registered:a&show=events")
        .await;
    let mut refused = server.feed("?show=refusals&reason=json_invalid").await;
    server.adds(&serde_json::from_str(EVENT).unwrap()).await;
    let (name, _, event) = message(&mut all).await;
    assert_eq!(name, "event");
    assert_eq!(
        event,
        json!({"position": 1, "project": TOKEN, "type": "visit", "ids": [{"type": "registered", "value": "a"}],
            "time": "2023-11-14T22:13:20Z", "received": "2023-11-14T22:13:20Z", "properties": {"n": 1}})
    );
    assert_eq!(server.track("customers", "{").send().await.status, 400);
    for feed in [&mut all, &mut refused] {
        let (name, _, refusal) = message(feed).await;
        assert_eq!(
            (name.as_str(), &refusal["reason"]),
            ("refusal", &json!("json_invalid"))
        );
    }
    for (customer, kind) in [("b", "buy"), ("a", "buy")] {
        server
            .adds(&json!({"customer_ids": {"registered": customer}, "event_type": kind}))
            .await;
    }
    let (_, _, event) = message(&mut chosen).await;
    assert_eq!(event["position"], 3);
    drop((all, chosen, refused));
    server.stop().await;
}

/// Reads until as many rows are shown or counted; returns how many were shown, and the last ID.
async fn read(feed: &mut EventSource, count: u64) -> (Vec<u64>, u64, String) {
    let (mut shown, mut passed, mut last) = (Vec::new(), 0, String::new());
    while shown.len() as u64 + passed < count {
        let (name, id, data) = message(feed).await;
        match name.as_str() {
            "event" => shown.push(data["properties"]["n"].as_u64().unwrap()),
            "passed" => passed += data["events"].as_u64().unwrap(),
            other => panic!("{other}"),
        }
        last = id;
    }
    assert_eq!(shown.len() as u64 + passed, count);
    (shown, passed, last)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_feed_does_not_show_is_counted_exactly_and_a_pause_loses_nothing() {
    let setup = Setup::default().with("[rate_limit]\nrequests = 100000");
    let server = setup.start().await;
    let mut feed = server.feed("?show=events").await;
    let commands = |from: usize| {
        let events = (from..from + 50).map(|n| {
            json!({"name": "customers/events", "data": {"customer_ids": {"registered": "a"},
                "event_type": "visit", "properties": {"n": n}}})
        });
        json!({"commands": events.collect::<Vec<_>>()}).to_string()
    };
    for batch in 0..40 {
        let answer = server.track("batch", &commands(batch * 50)).send().await;
        assert_eq!(answer.status, 200);
    }
    let (shown, passed, last) = read(&mut feed, 2_000).await;
    assert!(passed > 0 && shown.is_sorted() && shown.last() == Some(&1_999));
    drop(feed);
    // Paused: counts come, and no rows. Then it goes on from where it was.
    let mut paused = server
        .feed(&format!("?show=events&counts=true&after={last}"))
        .await;
    visits(&server, 60).await;
    let (shown, passed, _) = read(&mut paused, 60).await;
    assert_eq!((shown.len(), passed), (0, 60));
    drop(paused);
    let mut resumed = server.feed(&format!("?show=events&after={last}")).await;
    let (shown, _, _) = read(&mut resumed, 60).await;
    assert_eq!(shown, (0..60).collect::<Vec<_>>());
    drop(resumed);
    // Beyond what comes at once, the oldest are counted.
    let mut behind = server.feed("?show=events&after=0-0").await;
    let (shown, passed, _) = read(&mut behind, 2_060).await;
    assert_eq!((shown.len(), passed), (500, 1_560));
    drop(behind);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_feeds_and_a_wrong_one_says_what_is_wrong() {
    let server = Server::start().await;
    for (query, text) in [
        ("after=x", "'after' must be an ID of a message, not 'x'"),
        ("after=9-0", "'after' is ahead of the log"),
        (
            "show=all",
            "'show' must be events, refusals or both, not 'all'",
        ),
        ("customer=a", "'customer' must be TYPE:VALUE, not 'a'"),
        ("reason=x", "'reason' must be a reason, not 'x'"),
        (
            "x=1",
            "known: show, project, type, customer, reason, after, counts, not 'x'",
        ),
    ] {
        let answer = asks(&server, "GET", &format!("/feed?{query}")).send().await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["error"], text);
    }
    let mut feeds = Vec::new();
    for _ in 0..8 {
        feeds.push(server.feed("").await);
    }
    let answer = asks(&server, "GET", "/feed").send().await;
    assert_eq!(answer.status, 503);
    drop(feeds.pop());
    eventually("a feed ends", async || {
        let feed = EventSource::get(server.admin, "/feed", "", "").await;
        (feed.head.status == 200).then_some(())
    })
    .await;
    // A service that stops does not wait for them.
    server.stop().await;
    drop(feeds);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_shown_in_pages_and_forgotten_with_a_key() {
    let server = Server::start().await;
    visits(&server, 101).await;
    let update =
        json!({"customer_ids": {"registered": "a", "cookie": "c"}, "properties": {"x": [1]}});
    assert_eq!(
        server
            .track("customers", &update.to_string())
            .send()
            .await
            .status,
        200
    );
    let path = format!("/customer?{PROJECT}{TOKEN}&id=cookie:c");
    let first = shows(&server, &path).await;
    assert_eq!(first["properties"][0]["name"], "x");
    assert_eq!(first["properties"][0]["value"], json!([1]));
    let updated = first["properties"][0]["updated"].as_str().unwrap();
    assert!(updated.starts_with("2023-11-14T22:13:20.000"), "{updated}");
    assert_eq!(first["ids"][0], json!({"type": "registered", "value": "a"}));
    assert_eq!(first["events"].as_array().unwrap().len(), 100);
    let next = first["next"].as_str().unwrap();
    let second = shows(&server, &format!("{path}&before={next}")).await;
    assert_eq!(second["events"].as_array().unwrap().len(), 1);
    assert!(second["next"].is_null());
    let forgets = async |key: &str, header: (&str, &str), origin: &str| -> Answer {
        let body = json!({"project": TOKEN, "customer_ids": {"registered": "a"}});
        asks(&server, "POST", "/customer/erase")
            .header(header.0, header.1)
            .header("Origin", origin)
            .header("Authorization", key)
            .body(body.to_string())
            .send()
            .await
    };
    let (marked, own) = (("X-Footfall-Console", "1"), "http://localhost");
    for (key, header, origin, status) in [
        (PRIVATE, ("X-Other", "1"), own, 403),
        (PRIVATE, marked, "http://evil.example", 403),
        (PRIVATE, marked, "null", 403),
        ("Basic eDp5", marked, own, 401),
        ("Token public-key", marked, own, 403),
        (PRIVATE, marked, own, 200),
        (PRIVATE, marked, own, 404),
    ] {
        let answer = forgets(key, header, origin).await;
        assert_eq!(
            answer.status, status,
            "{key} {header:?} {origin} {answer:?}"
        );
    }
    let gone = asks(&server, "GET", &path).send().await;
    assert_eq!(gone.status, 404);
    // A feed from the beginning does not show it either.
    let mut feed = server.feed("?show=events&after=0-0").await;
    let other = json!({"customer_ids": {"registered": "b"}, "event_type": "buy"});
    server.adds(&other).await;
    let (name, _, event) = message(&mut feed).await;
    assert_eq!((name.as_str(), &event["type"]), ("event", &json!("buy")));
    drop(feed);
    let large = asks(&server, "POST", "/session").header("X-Footfall-Console", "1");
    let answer = large.body(" ".repeat(64 * 1024 + 1)).send().await;
    assert_eq!(answer.status, 400);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_this_machine_data_need_a_private_key() {
    let setup = Setup::default().with("[server]\nadmin_hosts = [\"ops.example\"]");
    let server = setup.start().await;
    visits(&server, 1).await;
    let from_far =
        |method: &'static str, path: &str| asks(&server, method, path).host("ops.example");
    let customer = format!("/customer?{PROJECT}{TOKEN}&id=registered:a");
    let data = [
        "/feed",
        "/refusals",
        "/reasons",
        "/limits",
        "/settings",
        &customer,
    ];
    for path in data {
        assert_eq!(from_far("GET", path).send().await.status, 401, "{path}");
        let foreign = asks(&server, "GET", path).host("evil.example").send().await;
        assert_eq!(foreign.status, 403, "{path}");
    }
    for path in ["/", "/status", "/history"] {
        let answer = from_far("GET", path).send().await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.contains(TOKEN), "{path} {}", answer.body);
    }
    for header in ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"] {
        let behind_proxy = asks(&server, "GET", "/refusals").header(header, "203.0.113.7");
        assert_eq!(behind_proxy.send().await.status, 401, "{header}");
    }
    let signs_in = async |project: &str, key_id: &str, secret: &str| {
        let shown = json!({"project": project, "key_id": key_id, "secret": secret});
        let request = from_far("POST", "/session").header("X-Footfall-Console", "1");
        request.body(shown.to_string()).send().await
    };
    assert_eq!(signs_in(TOKEN, "key-id", "wrong").await.status, 401);
    assert_eq!(signs_in("nobody", "key-id", "key-secret").await.status, 401);
    let session = signs_in(TOKEN, "key-id", "key-secret").await;
    assert_eq!(session.status, 204);
    let cookie = session.header("set-cookie").unwrap();
    assert!(
        cookie.ends_with("; Max-Age=43200; Path=/; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap().to_owned();
    for path in ["/refusals", "/reasons", "/limits", &customer] {
        let answer = from_far("GET", path).header("Cookie", &cookie);
        assert_eq!(answer.send().await.status, 200, "{path}");
    }
    let settings = from_far("GET", "/settings").header("Cookie", &cookie);
    assert_eq!(settings.send().await.status, 403);
    let state = from_far("GET", "/status").header("Cookie", &cookie);
    let state = state.send().await.json();
    assert_eq!(state["projects"].as_array().unwrap().len(), 1);
    assert!(state["projects"][0]["commands"].is_null());
    let other =
        from_far("GET", "/customer?project=other&id=registered:a").header("Cookie", &cookie);
    assert_eq!(other.send().await.status, 403);
    let ended = from_far("DELETE", "/session").header("Cookie", &cookie);
    assert_eq!(
        ended.header("X-Footfall-Console", "1").send().await.status,
        204
    );
    let answer = from_far("GET", "/limits")
        .header("Cookie", &cookie)
        .send()
        .await;
    assert_eq!(answer.status, 401);
    // A command shows the key itself.
    let by_key = from_far("GET", &format!("/refusals?{PROJECT}{TOKEN}"));
    assert_eq!(
        by_key.header("Authorization", PRIVATE).send().await.status,
        200
    );
    let public = from_far("GET", &format!("/refusals?{PROJECT}{TOKEN}"));
    assert_eq!(
        public
            .header("Authorization", "Token public-key")
            .send()
            .await
            .status,
        401
    );
    server.stop().await;
}
