//! Settings of any text are read, or refused with the place of each mistake.
#![no_main]

use std::sync::LazyLock;

use footfall::app::settings;
use footfall::config::{Config, Flags};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static DIR: LazyLock<TempDir> = LazyLock::new(|| {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .unwrap()
});

fuzz_target!(|text: &[u8]| {
    let file = DIR.path().join("footfall.toml");
    std::fs::write(&file, text).unwrap();
    let flags = Flags {
        config: Some(file),
        ..Flags::default()
    };
    match Config::load(&flags, []) {
        Ok(config) => drop(settings::members(&config)),
        Err(mistakes) => {
            assert_ne!(mistakes.iter().count(), 0);
            assert!(
                mistakes
                    .iter()
                    .all(|mistake| !mistake.to_string().is_empty())
            );
        }
    }
});
