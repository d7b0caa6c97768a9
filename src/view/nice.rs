//! Which threads go first where cores are scarce.

/// How much less of a busy core the view's threads get than the threads that answer callers; each step is a fifth.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Lowers the priority of this thread, and of those that it starts, below that of threads that answer callers. A read
/// waits for the view anyway; otherwise the view is in no hurry. With a spare core, nothing changes.
#[cfg(target_os = "linux")]
pub(super) fn step_back() {
    // Linux counts niceness by thread. A thread that is nicer already, or may not become so, works as well.
    let _ = rustix::process::nice(NICENESS);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn step_back() {}
