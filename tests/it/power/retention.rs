//! The power is cut while records leave because they are too old.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::moment::Moment;
use super::{NEVER, POWER_CUTS, number_from_environment, place};
use crate::crash::scene::SETTINGS;
use crate::erase::files_with;
use crate::erase::leaver::has_left;
use crate::harness::dice::Dice;
use crate::harness::first_run::Project;
use crate::harness::keep_alive::Connection;
use crate::harness::process::{Process, command, log, run};
use crate::harness::{START, eventually};

const CALLERS: usize = 16;
/// How old an event gets.
const RETENTION: Duration = Duration::from_secs(1);
const KEPT: [(&str, &str); 2] = [
    ("FOOTFALL_DATA_RETENTION", "1s"),
    ("FOOTFALL_DATA_ERASE_WITHIN", "0s"),
];
/// What the events carry, and nothing else has. It does not compress.
const TEXT: &str = "n7Wd3XyKq9Rb5TfJ1mZc8VgH4sLp6QeA";

fn service(dir: &Path, settings: &[(&str, &str)]) -> Process {
    Process::start_with(dir, &[&SETTINGS, settings].concat())
}

/// One who stores events of a customer of its own, one after the other.
#[derive(Clone, Default)]
struct Caller {
    index: usize,
    /// When each was sent.
    sent: Arc<Mutex<Vec<Instant>>>,
    /// So many have their answer.
    acknowledged: Arc<AtomicUsize>,
}

impl Caller {
    fn id(&self) -> String {
        format!("caller-{}", self.index)
    }

    fn sent(&self) -> Vec<Instant> {
        let sent = self.sent.lock();
        sent.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the profile goes on to show, however old it is.
    async fn is_named(&self, address: SocketAddr, project: &Project) {
        let ids = json!({"registered": self.id()});
        let update = json!({"customer_ids": ids, "properties": {"name": self.id()}});
        let answer = project.track(address, "customers", &update.to_string());
        assert_eq!(answer.send().await.status, 200);
    }

    /// Sends events until the service is gone.
    async fn write(self, address: SocketAddr, project: Project) {
        let path = format!("/track/v2/projects/{}/customers/events", project.token);
        let Ok(mut connection) = Connection::open(address).await else {
            return;
        };
        loop {
            let n = self.acknowledged.load(Ordering::Acquire);
            // From no bytes on to those that lie apart.
            let text = TEXT.repeat(n * 7 % 60);
            let body = json!({"customer_ids": {"registered": self.id()}, "event_type": "step",
                "timestamp": START + n as u64, "properties": {"text": text}});
            {
                let mut sent = self.sent.lock().unwrap();
                sent.truncate(n);
                sent.push(Instant::now());
            }
            let body = body.to_string();
            match connection.post(&path, &project.private(), &body).await {
                Ok(answer) if answer.status == 200 => {}
                Ok(answer) if answer.status == 503 => continue,
                Ok(answer) => panic!("{answer:?}"),
                Err(_) => return,
            }
            self.acknowledged.fetch_add(1, Ordering::Release);
        }
    }

    /// The numbers of its events that are there.
    async fn stored(&self, address: SocketAddr, project: &Project) -> Vec<usize> {
        let (mut numbers, mut properties) = (Vec::new(), serde_json::Map::new());
        let mut token = String::new();
        // A customer may have more than one answer holds.
        loop {
            let request = json!({"customer_ids": {"registered": self.id()}, "paged": true, "page_token": token});
            let answer = project.data(address, "export-one", &request.to_string());
            let answer = answer.send().await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let page = answer.json();
            properties.extend(page["properties"].as_object().unwrap().clone());
            for event in page["events"].as_array().unwrap() {
                let n = event["timestamp"].as_f64().unwrap() as usize - START as usize;
                assert_eq!(
                    event["properties"],
                    json!({"text": TEXT.repeat(n * 7 % 60)})
                );
                numbers.push(n);
            }
            match page["next_page_token"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => break,
            }
        }
        assert_eq!(json!(properties), json!({"name": self.id()}));
        numbers
    }
}

/// Cuts the power so often; says how many events had left by then.
async fn cuts(count: u64) -> Option<usize> {
    let (place, _turn) = place().await?;
    let mut dice = Dice::new();
    let mut disk = place.disk(NEVER);
    let mut process = service(disk.dir(), &KEPT);
    let project = Project::read(disk.dir());
    let caller = |index| Caller {
        index,
        ..Caller::default()
    };
    let callers: Vec<_> = (0..CALLERS).map(caller).collect();
    for caller in &callers {
        caller.is_named(process.address, &project).await;
    }
    let mut gone = 0;
    for _ in 0..count {
        let mut writing = JoinSet::new();
        for caller in &callers {
            writing.spawn(caller.clone().write(process.address, project.clone()));
        }
        // From a time at which all is young to the middle of making the engine write its files again.
        Moment::within(5_000, &mut dice).comes(disk.dir()).await;
        let acknowledged = |caller: &Caller| caller.acknowledged.load(Ordering::Acquire);
        let before: Vec<usize> = callers.iter().map(acknowledged).collect();
        let cut = disk.cut();
        let old = Instant::now() - RETENTION;
        process.kill();
        writing.join_all().await;
        drop(disk);

        // Without retention nothing more leaves.
        disk = cut.mount(NEVER);
        process = service(disk.dir(), &[]);
        for (caller, before) in callers.iter().zip(before) {
            let sent = caller.sent();
            let stored = caller.stored(process.address, &project).await;
            // The old may have left, the oldest first; the last one may have been kept without an answer.
            let young = sent.iter().position(|sent| *sent >= old);
            let first = stored.first().copied().unwrap_or(before);
            let next = first + stored.len();
            assert!(
                stored.iter().copied().eq(first..next)
                    && first <= young.unwrap_or(before)
                    && (before..=sent.len()).contains(&next),
                "{stored:?}, not {young:?} to {before}; {}",
                log(disk.dir())
            );
            gone += first;
            caller.acknowledged.store(next, Ordering::Release);
        }
        assert!(process.terminate().success());
        process = service(disk.dir(), &KEPT);
    }
    // In the end all is old. Who reads while a page of events leaves may see any of them.
    for caller in &callers {
        let what = format!("the events of {} leave", caller.id());
        eventually(&what, async || {
            let stored = caller.stored(process.address, &project).await;
            stored.is_empty().then_some(())
        })
        .await;
    }
    has_left(disk.dir()).await;
    assert_eq!(files_with(disk.dir(), &TEXT.repeat(2)), [""; 0]);
    assert!(process.terminate().success());
    let (code, said) = run(command(disk.dir()).args(["log", "verify"]));
    assert_eq!(code, Some(0), "{said}");
    Some(gone)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_while_the_old_leave_takes_none_of_the_young() {
    if let Some(gone) = cuts(1).await {
        println!("{gone} events had left");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: POWER_CUTS says how many cuts"]
async fn no_power_cut_of_many_while_the_old_leave_takes_any_of_the_young() {
    let cuts = cuts(number_from_environment("POWER_CUTS").unwrap_or(POWER_CUTS));
    if let Some(gone) = cuts.await {
        assert!(gone > 0, "nothing has left");
    }
}
