//! Anonymizes and erases customers.

use std::collections::BTreeMap;

use super::read::private_ids;
use super::write::forgetting;
use super::{Access, Error, Tracker};
use crate::log::record::Command;
use crate::model::project::Permission;
use crate::view::Named;

impl Tracker {
    /// Removes all IDs and properties of the customer that the IDs name. Returns once that would survive a power cut,
    /// and no read or watch that begins then shows them. Events stay, without a customer.
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

    /// Erases the customer that the IDs name, and the anonymous customers that had them, with everything that was ever
    /// recorded of them. Returns once that would survive a power cut, and no read or watch that begins then shows it.
    /// It leaves the disk later.
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
        // A refused command is not stored, so the view is read first. The record names the customers found: whatever
        // comes in between, it affects no others.
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
