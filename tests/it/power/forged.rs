//! What a caller may send to make a torn commit look like damage: text that is a whole batch of the engine's journal.

use xxhash_rust::xxh3::xxh3_64;

/// A batch of one entry whose bytes are all of them ASCII, and so lie in the journal as they are in a text.
pub fn batch(number: u64) -> String {
    let numbers = (number << 16..).map(septets);
    let mut batches = numbers.filter_map(|key| {
        let item = [
            &[2, 0, 0][..],
            &septets(1),
            &8_u16.to_le_bytes(),
            &[0; 8],
            &key,
        ]
        .concat();
        let checksum = xxh3_64(&item).to_le_bytes();
        let start = [&[1][..], &1_u32.to_le_bytes(), &[0x7f; 8]].concat();
        let batch = [&start[..], &item, &[3], &checksum, b"FJL\x03"].concat();
        String::from_utf8(batch)
            .ok()
            .filter(|batch| batch.is_ascii())
    });
    batches.next().unwrap()
}

/// A number as eight bytes below 128, the lowest first.
fn septets(number: u64) -> [u8; 8] {
    std::array::from_fn(|index| (number >> (7 * index) & 0x7f) as u8)
}
