//! The rate limiter: each client address within its quota, in memory that never grows.
//!
//! - [`quota`]: how often a caller may call.
//! - [`bucket`]: the arithmetic of one caller's bucket (GCRA), on one word.
//! - [`table`]: buckets for any number of callers, in a fixed number of slots.
//! - [`prefix_quotas`]: the buckets of one caller: its own, and those of wider IPv6 networks.
//! - [`limiter`]: overrides, exemptions and shadow mode on top, as the middleware asks.
//! - [`account`]: buckets of a project and of its keys, once a caller is known.
//! - [`refused`]: the addresses refused most, in memory of fixed size.
//! - [`auth_failures`]: how often callers may fail to authenticate.
//! - [`charge`]: what one call was charged to, so that one place reports it to the caller.
//!
//! Nothing here reads a clock, waits, allocates after the start or runs in the background.
//!
//! # Why the memory can be fixed
//!
//! A bucket is one word, the TAT: the moment at which all that was admitted is paid for. A key whose TAT has passed is
//! in the same state as a key that was never seen. So only keys in debt need a slot, and a slot without debt is free
//! for the next key. A slot with debt is never taken from its key: a flood of addresses cannot reset another caller's
//! bucket.
//!
//! A key hashes (SipHash 1-3, keyed per process) to one set of eight slots. If all eight are in debt,
//! the newcomer is charged to the *overflow bucket* of its prefix (IPv4 /16, IPv6 /32; one for each
//! quota in use there), which holds the quotas of sixteen callers. There is one overflow bucket for
//! each 256 slots, and prefixes hash to them. So all overflow together adds at most a sixteenth to what
//! the slots' own keys may be admitted, and newcomers suffer from a flood only as far as it comes from
//! their own prefix, or one that shares the bucket. Overflow charges are not carried over to the slot
//! that a key may find later. With keys in debt for an eighth of the slots, one in a million overflows;
//! for a quarter, one in 7,000; for a half, one in 120.
//!
//! # Why it is exact
//!
//! A slot is two words, `tat` and `owner`, where the owner is the key's 64-bit hash. These rules hold,
//! and the order of all accesses is one for all threads (`SeqCst`):
//!
//! 1. `tat` is a time, or a mark: `CLAIMED`, or `LOST`.
//! 2. Only the thread that replaced a time with `CLAIMED` writes the owner, and ends the mark.
//! 3. A time is only replaced by a later one; a claim, however it ends, leaves a later time than it found.
//!
//! **A charge hits its own key.** A thread reads the time, then the owner, then replaces that time. If this succeeds,
//! the time never changed in between (by 3, no time comes back), so no claim was in flight (by 2, the owner never
//! changed), so the owner read is the owner charged. A refusal or a look, which charges nothing, reads the time once
//! more, and is sure of its owner in the same way.
//!
//! **A key has one slot.** A claim first shows its owner, then looks at every other slot of the set. Of two claims of
//! the same key, the one that showed itself later sees the other: settled, and then it gives up and charges that slot;
//! or still claimed, and then it marks it `LOST`, which makes the other fail to settle and begin again. So two never
//! settle. No thread waits for another that was stopped in the middle: its slot is skipped, its claim overruled. (Two
//! claims of one key may overrule each other and both begin again; as soon as one is a few instructions ahead, it
//! settles.)
//!
//! **Nothing is forgotten too early**, even if a thread is late, with an old `now`. Before a slot is claimed, the time
//! at which its old debt ended goes into one mark, `forgotten`, which only grows. A key that has no slot owes nothing
//! beyond that mark, so a new bucket starts at the later of `now` and the mark. Where threads agree on the time, `now`
//! is the later one, and the table does exactly what unlimited memory would.
//!
//! # Wider networks
//!
//! An IPv6 caller is charged to the bucket of its /64, and to those of its /56 and /48. A time that was replaced does
//! not come back (rule 3), so no charge can be taken back, and what one bucket refuses must not have been charged to
//! another. So a request first *looks* at the wider buckets. If one refuses, nothing was charged. Otherwise the own
//! bucket is charged, if it admits the request. Only then, when the request is admitted, the wider ones are charged,
//! *even if they have nothing left*.
//!
//! A look and the charge are not one step. Between them, other threads may take what is left, and then the wider bucket
//! is overdrawn. Each thread that is between its look and its charge does so by at most one request, so a wider
//! bucket's debt is at most its burst and one request for each other thread that checks at that moment; with one thread
//! it is exact. The excess is debt like any other: it has to be earned back before the bucket admits again, so it never
//! adds up, and in a window `w`, `threads` admit at most `burst + threads - 1 + (w + 1 tick) * requests / period`. The
//! own bucket is never overdrawn. (An overflow bucket that stands for a wider one can be overdrawn once more where the
//! caller's own claim took the last slot that the look had seen free.)
//!
//! A wider network has a bucket for each quota in use there, to which the own buckets of callers with that quota add
//! up. With at most as many callers as it has quotas, if they keep to theirs, it never refuses one.
//!
//! # What is not exact
//!
//! - Two keys with the same hash share a bucket: with a million keys in debt, one chance in 10^13 for a newcomer to
//!   collide, and 3 × 10^-8 that there is any such pair.
//! - A set whose last free slot is being claimed by a thread that was stopped counts as full after 64
//!   looks.

pub mod account;
pub mod auth_failures;
pub mod bucket;
pub mod budget;
pub mod charge;
pub mod holder;
pub mod keyed_semaphore;
pub mod limiter;
pub mod prefix_quotas;
pub mod quota;
pub mod refused;
pub mod table;

pub use account::{Account, AccountCounters, AccountCounts, Charged, Quotas};
pub use auth_failures::{AuthFailureLimiter, Failed, FailureCounts};
pub use bucket::{Refusal, Remaining, Verdict};
pub use budget::{Budget, BudgetOptions, Meter, Spent};
pub use charge::{Charge, QuotaOutcome, Subject};
pub use holder::{Holder, KeyHolder};
pub use keyed_semaphore::{KeyedPermit, KeyedSemaphore};
pub use limiter::{Counts, Decision, Limiter, Options};
pub use prefix_quotas::PrefixMultipliers;
pub use quota::Quota;
pub use refused::{Offender, Refused, Summary};
pub use table::Table;
