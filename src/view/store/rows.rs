//! Layers and the base as one sequence, in the order of the keys.

use std::cmp::Ordering;
use std::sync::Arc;

use fjall::Slice;

use super::super::Error;
use super::layer::{Layer, Shown, prefix};
use crate::view::order::Order;

/// A key, without its table, and its value.
pub(crate) type Entry = (Slice, Slice);

/// The rows of some layers between two keys.
struct OfLayer {
    layer: Arc<Layer>,
    /// The next row and the one behind the last one, in either order.
    next: usize,
    left: usize,
}

/// What the base has between two keys, one row ahead.
struct OfBase {
    rows: Box<dyn Iterator<Item = fjall::Guard> + Send>,
    /// The key with its table.
    next: Option<Entry>,
}

/// The rows between two keys: for a key that several have, the newest one counts.
pub(in crate::view) struct Rows {
    /// The newest first.
    layers: Vec<OfLayer>,
    base: OfBase,
    order: Order,
    /// The base could not be read.
    failure: Option<Error>,
}

impl Rows {
    /// The rows of layers, the newest first, each with the indices of its rows, and of the base if there is one.
    pub(super) fn new(
        layers: impl Iterator<Item = (Arc<Layer>, std::ops::Range<usize>)>,
        base: Option<fjall::Iter>,
        order: Order,
    ) -> Self {
        let layers = layers.filter(|(_, range)| !range.is_empty());
        let layers = layers.map(|(layer, range)| OfLayer {
            layer,
            next: match order {
                Order::Ascending => range.start,
                Order::Descending => range.end - 1,
            },
            left: range.len(),
        });
        let mut rows = Self {
            layers: layers.collect(),
            base: OfBase {
                rows: match (base, order) {
                    (None, _) => Box::new(std::iter::empty()),
                    (Some(base), Order::Ascending) => Box::new(base),
                    (Some(base), Order::Descending) => Box::new(base.rev()),
                },
                next: None,
            },
            order,
            failure: None,
        };
        rows.advance_base();
        rows
    }

    fn advance_base(&mut self) {
        let next = self.base.rows.next().map(fjall::Guard::into_inner);
        self.base.next = next.transpose().unwrap_or_else(|error| {
            self.failure = Some(error.into());
            None
        });
    }

    /// The smallest of the next keys, and which layer has it; none: the base.
    fn first(&self) -> Option<(&[u8], Option<usize>)> {
        let base = self.base.next.as_ref();
        let mut first = base.map(|(key, _)| (prefix(key), &**key, None));
        // From the oldest to the newest, which counts.
        for (index, of) in self.layers.iter().enumerate().rev() {
            let Some((beginning, key, _)) = of.peek() else {
                continue;
            };
            let is_first = first.is_none_or(|(other, other_key, _)| {
                let order = beginning.cmp(&other).then_with(|| key.cmp(other_key));
                match self.order {
                    Order::Ascending => order != Ordering::Greater,
                    Order::Descending => order != Ordering::Less,
                }
            });
            if is_first {
                first = Some((beginning, key, Some(index)));
            }
        }
        first.map(|(_, key, of)| (key, of))
    }

    /// The next row; without a value if it was removed.
    fn step(&mut self) -> Option<(Slice, Option<Slice>)> {
        let (key, of) = self.first()?;
        // All are of one table, whose byte is the first one.
        let key = Slice::from(key.get(1..)?);
        let is_it = |other: &[u8]| other.get(1..) == Some(&key);
        let of_base = self.base.next.take_if(|(other, _)| is_it(other));
        if of_base.is_some() {
            self.advance_base();
        }
        let Some(index) = of else {
            return Some((key, of_base.map(|(_, value)| value)));
        };
        let newest = self.layers.get(index).and_then(OfLayer::peek);
        let value = newest.and_then(|(_, _, value)| value.map(Slice::from));
        for of in &mut self.layers {
            if of.peek().is_some_and(|(_, other, _)| is_it(other)) {
                of.advance(self.order);
            }
        }
        Some((key, value))
    }
}

impl OfLayer {
    fn peek(&self) -> Option<Shown<'_>> {
        match self.left {
            0 => None,
            _ => self.layer.row(self.next),
        }
    }

    fn advance(&mut self, order: Order) {
        self.left -= 1;
        self.next = match order {
            Order::Ascending => self.next + 1,
            Order::Descending => self.next.saturating_sub(1),
        };
    }
}

impl Iterator for Rows {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // The base's unread row might come before the layers' next row.
            if let Some(error) = self.failure.take() {
                self.layers.clear();
                return Some(Err(error));
            }
            let (key, value) = self.step()?;
            if let Some(value) = value {
                return Some(Ok((key, value)));
            }
        }
    }
}
