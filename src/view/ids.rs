//! The customers that IDs lead to, as far as the fold knows without reading the store.
//!
//! Each record needs the customer of each of its IDs. Only the fold writes that table, so what it remembers is what the
//! store has. It remembers the last few million IDs, in slots, and all that were written since the last checkpoint: for
//! any other ID only the base need be read. Each ID is remembered as a digest.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::digest::{Digest, Digester};
use super::slots::Slots;
use super::store::Epoch;
use super::values::IdEntry;
use crate::model::customer_id::CustomerId;

/// What is known of an ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It leads to a customer.
    Entry(IdEntry),
    /// It leads to no customer.
    Nobody,
    /// Unknown: the base has to be read.
    OfBase,
}

/// The IDs that are known.
#[derive(Debug)]
pub(super) struct Ids {
    digester: Digester,
    slots: Slots<2>,
    /// What was written since the last checkpoint began.
    written: Written,
    /// The checkpoint that will contain it.
    checkpoint: u64,
    /// What was written before, with the checkpoint that contains it.
    earlier: VecDeque<(u64, Written)>,
}

/// `None`: removed.
type Written = HashMap<Digest, Option<IdEntry>, BuildHasherDefault<OfDigest>>;

impl Ids {
    /// With slots of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            digester: Digester::default(),
            slots: Slots::new(bytes),
            written: Written::default(),
            checkpoint: 1,
            earlier: VecDeque::new(),
        }
    }

    pub(super) fn digest(&self, project: u32, id: &CustomerId) -> Digest {
        self.digester.digest(|hasher| {
            hasher.write(&project.to_be_bytes());
            hasher.write(&id.kind.len().to_be_bytes());
            hasher.write(id.kind.as_bytes());
            hasher.write(id.value.as_bytes());
        })
    }

    pub(super) fn get(&mut self, digest: Digest) -> Known {
        if let Some([_, _, customer, last_used]) = self.slots.get(digest).copied() {
            return Known::Entry(IdEntry {
                customer,
                last_used,
            });
        }
        let earlier = self.earlier.iter().rev().map(|(_, written)| written);
        let mut written = std::iter::once(&self.written).chain(earlier);
        match written.find_map(|written| written.get(&digest).copied()) {
            Some(Some(entry)) => {
                self.remember(digest, entry);
                Known::Entry(entry)
            }
            Some(None) => Known::Nobody,
            None => Known::OfBase,
        }
    }

    /// The base has this.
    pub(super) fn remember(&mut self, [high, low]: Digest, entry: IdEntry) {
        self.slots.put([high, low, entry.customer, entry.last_used]);
    }

    /// An entry is written; `None` removes it.
    pub(super) fn write(&mut self, digest: Digest, entry: Option<IdEntry>) {
        self.written.insert(digest, entry);
        match entry {
            Some(entry) => self.remember(digest, entry),
            None => self.slots.remove(digest),
        }
    }

    /// All that was written is published by now, and a checkpoint after those that have begun will contain it.
    pub(super) fn published(&mut self, checkpoints: Epoch) {
        while let Some((of, _)) = self.earlier.front()
            && *of <= checkpoints.ended
        {
            self.earlier.pop_front();
        }
        let next = checkpoints.begun + 1;
        if next > self.checkpoint {
            // Some of it is in the checkpoint that has begun, the rest in the next one.
            let written = std::mem::take(&mut self.written);
            self.earlier.push_back((next, written));
            self.checkpoint = next;
        }
    }
}

/// Digests are random as they are.
#[derive(Debug, Default)]
struct OfDigest(u64);

impl Hasher for OfDigest {
    fn write(&mut self, bytes: &[u8]) {
        let last = bytes.last_chunk().copied();
        self.0 ^= last.map_or(0, u64::from_ne_bytes);
    }

    /// The length before the words.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(customer: u64) -> IdEntry {
        IdEntry {
            customer,
            last_used: 9,
        }
    }

    fn at(begun: u64, ended: u64) -> Epoch {
        Epoch { begun, ended }
    }

    /// With a single set of slots, and many others in it.
    fn crowded(ids: &mut Ids) {
        (100..200).for_each(|number| ids.remember([number, number], entry(number)));
    }

    #[test]
    fn what_no_checkpoint_has_yet_is_known_whatever_else_is_remembered() {
        let mut ids = Ids::new(1);
        ids.write([1, 1], Some(entry(1)));
        ids.write([2, 2], None);
        ids.published(at(0, 0));
        for checkpoints in [at(1, 0), at(1, 1), at(2, 1)] {
            crowded(&mut ids);
            assert_eq!(ids.get([1, 1]), Known::Entry(entry(1)));
            assert_eq!(ids.get([2, 2]), Known::Nobody);
            ids.published(checkpoints);
        }
        ids.published(at(2, 2));
        crowded(&mut ids);
        assert_eq!(ids.get([1, 1]), Known::OfBase);
        assert_eq!(ids.get([2, 2]), Known::OfBase);
    }

    #[test]
    fn what_is_written_as_a_checkpoint_begins_is_kept_until_the_next_one_has_ended() {
        let mut ids = Ids::new(1);
        ids.published(at(0, 0));
        ids.write([1, 1], Some(entry(1)));
        // It was too late for the first checkpoint.
        ids.published(at(1, 0));
        ids.write([1, 1], None);
        ids.published(at(1, 1));
        assert_eq!(ids.get([1, 1]), Known::Nobody);
        ids.published(at(2, 2));
        ids.published(at(3, 3));
        assert_eq!(ids.get([1, 1]), Known::OfBase);
    }

    #[test]
    fn an_id_has_one_digest_in_each_project_and_of_each_type() {
        let ids = Ids::new(1);
        let id = |kind: &str, value: &str| CustomerId {
            kind: kind.into(),
            value: value.into(),
            soft: false,
        };
        let digest = ids.digest(1, &id("cookie", "a"));
        assert_eq!(ids.digest(1, &id("cookie", "a")), digest);
        assert_ne!(ids.digest(2, &id("cookie", "a")), digest);
        assert_ne!(ids.digest(1, &id("cooki", "ea")), digest);
    }
}
