//! Who goes first where cores are scarce.

/// How much less of a busy core the view's threads get than those that answer callers; each step is a fifth.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Lets those who wait for an answer go before this thread and those that it starts: anyone who asks for what the view
/// has waits for it anyway, and else it is nobody's hurry. Where there is a core to spare, nothing changes.
#[cfg(target_os = "linux")]
pub(super) fn step_back() {
    // Linux counts niceness by thread. One that is nicer already, or not allowed to be, works as well.
    let _ = rustix::process::nice(NICENESS);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn step_back() {}
