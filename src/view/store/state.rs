//! A state to read from: what the last checkpoint wrote, and the layers since.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use fjall::{Slice, Snapshot};

use super::super::Error;
use super::super::keys::Table;
use super::super::order::Order;
use super::base::Base;
use super::layer::{Layer, full_key};
use super::rows::Rows;

/// It never changes. The layers and the base belong together: the base has exactly what checkpoints have taken from the
/// layers.
#[derive(Clone)]
pub(in crate::view) struct State {
    /// None: everything is in the layers.
    pub(super) base: Option<(Arc<Base>, Arc<Snapshot>)>,
    /// The newest first.
    pub(super) layers: Vec<Arc<Layer>>,
}

impl State {
    pub(in crate::view) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, Error> {
        let key = full_key(table, key);
        for layer in &self.layers {
            if let Some(value) = layer.get(&key) {
                return Ok(value.map(Slice::from));
            }
        }
        match &self.base {
            Some((base, at)) => base.get(at, &key),
            None => Ok(None),
        }
    }

    /// As [`Self::get`], for a key that was not written since the last checkpoint.
    pub(in crate::view) fn get_of_base(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<Slice>, Error> {
        match &self.base {
            Some((base, at)) => base.get(at, &full_key(table, key)),
            // There are no checkpoints.
            None => self.get(table, key),
        }
    }

    /// The entries between two keys.
    pub(in crate::view) fn range(
        &self,
        table: Table,
        keys: &impl RangeBounds<Vec<u8>>,
        order: Order,
    ) -> Rows {
        let full = |key: &Vec<u8>| full_key(table, key);
        let (mut from, mut to) = (keys.start_bound().map(full), keys.end_bound().map(full));
        if from == Bound::Unbounded {
            from = Bound::Included(vec![table as u8]);
        }
        if to == Bound::Unbounded {
            to = Bound::Excluded(vec![table as u8 + 1]);
        }
        let (from, to) = (
            from.as_ref().map(Vec::as_slice),
            to.as_ref().map(Vec::as_slice),
        );
        let layers = self.layers.iter();
        let layers = layers.map(|layer| (layer.clone(), layer.range(from, to)));
        let base = self.base.as_ref();
        Rows::new(
            layers,
            base.map(|(base, at)| base.range(at, from, to)),
            order,
        )
    }

    /// All entries whose key begins with `prefix`.
    pub(in crate::view) fn scan(&self, table: Table, prefix: &[u8]) -> Rows {
        let to = match behind(prefix) {
            Some(key) => Bound::Excluded(key),
            None => Bound::Unbounded,
        };
        let range = (Bound::Included(prefix.to_vec()), to);
        self.range(table, &range, Order::Ascending)
    }
}

/// The first key behind all that begin with `prefix`; none if there is none.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut key = prefix.get(..=last)?.to_vec();
    *key.last_mut()? += 1;
    Some(key)
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_prefix_comes_the_next_key_that_does_not_begin_with_it() {
        assert_eq!(behind(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(behind(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(behind(b"\xff"), None);
        assert_eq!(behind(b""), None);
    }
}
