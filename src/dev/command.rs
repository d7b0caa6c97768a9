//! The command that runs beside the emulator, and ends it.

use std::io::IsTerminal as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::StartError;

/// What shells add to the number of a signal that ended a command.
const SIGNALLED: i32 = 128;

/// Where the emulator is, in the command's environment.
pub(super) const URL: &str = "FOOTFALL_URL";
pub(super) const ADMIN: &str = "FOOTFALL_ADMIN";

/// Runs a command to its end, and gives its exit code. Signals that ask to stop are passed on.
///
/// # Errors
/// [`StartError::Command`].
pub(super) async fn run(arguments: &[String], url: &str, admin: &str) -> Result<i32, StartError> {
    let (program, arguments) = arguments.split_first().ok_or(StartError::Panicked)?;
    let failed = |error| StartError::Command {
        command: program.clone(),
        error,
    };
    let mut interrupts = signal(SignalKind::interrupt()).map_err(StartError::System)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(StartError::System)?;
    // A terminal sends it to the command as well.
    let passes_interrupts = !std::io::stdin().is_terminal();
    let mut command = Command::new(program);
    command.args(arguments).env(URL, url).env(ADMIN, admin);
    let mut child = command.spawn().map_err(failed)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let mut ended = tokio::task::spawn_blocking(move || child.wait());
    loop {
        let (signal, passes) = tokio::select! {
            ended = &mut ended => {
                let status = ended.map_err(|_| StartError::Panicked)?.map_err(failed)?;
                return Ok(code(status));
            }
            _ = interrupts.recv() => (Signal::INT, passes_interrupts),
            _ = terminations.recv() => (Signal::TERM, true),
        };
        if let Some(pid) = pid.filter(|_| passes) {
            // It may have ended by now.
            let _ = kill_process(pid, signal);
        }
    }
}

fn code(status: ExitStatus) -> i32 {
    let signalled = status.signal().map(|signal| SIGNALLED + signal);
    status.code().or(signalled).unwrap_or(1)
}
