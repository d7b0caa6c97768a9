//! Limits how many reads run at once, of a key, of a project and in all: each holds a thread, and writes need threads
//! too.
//!
//! A permit is held until the read has ended, even if its caller has gone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;

use super::{Access, Error};
use crate::model::project::KeyAccess;
use crate::view::{self, Cancel};

/// The bounds of reads that run at once.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// In all. Default 64.
    pub max: usize,
    /// Of a project. Default 16.
    pub per_project_max: usize,
    /// Of a key. Default 8.
    pub per_key_max: usize,
    /// Bytes of answers that are not taken yet, in all. A quarter is for small ones only. Default 256 MiB.
    pub answers_bytes_max: usize,
    /// Bytes of answers of a key that are not taken yet. Default 64 MiB.
    pub answers_per_key_bytes_max: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            max: 64,
            per_project_max: 16,
            per_key_max: 8,
            answers_bytes_max: 256 << 20,
            answers_per_key_bytes_max: 64 << 20,
        }
    }
}

/// The permits that are left.
#[derive(Debug)]
pub(super) struct Permits {
    all: Arc<Semaphore>,
    /// By token, for projects that were read: never more than the settings have named.
    projects: KeyedSemaphores<String>,
    /// Likewise by the project's token and the key's ID.
    keys: KeyedSemaphores<KeyName>,
    /// For answers of any size.
    answers: Arc<Semaphore>,
    answers_max: u32,
    /// For small ones alone.
    small_answers: Arc<Semaphore>,
    small_answers_max: u32,
    answers_of_keys: KeyedSemaphores<KeyName>,
    /// Longest that a read waits for its permit, and its answer for space.
    timeout: Duration,
}

/// The project's token and the key's ID.
type KeyName = (String, String);

/// The unit that answers are counted in.
const UNIT_BYTES: usize = 1_024;
/// Most bytes of a small answer: large answers leave space for others' small ones.
const SMALL_BYTES_MAX: usize = 64 * UNIT_BYTES;
/// One in so many bytes is for small answers alone.
const SMALL_SHARE: u32 = 4;

/// The permits that each key has left.
#[derive(Debug)]
struct KeyedSemaphores<K> {
    max: usize,
    left: Mutex<HashMap<K, Arc<Semaphore>>>,
}

/// What a read holds.
#[derive(Debug)]
pub(super) struct Permit {
    _held: [OwnedSemaphorePermit; 3],
}

/// The space that an answer takes until its caller has taken it, or has gone.
#[derive(Clone, Debug)]
pub struct Held {
    _room: Arc<[OwnedSemaphorePermit; 2]>,
}

impl Permits {
    pub(super) fn new(limits: ReadLimits, timeout: Duration) -> Self {
        let all = units(limits.answers_bytes_max);
        let small_answers_max = all / SMALL_SHARE;
        let answers_max = all - small_answers_max;
        Self {
            all: Arc::new(Semaphore::new(limits.max.min(Semaphore::MAX_PERMITS))),
            projects: KeyedSemaphores::new(limits.per_project_max),
            keys: KeyedSemaphores::new(limits.per_key_max),
            answers: Arc::new(Semaphore::new(answers_max as usize)),
            answers_max,
            small_answers: Arc::new(Semaphore::new(small_answers_max as usize)),
            small_answers_max,
            answers_of_keys: KeyedSemaphores::new(units(limits.answers_per_key_bytes_max) as usize),
            timeout,
        }
    }

    /// Waits for space for an answer of about so many bytes. One that is larger than all of the key's space goes alone,
    /// and counts as if it just filled it. A small one uses the space for small ones only if there is no other.
    ///
    /// # Errors
    /// [`Error::AnswersNotTaken`].
    pub(super) async fn hold(&self, access: &Access, bytes: usize) -> Result<Held, Error> {
        let of_key = self.answers_of_keys.of(name(access));
        let of_key_max = u32::try_from(self.answers_of_keys.max).unwrap_or(u32::MAX);
        let size = units(bytes).min(of_key_max);
        let room = async {
            let of_key = of_key.acquire_many_owned(size).await?;
            let among_all = size.min(self.answers_max);
            let answers = self.answers.clone();
            let of_all = match answers.clone().try_acquire_many_owned(among_all) {
                Ok(of_all) => of_all,
                Err(_) if bytes <= SMALL_BYTES_MAX && self.small_answers_max > 0 => {
                    let size = size.min(self.small_answers_max);
                    self.small_answers.clone().acquire_many_owned(size).await?
                }
                Err(_) => answers.acquire_many_owned(among_all).await?,
            };
            Ok::<_, AcquireError>([of_key, of_all])
        };
        match tokio::time::timeout(self.timeout, room).await {
            Ok(Ok(room)) => Ok(Held {
                _room: Arc::new(room),
            }),
            // They are never closed.
            Ok(Err(_)) | Err(_) => Err(Error::AnswersNotTaken(self.timeout)),
        }
    }

    /// Waits for a turn: first among the reads of the key, then among those of the project, then among all. So a caller
    /// with many reads waits only behind its own.
    ///
    /// # Errors
    /// [`Error::TooManyReads`].
    pub(super) async fn take(&self, access: &Access) -> Result<Permit, Error> {
        let waited = [
            self.keys.of(name(access)),
            self.projects.of(access.project.token.clone()),
            self.all.clone(),
        ];
        let permits = async {
            let [key, project, all] = waited;
            let key = key.acquire_owned().await;
            let project = project.acquire_owned().await;
            (key, project, all.acquire_owned().await)
        };
        match tokio::time::timeout(self.timeout, permits).await {
            Ok((Ok(key), Ok(project), Ok(all))) => Ok(Permit {
                _held: [all, project, key],
            }),
            // They are never closed.
            Ok(_) | Err(_) => Err(Error::TooManyReads(self.timeout)),
        }
    }
}

impl<K: Eq + Hash> KeyedSemaphores<K> {
    fn new(max: usize) -> Self {
        Self {
            max: max.min(Semaphore::MAX_PERMITS),
            left: Mutex::default(),
        }
    }

    fn of(&self, name: K) -> Arc<Semaphore> {
        // A panic elsewhere leaves the map valid: values are only ever added.
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        match left.entry(name) {
            Entry::Occupied(share) => share.get().clone(),
            Entry::Vacant(share) => share.insert(Arc::new(Semaphore::new(self.max))).clone(),
        }
    }
}

fn name(access: &Access) -> KeyName {
    let key = match &access.key.access {
        KeyAccess::Private { id, .. } => id.clone(),
        // Public keys read nothing; if they did, all of a project's would share.
        KeyAccess::Public(_) => String::new(),
    };
    (access.project.token.clone(), key)
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// Runs a read on a thread that may block on the disk, and ends it once no caller waits for it. The permit is released
/// when it has ended, or returned to its caller with the answer.
pub(super) async fn blocking<T: Send + 'static>(
    permit: Permit,
    read: impl FnOnce(Cancel) -> Result<T, Error> + Send + 'static,
) -> Result<(T, Permit), Error> {
    let (cancel, waiting) = Cancel::new();
    let answer = tokio::task::spawn_blocking(move || {
        // It may have waited in the queue for a thread.
        cancel.check()?;
        Ok((read(cancel)?, permit))
    });
    let answer = answer.await;
    drop(waiting);
    match answer.map_err(JoinError::try_into_panic) {
        Ok(answer) => answer,
        // The panic goes on in the calling task, where it is counted and answered.
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_)) => Err(view::Error::Stopped("the service ends".into()).into()),
    }
}
