//! The use cases over a log in memory and a view of its own.

mod access;
mod backlog;
mod bench;
mod outages;
mod permits;
mod reads;
mod writes;
