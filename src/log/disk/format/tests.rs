//! Frames come back as they were written, whatever is in them; and nothing else does.

use bytes::Bytes;
use proptest::prelude::*;

use super::frame::TooLarge;
use super::*;

fn header(first: u64) -> Header {
    Header::of(Kind::Segment, *b"TAGSALTS", 0x0102_0304_0506_0708, first)
}

fn framed(header: &Header, first: u64, records: &[Bytes], marks: &[u8]) -> Vec<u8> {
    let frame = Frame {
        first,
        records,
        marks,
        compress: true,
    };
    let mut out = b"before".to_vec();
    frame.write(header, &mut out).unwrap();
    out.split_off(6)
}

/// What a frame says, if it is one.
fn read(header: &Header, bytes: &[u8]) -> Option<(Head, Vec<Bytes>)> {
    let Peek::Head(head) = Head::peek(header, bytes) else {
        return None;
    };
    let mut found = Vec::new();
    for (block, position, at) in head.places() {
        let stored = bytes.get(at..)?.get(..block.stored as usize)?;
        found.extend(records(block.open(header, position, stored)?));
    }
    (found.len() == head.count as usize).then_some((head, found))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn some_records() -> impl Strategy<Value = Vec<Bytes>> {
    let bytes = prop_oneof![
        8 => proptest::collection::vec(any::<u8>(), 0..400),
        2 => (any::<u8>(), 0_usize..9_000).prop_map(|(byte, count)| vec![byte; count]),
        1 => (any::<u8>(), 60_000_usize..140_000).prop_map(|(byte, count)| vec![byte; count]),
    ];
    let record = bytes.prop_map(Bytes::from);
    proptest::collection::vec(record, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_frame_reads_back_as_it_was_written(
        first in 1..u64::MAX / 2,
        records in some_records(),
        marks in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let header = header(1);
        let bytes = framed(&header, first, &records, &marks);
        let (head, found) = read(&header, &bytes).unwrap();
        prop_assert_eq!(found, &records[..]);
        prop_assert_eq!((head.first, head.next()), (first, first + records.len() as u64));
        prop_assert_eq!(head.length as usize, bytes.len());
        prop_assert_eq!(head.marks, marks);
        for (block, _, _) in read(&header, &bytes).unwrap().0.places() {
            prop_assert!(block.count == 1 || block.stored as usize <= 16 << 10);
        }
    }

    #[test]
    fn any_bytes_are_no_frame(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), tagged: bool) {
        let header = header(1);
        if tagged && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(header.tag());
        }
        prop_assert!(!matches!(Head::peek(&header, &bytes), Peek::Head(_)));
        prop_assert!(Header::read(&bytes, Kind::Segment).is_err());
        prop_assert_eq!(seal_place(&bytes), None);
    }
}

#[test]
fn a_header_reads_back_for_its_kind_alone() {
    let header = header(77);
    let page = header.encode();
    assert_eq!(page.len(), HEADER_BYTES);
    assert_eq!(Header::read(&page, Kind::Segment), Ok(header));
    assert_eq!(Header::read(&page, Kind::Rewrites), Err(NoHeader::Damaged));
    for bit in 0..44 * 8 {
        let mut bad = page.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Header::read(&bad, Kind::Segment), Err(NoHeader::Damaged));
    }
    let mut later = page[..36].to_vec();
    later[11] = 2;
    later.extend(xxh3_64(&later).to_be_bytes());
    assert_eq!(
        Header::read(&later, Kind::Segment),
        Err(NoHeader::Format(2))
    );
    let [a, b] = [Header::new(Kind::Segment, 1), Header::new(Kind::Segment, 1)];
    assert_ne!(a.unwrap(), b.unwrap());
}

#[test]
fn every_flipped_bit_of_a_frame_is_noticed_and_every_byte_that_is_missing() {
    let header = header(1);
    let large = Bytes::from(vec![7; 5_000]);
    for records in [vec![Bytes::from_static(b"one"), Bytes::new()], vec![large]] {
        let bytes = framed(&header, 9, &records, b"m");
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&header, &bad), None, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert_eq!(read(&header, &bytes[..length]), None, "{length} bytes");
        }
    }
}

#[test]
fn a_frame_of_another_file_or_position_is_none() {
    let written = header(1);
    let bytes = framed(&written, 9, &[Bytes::from_static(b"one")], b"");
    let others = [
        Header::of(Kind::Segment, *b"TAGSALTS", 1, 1),
        Header::of(Kind::Segment, *b"OTHERTAG", 0x0102_0304_0506_0708, 1),
    ];
    assert!(others.iter().all(|other| read(other, &bytes).is_none()));
    let mut moved = bytes;
    moved[16 + 7] = 10;
    assert_eq!(read(&written, &moved), None);
}

#[test]
fn what_is_larger_than_a_frame_may_be_is_refused() {
    let frame = Frame {
        first: 1,
        records: &[Bytes::from(vec![0; RECORD_BYTES_MAX + 1])],
        marks: b"",
        compress: true,
    };
    assert_eq!(frame.write(&header(1), &mut Vec::new()), Err(TooLarge));
}

#[test]
fn the_bytes_on_disk_stay_as_they_are() {
    let header = header(1);
    assert_eq!(
        hex(&header.encode()[..48]),
        "46465345474d4e540000000154414753414c54530102030405060708000000000000000196b49d6b7cf2820b00000000"
    );
    let small = framed(
        &header,
        1,
        &[Bytes::from_static(b"one"), Bytes::from_static(b"two!")],
        b"",
    );
    assert_eq!(
        hex(&small),
        "54414753414c5453ca56e6153f59913200000000000000010000004b0000000200000000000000010000000f0000000f\
         00000002410cb61f422a4dd0000000036f6e650000000474776f21"
    );
    let large = framed(&header, 3, &[Bytes::from(vec![b'x'; 5_000])], b"");
    assert_eq!(
        hex(&large),
        "54414753414c5453a0984ed41a6b1b1d00000000000000030000005f000000010000000000000001000000230000138c\
         000000014cb7d935131301e25f00001388780100ffffffffffffffffffffffffffffffffffffff8160787878787878"
    );
    let mut seal = Vec::new();
    Frame::seal(&header, 4, &[(1, 4_096)], &mut seal).unwrap();
    seal.extend(trailer(4_300));
    assert_eq!(
        hex(&seal),
        "54414753414c5453b49bf1f8269e7e0c0000000000000004000000380000000000000010000000000000000000000001\
         000000000000100000000000000010ccffffffffffffef33"
    );
}

#[test]
fn a_seal_says_where_frames_lie() {
    let header = header(5);
    let entries = [(5, 4_096), (9, 70_000)];
    let mut seal = Vec::new();
    Frame::seal(&header, 12, &entries, &mut seal).unwrap();
    let (head, found) = read(&header, &seal).unwrap();
    assert!(head.is_seal() && found.is_empty());
    assert_eq!((head.entries(), head.next()), (entries.to_vec(), 12));
    assert_eq!(seal_place(&trailer(70_123)), Some(70_123));
}
