//! A service in a process of its own, and the many who write to it.

use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::commands::{PER_CUSTOMER, State};
use super::rpc;
use super::writer::{GRPC_WRITERS, Target, Writer};
use crate::harness::first_run::Project;
use crate::harness::process::{Process, command, log, run};

const WRITERS: usize = 200;
/// So many of those who call over gRPC share one connection.
const GRPC_WRITERS_PER_CHANNEL: usize = 5;

pub const SETTINGS: [(&str, &str); 3] = [
    ("FOOTFALL_RATE_LIMIT_EXEMPT", "127.0.0.0/8"),
    ("FOOTFALL_SERVER_DRAIN_WAIT", "300ms"),
    // Checkpoints are made all the time.
    ("FOOTFALL_VIEW_CHECKPOINT_BYTES", "64KiB"),
];

/// A service on a folder, and those who write to it.
pub struct Scene {
    pub dir: PathBuf,
    pub process: Process,
    pub writers: Vec<Writer>,
}

impl Scene {
    /// A service on an empty folder, and those who have not written yet.
    pub fn new(dir: &Path, settings: &[(&str, &str)]) -> Self {
        Self::of((0..WRITERS).map(Writer::new).collect(), dir, settings)
    }

    /// Those who have written, and a service on what is left of it, with more settings than all have.
    pub fn of(mut writers: Vec<Writer>, dir: &Path, settings: &[(&str, &str)]) -> Self {
        // They come back as they end.
        writers.sort_by_key(|writer| writer.index);
        Self {
            dir: dir.to_owned(),
            process: Process::start_with(dir, &[&SETTINGS, settings].concat()),
            writers,
        }
    }

    pub fn target(&self) -> Target {
        let address = self.process.address;
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        Target {
            address,
            project: Project::read(&self.dir),
            channel: channel.connect_lazy(),
        }
    }

    /// Lets everybody write.
    pub fn write(&mut self, until: Instant) -> JoinSet<Writer> {
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
    pub async fn holds(&self, may_be: impl Fn(&Writer) -> Vec<u64>) {
        let target = self.target();
        let check = async |writer: &Writer| {
            let stored = writer.stored(writer.customer(), &target).await;
            assert!(
                may_be(writer)
                    .into_iter()
                    .any(|n| stored == State::after(n)),
                "{writer:?} has {stored:?}; {}",
                log(&self.dir)
            );
        };
        join_all(self.writers.iter().map(check)).await;
    }

    /// Everybody repeats what got no answer and goes on until `until`: then all is there, and nothing else but
    /// the customers of `others`.
    pub async fn goes_on(mut self, until: Instant, others: &[String]) {
        self.writers = self.write(until).join_all().await;
        for writer in &self.writers {
            assert!(writer.silence.is_none(), "{writer:?}");
        }
        self.holds(|writer| vec![writer.acknowledged()]).await;
        let target = self.target();
        for writer in &self.writers {
            for customer in 0..writer.customer() {
                let stored = writer.stored(customer, &target).await;
                let whole = stored == State::after(PER_CUSTOMER);
                assert!(whole, "{}: {stored:?}", writer.name(customer));
            }
        }
        self.has_nobody_else(others).await;
        let count = |of: fn(&Writer) -> u64| self.writers.iter().map(of).sum::<u64>();
        let (written, delays) = (count(Writer::written), count(|writer| writer.delays));
        println!("{written} commands, {delays} times asked to come back later");
        assert!(self.process.terminate().success());
        let (code, said) = run(command(&self.dir).args(["log", "verify"]));
        assert_eq!(code, Some(0), "{said}");
    }

    /// The service knows the customers that were written about, each by both of its IDs, and `others`.
    async fn has_nobody_else(&self, others: &[String]) {
        let known = rpc::everybody(&self.target()).await;
        let mut expected: Vec<String> = self.writers.iter().flat_map(Writer::customers).collect();
        expected.extend_from_slice(others);
        expected.sort();
        assert!(known == expected, "{known:?}, not {expected:?}");
    }
}
