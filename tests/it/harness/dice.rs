//! What is left to chance, and can be had again.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::time::Duration;

/// Draws numbers, always the same ones from one seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    /// From a seed that is printed; the environment's, if it has one.
    pub fn new() -> Self {
        let seed = number_from_environment("SEED");
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one("seed"));
        println!("SEED={seed}");
        Self(seed)
    }

    /// From a number that says which ones.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A time in a range of milliseconds.
    pub fn between(&mut self, millis: Range<u64>) -> Duration {
        let length = millis.end - millis.start;
        Duration::from_millis(millis.start + self.draw() % length)
    }

    /// The next number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// Whether one case out of so many has come.
    pub fn one_in(&mut self, cases: u64) -> bool {
        self.draw().is_multiple_of(cases)
    }
}

/// What anyone who runs a test asks for.
pub fn number_from_environment(name: &str) -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests have no settings of their own"
    )]
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}
