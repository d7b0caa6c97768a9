//! Forgetting whom events are about, or everything about somebody.

use std::collections::BTreeMap;

use super::read::private_ids;
use super::write::accept;
use super::{Access, Error, Tracker};
use crate::log::record::Command;
use crate::model::project::Permission;

impl Tracker {
    /// Takes all IDs and properties from the customer whom the first known one of the IDs names; returns once that
    /// would survive a power cut. Events stay, with nobody.
    ///
    /// # Errors
    /// [`Error::UnknownCustomer`], and what breaks a rule: nothing was written. [`Error::Log`], [`Error::View`].
    pub async fn anonymize(
        &self,
        access: &Access,
        customer_ids: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        access.allow(Permission::AnonymizeCustomers)?;
        self.forget(access, customer_ids, Command::Anonymize).await
    }

    /// Takes out the customer whom the first known one of the IDs names, with everything that was ever recorded of it;
    /// returns once that would survive a power cut. It is read no more from then on, and leaves the disk later.
    ///
    /// # Errors
    /// [`Error::UnknownCustomer`], and what breaks a rule: nothing was written. [`Error::Log`], [`Error::View`].
    pub async fn erase(
        &self,
        access: &Access,
        customer_ids: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        access.allow(Permission::EraseCustomers)?;
        self.forget(access, customer_ids, Command::Erase).await
    }

    async fn forget(
        &self,
        access: &Access,
        customer_ids: &BTreeMap<String, String>,
        command: Command,
    ) -> Result<(), Error> {
        // What is refused is not stored, so that the view is asked first. Were somebody else faster with the same
        // customer, the record would find nobody and change nothing.
        self.read(access, customer_ids, |_, _| Ok(((), 0))).await?;
        let ids = private_ids(access, customer_ids)?;
        let command = accept(access, self.receipt(), ids, command);
        self.commit(vec![command]).await
    }
}
