//! Forgetting whom events are about, or everything about somebody.

use std::collections::BTreeMap;

use super::read::private_ids;
use super::write::forgetting;
use super::{Access, Error, Tracker};
use crate::log::record::Command;
use crate::model::project::Permission;
use crate::view::Named;

impl Tracker {
    /// Takes all IDs and properties from the customer whom the IDs name; returns once that would survive a power cut,
    /// and every read and watch that begins then shows nothing of it. Events stay, with nobody.
    ///
    /// # Errors
    /// [`Error::UnknownCustomer`], [`Error::SeveralCustomers`], and what breaks a rule: nothing was written.
    /// [`Error::Log`], [`Error::View`].
    pub async fn anonymize(
        &self,
        access: &Access,
        customer_ids: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        access.allow(Permission::AnonymizeCustomers)?;
        self.forget(access, customer_ids, Command::Anonymize).await
    }

    /// Takes out the customer whom the IDs name, and the anonymous customers who had them, with everything that was
    /// ever recorded of them; returns once that would survive a power cut, and every read and watch that begins then
    /// shows nothing of it. It leaves the disk later.
    ///
    /// # Errors
    /// [`Error::UnknownCustomer`], [`Error::SeveralCustomers`], and what breaks a rule: nothing was written.
    /// [`Error::Log`], [`Error::View`].
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
        let ids = private_ids(access, customer_ids)?;
        let erases = command == Command::Erase;
        // What is refused is not stored, so that the view is asked first. The record names whom it found: whatever
        // comes in between, it takes nobody else.
        let found = self.ask(access, ids.clone(), move |snapshot, token, ids| {
            let mut found = match snapshot.named(token, ids)? {
                Named::One(found) => vec![found.number()],
                Named::Nobody => Vec::new(),
                Named::Several(kinds) => return Err(Error::SeveralCustomers(kinds)),
            };
            if erases {
                found.extend(snapshot.anonymous(token, ids)?);
            }
            Ok((found, 0))
        });
        let (customers, _) = found.await?;
        if customers.is_empty() {
            return Err(Error::UnknownCustomer);
        }
        let record = forgetting(access, self.receipt(), ids, command, customers);
        self.commit(vec![record]).await?;
        let timeout = self.options.read_timeout;
        Ok(self.view.shows(&access.progress, timeout).await?)
    }
}
