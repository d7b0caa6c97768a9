//! Which property names get their own column in a table of customers.
//!
//! Any writer can make up names, so their number must not prevent a table, nor make it much larger. The columns are for
//! the names that most customers have; among names that equally many have, those that were written first. The other
//! names share one column.

use std::collections::{BTreeSet, HashMap};

/// Most names that have their own column.
pub const COLUMNS_MAX: usize = 1_000;
/// Most names that are counted at once. Beyond, the lower half is forgotten, and counted from one again.
const COUNTED_MAX: usize = 16 * 1_024;
/// Bytes of names beyond which the lower half is forgotten too.
const COUNTED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Counts the customers of each name, in bounded memory.
#[derive(Debug, Default)]
pub(super) struct Counts {
    names: HashMap<String, Count>,
    bytes: usize,
    /// Whether a name was forgotten.
    forgot: bool,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    customers: u64,
    /// The first position of a record with a present value of it.
    first: u64,
}

/// The columns of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The names that have their own, sorted.
    pub names: BTreeSet<String>,
    /// Whether there are others, which share one.
    pub others: bool,
}

impl Counts {
    /// Counts a name of one customer, whose value came with the record at a position.
    pub(super) fn count(&mut self, name: &str, position: u64) {
        if let Some(count) = self.names.get_mut(name) {
            count.customers += 1;
            count.first = count.first.min(position);
            return;
        }
        let count = Count {
            customers: 1,
            first: position,
        };
        self.names.insert(name.to_owned(), count);
        self.bytes += name.len();
        if self.names.len() > COUNTED_MAX || self.bytes > COUNTED_BYTES_MAX {
            self.keep_first(self.names.len() / 2);
            self.forgot = true;
        }
    }

    /// The columns.
    pub(super) fn columns(mut self) -> Columns {
        let others = self.forgot || self.names.len() > COLUMNS_MAX;
        self.keep_first(COLUMNS_MAX);
        Columns {
            names: self.names.into_keys().collect(),
            others,
        }
    }

    fn keep_first(&mut self, count: usize) {
        if self.names.len() <= count {
            return;
        }
        let mut names: Vec<_> = self.names.drain().collect();
        names.sort_unstable_by(|(a, of_a), (b, of_b)| {
            let rank = |of: &Count| (std::cmp::Reverse(of.customers), of.first);
            rank(of_a).cmp(&rank(of_b)).then_with(|| a.cmp(b))
        });
        names.truncate(count);
        self.bytes = names.iter().map(|(name, _)| name.len()).sum();
        self.names = names.into_iter().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_many_have_or_that_were_first_keep_their_columns() {
        let mut counts = Counts::default();
        counts.count("first_name", 7);
        for customer in 0..2 {
            counts.count("age", 1_000_000 + customer);
        }
        for made_up in 0..100_000 {
            counts.count(&format!("!{made_up}"), 1_000 + made_up);
        }
        assert!(counts.names.len() <= COUNTED_MAX);
        let columns = counts.columns();
        assert_eq!(columns.names.len(), COLUMNS_MAX);
        assert!(columns.others);
        for honest in ["first_name", "age", "!0"] {
            assert!(columns.names.contains(honest), "{honest}");
        }
    }

    #[test]
    fn long_names_take_no_more_memory_than_many() {
        let mut counts = Counts::default();
        for made_up in 0..20_000 {
            counts.count(&format!("{made_up:01000}"), made_up);
            assert!(counts.bytes <= COUNTED_BYTES_MAX);
        }
    }

    #[test]
    fn as_many_names_as_columns_leave_nothing_to_others() {
        let mut counts = Counts::default();
        for name in 0..COLUMNS_MAX {
            counts.count(&name.to_string(), 1);
        }
        let columns = counts.columns();
        assert_eq!((columns.names.len(), columns.others), (COLUMNS_MAX, false));
    }
}
