//! Killed or stopped while many write: what was acknowledged is there, once, and nothing that was never sent.

mod commands;
mod rest;
mod rpc;
mod soak;
mod writer;

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::harness::dice::Dice;
use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, log, run};
use commands::{PER_CUSTOMER, State};
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
        Self {
            dir,
            process: Process::start_with(dir, &SETTINGS),
            writers: (0..WRITERS).map(Writer::new).collect(),
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

    /// Compares what each writer's present customer holds with how many of its commands, from the first on, may
    /// be there.
    async fn holds(&self, may_be: impl Fn(&Writer) -> Vec<u64>) {
        let target = self.target();
        let check = async |writer: &Writer| {
            let stored = writer.stored(writer.customer, &target).await;
            assert!(
                may_be(writer)
                    .into_iter()
                    .any(|n| stored == State::after(n)),
                "{writer:?} has {stored:?}; {}",
                log(self.dir)
            );
        };
        join_all(self.writers.iter().map(check)).await;
    }

    /// Everybody repeats what got no answer and goes on until `until`: then all is there, and nothing else.
    async fn goes_on(mut self, until: Instant) {
        self.writers = self.write(until).join_all().await;
        for writer in &self.writers {
            assert!(writer.silence.is_none(), "{writer:?}");
        }
        self.holds(|writer| vec![writer.acknowledged]).await;
        let target = self.target();
        for writer in &self.writers {
            for customer in 0..writer.customer {
                let stored = writer.stored(customer, &target).await;
                let whole = stored == State::after(PER_CUSTOMER);
                assert!(whole, "{}: {stored:?}", writer.name(customer));
            }
        }
        self.has_nobody_else().await;
        let count = |of: fn(&Writer) -> u64| self.writers.iter().map(of).sum::<u64>();
        let (written, delays) = (count(Writer::written), count(|writer| writer.delays));
        println!("{written} commands, {delays} times asked to come back later");
        assert!(self.process.terminate().success());
        let (code, said) = run(command(self.dir).args(["log", "verify"]));
        assert_eq!(code, Some(0), "{said}");
    }

    /// The service knows the customers that were written about, each by both of its IDs, and no others.
    async fn has_nobody_else(&self) {
        let known = rpc::everybody(&self.target()).await;
        let mut expected: Vec<String> = self.writers.iter().flat_map(Writer::customers).collect();
        expected.sort();
        assert!(known == expected, "{known:?}, not {expected:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_service_keeps_exactly_what_it_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice::new();
    let moment = dice.between(2_000..8_000);
    let mut scene = Scene::new(dir.path());
    let begin = Instant::now();
    let writing = scene.write(begin + WRITING);

    // The moment is drawn, nothing is waited for.
    tokio::time::sleep_until(begin + moment).await;
    let stopping = scene.process;
    let stopped = tokio::task::spawn_blocking(move || stopping.terminate());
    let writers = writing.join_all().await;
    let status = stopped.await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", log(dir.path()));

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
            Some(Silence::Later) | None => false,
        };
        assert!(never_read, "{writer:?}");
    }

    let process = Process::start_with(dir.path(), &SETTINGS);
    let scene = Scene {
        dir: dir.path(),
        process,
        writers,
    };
    // Were there more, somebody would not know of it: a request was carried out and its answer lost.
    scene.holds(|writer| vec![writer.acknowledged]).await;
    scene.goes_on(Instant::now() + WRITING - moment).await;
}
