use jiff::fmt::rfc2822;
use proptest::prelude::*;

use super::*;

fn number(literal: &str) -> i64 {
    Timestamp::parse_number(literal).unwrap().micros()
}

fn text(text: &str) -> i64 {
    Timestamp::parse_text(text).unwrap().micros()
}

fn refusal(text: &str) -> String {
    Timestamp::parse_text(text).unwrap_err().to_string()
}

#[test]
fn a_number_is_seconds_kept_to_the_microsecond() {
    assert_eq!(number("0"), 0);
    assert_eq!(number("-0"), 0);
    assert_eq!(number("1709566376"), 1_709_566_376_000_000);
    assert_eq!(number("1533663283.894375"), 1_533_663_283_894_375);
    assert_eq!(number("1533663283.8943759"), 1_533_663_283_894_375);
    assert_eq!(number("1.7000000005E9"), 1_700_000_000_500_000);
    assert_eq!(number("17000000005e-1"), 1_700_000_000_500_000);
    assert_eq!(number("0.0000000017e+18"), 1_700_000_000_000_000);
    assert_eq!(number("253402300799.9999999"), MICROS_MAX);
    assert_eq!(number("1e-7"), 0);
}

#[test]
fn what_is_not_json_is_not_a_number() {
    for literal in [
        "", "-", ".5", "1.", "1e", "1e+", "+1", "0x10", "NaN", "Infinity", "1 ", "1_000", "1.5.5",
        "١",
    ] {
        assert!(
            matches!(Timestamp::parse_number(literal), Err(Error::Unreadable(_))),
            "{literal}"
        );
    }
}

#[test]
fn a_time_before_1970_or_after_9999_is_refused() {
    assert_eq!(
        refusal("-1"),
        r#"time "-1" is outside the years 1970 to 9999"#
    );
    assert_eq!(
        refusal("-0.0000001"),
        r#"time "-0.0000001" is outside the years 1970 to 9999"#
    );
    assert_eq!(
        refusal("1969-12-31T23:59:59Z"),
        r#"time "1969-12-31T23:59:59Z" is outside the years 1970 to 9999"#
    );
    assert_eq!(
        refusal("1970-01-01T00:30:00+01:00"),
        r#"time "1970-01-01T00:30:00+01:00" is outside the years 1970 to 9999"#
    );
    assert!(refusal("9999-12-31T23:30:00-01:00").contains("outside"));
    assert!(refusal("Sun, 14 Nov 1965 22:13:20 GMT").contains("outside"));
    assert!(Timestamp::from_micros(-1).is_err());
    assert!(Timestamp::from_micros(MICROS_MAX + 1).is_err());
    assert_eq!(Timestamp::from_micros(MICROS_MAX), Ok(Timestamp::MAX));
}

#[test]
fn an_enormous_exponent_is_refused_at_once() {
    for literal in ["1e999999999", "1e99999999999999999999999999", "0.1e400"] {
        assert!(
            matches!(Timestamp::parse_number(literal), Err(Error::OutOfRange(_))),
            "{literal}"
        );
    }
    assert_eq!(number("1e-99999999999999999999999999"), 0);
    assert_eq!(number("0e999999999999999999999999999"), 0);
    let long = format!("{}e-1000000", "1".repeat(1_000_001));
    assert_eq!(number(&long), 1_111_111);
}

#[test]
fn another_unit_than_seconds_is_named() {
    assert_eq!(
        refusal("1722458972747"),
        r#"time "1722458972747" looks like milliseconds; send seconds"#
    );
    assert_eq!(
        refusal("1.722458972747e12"),
        r#"time "1.722458972747e12" looks like milliseconds; send seconds"#
    );
    assert_eq!(
        refusal("1722458972747524"),
        r#"time "1722458972747524" looks like microseconds; send seconds"#
    );
    assert_eq!(
        refusal("1722458972747524000"),
        r#"time "1722458972747524000" looks like nanoseconds; send seconds"#
    );
    assert_eq!(
        refusal("253402300800"),
        r#"time "253402300800" looks like milliseconds; send seconds"#
    );
    assert!(refusal("999999999999999999999").contains("outside"));
    let seconds = Timestamp::from_seconds_nanos(1_722_458_972_747, 0).unwrap_err();
    assert_eq!(
        seconds.to_string(),
        r#"time "1722458972747" looks like milliseconds; send seconds"#
    );
}

#[test]
fn iso_texts_are_read_with_and_without_zone() {
    let noon = 1_533_471_625_000_000;
    assert_eq!(text("2018-8-5 12:20:25"), noon);
    assert_eq!(text("2018-08-05T12:20:25Z"), noon);
    assert_eq!(text("2018-08-05t12:20:25.555z"), noon + 555_000);
    assert_eq!(
        text("2018-08-05T12:20:25.1234567890123456789"),
        noon + 123_456
    );
    assert_eq!(text("2018-08-05T14:20:25+02:00"), noon);
    assert_eq!(text("2018-08-05 14:20:25 +0200"), noon);
    assert_eq!(text("2018-08-05 14:20:25+02"), noon);
    assert_eq!(text("2018-08-05T06:50:25-05:30"), noon);
    assert_eq!(text(" 2018-08-05T12:20:25Z\n"), noon);
    assert_eq!(text("2018-08-05 12:20"), noon - 25_000_000);
    assert_eq!(text("2018-8-5 0:20"), text("2018-08-05T00:20:00Z"));
    assert_eq!(text("2018-08-05"), text("2018-08-05T00:00:00Z"));
    assert_eq!(text("2016-12-31T23:59:60Z"), text("2016-12-31T23:59:59Z"));
    assert_eq!(text("9999-12-31T23:59:59.999999Z"), MICROS_MAX);
}

#[test]
fn rfc_2822_texts_are_read() {
    let time = 1_700_000_000_000_000;
    assert_eq!(text("Tue, 14 Nov 2023 22:13:20 GMT"), time);
    assert_eq!(text("Tue, 14 Nov 2023 23:13:20 +0100"), time);
    assert_eq!(text("14 Nov 2023 22:13:20 +0000"), time);
}

#[test]
fn a_number_in_quotes_is_a_number() {
    assert_eq!(text("1700000000.5"), 1_700_000_000_500_000);
    assert_eq!(text("1.7E9"), 1_700_000_000_000_000);
    assert_eq!(text("1.7E-5"), 17);
}

#[test]
fn what_languages_write_of_a_time_is_read() {
    let time = 1_533_471_625_000_000;
    for (written, micros) in [
        ("2018-08-05 12:20:25 UTC", time),
        ("2018-08-05 12:20:25.5 utc", time + 500_000),
        ("2018-08-05 12:20:25 GMT", time),
        ("2018-08-05 12:20:25 Z", time),
        ("2018-08-05T12:20:25UTC", time),
        ("2018-08-05 14:20:25 GMT+02:00", time),
        // ISO 8601 in its basic form.
        ("20180805T122025Z", time),
        ("20180805t122025", time),
        ("20180805T122025.25Z", time + 250_000),
        ("20180805T142025+0200", time),
        ("20180805T072025-05", time),
        ("20180805T1220Z", time - 25_000_000),
        // Go.
        ("2018-08-05 12:20:25 +0000 UTC", time),
        (
            "2018-08-05 14:20:25.123456789 +0200 CEST m=+0.000012345",
            time + 123_456,
        ),
        ("2018-08-05 15:20:25 +0300 +03 m=-1.5", time),
        // Java.
        ("2018-08-05T12:20:25Z[UTC]", time),
        ("2018-08-05T14:20:25.5+02:00[Europe/Prague]", time + 500_000),
        ("2018-08-05T14:20+02:00[Etc/GMT-2]", time - 25_000_000),
        ("Sun Aug 05 12:20:25 UTC 2018", time),
        ("Sun Aug 05 14:20:25 GMT+02:00 2018", time),
        // JavaScript.
        (
            "Sun Aug 05 2018 14:20:25 GMT+0200 (Central European Summer Time)",
            time,
        ),
        ("Sun Aug 05 2018 12:20:25 GMT+0000", time),
    ] {
        assert_eq!(text(written), micros, "{written}");
    }
    // A day alone in the basic form is a number.
    assert_eq!(text("20180805"), 20_180_805_000_000);
}

#[test]
fn an_unreadable_text_is_quoted_and_cut() {
    for value in [
        "",
        "yesterday",
        "NaN",
        "null",
        "2018-13-01",
        "2018-02-29",
        "2018-08-05T24:00:00Z",
        "2018-08-05T12:60:00Z",
        "2018-08-05T12:20:61Z",
        "2018-08-05T12:20:25.Z",
        "2018-08-05T12:20:25+2:00",
        "2018-08-05T12:20:25+24:00",
        "2018-08-05T12:20:25+02:60",
        "2018-08-05T12:20:25+02:",
        "2018-08-05T",
        "2018-08-05Z",
        "18-08-05",
        "10000-01-01",
        "2018-08-05  12:20:25",
        "2018-08-05T12:20:25ZZ",
        "2018-08-05 12:20:25  UTC",
        "2018-08-05 12:20:25 CET",
        "2018-08-05 12:20:25 UTCx",
        "2018-08-05 12:20:25 UTC+2",
        "2018-08-05T12:20:25Z[]",
        "2018-08-05T12:20:25Z[UTC",
        "2018-08-05T12:20:25[UTC]",
        "2018-08-05 12:20:25 +0000 UTC m=",
        "2018-08-05 12:20:25 +0000 UTC m=1",
        "2018-08-05 12:20:25 +0000 UTC x",
        "20180805T",
        "20180805T12",
        "20180805T122",
        "20180805T122061Z",
        "20181305T122025Z",
        "20180805 122025",
        "Sun Aug 05 12:20:25 CET 2018",
        "Mon Aug 05 12:20:25 UTC 2018",
        "Sun Aug 32 12:20:25 UTC 2018",
        "Sun Aug 05 12:20:25 UTC",
        "Sun Aug 05 12:20:25 UTC 2018 x",
        "Sun Aug 05 2018 12:20:25 +0200",
        "Mon, 14 Nov 2023 22:13:20 GMT",
    ] {
        assert_eq!(refusal(value), format!("unreadable time \"{value}\""));
    }
    assert_eq!(refusal("a\n\"b"), r#"unreadable time "a\n\"b""#);
    assert_eq!(
        refusal(&"é".repeat(100_000)),
        format!("unreadable time \"{}...\"", "é".repeat(64))
    );
}

#[test]
fn a_protobuf_time_loses_what_is_below_a_microsecond() {
    assert_eq!(
        Timestamp::from_seconds_nanos(1, 999_999_999),
        Timestamp::from_micros(1_999_999)
    );
    assert_eq!(
        Timestamp::from_seconds_nanos(253_402_300_799, 999_999_999),
        Ok(Timestamp::MAX)
    );
    assert_eq!(Timestamp::from_seconds_nanos(1, -1), Err(Error::Nanos(-1)));
    assert_eq!(
        Timestamp::from_seconds_nanos(1, 1_000_000_000),
        Err(Error::Nanos(1_000_000_000))
    );
    let most = i64::MAX / 1_000_000;
    for seconds in [-1, i64::MIN, i64::MAX, 253_402_300_800, most] {
        assert!(
            Timestamp::from_seconds_nanos(seconds, 999_999_999).is_err(),
            "{seconds}"
        );
    }
    assert_eq!(
        Timestamp::MAX.seconds_nanos(),
        (253_402_300_799, 999_999_000)
    );
}

#[test]
fn an_age_counts_back_from_the_receipt() {
    let receipt = Timestamp::from_micros(1_700_000_000_000_000).unwrap();
    let age = Age::parse_number("0.11999988555908203").unwrap();
    assert_eq!(age.micros(), 119_999);
    assert_eq!(receipt.before(age).unwrap().micros(), 1_699_999_999_880_001);
    assert!(matches!(
        receipt.before(Age::parse_number("1.8e9").unwrap()),
        Err(Error::OutOfRange(_))
    ));
    for literal in ["-1", "-0.1", "-1e300"] {
        assert_eq!(Age::parse_number(literal).unwrap().micros(), 0, "{literal}");
    }
    for literal in ["", "x", "-", "-x", "1e300"] {
        assert!(
            matches!(Age::parse_number(literal), Err(Error::Age(_))),
            "{literal}"
        );
    }
}

#[test]
fn arithmetic_stops_at_the_ends_of_time() {
    assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
    assert_eq!(Timestamp::MAX.saturating_sub(Duration::MAX), Timestamp::MIN);
    let later = Timestamp::MIN.saturating_add(Duration::from_micros(7));
    assert_eq!(
        later.saturating_since(Timestamp::MIN),
        Duration::from_micros(7)
    );
    assert_eq!(Timestamp::MIN.saturating_since(later), Duration::ZERO);
}

#[test]
fn a_time_is_shown_as_seconds_without_trailing_zeros() {
    let shown = |micros| Timestamp::from_micros(micros).unwrap().to_string();
    assert_eq!(shown(0), "0");
    assert_eq!(shown(1), "0.000001");
    assert_eq!(shown(1_533_663_283_894_375), "1533663283.894375");
    assert_eq!(shown(1_533_663_283_890_000), "1533663283.89");
    assert_eq!(shown(1_700_000_000_000_000), "1700000000");
}

proptest! {
    #[test]
    fn what_is_shown_reads_back_as_the_same_time(micros in 0..=MICROS_MAX) {
        let time = Timestamp::from_micros(micros).unwrap();
        prop_assert_eq!(Timestamp::parse_number(&time.to_string()), Ok(time));
        let (seconds, nanos) = time.seconds_nanos();
        prop_assert_eq!(Timestamp::from_seconds_nanos(seconds, nanos), Ok(time));
    }

    #[test]
    fn every_form_of_a_number_is_read_exactly(
        whole in 0_i128..1_000_000_000_000, fraction in "[0-9]{0,9}", zeros in 0_usize..4, exponent in -9_i32..9,
    ) {
        let digits: i128 = format!("{whole}{fraction}").parse().unwrap();
        let places = exponent - i32::try_from(fraction.len()).unwrap() + 6;
        let power = 10_i128.pow(places.unsigned_abs());
        let exact = if places < 0 { digits / power } else { digits * power };
        let point = if fraction.is_empty() { "" } else { "." };
        let literal = format!("{}{whole}{point}{fraction}e{exponent}", "0".repeat(zeros));
        match Timestamp::parse_number(&literal) {
            Ok(time) => prop_assert_eq!(i128::from(time.micros()), exact),
            Err(_) => prop_assert!(exact > i128::from(MICROS_MAX)),
        }
    }

    #[test]
    fn nothing_that_a_caller_sends_breaks_the_reader(value in ".{0,40}", like in "[0-9TtZz:+.eE, -]{0,40}") {
        for value in [&value, &like] {
            let _ = Timestamp::parse_text(value);
            let _ = Timestamp::parse_number(value);
            let _ = Age::parse_number(value);
        }
    }

    #[test]
    fn texts_read_as_jiff_wrote_them(micros in 0..=253_402_207_199_999_999_i64, hours in -23_i8..=23) {
        let time = jiff::Timestamp::from_microsecond(micros).unwrap();
        prop_assert_eq!(text(&time.to_string()), micros);
        let offset = jiff::tz::Offset::constant(hours);
        prop_assert_eq!(text(&time.display_with_offset(offset).to_string()), micros);
        let whole = micros - micros % MICROS_A_SECOND;
        prop_assert_eq!(text(&rfc2822::DateTimePrinter::new().timestamp_to_string(&time).unwrap()), whole);
        prop_assert_eq!(text(&rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap()), whole);
    }
}
