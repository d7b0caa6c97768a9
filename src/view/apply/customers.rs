//! Who has an ID, and who a customer is.

use std::sync::Arc;

use prost::Message as _;

use super::Apply;
use crate::model::customer_id::CustomerId;
use crate::view::Error;
use crate::view::generations::{ENTRY_BYTES, Generations};
use crate::view::keys::{self, Customer, HeldId, IdEntry, Table};

/// Most memory that customers take who are kept from one record to the next, in bytes.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Customers as they are after the last record, as far as they are kept.
pub(super) type Kept = Generations<u64, Arc<Customer>>;

pub(super) fn kept() -> Kept {
    Generations::new(BYTES_MAX, |_, customer| room(customer))
}

/// What a customer takes of the memory, in bytes, as good as that can be told.
fn room(customer: &Customer) -> usize {
    let ids = customer.ids.iter();
    let ids: usize = ids
        .map(|id| size_of::<HeldId>() + id.kind.len() + id.value.len())
        .sum();
    ENTRY_BYTES + size_of::<Customer>() + ids + customer.absorbed.len() * size_of::<u64>()
}

impl Apply<'_> {
    pub(super) fn holder(
        &mut self,
        project: u32,
        id: &CustomerId,
    ) -> Result<Option<IdEntry>, Error> {
        let entry = self.overlay.get(Table::Ids, &keys::id(project, id))?;
        entry.map(|value| IdEntry::decode(&value)).transpose()
    }

    pub(super) fn put_id(&mut self, project: u32, id: &CustomerId, customer: u64, last_used: u64) {
        let entry = IdEntry {
            customer,
            last_used,
        };
        self.overlay
            .put(Table::Ids, keys::id(project, id), entry.encode());
    }

    pub(super) fn customer(&mut self, number: u64) -> Result<Arc<Customer>, Error> {
        if let Some(customer) = self.customers.get(&number) {
            return Ok(customer);
        }
        let value = self
            .overlay
            .get(Table::Customers, &keys::customer(number))?
            .ok_or(Error::Damaged("an ID leads to no customer"))?;
        let customer = Arc::new(Customer::read(&value)?);
        self.customers.put(number, customer.clone());
        Ok(customer)
    }

    pub(super) fn put_customer(&mut self, number: u64, customer: Arc<Customer>) {
        let (key, value) = (keys::customer(number), customer.encode_to_vec());
        self.overlay.put(Table::Customers, key, value);
        self.customers.put(number, customer);
    }

    pub(super) fn remove_customer(&mut self, number: u64) {
        self.overlay
            .remove(Table::Customers, keys::customer(number));
        self.customers.remove(&number);
    }
}
