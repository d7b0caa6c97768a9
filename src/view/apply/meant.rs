//! The customers that a record is to forget.

use std::collections::BTreeSet;

use super::Apply;
use crate::log::record::Record;
use crate::view::Error;

impl Apply<'_> {
    /// The customers that a record is to forget: those found when it was requested, or those that they merged into
    /// since. No others, whichever customers have the IDs by now.
    pub(super) fn meant(&mut self, project: u32, record: &Record) -> Result<BTreeSet<u64>, Error> {
        let mut holders = Vec::new();
        for id in record.ids.as_slice() {
            holders.extend(self.holder(project, id)?.map(|entry| entry.customer));
        }
        // Older records name no customer: the first known ID does.
        if record.customers.is_empty() {
            return Ok(holders.first().copied().into_iter().collect());
        }
        let mut meant = BTreeSet::new();
        for number in &record.customers {
            meant.extend(self.resolve(*number)?);
        }
        Ok(meant)
    }
}
