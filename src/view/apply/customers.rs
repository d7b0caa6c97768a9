//! Looks up the customers of IDs, and customers by number.

use std::sync::Arc;

use prost::Message as _;
use quick_cache::Weighter;
use quick_cache::unsync;

use super::Apply;
use crate::model::customer_id::CustomerId;
use crate::view::Error;
use crate::view::cache::{self, ENTRY_BYTES};
use crate::view::hash::Seeded;
use crate::view::ids::Known;
use crate::view::keys::{self, Table};
use crate::view::values::{Customer, HeldId, IdEntry};

/// Most memory of customers that are kept from one record to the next, in bytes. So little in tests that customers are
/// evicted.
const BYTES_MAX: u64 = if cfg!(test) { 2 << 10 } else { 32 << 20 };
/// About how much a customer takes, in bytes.
const USUAL_BYTES: u64 = 320;

/// Customers as they are after the last record, as far as they are kept.
pub(super) type Kept = unsync::Cache<u64, Arc<Customer>, Weigh, Seeded>;

pub(super) fn kept() -> Kept {
    cache::kept(BYTES_MAX, USUAL_BYTES, Weigh)
}

/// The memory that a customer takes, in bytes, as an estimate.
#[derive(Clone, Debug)]
pub(super) struct Weigh;

impl Weighter<u64, Arc<Customer>> for Weigh {
    fn weight(&self, _: &u64, customer: &Arc<Customer>) -> u64 {
        let ids = customer.ids.iter();
        let ids: usize = ids
            .map(|id| size_of::<HeldId>() + id.kind.len() + id.value.len())
            .sum();
        (ENTRY_BYTES + size_of::<Customer>() + ids) as u64
    }
}

impl Apply<'_> {
    pub(super) fn holder(
        &mut self,
        project: u32,
        id: &CustomerId,
    ) -> Result<Option<IdEntry>, Error> {
        let digest = self.ids.digest(project, id);
        match self.ids.get(digest) {
            Known::Entry(entry) => return Ok(Some(entry)),
            Known::Nobody => return Ok(None),
            Known::OfBase => {}
        }
        let value = self
            .overlay
            .get_of_base(Table::Ids, &keys::id(project, id))?;
        let entry = value.map(|value| IdEntry::decode(&value)).transpose()?;
        if let Some(entry) = entry {
            self.ids.remember(digest, entry);
        }
        Ok(entry)
    }

    pub(super) fn put_id(&mut self, project: u32, id: &CustomerId, customer: u64, last_used: u64) {
        let entry = IdEntry {
            customer,
            last_used,
        };
        self.ids.write(self.ids.digest(project, id), Some(entry));
        self.overlay
            .put(Table::Ids, &keys::id(project, id), &entry.encode());
    }

    pub(super) fn remove_id(&mut self, project: u32, id: &CustomerId) {
        self.ids.write(self.ids.digest(project, id), None);
        self.overlay.remove(Table::Ids, &keys::id(project, id));
    }

    pub(super) fn customer(&mut self, number: u64) -> Result<Arc<Customer>, Error> {
        if let Some(customer) = self.customers.get(&number) {
            return Ok(customer.clone());
        }
        let value = self
            .overlay
            .get(Table::Customers, &keys::customer(number))?
            .ok_or(Error::Damaged("an ID leads to no customer"))?;
        let customer = Arc::new(Customer::read(&value)?);
        self.customers.insert(number, customer.clone());
        Ok(customer)
    }

    pub(super) fn put_customer(&mut self, number: u64, customer: Arc<Customer>) {
        let (key, value) = (keys::customer(number), customer.encode_to_vec());
        self.overlay.put(Table::Customers, &key, &value);
        self.summaries.put(number, &customer);
        // Most customers are not read again.
        if let Some(mut kept) = self.customers.get_mut(&number) {
            *kept = customer;
        }
    }

    /// Reduces a merged customer to the number of the one it merged into.
    pub(super) fn redirect(&mut self, number: u64, project: u32, to: u64) {
        let customer = Customer {
            project,
            merged_into: Some(to),
            ..Customer::default()
        };
        let (key, value) = (keys::customer(number), customer.encode_to_vec());
        self.overlay.put(Table::Customers, &key, &value);
    }

    pub(super) fn remove_customer(&mut self, number: u64) {
        self.overlay
            .remove(Table::Customers, &keys::customer(number));
        self.summaries.remove(number);
        self.customers.remove(&number);
    }
}
