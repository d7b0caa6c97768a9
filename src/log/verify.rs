//! Looks at every record of a store for damage.

use super::disk::DiskStore;
use super::record::Record;
use super::{Error, Position, Store as _};

/// How much was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The records that are there and good.
    pub records: u64,
    /// Their size, as they were appended.
    pub bytes: u64,
    /// The first record that is there; [`Position::START`] without any.
    pub first: Position,
    /// The last one.
    pub last: Position,
}

/// Reads all records; calls `found` for each record that cannot be read, fails its checksum or has unknown content, and
/// for a lost end. May block on the disk.
pub fn verify(store: &DiskStore, found: &mut impl FnMut(Error)) -> Seen {
    let mut looked = Look {
        seen: Seen::default(),
        at: Position::START,
    };
    while let Err(error) = looked.on(store, found) {
        // All before were given, so it is the next one.
        let position = looked.at.plus(1);
        found(match matches!(error, Error::Damaged { .. }) {
            true => error,
            false => Error::Damaged {
                position,
                why: error.to_string(),
            },
        });
        looked.at = position;
        if position >= store.last() {
            break;
        }
    }
    for error in store.harmless() {
        found(error.clone());
    }
    if let Err(error) = store.check_end() {
        found(error);
    }
    looked.seen.last = store.last();
    looked.seen
}

struct Look {
    seen: Seen,
    /// Everything up to here was checked.
    at: Position,
}

impl Look {
    /// Goes on until the end, or until a record cannot be read.
    fn on(&mut self, store: &DiskStore, found: &mut impl FnMut(Error)) -> Result<(), Error> {
        for entry in store.scan(self.at) {
            let (position, bytes) = entry?;
            if self.seen.first == Position::START {
                self.seen.first = position;
            }
            self.at = position;
            let size = bytes.len() as u64;
            match Record::decode(position, bytes) {
                Ok(_) => {
                    self.seen.records += 1;
                    self.seen.bytes += size;
                }
                Err(error) => found(error),
            }
        }
        Ok(())
    }
}
