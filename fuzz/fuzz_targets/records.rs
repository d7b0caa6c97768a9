//! A record of any bytes is refused, or is written again as one that reads the same. The checksum is made to fit, so
//! that it does not keep everything out.
#![no_main]

use bytes::Bytes;
use footfall::log::Position;
use footfall::log::record::Record;
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::xxh3_64;

fuzz_target!(|message: &[u8]| {
    let sum = (xxh3_64(message) as u32).to_be_bytes();
    let bytes = Bytes::from([&[1][..], &sum, message].concat());
    let position = Position::default();
    let Ok(record) = Record::decode(position, bytes) else {
        return;
    };
    let again = Record::decode(position, record.encode()).unwrap();
    assert_eq!(again, record);
});
