//! Digests of what callers choose.

use std::hash::{BuildHasher as _, RandomState};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// A digest under a key of this process: callers must not find two inputs of one digest.
pub(super) type Digest = [u64; 2];

/// Makes digests.
#[derive(Debug)]
pub(super) struct Digester(SipHasher13);

impl Default for Digester {
    fn default() -> Self {
        let random = RandomState::new();
        Self(SipHasher13::new_with_keys(
            random.hash_one(0),
            random.hash_one(1),
        ))
    }
}

impl Digester {
    /// The digest of what `write` writes to the hasher.
    pub(super) fn digest(&self, write: impl FnOnce(&mut SipHasher13)) -> Digest {
        let mut hasher = self.0;
        write(&mut hasher);
        let (high, low) = hasher.finish128().as_u64();
        [high, low]
    }
}
