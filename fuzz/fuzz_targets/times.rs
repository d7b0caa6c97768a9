//! A time that is read is shown as a number that reads as the same time.
#![no_main]

use footfall::model::time::{Age, Timestamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let number = Timestamp::parse_number(text);
    for time in [number, Timestamp::parse_text(text)].into_iter().flatten() {
        assert_eq!(Timestamp::parse_number(&time.to_string()).unwrap(), time);
        let (seconds, nanos) = time.seconds_nanos();
        assert_eq!(Timestamp::from_seconds_nanos(seconds, nanos).unwrap(), time);
        if let Ok(age) = Age::parse_number(text) {
            assert!(time.before(age).is_ok_and(|then| then <= time) || time.before(age).is_err());
        }
    }
});
