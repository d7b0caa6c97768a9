//! The parts of an answer, for the code that writes it in the form in which it is sent.

use super::page_token::PageToken;
use super::{Error, IdValues};
use crate::view::read::{Found, Rest, Snapshot};
use crate::view::{Events, Order, ROWS_MAX, StoredEvent};

/// Most events of a customer that is read with everything: beyond, they come in pages.
pub const CUSTOMER_EVENTS_MAX: usize = 50_000;

/// An answer being written, which knows its size as it will be sent. A part that would not fit is refused and left out:
/// a page ends there.
///
/// It is written where the view is read, off the threads that serve all callers.
pub trait ResponseWriter: Send + 'static {
    /// Takes the customer's IDs, before anything else.
    fn ids(&mut self, ids: Vec<IdValues>) -> bool;

    /// Takes a property with its canonical bytes. Names ascend.
    fn property(&mut self, name: &str, value: &[u8]) -> bool;

    /// Takes an event, after all properties.
    fn event(&mut self, event: StoredEvent) -> bool;

    /// Its approximate memory, in bytes.
    fn bytes(&self) -> usize;
}

/// A part of what was requested.
#[derive(Debug)]
pub struct Page<A> {
    /// The answer.
    pub answer: A,
    /// The token to request the rest with; none at the end.
    pub next: Option<String>,
    /// Whether the page ended because it has as many events as were requested.
    pub limited: bool,
}

/// An answer, and its count of parts.
pub(super) struct Writing<A> {
    pub(super) answer: A,
    /// Properties and events that it has.
    pub(super) count: usize,
}

impl<A: ResponseWriter> Writing<A> {
    /// The page, which ends before `next`, and its bytes.
    pub(super) fn end(self, next: Option<String>, limited: bool) -> (Page<A>, usize) {
        let bytes = self.answer.bytes();
        let page = Page {
            answer: self.answer,
            next,
            limited,
        };
        (page, bytes)
    }

    pub(super) fn event(&mut self, event: StoredEvent) -> bool {
        let fits = self.answer.event(event);
        self.count += usize::from(fits);
        fits
    }

    /// Writes properties and events from `start` on. Returns where the next page begins.
    pub(super) fn customer(
        &mut self,
        snapshot: &Snapshot,
        found: &Found,
        start: PageToken,
    ) -> Result<Option<PageToken>, Error> {
        let (after, skip) = match start {
            PageToken::Events { after, skip } => (after, skip),
            PageToken::Property(from) => {
                let mut rest = None;
                snapshot.each_property(found, &from, |name, property| {
                    let fits = self.answer.property(name, &property.value);
                    match fits {
                        true => self.count += 1,
                        false => rest = Some(PageToken::Property(name.to_owned())),
                    }
                    fits
                })?;
                if rest.is_some() {
                    return Ok(rest);
                }
                (None, 0)
            }
        };
        let all = Events {
            types: None,
            order: Order::Ascending,
            after,
            skip,
            limit: usize::MAX,
            rows_max: ROWS_MAX,
        };
        let mut left = CUSTOMER_EVENTS_MAX;
        let rest = snapshot.each_event(found, &all, |event| {
            let fits = left > 0 && self.event(event);
            left = left.saturating_sub(1);
            fits
        })?;
        Ok(rest.map(PageToken::from))
    }
}

impl From<Rest> for PageToken {
    fn from(rest: Rest) -> Self {
        Self::Events {
            after: rest.after,
            skip: rest.skip,
        }
    }
}
