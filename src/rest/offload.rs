//! Long work on a response runs on threads of its own, because the other threads serve all callers.

use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// Largest work that runs on the thread of its caller, in bytes. It takes less than a millisecond.
pub(super) const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Gives larger work to other threads, a few at a time.
#[derive(Clone, Debug)]
pub struct Offload(Arc<Semaphore>);

impl Offload {
    /// At most `threads_max` threads work at once.
    pub fn new(threads_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(threads_max)))
    }

    /// Does work on about `bytes` bytes. Long work should come in pieces, because other work waits for a thread.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        if bytes <= INLINE_BYTES_MAX {
            return work();
        }
        // The semaphore is never closed.
        let permit = self.0.clone().acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        match done.await {
            Ok(done) => done,
            // The panic goes on as if the work had run here.
            Err(error) => resume_unwind(error.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::current;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn large_work_is_done_by_another_thread_and_small_work_by_this_one() {
        let offload = Offload::new(1);
        let here = current().id();
        for (bytes, is_here) in [(INLINE_BYTES_MAX, true), (INLINE_BYTES_MAX + 1, false)] {
            let there = offload.run(bytes, || current().id()).await;
            assert_eq!(there == here, is_here, "{bytes}");
        }
    }

    #[tokio::test]
    async fn no_more_threads_are_at_work_than_there_may_be() {
        let offload = Offload::new(1);
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (end, has_ended) = std::sync::mpsc::channel::<()>();
        let first = tokio::spawn({
            let offload = offload.clone();
            async move {
                let work = move || {
                    begun.send(()).unwrap();
                    has_ended.recv().unwrap();
                };
                offload.run(usize::MAX, work).await;
            }
        });
        has_begun.await.unwrap();
        let mut second = std::pin::pin!(offload.run(usize::MAX, || ()));
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(offload.0.available_permits(), 0);
        end.send(()).unwrap();
        first.await.unwrap();
        second.await;
    }
}
