//! Immutable sorted rows in memory: what was folded since the last checkpoint.

use std::cmp::Ordering;
use std::ops::{Bound, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering as Memory};

use super::super::keys::Table;

/// Layers of about one size that become one. A look-up asks each layer.
const MERGED_AT: usize = 8;
/// The length of the value of a key that was removed.
const REMOVED: u32 = u32::MAX;
/// Bytes of a row beside its key and its value.
const ROW_BYTES: usize = size_of::<Row>();

/// Keys and values, one behind the other. Merged layers share those of the earlier layers.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    /// What it counts as, its rows included.
    charge: usize,
    /// What all of the store's buffers that are still held count as.
    in_memory: Arc<AtomicUsize>,
}

impl Buffer {
    fn new(bytes: Vec<u8>, rows: usize, in_memory: &Arc<AtomicUsize>) -> Arc<Self> {
        let charge = bytes.len() + rows * ROW_BYTES;
        in_memory.fetch_add(charge, Memory::Relaxed);
        Arc::new(Self {
            bytes,
            charge,
            in_memory: in_memory.clone(),
        })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.in_memory.fetch_sub(self.charge, Memory::Relaxed);
    }
}

/// Where a key and its value are: the value follows the key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The key's first 16 bytes as a number that sorts as they do.
    pub(super) prefix: u128,
    pub(super) offset: u32,
    pub(super) key_bytes: u32,
    value_bytes: u32,
    buffer: u32,
}

impl Row {
    /// The row of a key and its optional value, which begin at an offset of a single buffer.
    pub(super) fn new(key: &[u8], value: Option<&[u8]>, offset: usize) -> Option<Self> {
        let value_bytes = match value {
            Some(value) => u32::try_from(value.len()).ok().filter(|n| *n != REMOVED)?,
            None => REMOVED,
        };
        Some(Self {
            prefix: prefix(key),
            offset: offset.try_into().ok()?,
            key_bytes: key.len().try_into().ok()?,
            value_bytes,
            buffer: 0,
        })
    }

    /// Bytes of key and value.
    fn length(&self) -> usize {
        let value = match self.value_bytes {
            REMOVED => 0,
            bytes => bytes as usize,
        };
        self.key_bytes as usize + value
    }

    pub(super) fn key<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let (from, length) = (self.offset as usize, self.key_bytes as usize);
        bytes.get(from..from + length).unwrap_or_default()
    }

    /// None: the key was removed.
    pub(super) fn value<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        if self.value_bytes == REMOVED {
            return None;
        }
        let from = self.offset as usize + self.key_bytes as usize;
        let value = bytes.get(from..from + self.value_bytes as usize);
        Some(value.unwrap_or_default())
    }
}

/// The first bytes of a key as a number that sorts as they do.
pub(super) fn prefix(key: &[u8]) -> u128 {
    match key.first_chunk() {
        Some(first) => u128::from_be_bytes(*first),
        None => {
            let mut first = [0; 16];
            first.iter_mut().zip(key).for_each(|(to, byte)| *to = *byte);
            u128::from_be_bytes(first)
        }
    }
}

/// A key as it is stored.
pub(super) fn full_key(table: Table, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(1 + key.len());
    full.push(table as u8);
    full.extend_from_slice(key);
    full
}

/// A row as it is read: the beginning of its key as a number, its key, and its value unless it was removed.
pub(super) type Shown<'l> = (u128, &'l [u8], Option<&'l [u8]>);

/// Rows in the order of their keys, each key once.
#[derive(Debug)]
pub(super) struct Layer {
    buffers: Vec<Arc<Buffer>>,
    rows: Vec<Row>,
}

impl Layer {
    /// A layer of rows in any order, each key once, whose keys and values are in `bytes`.
    pub(super) fn new(mut rows: Vec<Row>, bytes: &[u8], in_memory: &Arc<AtomicUsize>) -> Self {
        rows.sort_unstable_by(|left, right| {
            let of_prefix = left.prefix.cmp(&right.prefix);
            of_prefix.then_with(|| left.key(bytes).cmp(right.key(bytes)))
        });
        // Bytes in the same order, as merges and checkpoints read them in that order.
        let length = rows.iter().map(Row::length).sum();
        let mut sorted = Vec::with_capacity(length);
        for row in &mut rows {
            let from = row.offset as usize;
            // It is no longer than what it is copied from.
            row.offset = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
            sorted.extend_from_slice(bytes.get(from..from + row.length()).unwrap_or_default());
        }
        let buffer = Buffer::new(sorted, rows.len(), in_memory);
        Self {
            buffers: vec![buffer],
            rows,
        }
    }

    /// Several layers as one, the newest first: for a key that several have, the newest one's row counts.
    pub(super) fn merged(layers: &[Arc<Self>]) -> Self {
        let mut buffers = Vec::new();
        let mut rows = Vec::with_capacity(layers.iter().map(|layer| layer.rows.len()).sum());
        for layer in layers {
            let first = u32::try_from(buffers.len()).unwrap_or(u32::MAX);
            buffers.extend(layer.buffers.iter().cloned());
            rows.extend(layer.rows.iter().map(|row| Row {
                buffer: row.buffer + first,
                ..*row
            }));
        }
        let mut merged = Self { buffers, rows };
        let mut rows = std::mem::take(&mut merged.rows);
        // The sort finds the runs that are sorted already, and leaves rows of one key in their order.
        rows.sort_by(|left, right| merged.compare(left, right));
        rows.dedup_by(|later, kept| merged.compare(later, kept) == Ordering::Equal);
        rows.shrink_to_fit();
        merged.rows = rows;
        merged
    }

    fn compare(&self, left: &Row, right: &Row) -> Ordering {
        let of_prefix = left.prefix.cmp(&right.prefix);
        of_prefix.then_with(|| self.key_of(left).cmp(self.key_of(right)))
    }

    fn bytes_of(&self, row: &Row) -> &[u8] {
        let buffer = self.buffers.get(row.buffer as usize);
        buffer.map_or(&[], |buffer| &*buffer.bytes)
    }

    fn key_of(&self, row: &Row) -> &[u8] {
        row.key(self.bytes_of(row))
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What its buffers count as.
    pub(super) fn charge(&self) -> usize {
        self.buffers.iter().map(|buffer| buffer.charge).sum()
    }

    /// The row at an index.
    pub(super) fn row(&self, index: usize) -> Option<Shown<'_>> {
        let row = self.rows.get(index)?;
        let bytes = self.bytes_of(row);
        Some((row.prefix, row.key(bytes), row.value(bytes)))
    }

    /// What it has for a key: nothing, a removal, or a value.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let first = prefix(key);
        let found = self.rows.binary_search_by(|row| {
            let of_prefix = row.prefix.cmp(&first);
            of_prefix.then_with(|| self.key_of(row).cmp(key))
        });
        let row = self.rows.get(found.ok()?)?;
        Some(row.value(self.bytes_of(row)))
    }

    /// The indices of the rows between two keys.
    pub(super) fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Range<usize> {
        let behind = |key: &[u8], inclusive: bool| {
            let first = prefix(key);
            self.rows.partition_point(|row| {
                let of_prefix = row.prefix.cmp(&first);
                match of_prefix.then_with(|| self.key_of(row).cmp(key)) {
                    Ordering::Less => true,
                    Ordering::Equal => inclusive,
                    Ordering::Greater => false,
                }
            })
        };
        let from = match from {
            Bound::Included(key) => behind(key, false),
            Bound::Excluded(key) => behind(key, true),
            Bound::Unbounded => 0,
        };
        let to = match to {
            Bound::Included(key) => behind(key, true),
            Bound::Excluded(key) => behind(key, false),
            Bound::Unbounded => self.rows.len(),
        };
        from..to.max(from)
    }
}

/// Puts a layer in front of others, the newest first, and merges the small ones in front: `n` rows written one by one
/// leave about `8 log(n)` layers.
pub(super) fn push(layers: &mut Vec<Arc<Layer>>, layer: Layer) {
    let size = |layer: &Arc<Layer>| layer.len().max(1).ilog(MERGED_AT);
    layers.insert(0, Arc::new(layer));
    let mut largest = 0;
    while let Some(newest) = layers.first().map(size) {
        largest = newest.max(largest);
        let small = layers.iter().take_while(|layer| size(layer) <= largest);
        let count = small.count();
        if count >= MERGED_AT {
            let merged = layers.get(..count).map(Layer::merged);
            layers.splice(..count, merged.map(Arc::new));
        } else if count < layers.len() {
            largest += 1;
        } else {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn layer(entries: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Layer {
        let (mut bytes, mut rows) = (Vec::new(), Vec::new());
        // Any order will do.
        for (key, value) in entries.iter().rev() {
            rows.push(Row::new(key, value.as_deref(), bytes.len()).unwrap());
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value.as_deref().unwrap_or_default());
        }
        Layer::new(rows, &bytes, &Arc::default())
    }

    fn entries(layer: &Layer) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let rows = (0..layer.len()).map(|index| layer.row(index).unwrap());
        rows.map(|(_, key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
            .collect()
    }

    /// Keys that are short, long or share a prefix, zeros among them.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(0..3_u8, 0..4),
            proptest::collection::vec(0..2_u8, 14..19),
        ]
    }

    fn map() -> impl Strategy<Value = BTreeMap<Vec<u8>, Option<Vec<u8>>>> {
        let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..4));
        proptest::collection::btree_map(key(), value, 0..40)
    }

    proptest! {
        #[test]
        fn a_layer_has_its_rows_in_the_order_of_their_keys(map in map(), other in key()) {
            let layer = layer(&map);
            prop_assert_eq!(entries(&layer), map.clone().into_iter().collect::<Vec<_>>());
            for key in map.keys().chain([&other]) {
                let found = layer.get(key).map(|value| value.map(<[u8]>::to_vec));
                prop_assert_eq!(found, map.get(key).cloned());
            }
        }

        #[test]
        fn a_range_of_a_layer_is_that_of_a_map(map in map(), from in key(), to in key()) {
            let layer = layer(&map);
            let bounds = |key| [Bound::Included(key), Bound::Excluded(key), Bound::Unbounded];
            for low in bounds(&*from) {
                for high in bounds(&*to) {
                    let is_in = |key: &[u8]| {
                        (match low {
                            Bound::Included(low) => key >= low,
                            Bound::Excluded(low) => key > low,
                            Bound::Unbounded => true,
                        }) && (match high {
                            Bound::Included(high) => key <= high,
                            Bound::Excluded(high) => key < high,
                            Bound::Unbounded => true,
                        })
                    };
                    let expected: Vec<_> = map.keys().filter(|key| is_in(key)).collect();
                    let rows = layer.range(low, high).map(|index| layer.row(index).unwrap().1);
                    prop_assert_eq!(rows.collect::<Vec<_>>(), expected);
                }
            }
        }

        #[test]
        fn merged_layers_say_what_the_newest_of_them_said(
            maps in proptest::collection::vec(map(), 1..30)
        ) {
            let mut layers = Vec::new();
            let mut expected = BTreeMap::new();
            for map in &maps {
                push(&mut layers, layer(map));
                expected.extend(map.clone());
            }
            let all = Layer::merged(&layers);
            prop_assert_eq!(entries(&all), expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn many_small_layers_beside_large_ones_stay_few() {
        let mut layers = Vec::new();
        let mut most = 0;
        for number in 0..600_u32 {
            let rows = if number % 3 == 0 { 100 } else { 1 };
            let keys = (0..rows).map(|row| [number, row].map(u32::to_be_bytes).concat());
            push(&mut layers, layer(&keys.map(|key| (key, None)).collect()));
            most = most.max(layers.len());
        }
        assert_eq!(Layer::merged(&layers).len(), 200 * 100 + 400);
        assert!(most <= 7 * 6, "{most}");
    }

    #[test]
    fn what_a_layer_takes_of_the_memory_is_counted_until_nobody_has_it() {
        let in_memory = Arc::default();
        let row = Row::new(&[1], Some(&[2]), 0).unwrap();
        let first = Arc::new(Layer::new(vec![row], &[1, 2], &in_memory));
        let merged = Layer::merged(&[first.clone(), first.clone()]);
        assert_eq!(merged.len(), 1);
        drop(first);
        assert_eq!(in_memory.load(Memory::Relaxed), 2 + ROW_BYTES);
        drop(merged);
        assert_eq!(in_memory.load(Memory::Relaxed), 0);
    }
}
