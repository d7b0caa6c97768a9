//! The view beside a naive model of the contract, and single scenes.

mod anonymize;
mod bench;
mod eviction;
mod histories;
mod lanes;
mod naive;
mod pages;
mod projector;
mod request;
mod scenes;

pub(crate) use bench::{Answer, Bench, scratch, with_sorted_lists};
pub(crate) use histories::{check, commands, requests};
pub(crate) use naive::Naive;
pub(crate) use request::{KINDS, Request, What, anonymize, erase, event, ids, update};
