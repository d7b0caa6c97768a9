//! How the fold's maps hash their keys.

use std::hash::{BuildHasher, Hasher, RandomState};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Hashes by XXH3, several times as fast as the standard library's, with its own seed: callers choose the keys, and
/// must not know which of them collide.
#[derive(Clone, Debug)]
pub(super) struct Seeded(u64);

#[derive(Debug)]
pub(super) struct Chain(u64);

impl Default for Seeded {
    fn default() -> Self {
        Self(RandomState::new().hash_one(()))
    }
}

impl BuildHasher for Seeded {
    type Hasher = Chain;

    fn build_hasher(&self) -> Chain {
        Chain(self.0)
    }
}

impl Hasher for Chain {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The length before a key's bytes.
    fn write_usize(&mut self, number: usize) {
        self.0 = self.0.wrapping_add(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
