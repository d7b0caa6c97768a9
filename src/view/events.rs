//! Reads the events of a customer.

use super::Error;
use super::read::{Events, Found, Rest, Snapshot, StoredEvent};
use super::timeline::{Next, Timeline};
use super::values::Entry;
use crate::log::record::Command;
use crate::model::properties::Properties;

impl Snapshot {
    /// Gives the events of a customer, and of the customers that merged into it, to `take` one by one. Ends when it
    /// refuses one, which counts as not given. Returns where to go on; none when there are no more.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`], [`Error::Log`], [`Error::Cancelled`].
    pub fn each_event(
        &self,
        found: &Found,
        wanted: &Events<'_>,
        mut take: impl FnMut(StoredEvent) -> bool,
    ) -> Result<Option<Rest>, Error> {
        let mut timeline = Timeline::new(self, found, wanted)?;
        let (mut skip, mut left) = (wanted.skip, wanted.limit);
        let rest = |after, skip, limited| {
            Ok(Some(Rest {
                after,
                skip,
                limited,
            }))
        };
        loop {
            let before = timeline.place();
            let needed = usize::try_from(skip).unwrap_or(usize::MAX);
            let needed = needed.saturating_add(left);
            let (time, entry) = match timeline.next(needed)? {
                Next::Event(time, entry) => (time, entry),
                Next::Pause => return rest(timeline.place(), skip, false),
                Next::End => return Ok(None),
            };
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let Some(properties) = self.event_properties(&entry)? else {
                continue;
            };
            let event = StoredEvent {
                event_type: entry.event_type,
                time,
                properties,
            };
            if !take(event) {
                return rest(before, 0, false);
            }
            left = left.saturating_sub(1);
            if left == 0 {
                return rest(timeline.place(), 0, true);
            }
        }
    }

    /// None: the event has left the log since the snapshot was taken.
    fn event_properties(&self, entry: &Entry) -> Result<Option<Properties>, Error> {
        if let Some(made) = &entry.made {
            return Ok(Some(Properties::from_canonical(made.clone().into())));
        }
        let bytes = self.log().read(entry.position)?;
        let record = self.log().decode(entry.position, bytes)?;
        match record.command {
            Command::Event(event) => Ok(Some(event.properties)),
            Command::Update { .. } | Command::Anonymize | Command::Erase | Command::Erased(_) => {
                Ok(None)
            }
        }
    }
}
