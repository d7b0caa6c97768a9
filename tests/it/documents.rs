//! The documents say what is true: their commands run, their tables agree with the code, their links lead somewhere.

mod commands;
pub mod pages;
mod style;
mod tables;
