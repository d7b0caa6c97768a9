//! Floor 4: what the process writes about itself.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{self, format::Writer};

use crate::clock::{Clock as _, SystemClock};
use crate::config::log::{Format, Level, Options};

/// Sends events to standard error. Called once, by the binary.
///
/// # Errors
/// Somebody else was first.
pub fn init(options: &Options) -> Result<(), tracing::dispatcher::SetGlobalDefaultError> {
    let level = match options.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let lines = fmt::Subscriber::builder()
        .with_max_level(level)
        .with_timer(Utc)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    match options.format {
        Format::Text => tracing::subscriber::set_global_default(lines.finish()),
        Format::Json => tracing::subscriber::set_global_default(lines.json().finish()),
    }
}

/// The time of a line, in RFC 3339.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        let micros = SystemClock::new().now().micros();
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(time) => write!(line, "{time:.6}"),
            Err(_) => write!(line, "-"),
        }
    }
}
