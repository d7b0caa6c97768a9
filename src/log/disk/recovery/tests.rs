//! A file is cut or damaged anywhere: what is found is what was written, or is reported as damaged.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::log::disk::format::{Frame, Kind, trailer};

fn header() -> Header {
    Header::new(Kind::Segment, 1).unwrap()
}

/// A file of frames, each of records of so many bytes, and where each of them ends.
fn file(header: &Header, frames: &[&[usize]]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut first, mut ends) = (header.encode(), header.first, Vec::new());
    for sizes in frames {
        let records: Vec<_> = sizes
            .iter()
            .map(|size| Bytes::from(vec![7; *size]))
            .collect();
        let frame = Frame {
            first,
            records: &records,
            marks: b"",
            compress: true,
        };
        frame.write(header, &mut bytes).unwrap();
        first += records.len() as u64;
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn scan(bytes: &[u8], header: &Header) -> Extent {
    Extent::scan(bytes, header).unwrap()
}

#[test]
fn a_frame_that_is_cut_at_any_byte_is_torn_and_those_before_are_whole() {
    let header = header();
    for last in [&[10_usize, 200][..], &[5_000], &[3; 300]] {
        let (bytes, ends) = file(&header, &[&[5], &[60, 7], last]);
        let whole = scan(&bytes, &header);
        assert_eq!((whole.next, whole.end), (4 + last.len() as u64, End::Free));
        for length in ends[1]..bytes.len() {
            for zeros in [0, 9_000] {
                let mut cut = bytes[..length].to_vec();
                cut.resize(length + zeros, 0);
                let found = scan(&cut, &header);
                assert_eq!((found.next, found.bytes), (4, ends[1] as u64), "{length}");
                let torn = match length == ends[1] {
                    true => matches!(found.end, End::Free),
                    false => matches!(found.end, End::Torn(to) if to <= length as u64),
                };
                assert!(torn, "{length}: {:?}", found.end);
            }
        }
    }
}

#[test]
fn any_missing_part_of_the_last_frame_makes_it_torn() {
    let header = header();
    let (bytes, ends) = file(&header, &[&[5], &[60; 40]]);
    for from in (ends[0]..bytes.len()).step_by(97) {
        for to in (from + 1..=bytes.len()).step_by(211).chain([bytes.len()]) {
            let mut torn = bytes.clone();
            if torn[from..to].iter().all(|byte| *byte == 0) {
                continue;
            }
            torn[from..to].fill(0);
            let found = scan(&torn, &header);
            assert_eq!(
                (found.next, found.bytes),
                (2, ends[0] as u64),
                "{from} to {to}"
            );
            assert_ne!(found.end, End::Damaged, "{from} to {to}");
        }
    }
}

#[test]
fn every_flipped_byte_in_front_of_a_whole_frame_is_damage_with_its_place() {
    let header = header();
    let (bytes, ends) = file(&header, &[&[5], &[60, 7], &[4_500], &[9]]);
    for at in HEADER_BYTES..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        let found = scan(&bad, &header);
        let frame = ends.iter().position(|end| at < *end).unwrap();
        let begin = if frame == 0 {
            HEADER_BYTES
        } else {
            ends[frame - 1]
        };
        assert_eq!(found.bytes, begin as u64, "byte {at}");
        match frame == ends.len() - 1 {
            true => assert!(matches!(found.end, End::Torn(_)), "byte {at}"),
            false => assert_eq!(found.end, End::Damaged, "byte {at}"),
        }
    }
}

#[test]
fn frames_of_another_file_in_a_torn_one_are_no_damage() {
    let (written, other) = (header(), header());
    let (foreign, _) = file(&other, &[&[5], &[6], &[7]]);
    let (mut bytes, ends) = file(&written, &[&[5]]);
    let frame = Frame {
        first: 2,
        records: &[
            Bytes::from(foreign.clone()),
            other.encode().into(),
            vec![0; 9_000].into(),
        ],
        marks: b"",
        compress: false,
    };
    frame.write(&written, &mut bytes).unwrap();
    // The head is lost, what callers wrote is not.
    bytes[ends[0]..ends[0] + 60].fill(0);
    let found = scan(&bytes, &written);
    assert_eq!((found.next, found.bytes), (2, ends[0] as u64));
    assert!(matches!(found.end, End::Torn(_)));
}

#[test]
fn a_frame_at_another_place_or_twice_is_damage() {
    let header = header();
    let (bytes, ends) = file(&header, &[&[5], &[60, 7], &[9]]);
    let first = &bytes[HEADER_BYTES..ends[0]];
    let twice = [&bytes[..ends[0]], first].concat();
    let found = scan(&twice, &header);
    assert_eq!((found.next, found.end), (2, End::Damaged));
    let skipped = [&bytes[..ends[0]], &bytes[ends[1]..]].concat();
    let found = scan(&skipped, &header);
    assert_eq!((found.next, found.end), (2, End::Damaged));
    // Also where the tag spans two chunks.
    for zeros in CHUNK_BYTES - 20..CHUNK_BYTES + 3 {
        let far = [&bytes[..ends[0]], &vec![0; zeros], &bytes[ends[1]..]].concat();
        assert_eq!(scan(&far, &header).end, End::Damaged, "{zeros}");
    }
}

#[test]
fn a_sealed_file_is_known_by_its_seal_and_found_without_its_trailer() {
    let header = header();
    let frames = [&[60_000_usize; 3][..]; 8];
    let (bytes, ends) = file(&header, &frames);
    let mut sealed = bytes;
    let index = scan(&sealed, &header).index;
    Frame::seal(&header, 25, &index, &mut sealed).unwrap();
    let body = sealed.len();
    sealed.extend(trailer(ends[7] as u64));
    let found = Extent::sealed(&sealed[..], &header).unwrap().unwrap();
    assert_eq!(
        (found.next, found.bytes, found.end),
        (25, ends[7] as u64, End::Sealed)
    );
    assert_eq!(found.index, index);
    assert_eq!(Extent::sealed(&sealed[..body], &header).unwrap(), None);
    assert_eq!(scan(&sealed[..body], &header).end, End::Sealed);
    for at in ends[7]..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 1;
        assert_eq!(
            Extent::sealed(&bad[..], &header).unwrap(),
            None,
            "byte {at}"
        );
        let found = Extent::skim(&bad[..], &header).unwrap();
        assert_eq!(found.next, 25, "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_behind_a_file_are_cut_or_refused(
        tail in proptest::collection::vec(any::<u8>(), 0..500),
        tagged in proptest::collection::vec(0_usize..500, 0..3),
    ) {
        let header = header();
        let (mut bytes, ends) = file(&header, &[&[5], &[60]]);
        bytes.extend(&tail);
        for at in tagged {
            let at = ends[1] + at;
            if let Some(to) = bytes.get_mut(at..at + 8) {
                to.copy_from_slice(header.tag());
            }
        }
        let found = scan(&bytes, &header);
        prop_assert_eq!((found.next, found.bytes), (3, ends[1] as u64));
        prop_assert!(matches!(found.end, End::Free | End::Torn(_)));
        let _ = Extent::sealed(&bytes[..], &header).unwrap();
    }
}
