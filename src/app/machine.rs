//! Fits the settings into what this process may have: descriptors, threads, memory.
//!
//! An engine that gets no descriptor in the middle of its work takes no writes before a restart. So callers'
//! connections get only what is left after all other shares.

mod limits;

use std::fmt;
use std::num::NonZeroUsize;

use super::StartError;
use crate::config::Config;
pub use limits::Limits;

/// Descriptors of the engines' work beside the tables that they keep open: journals, locks, and the tables that are
/// being written and merged.
const ENGINE_DESCRIPTORS: u64 = 64;
/// Descriptors of the process itself: its output, event loops, signals, listeners, settings.
const PROCESS_DESCRIPTORS: u64 = 32;
/// Stores that keep tables open: the log, the view, and the copy that a backup makes.
const STORES: u64 = 3;
/// Fewest descriptors that a service can work with.
const DESCRIPTORS_MIN: u64 = 192;

/// Most threads that wait for the disk: reads, and operators' requests.
const BLOCKING_THREADS_MAX: u64 = 512;
/// Fewest of them.
const BLOCKING_THREADS_MIN: u64 = 8;
/// Threads that do not come and go: the engines', the log's writer, the view's two, the retention's.
const FIXED_THREADS: u64 = 24;

/// The memory of an idle service beside its queue, caches and layers: what the engines hold before they write it.
const FIXED_MEMORY_BYTES: u64 = 192 << 20;
/// The part of the memory that the queue for the disk takes at most.
const QUEUE_PART: u64 = 8;
/// The part of the memory that the engines' caches take at most.
const CACHE_PART: u64 = 4;
/// The part of the memory that the fold remembers IDs and customers in at most.
const KNOWN_PART: u64 = 8;
/// The part of the memory that one checkpoint takes at most; up to three may be in memory.
const CHECKPOINT_PART: u64 = 32;
/// The part of the memory that bodies take at most.
const BODY_PART: u64 = 4;

/// The result of fitting settings to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// Most threads that wait for the disk.
    pub blocking_threads_max: usize,
    /// The settings that were lowered, as texts for an operator.
    pub warnings: Vec<Warning>,
}

/// A setting that exceeds the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(String);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Limits {
    /// Lowers the settings to what the machine has.
    ///
    /// # Errors
    /// [`StartError::Descriptors`], [`StartError::Threads`]: there are too few to serve any caller.
    pub fn fit(&self, config: &mut Config) -> Result<Fitted, StartError> {
        let mut warnings = Vec::new();
        let threads = self.fit_threads(&mut warnings)?;
        self.fit_descriptors(config, threads, &mut warnings)?;
        self.fit_memory(config, &mut warnings);
        Ok(Fitted {
            blocking_threads_max: usize::try_from(threads).unwrap_or(usize::MAX),
            warnings,
        })
    }

    /// How many threads may wait for the disk.
    fn fit_threads(&self, warnings: &mut Vec<Warning>) -> Result<u64, StartError> {
        // Each of them may open an uncached file.
        let most = (self.descriptors / 8).clamp(BLOCKING_THREADS_MIN, BLOCKING_THREADS_MAX);
        let Some(threads) = self.threads else {
            return Ok(most);
        };
        let fixed = FIXED_THREADS.saturating_add(self.cores);
        let left = threads.saturating_sub(fixed);
        if left < BLOCKING_THREADS_MIN {
            let needed = fixed + BLOCKING_THREADS_MIN;
            return Err(StartError::Threads { threads, needed });
        }
        if left < most {
            warnings.push(Warning(format!(
                "the system allows {threads} threads (pids.max or RLIMIT_NPROC): {left} instead of {most} may wait for the disk"
            )));
        }
        Ok(left.min(most))
    }

    fn fit_descriptors(
        &self,
        config: &mut Config,
        threads: u64,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), StartError> {
        let limit = self.descriptors;
        if limit < DESCRIPTORS_MIN {
            return Err(StartError::Descriptors {
                limit,
                needed: DESCRIPTORS_MIN,
            });
        }
        let part = limit / 16;
        let options = &mut config.server;
        let mut cap = |name: &str, setting: &mut NonZeroUsize, most: u64| {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let Some(most) = NonZeroUsize::new(most).filter(|most| most < setting) else {
                return;
            };
            warnings.push(Warning(format!(
                "{name} is {setting}, but a limit of {limit} open files (RLIMIT_NOFILE) leaves {most}: {most} it is"
            )));
            *setting = most;
        };
        cap(
            "data.open_files_max",
            &mut config.data.open_files_max,
            part.max(16),
        );
        cap(
            "server.admin_connections_max",
            &mut options.admin_connections_max,
            part.max(8),
        );
        let tables = STORES.saturating_mul(config.data.open_files_max.get() as u64);
        let operators = options.admin_connections_max.get() as u64;
        let reserved = ENGINE_DESCRIPTORS + PROCESS_DESCRIPTORS + threads;
        let reserved = reserved.saturating_add(tables).saturating_add(operators);
        let left = limit.saturating_sub(reserved);
        if left == 0 {
            let needed = reserved.saturating_add(1);
            return Err(StartError::Descriptors { limit, needed });
        }
        cap("server.connections_max", &mut options.connections_max, left);
        Ok(())
    }

    fn fit_memory(&self, config: &mut Config, warnings: &mut Vec<Warning>) {
        let Some(memory) = self.memory_bytes else {
            return;
        };
        let data = &mut config.data;
        let mut cap = |name: &str, setting: &mut NonZeroUsize, part: u64| {
            let most = usize::try_from(memory / part).unwrap_or(usize::MAX);
            let Some(most) = NonZeroUsize::new(most).filter(|most| most < setting) else {
                return;
            };
            warnings.push(Warning(format!(
                "{name} is {setting} bytes, but of {memory} bytes of memory it may have one part in {part}: {most} it is"
            )));
            *setting = most;
        };
        cap(
            "data.queue_bytes_max",
            &mut data.queue_bytes_max,
            QUEUE_PART,
        );
        cap("data.cache_bytes", &mut data.cache_bytes, CACHE_PART);
        let view = &mut config.view;
        cap("view.cache_bytes", &mut view.cache_bytes, KNOWN_PART);
        let checkpoint = &mut view.checkpoint_bytes;
        cap("view.checkpoint_bytes", checkpoint, CHECKPOINT_PART);
        let bodies = &mut config.server.body_memory_max;
        cap("server.body_memory_max", bodies, BODY_PART);
        let asked = [
            FIXED_MEMORY_BYTES,
            data.queue_bytes_max.get() as u64,
            data.cache_bytes.get() as u64,
            view.cache_bytes.get() as u64,
            (view.checkpoint_bytes.get() as u64).saturating_mul(3),
            bodies.get() as u64,
            (config.rate_limit.addresses.slots.get() as u64).saturating_mul(16),
        ];
        let asked = asked.into_iter().fold(0, u64::saturating_add);
        if asked > memory {
            warnings.push(Warning(format!(
                "data.queue_bytes_max, data.cache_bytes, view.cache_bytes, view.checkpoint_bytes, server.body_memory_max, rate_limit.slots and what is always needed come to {asked} bytes, but there are {memory} bytes of memory"
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            descriptors: 1 << 20,
            threads: None,
            memory_bytes: None,
            cores: 2,
        }
    }

    fn words(fitted: &Fitted) -> Vec<String> {
        fitted.warnings.iter().map(ToString::to_string).collect()
    }

    /// The descriptors that all holders may hold together.
    fn held(config: &Config, fitted: &Fitted) -> u64 {
        let server = &config.server;
        let connections = server.connections_max.get() + server.admin_connections_max.get();
        let files = 3 * config.data.open_files_max.get() + fitted.blocking_threads_max;
        ENGINE_DESCRIPTORS + PROCESS_DESCRIPTORS + (connections + files) as u64
    }

    #[test]
    fn a_large_machine_takes_nothing_from_the_settings() {
        let mut config = Config::default();
        let fitted = limits().fit(&mut config).unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(words(&fitted), [""; 0]);
        assert_eq!(fitted.blocking_threads_max, 512);
    }

    #[test]
    fn nobody_holds_more_descriptors_than_there_are() {
        for descriptors in (DESCRIPTORS_MIN..5_000).step_by(7) {
            let mut config = Config::default();
            let limits = Limits {
                descriptors,
                ..limits()
            };
            let fitted = limits.fit(&mut config).unwrap();
            assert!(held(&config, &fitted) <= descriptors, "{descriptors}");
            assert!(words(&fitted).concat().contains("server.connections_max"));
            // Fitting again changes nothing.
            let once = config.clone();
            assert_eq!(words(&limits.fit(&mut config).unwrap()), [""; 0]);
            assert_eq!(config, once);
        }
    }

    #[test]
    fn too_few_descriptors_for_anybody_are_said_with_how_many_there_must_be() {
        let few = Limits {
            descriptors: DESCRIPTORS_MIN - 1,
            ..limits()
        };
        let error = few.fit(&mut Config::default()).unwrap_err().to_string();
        assert!(error.contains("191") && error.contains("192"), "{error}");
    }

    #[test]
    fn threads_that_the_system_does_not_give_are_not_counted_on() {
        let of = |threads| Limits {
            threads: Some(threads),
            ..limits()
        };
        let fitted = of(126).fit(&mut Config::default()).unwrap();
        assert_eq!(fitted.blocking_threads_max, 100);
        assert!(words(&fitted)[0].contains("126 threads"));
        let error = of(33).fit(&mut Config::default()).unwrap_err().to_string();
        assert!(error.contains("33") && error.contains("34"), "{error}");
    }

    #[test]
    fn queue_and_caches_have_their_part_of_the_memory() {
        let mut config = Config::default();
        let small = Limits {
            memory_bytes: Some(256 << 20),
            ..limits()
        };
        let words = words(&small.fit(&mut config).unwrap());
        assert_eq!(config.data.queue_bytes_max.get(), 32 << 20);
        assert_eq!(config.data.cache_bytes.get(), 64 << 20);
        assert_eq!(config.server.body_memory_max.get(), 64 << 20);
        assert_eq!(config.view.cache_bytes.get(), 32 << 20);
        assert_eq!(config.view.checkpoint_bytes.get(), 8 << 20);
        assert_eq!(words.len(), 6, "{words:?}");
        assert!(words[5].contains("268435456 bytes of memory"), "{words:?}");
    }
}
