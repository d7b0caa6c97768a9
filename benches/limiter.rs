//! One check of the rate limiter, beside the keyed limiter of the `governor` crate, in the same minute on the same
//! cores.
//!
//! `cargo bench --bench limiter` asks both in turns and prints the median of the rounds with its spread, in nanoseconds
//! a check, and the ratio. Both are told the time by hand, so that neither pays for a clock. The last line is what the
//! machine takes for one read at a random place of as much memory as the table has.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a benchmark fails by panicking, and measures real time"
)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::thread;
use std::time::{Duration, Instant};

use footfall::limit::{Decision, Limiter, Options};
use footfall::model::address::{AddressKey, ClientAddress};
use governor::clock::{Clock, FakeRelativeClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Governor = RateLimiter<
    AddressKey,
    DashMapStateStore<AddressKey>,
    FakeRelativeClock,
    NoOpMiddleware<<FakeRelativeClock as Clock>::Instant>,
>;

const ROUNDS: usize = 9;
const KEYS: u32 = 1 << 20;
/// A quarter full of as many keys as above.
const SLOTS: usize = 1 << 22;
const NOW: Duration = Duration::from_secs(1_000);

fn main() {
    memory();
    println!("{ROUNDS} rounds in turns; nanoseconds a check, median (lowest-highest)");
    println!(
        "{:<40}{:>20}{:>20}{:>8}",
        "", "governor", "footfall", "ratio"
    );
    one_address();
    two_threads_on_one_address();
    a_million(SLOTS, "a million live IPv4 addresses, 64 MiB");
    a_million(SLOTS / 2, "a million live IPv4 addresses, 32 MiB");
    wider_networks();
    bare_memory();
}

fn limiter(slots: usize) -> Limiter {
    let options = Options {
        slots: NonZeroUsize::new(slots).unwrap(),
        ..Options::default()
    };
    Limiter::new(options, [0x0123_4567, 0x89ab_cdef])
}

fn governor() -> (Governor, FakeRelativeClock) {
    let quota = Quota::per_minute(NonZeroU32::new(6_000).unwrap());
    let clock = FakeRelativeClock::default();
    (RateLimiter::dashmap_with_clock(quota, clock.clone()), clock)
}

/// Neighbours in the order of calls are no neighbours as addresses.
fn v4(number: u32) -> ClientAddress {
    let scattered = number.wrapping_mul(0x9e37_79b1) & (KEYS - 1);
    ClientAddress::Ip(IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + scattered)))
}

/// Four in a /56, four /56s in a /48.
fn v6(number: u32) -> ClientAddress {
    let scattered = u128::from(number.wrapping_mul(0x9e37_79b1) & (KEYS - 1));
    let (of_48, of_56, of_64) = (scattered >> 4, scattered >> 2 & 3, scattered & 3);
    let bits = (0x2001_0db8 << 96) | of_48 << 80 | of_56 << 72 | of_64 << 64;
    ClientAddress::Ip(IpAddr::V6(Ipv6Addr::from_bits(bits)))
}

/// Asked first of all: what was freed before would not show.
fn memory() {
    let before = resident();
    let (governor, _) = governor();
    time(KEYS, |number| drop(governor.check_key(&v4(number).key())));
    let theirs = resident() - before;
    let before = resident();
    let limiter = limiter(SLOTS / 2);
    time(KEYS, |number| {
        black_box(limiter.check(v4(number), NOW));
    });
    let ours = resident() - before;
    let each = |bytes: usize| bytes as f64 / f64::from(KEYS);
    println!(
        "bytes for each of a million addresses: governor {:.0}, footfall {:.0} (half of the slots in debt)",
        each(theirs),
        each(ours)
    );
}

fn one_address() {
    const CHECKS: u32 = 1_000_000;
    let (limiter, (governor, clock)) = (limiter(SLOTS), governor());
    let mut now = NOW;
    let mut ours = || {
        time(CHECKS, |number| {
            if number % 1_000 == 0 {
                now += Duration::from_secs(10);
            }
            let decision = limiter.check(v4(0), now);
            assert!(matches!(decision, Decision::Admitted(..)));
        })
    };
    let theirs = || {
        time(CHECKS, |number| {
            if number % 1_000 == 0 {
                clock.advance(Duration::from_secs(10));
            }
            assert!(governor.check_key(&v4(0).key()).is_ok());
        })
    };
    compare("one address", theirs, &mut ours);
}

fn two_threads_on_one_address() {
    const CHECKS: u32 = 500_000;
    let (limiter, (governor, _)) = (limiter(SLOTS), governor());
    let ours = || {
        both(|| {
            time(CHECKS, |_| {
                black_box(limiter.check(v4(0), NOW));
            });
        })
    };
    let theirs = || {
        both(|| {
            time(CHECKS, |_| {
                drop(black_box(governor.check_key(&v4(0).key())))
            });
        })
    };
    let per_check = |run: &dyn Fn() -> Duration| run().as_nanos() as f64 / f64::from(2 * CHECKS);
    compare(
        "two threads on one address, spent",
        || per_check(&theirs),
        &mut || per_check(&ours),
    );
}

fn a_million(slots: usize, name: &str) {
    let limiter = limiter(slots);
    let fill = time(KEYS, |number| {
        black_box(limiter.check(v4(number), NOW));
    });
    let (governor, _) = governor();
    time(KEYS, |number| drop(governor.check_key(&v4(number).key())));
    let mut ours = || {
        time(KEYS, |number| {
            black_box(limiter.check(v4(number), NOW));
        })
    };
    let theirs = || {
        time(KEYS, |number| {
            assert!(governor.check_key(&v4(number).key()).is_ok());
        })
    };
    compare(name, theirs, &mut ours);
    let counts = limiter.counts();
    println!(
        "  footfall when new: {fill:.0}; {:.3} % overflowed",
        100.0 * counts.overflowed as f64 / (counts.admitted + counts.refused) as f64,
    );
}

fn wider_networks() {
    let (limiter, (governor, _)) = (limiter(SLOTS), governor());
    let mut ours = || {
        time(KEYS, |number| {
            black_box(limiter.check(v6(number), NOW));
        })
    };
    let theirs = || {
        time(KEYS, |number| {
            assert!(governor.check_key(&v6(number).key()).is_ok());
        })
    };
    compare("a million live /64s, with /56 and /48", theirs, &mut ours);
}

/// Each place depends on what was read at the last one, so that the processor cannot go ahead.
fn bare_memory() {
    let words: Vec<u64> = black_box(vec![0; SLOTS * 2]);
    words.iter().for_each(|word| assert_eq!(*word, 0));
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let mut read = 0;
            time(KEYS, |number| {
                let hash = (u64::from(number + 1) + read).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let place = (hash ^ hash >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32;
                read = words[place as usize & (words.len() - 1)];
            })
        })
        .collect();
    let (_, shown) = shown(&mut rounds);
    println!(
        "{:<60}{shown:>20}",
        "one read somewhere in 64 MiB, waited for"
    );
}

fn compare(name: &str, theirs: impl Fn() -> f64, ours: &mut dyn FnMut() -> f64) {
    // The first round fills.
    let _ = (theirs(), ours());
    let (mut bare, mut full) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(theirs());
        full.push(ours());
    }
    let (bare, bare_shown) = shown(&mut bare);
    let (full, full_shown) = shown(&mut full);
    println!(
        "{name:<40}{bare_shown:>20}{full_shown:>20}{:>8.2}",
        bare / full
    );
}

/// Nanoseconds that one of so many takes.
fn time(checks: u32, mut check: impl FnMut(u32)) -> f64 {
    let start = Instant::now();
    (0..checks).for_each(&mut check);
    start.elapsed().as_nanos() as f64 / f64::from(checks)
}

fn both(work: impl Fn() + Sync) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(&work);
        scope.spawn(&work);
    });
    start.elapsed()
}

/// The median, and it with the spread from the lowest to the highest.
fn shown(times: &mut [f64]) -> (f64, String) {
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let spread = format!("{:.0}-{:.0}", times[0], times[times.len() - 1]);
    (median, format!("{median:.0} ({spread})"))
}

/// Bytes of memory that this process has.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
