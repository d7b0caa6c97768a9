//! Floor 6: the commands that need no running service.

pub mod dump;
pub mod keys;
pub mod verify;
