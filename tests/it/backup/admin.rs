//! `POST /backup` over the unix socket.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use footfall::log::disk::{DiskStore, Options};
use footfall::log::memory::MemoryStore;
use footfall::log::{Error, Position, Rewrites, Store, StoreError};
use serde_json::json;

use crate::harness::{Answer, Request, Server, Setup, eventually};

const RECORDS: usize = 150;
/// A call that takes longer waits for what is held.
const HELD_MAX: Duration = Duration::from_secs(30);

/// Keeps those who read its log waiting.
#[derive(Debug, Default)]
struct Held {
    store: MemoryStore,
    is_held: Mutex<bool>,
    changed: Condvar,
}

impl Held {
    fn hold(&self, is_held: bool) {
        *self.is_held.lock().unwrap() = is_held;
        self.changed.notify_all();
    }
}

impl Store for Held {
    fn commit(&self, first: Position, records: &[Bytes]) -> Result<(), StoreError> {
        self.store.commit(first, records)
    }

    fn last(&self) -> Position {
        self.store.last()
    }

    fn read(&self, position: Position) -> Result<Bytes, Error> {
        self.store.read(position)
    }

    fn read_after(&self, after: Position, limit: usize) -> Result<Vec<(Position, Bytes)>, Error> {
        let held = self.is_held.lock().unwrap();
        drop(self.changed.wait_while(held, |held| *held).unwrap());
        self.store.read_after(after, limit)
    }

    fn rewrite(&self, rewrites: &mut Rewrites<'_>) -> Result<(), Error> {
        self.store.rewrite(rewrites)
    }

    fn is_purge_pending(&self) -> Result<bool, Error> {
        self.store.is_purge_pending()
    }

    fn purge(&self, room: u64) -> Result<(), Error> {
        self.store.purge(room)
    }

    fn end_purge(&self) -> Result<(), Error> {
        self.store.end_purge()
    }

    fn has_space(&self) -> bool {
        self.store.has_space()
    }

    fn close(&self) {}
}

/// A service over a store that can be held, with so many records that are all folded.
async fn held() -> (Arc<Held>, Server) {
    let store = Arc::new(Held::default());
    let server = Setup::default().over(store.clone()).start().await;
    let event = json!({"name": "customers/events", "data":
        {"customer_ids": {"registered": "a"}, "event_type": "visit"}});
    let batch = json!({"commands": vec![event; RECORDS / 3]}).to_string();
    for _ in 0..3 {
        assert_eq!(server.track("batch", &batch).send().await.status, 200);
    }
    server.stop().await;
    // A service that has just started has no records in memory: a copy has to read the store.
    let server = Setup::default().over(store.clone()).start().await;
    // The view has read them, and reads no more.
    let question = r#"{"customer_ids":{"registered":"a"},"event_types":["visit"]}"#;
    assert_eq!(server.data("events", question).send().await.status, 200);
    (store, server)
}

fn ask(server: &Server, dir: &Path) -> impl Future<Output = Answer> + Send + use<> {
    let path = format!("/backup?dir={}", dir.display());
    let (request, data) = (Request::new(server.admin, "POST", &path), server.data_dir());
    async move { request.send_by_socket(&data).await }
}

/// Waits until a copy has begun.
async fn begun(dir: &Path) {
    eventually("a copy begins", async || {
        dir.join("durable-position").exists().then_some(())
    })
    .await;
}

fn error(answer: &Answer) -> String {
    let json = answer.json();
    json["error"].as_str().unwrap().to_owned()
}

fn is_whole(dir: &Path) {
    let copy = DiskStore::open(Options {
        dir: dir.to_owned(),
        free_bytes_min: 0,
        ..Options::default()
    });
    assert_eq!(copy.unwrap().last().get(), RECORDS as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_says_what_was_copied() {
    let (_, server) = held().await;
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("a copy & more");
    let encoded = copy.to_str().unwrap().replace(' ', "+").replace('&', "%26");
    let answer = ask(&server, Path::new(&encoded)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let mut said = answer.json();
    assert!(said["bytes"].take().as_u64().unwrap() > RECORDS as u64);
    assert_eq!(
        said,
        json!({"dir": copy, "records": RECORDS, "bytes": null, "last_position": RECORDS})
    );
    is_whole(&copy);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_backup_is_made_at_a_time_and_writers_do_not_wait_for_it() {
    let (store, server) = held().await;
    let dir = tempfile::tempdir().unwrap();
    let copies = ["first", "second"].map(|name| dir.path().join(name));
    store.hold(true);
    let first = tokio::spawn(ask(&server, &copies[0]));
    begun(&copies[0]).await;
    // One that is not refused is held too.
    let second = tokio::time::timeout(HELD_MAX, ask(&server, &copies[1]));
    let second = second.await.unwrap();
    assert_eq!(
        (second.status, error(&second).as_str()),
        (409, "another backup is under way")
    );
    let event = r#"{"customer_ids":{"registered":"b"},"event_type":"visit"}"#;
    let written = server.track("customers/events", event).send().await;
    assert_eq!(written.status, 200);
    store.hold(false);
    assert_eq!(first.await.unwrap().status, 200);
    // What was acknowledged since is not in it.
    is_whole(&copies[0]);
    let second = ask(&server, &copies[1]).await;
    assert_eq!(second.json()["records"], RECORDS + 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_on_when_nobody_waits_for_it() {
    let (store, server) = held().await;
    let dir = tempfile::tempdir().unwrap();
    let copies = ["left", "next"].map(|name| dir.path().join(name));
    store.hold(true);
    let asking = tokio::spawn(ask(&server, &copies[0]));
    begun(&copies[0]).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    store.hold(false);
    eventually("the next backup is made", async || {
        (ask(&server, &copies[1]).await.status == 200).then_some(())
    })
    .await;
    is_whole(&copies[0]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_backup_and_leaves_nothing_of_it() {
    let (store, server) = held().await;
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    store.hold(true);
    let asking = tokio::spawn(ask(&server, &empty));
    begun(&empty).await;
    let next = || ask(&server, &dir.path().join("next"));
    server.signal();
    let refused = eventually("the next backup is refused by the stop", async || {
        let refused = next().await;
        (refused.status != 409).then_some(refused)
    })
    .await;
    store.hold(false);
    for stopped in [refused, asking.await.unwrap()] {
        let expected = "stopped before the backup was finished; what was copied is removed";
        assert_eq!((stopped.status, error(&stopped).as_str()), (503, expected));
    }
    let data = server.data_dir();
    let _dir = server.ended().await;
    assert!(!data.join("admin.sock").exists());
    let mut left = std::fs::read_dir(dir.path()).unwrap();
    assert_eq!(left.next().unwrap().unwrap().file_name(), "empty");
    assert!(left.next().is_none());
    assert!(std::fs::read_dir(empty).unwrap().next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_made_over_the_socket_alone() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let path = format!("/backup?dir={}", copy.display());
    let answer = Request::new(server.admin, "POST", &path).send().await;
    assert_eq!(answer.status, 404);
    assert!(error(&answer).contains("admin.sock"), "{answer:?}");
    // Callers of the service have no such route.
    let answer = server.post(&path).send().await;
    assert_eq!(answer.status, 404);
    let get = Request::new(server.admin, "GET", &path);
    let answer = get.send_by_socket(&server.data_dir()).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert!(!copy.exists());
    let metrics = Request::new(server.admin, "GET", "/metrics");
    let answer = metrics.send_by_socket(&server.data_dir()).await;
    assert!(answer.body.contains("footfall_"), "{}", answer.body);
    assert_eq!(ask(&server, &copy).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_beyond_the_most_wait_and_those_that_say_nothing_are_cut_off() {
    const CONNECTIONS_MAX: usize = 16;
    let server = Server::start().await;
    let socket = server.data_dir().join("admin.sock");
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(tokio::net::UnixStream::connect(&socket).await.unwrap());
    }
    // Answered once the silent ones have used up their time.
    let build = Request::new(server.admin, "GET", "/buildz");
    let data = server.data_dir();
    let answer = tokio::time::timeout(HELD_MAX, build.send_by_socket(&data));
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_meant_is_refused() {
    let server = Server::start().await;
    let inside = server.data_dir().join("copy").display().to_string();
    let full = server.data_dir().display().to_string();
    let needed = "'dir' is needed: the absolute path, in UTF-8, of a new or empty folder";
    for (query, status, expected) in [
        ("", 400, needed),
        ("?to=/x", 400, needed),
        ("?dir=", 400, needed),
        ("?dir=/tmp/%ff", 400, needed),
        ("?dir=/tmp/%00", 400, needed),
        ("?dir=copies/new", 400, "copies/new is not an absolute path"),
        (
            &format!("?dir={inside}"),
            400,
            "is inside of the data folder",
        ),
        (&format!("?dir={full}"), 400, "is inside of the data folder"),
        ("?dir=/", 409, "/ is not empty"),
        ("?dir=/no/such/folder", 500, "/no/such: No such file"),
    ] {
        let request = Request::new(server.admin, "POST", &format!("/backup{query}"));
        let answer = request.send_by_socket(&server.data_dir()).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.body);
        assert!(error(&answer).contains(expected), "{query}: {answer:?}");
    }
    server.stop().await;
}
