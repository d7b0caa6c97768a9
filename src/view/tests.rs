//! The view beside a naive model of the contract, and single scenes.

mod anonymize;
mod bench;
mod eviction;
mod forget;
mod histories;
mod lanes;
mod meant;
mod naive;
mod pages;
mod projector;
mod request;
mod scenes;

pub(crate) use bench::{Answer, scratch, with_sorted_lists};
pub(crate) use histories::commands;
pub(crate) use naive::Naive;
pub(crate) use request::{KINDS, Request, What};
