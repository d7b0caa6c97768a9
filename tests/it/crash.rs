//! Killed or stopped while many write: what was acknowledged is there, once, and nothing that was never sent.

mod writer;

use std::error::Error as _;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::harness::first_run::Project;
use crate::harness::process::{Process, log};
use writer::{GRPC_WRITERS, Silence, Target, Writer};

const WRITERS: usize = 200;
/// So many of those who call over gRPC share one connection.
const GRPC_WRITERS_PER_CHANNEL: usize = 5;
/// How long is written in all.
const WRITING: Duration = Duration::from_secs(10);

const SETTINGS: [(&str, &str); 2] = [
    ("FOOTFALL_RATE_LIMIT_EXEMPT", "127.0.0.0/8"),
    ("FOOTFALL_SERVER_DRAIN_WAIT", "300ms"),
];

/// A moment between two and eight seconds from now, and the number that it was drawn from.
fn moment() -> (Duration, u64) {
    let seed = RandomState::new().hash_one("moment");
    (Duration::from_millis(2_000 + seed % 6_000), seed)
}

/// Whether the client knows that the service has not taken the call: the connection was gone before it was sent,
/// or the service named it as beyond the last one that it would answer. The client gives that other codes.
fn was_not_taken(status: &Status) -> bool {
    let source = status.source().and_then(|transport| transport.source());
    let error = source.and_then(|error| error.downcast_ref::<hyper::Error>());
    error.is_some_and(|error| {
        error.is_canceled() || format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)")
    })
}

/// A service on a folder, and those who write to it.
struct Scene<'a> {
    dir: &'a Path,
    process: Process,
    writers: Vec<Writer>,
}

impl<'a> Scene<'a> {
    fn new(dir: &'a Path) -> Self {
        let writer = |index| Writer {
            index,
            acknowledged: 0,
            silence: None,
        };
        Self {
            dir,
            process: Process::start_with(dir, &SETTINGS),
            writers: (0..WRITERS).map(writer).collect(),
        }
    }

    fn target(&self) -> Target {
        let address = self.process.address;
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        Target {
            address,
            project: Project::read(self.dir),
            channel: channel.connect_lazy(),
        }
    }

    /// Lets everybody write.
    fn write(&mut self, until: Instant) -> JoinSet<Writer> {
        let mut target = self.target();
        let mut writing = JoinSet::new();
        for writer in std::mem::take(&mut self.writers) {
            if writer.index < GRPC_WRITERS && writer.index % GRPC_WRITERS_PER_CHANNEL == 0 {
                target = self.target();
            }
            writing.spawn(writer.write(target.clone(), until));
        }
        writing
    }

    /// Compares what each writer's customer holds with how many of its commands, from the first on, may be there.
    async fn holds(&self, expected: impl Fn(&Writer) -> RangeInclusive<u64>, seed: u64) {
        let target = self.target();
        for writer in &self.writers {
            let stored = writer.stored(&target).await;
            let count = stored.len() as u64;
            assert!(
                expected(writer).contains(&count) && stored.iter().copied().eq(0..count),
                "seed {seed}: {writer:?} has {stored:?}; {}",
                log(self.dir)
            );
        }
    }

    /// Everybody repeats what got no answer and goes on until `until`: then all is there.
    async fn goes_on(mut self, until: Instant, seed: u64) {
        self.writers = self.write(until).join_all().await;
        for writer in &self.writers {
            assert!(writer.silence.is_none(), "seed {seed}: {writer:?}");
        }
        self.holds(|writer| writer.acknowledged..=writer.acknowledged, seed)
            .await;
        let written: u64 = self.writers.iter().map(|writer| writer.acknowledged).sum();
        println!("seed {seed}: {written} commands");
        assert!(self.process.terminate().success(), "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_kill_is_there_once() {
    let dir = tempfile::tempdir().unwrap();
    let (moment, seed) = moment();
    let mut scene = Scene::new(dir.path());
    let begin = Instant::now();
    let writing = scene.write(begin + WRITING);

    // The moment is drawn, nothing is waited for.
    tokio::time::sleep_until(begin + moment).await;
    scene.process.kill();
    let writers = writing.join_all().await;

    let process = Process::start_with(dir.path(), &SETTINGS);
    let scene = Scene {
        dir: dir.path(),
        process,
        writers,
    };
    // What got no answer may be there or not.
    let either = |writer: &Writer| writer.acknowledged..=writer.acknowledged + 1;
    scene.holds(either, seed).await;
    scene.goes_on(Instant::now() + WRITING - moment, seed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_service_keeps_exactly_what_it_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (moment, seed) = moment();
    let mut scene = Scene::new(dir.path());
    let begin = Instant::now();
    let writing = scene.write(begin + WRITING);

    // The moment is drawn, nothing is waited for.
    tokio::time::sleep_until(begin + moment).await;
    let stopping = scene.process;
    let stopped = tokio::task::spawn_blocking(move || stopping.terminate());
    let writers = writing.join_all().await;
    let status = stopped.await.unwrap();
    assert_eq!(status.code(), Some(0), "seed {seed}: {}", log(dir.path()));

    // A server may close a kept connection while its caller begins the next request: that request was never
    // read, and no byte answers it. HTTP/2 says which calls it has not taken, so a client knows of each call
    // without an answer that it was not carried out.
    for writer in &writers {
        let never_read = match &writer.silence {
            Some(Silence::NotConnected) => true,
            Some(Silence::Cut(cut)) => cut.answered.is_empty(),
            Some(Silence::Status(status)) => {
                status.code() == Code::Unavailable || was_not_taken(status)
            }
            None => false,
        };
        assert!(never_read, "seed {seed}: {writer:?}");
    }

    let process = Process::start_with(dir.path(), &SETTINGS);
    let scene = Scene {
        dir: dir.path(),
        process,
        writers,
    };
    // Were there more, somebody would not know of it: a request was carried out and its answer lost.
    let answered = |writer: &Writer| writer.acknowledged..=writer.acknowledged;
    scene.holds(answered, seed).await;
    scene.goes_on(Instant::now() + WRITING - moment, seed).await;
}
