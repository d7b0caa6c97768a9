//! What a caller may send to make a torn commit look like damage: text that is a whole frame of a segment.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What the segment's frames would begin with, and its checksums.
const TAG: &[u8] = b"FFTAGTAG";
const SEED: u64 = 0;

/// A frame of one record whose bytes are all of them ASCII, and so lie in the segment as they are in a text.
pub fn frame(number: u64) -> String {
    let numbers = (number << 16..).map(septets);
    let mut frames = numbers.filter_map(|record| {
        let position = u64::from_be_bytes(record);
        let stored = [&8_u32.to_be_bytes()[..], &record].concat();
        let sum = xxh3_64_with_seed(&stored, SEED ^ position).to_be_bytes();
        if !sum.is_ascii() {
            return None;
        }
        let bytes = stored.len() as u32;
        let entry = [bytes, bytes, 1].map(u32::to_be_bytes).concat();
        let length = 40 + 20 + bytes;
        // Length, records, marks, blocks.
        let counts = [length, 1, 0, 1].map(u32::to_be_bytes).concat();
        let summed = [&record[..], &counts, &entry, &sum].concat();
        let sum = xxh3_64_with_seed(&summed, SEED ^ position).to_be_bytes();
        let frame = [TAG, &sum, &summed, &stored].concat();
        frame.is_ascii().then(|| String::from_utf8(frame).unwrap())
    });
    frames.next().unwrap()
}

/// A number as eight bytes below 128, the highest first.
fn septets(number: u64) -> [u8; 8] {
    std::array::from_fn(|index| (number >> (7 * (7 - index)) & 0x7f) as u8)
}
