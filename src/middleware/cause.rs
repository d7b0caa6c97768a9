//! Why a call failed that should not have: logged once for the operator, with the call's ID. The caller gets a
//! fragment, and never the text of the engine or of the system.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use tonic::Status;

use crate::model::reason::Reason;

/// The cause of a failure of the service's own.
#[derive(Debug)]
pub struct Cause {
    /// What was wrong, down to the engine's text.
    pub chain: String,
    /// The place in the log, where it is known.
    pub position: Option<u64>,
    /// Why the call is refused.
    pub reason: Reason,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain)
    }
}

impl std::error::Error for Cause {}

impl Cause {
    /// The status, with this behind it.
    pub fn behind(self, mut status: Status) -> Status {
        status.set_source(Arc::new(self));
        status
    }

    /// The cause behind a status, if there is one.
    pub fn of(status: &Status) -> Option<&Self> {
        std::error::Error::source(status)?.downcast_ref()
    }
}

/// Logs a status that has a cause behind it. To be called once for each.
pub fn report(status: &Status, id: Option<&HeaderValue>) {
    if let Some(Cause {
        chain, position, ..
    }) = Cause::of(status)
    {
        let code = status.code();
        tracing::error!(?code, cause = chain, position, request_id = ?id, "a call failed");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Mutex;

    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_operator_is_told_the_cause_the_position_and_the_call() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let cause = Cause {
            chain: "the checksum differs".to_owned(),
            position: Some(7),
            reason: Reason::Damaged,
        };
        let status = cause.behind(Status::data_loss("the log is damaged"));
        with_default(subscriber, || {
            report(&status, Some(&HeaderValue::from_static("id-1")));
            report(&Status::not_found("Customer does not exist"), None);
        });
        let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        for part in ["DataLoss", "the checksum differs", "position=7", "id-1"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
