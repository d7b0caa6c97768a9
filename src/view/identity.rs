//! Which customer a request is about, when its IDs lead to none, one or several.
//!
//! 1. No ID is known: a new customer gets all of them.
//! 2. They lead to one customer: it gets the new ones too.
//! 3. They lead to several customers that hold no different hard IDs of one type: those merge. The one that most merged
//!    into before keeps its number; among equals the one created first.
//! 4. Otherwise they clash: nothing merges. The target is the customer that the first hard ID names, a new one if no
//!    customer holds it; soft IDs move to it.
//! 5. Further hard IDs of a request that clashes stay where they are; one that no customer holds goes to the target,
//!    unless that holds another of its type.
//!
//! "First" is the order of the project's types. A request of soft IDs alone that lead to customers with
//! different hard IDs clashes too; then the first of its IDs names the customer.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::values::Customer;
use crate::model::customer_id::CustomerId;

/// A known customer, by number.
pub type Known = BTreeMap<u64, Customer>;

/// The target of a request, and what has to change for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolution {
    /// The customer that is the target; `None`: a new one.
    pub target: Option<u64>,
    /// The customers that merge into the target.
    pub merged: Vec<u64>,
    /// Indices of the request's IDs that the target gets or already has.
    pub ids: Vec<usize>,
}

/// Applies the rules. `holders` says for each of `ids` which customer has it; `known` holds those customers.
/// `conflicted`: the IDs conflicted through one that is no longer known.
pub fn resolve(
    ids: &[CustomerId],
    holders: &[Option<u64>],
    known: &Known,
    conflicted: bool,
) -> Resolution {
    if conflicted || clash(ids, known) {
        return resolve_clash(ids, holders, known);
    }
    let survivor = known.iter().max_by_key(|(number, customer)| {
        let first = Reverse((customer.created, **number));
        (customer.merged, first)
    });
    let target = survivor.map(|(number, _)| *number);
    let others = known.keys().copied();
    Resolution {
        target,
        merged: others.filter(|number| Some(*number) != target).collect(),
        ids: (0..ids.len()).collect(),
    }
}

/// Whether the request's hard IDs and those of the customers behind it contradict each other.
fn clash(ids: &[CustomerId], known: &Known) -> bool {
    let mut values: BTreeMap<&str, &str> = BTreeMap::new();
    let requested = ids
        .iter()
        .filter(|id| !id.soft)
        .map(|id| (&*id.kind, id.value.as_str()));
    let held = known
        .values()
        .flat_map(|customer| &customer.ids)
        .filter(|id| !id.soft)
        .map(|id| (id.kind.as_str(), id.value.as_str()));
    for (kind, value) in requested.chain(held) {
        if *values.entry(kind).or_insert(value) != value {
            return true;
        }
    }
    false
}

fn resolve_clash(ids: &[CustomerId], holders: &[Option<u64>], known: &Known) -> Resolution {
    // IDs come in the order of the project's types, hard ones first.
    let target = holders.first().copied().flatten();
    let held = target.and_then(|customer| known.get(&customer));
    let takes = |index: usize, id: &CustomerId| {
        if id.soft || index == 0 {
            return true;
        }
        let holder = holders.get(index).copied().flatten();
        let holds_another = held.is_some_and(|customer| {
            customer
                .ids
                .iter()
                .any(|other| other.kind == *id.kind && other.value != id.value)
        });
        match holder {
            Some(_) => holder == target,
            None => !holds_another,
        }
    };
    Resolution {
        target,
        merged: Vec::new(),
        ids: ids
            .iter()
            .enumerate()
            .filter(|(index, id)| takes(*index, id))
            .map(|(index, _)| index)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::values::HeldId;
    use super::*;

    fn hard(kind: &str, value: &str) -> CustomerId {
        CustomerId {
            kind: kind.into(),
            value: value.into(),
            soft: false,
        }
    }

    fn soft(value: &str) -> CustomerId {
        CustomerId {
            kind: "cookie".into(),
            value: value.into(),
            soft: true,
        }
    }

    /// Resolves a request against customers, numbered from 1 in their order.
    fn resolved(request: &[CustomerId], customers: &[&[CustomerId]]) -> Resolution {
        let numbered = || (1_u64..).zip(customers);
        let holder = |id| numbered().find(|(_, ids)| ids.contains(id)).map(|(n, _)| n);
        let holders: Vec<_> = request.iter().map(holder).collect();
        let known = numbered()
            .filter(|(number, _)| holders.contains(&Some(*number)))
            .map(|(number, ids)| {
                let ids = ids.iter().map(|id| HeldId {
                    kind: id.kind.to_string(),
                    value: id.value.clone(),
                    soft: id.soft,
                    since: 0,
                });
                let customer = Customer {
                    ids: ids.collect(),
                    ..Customer::default()
                };
                (number, customer)
            })
            .collect();
        resolve(request, &holders, &known, false)
    }

    fn meant(target: Option<u64>, merged: &[u64], ids: &[usize]) -> Resolution {
        Resolution {
            target,
            merged: merged.to_vec(),
            ids: ids.to_vec(),
        }
    }

    #[test]
    fn unknown_ids_make_a_new_customer() {
        let request = [hard("registered", "a"), soft("c")];
        assert_eq!(resolved(&request, &[]), meant(None, &[], &[0, 1]));
    }

    #[test]
    fn ids_of_one_customer_bring_the_new_ones_to_it() {
        let request = [hard("registered", "a"), soft("c")];
        assert_eq!(
            resolved(&request, &[&[soft("c")]]),
            meant(Some(1), &[], &[0, 1])
        );
    }

    #[test]
    fn customers_that_agree_merge_into_the_one_created_first() {
        let request = [hard("registered", "a"), soft("c")];
        let customers: [&[_]; 2] = [&[soft("c")], &[hard("registered", "a"), soft("d")]];
        assert_eq!(
            resolved(&request, &customers),
            meant(Some(1), &[2], &[0, 1])
        );
    }

    #[test]
    fn a_hard_id_that_nobody_holds_takes_the_soft_id_to_a_new_customer() {
        let request = [hard("registered", "b"), soft("c")];
        let customers: [&[_]; 1] = [&[hard("registered", "a"), soft("c")]];
        assert_eq!(resolved(&request, &customers), meant(None, &[], &[0, 1]));
    }

    #[test]
    fn a_hard_id_takes_the_soft_id_from_a_customer_with_another_one() {
        let request = [hard("registered", "b"), soft("c")];
        let customers: [&[_]; 2] = [
            &[hard("registered", "a"), soft("c")],
            &[hard("registered", "b")],
        ];
        assert_eq!(resolved(&request, &customers), meant(Some(2), &[], &[0, 1]));
    }

    #[test]
    fn two_hard_ids_that_cannot_merge_leave_the_first_listed_type_to_decide() {
        let request = [hard("registered", "a"), hard("email", "f"), soft("c")];
        let customers: [&[_]; 2] = [
            &[hard("registered", "a"), hard("email", "e")],
            &[hard("email", "f"), soft("c")],
        ];
        assert_eq!(resolved(&request, &customers), meant(Some(1), &[], &[0, 2]));
    }

    #[test]
    fn soft_ids_alone_do_not_merge_customers_with_different_hard_ids() {
        let other = CustomerId {
            kind: "device".into(),
            ..soft("d")
        };
        let customers: [&[_]; 2] = [
            &[hard("registered", "a"), soft("c")],
            &[hard("registered", "b"), other.clone()],
        ];
        assert_eq!(
            resolved(&[soft("c"), other], &customers),
            meant(Some(1), &[], &[0, 1])
        );
    }
}
