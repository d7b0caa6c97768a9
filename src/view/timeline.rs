//! The events of a customer in their order, by time and then by arrival, in bounded memory.
//!
//! Rows of one moment are sorted by their content hashes, so all of them have to be read to know which came first. No
//! more of them are kept than are requested, nor than a `selection` holds; for the others the moment is walked again.

mod selection;

use std::collections::VecDeque;
use std::iter::Peekable;
use std::ops::Bound;

use super::Error;
use super::keys::{self, Table};
use super::order::{EventPlace, Order};
use super::read::{Events, Found, Snapshot};
use super::store;
use super::values::Entry;
use crate::model::event::EventType;
use crate::model::time::Timestamp;
use selection::{Selection, ranked};

/// Most rows that one page should pass.
pub const ROWS_MAX: usize = 1_000_000;

/// What comes next.
pub(super) enum Next {
    Event(Timestamp, Entry),
    /// Enough rows were passed; go on from [`Timeline::place`] another time.
    Pause,
    End,
}

/// An event, and the place behind it.
type Row = (EventPlace, Entry);
type Source = Peekable<Box<dyn Iterator<Item = Result<Row, Error>>>>;

/// The rows of a customer under all its numbers, as one sequence.
pub(super) struct Timeline<'a> {
    snapshot: &'a Snapshot,
    numbers: Vec<u64>,
    sources: Vec<Source>,
    order: Order,
    types: Option<&'a [EventType]>,
    /// The event behind which to begin.
    after: Option<EventPlace>,
    /// What was selected of a moment, in order.
    ready: VecDeque<Row>,
    /// The moment that has more than was selected.
    unfinished: Option<EventPlace>,
    place: Option<EventPlace>,
    rows: usize,
    rows_max: usize,
}

impl<'a> Timeline<'a> {
    /// The rows of a query. The caller counts its `skip` and `limit`.
    pub(super) fn new(
        snapshot: &'a Snapshot,
        found: &Found,
        wanted: &Events<'a>,
    ) -> Result<Self, Error> {
        let Events { order, after, .. } = *wanted;
        let numbers: Vec<u64> = found.numbers().collect();
        let sources = numbers
            .iter()
            .map(|number| source(snapshot, *number, order, after))
            .collect();
        Ok(Self {
            snapshot,
            numbers,
            sources,
            order,
            types: wanted.types,
            after,
            ready: VecDeque::new(),
            unfinished: None,
            place: after,
            rows: 0,
            rows_max: wanted.rows_max,
        })
    }

    /// The place behind all events that were given or skipped.
    pub(super) fn place(&self) -> Option<EventPlace> {
        self.place
    }

    /// The next event of the types. `needed`: how many are of use at most, including this one.
    pub(super) fn next(&mut self, needed: usize) -> Result<Next, Error> {
        loop {
            if let Some((place, entry)) = self.ready.pop_front() {
                self.place = Some(place);
                return Ok(Next::Event(place.time, entry));
            }
            if let Some(after) = self.unfinished.take() {
                self.select_again(after, needed)?;
                continue;
            }
            if self.rows >= self.rows_max {
                return Ok(Next::Pause);
            }
            let Some(time) = self.next_time()? else {
                return Ok(Next::End);
            };
            self.select(time, needed)?;
        }
    }

    /// The time of the next moment.
    fn next_time(&mut self) -> Result<Option<Timestamp>, Error> {
        let mut next: Option<Timestamp> = None;
        for source in &mut self.sources {
            match source.peek() {
                None => {}
                Some(Err(error)) => return Err(error.clone()),
                Some(Ok((EventPlace { time, .. }, _))) => {
                    next = Some(match (next, self.order) {
                        (None, _) => *time,
                        (Some(next), Order::Ascending) => next.min(*time),
                        (Some(next), Order::Descending) => next.max(*time),
                    });
                }
            }
        }
        Ok(next)
    }

    /// Takes a moment's rows off the sources, and keeps those that are first.
    fn select(&mut self, time: Timestamp, needed: usize) -> Result<(), Error> {
        let after = self.after.filter(|after| after.time == time);
        let mut selection = Selection::new(self.order, self.types, needed, after);
        for source in &mut self.sources {
            while let Some(row) =
                source.next_if(|row| row.as_ref().is_ok_and(|(place, _)| place.time == time))
            {
                self.snapshot.check()?;
                self.rows += 1;
                selection.offer(row?);
            }
        }
        self.finish(time, selection);
        Ok(())
    }

    /// Walks again over a moment that had more rows than are kept at once.
    fn select_again(&mut self, after: EventPlace, needed: usize) -> Result<(), Error> {
        let mut selection = Selection::new(self.order, self.types, needed, Some(after));
        for number in &self.numbers {
            let prefix = moment(*number, after.time);
            for row in self.snapshot.scan(Table::Timeline, &prefix) {
                self.snapshot.check()?;
                self.rows += 1;
                selection.offer(read_row(row)?);
            }
        }
        self.finish(after.time, selection);
        Ok(())
    }

    fn finish(&mut self, time: Timestamp, selection: Selection<'_>) {
        let (rows, dropped) = selection.finish();
        let last = rows.last().map(|(place, _)| *place);
        self.unfinished = last.filter(|_| dropped);
        if rows.is_empty() {
            let arrival = ranked(self.order, u128::MAX);
            self.place = Some(EventPlace { time, arrival });
        }
        self.ready = rows.into();
    }
}

/// The rows under a number, from the moment of `after` on.
fn source(snapshot: &Snapshot, number: u64, order: Order, after: Option<EventPlace>) -> Source {
    let first = keys::customer(number);
    let behind = keys::customer(number.saturating_add(1));
    // Behind the end of a moment, none of its rows need be passed again.
    let is_over = after.is_some_and(|after| ranked(order, after.arrival) == u128::MAX);
    let next = |time: Timestamp, by: i64| {
        let time = time.micros().saturating_add(by);
        [number.to_be_bytes(), time.to_be_bytes()].concat()
    };
    let range = match (order, after) {
        (_, None) => (Bound::Included(first), Bound::Excluded(behind)),
        (Order::Ascending, Some(EventPlace { time, .. })) => (
            Bound::Included(next(time, i64::from(is_over))),
            Bound::Excluded(behind),
        ),
        (Order::Descending, Some(EventPlace { time, .. })) => (
            Bound::Included(first),
            Bound::Excluded(next(time, i64::from(!is_over))),
        ),
    };
    let rows = snapshot.range(Table::Timeline, &range, order);
    let rows: Box<dyn Iterator<Item = Result<Row, Error>>> = Box::new(rows.map(read_row));
    rows.peekable()
}

/// What the keys of a moment's rows begin with.
fn moment(number: u64, time: Timestamp) -> Vec<u8> {
    [number.to_be_bytes(), time.micros().to_be_bytes()].concat()
}

fn read_row(row: Result<store::Entry, Error>) -> Result<Row, Error> {
    const DAMAGED: Error = Error::Damaged("a key of the timeline");
    let (key, value) = row?;
    let mut numbers = key.as_chunks().0.iter().skip(1);
    let (Some(micros), Some(hash)) = (numbers.next(), numbers.next()) else {
        return Err(DAMAGED);
    };
    let time = Timestamp::from_micros(i64::from_be_bytes(*micros)).map_err(|_| DAMAGED)?;
    let entry = Entry::decode(&value)?;
    let arrival = u128::from(entry.position.get()) << 64 | u128::from(u64::from_be_bytes(*hash));
    Ok((EventPlace { time, arrival }, entry))
}
