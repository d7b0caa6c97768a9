//! The newest refusals, in memory, for operators who look for the reason of one.
//!
//! What the limiter and the guards refuse comes in floods. Of that, one a second, address and reason is kept, and the
//! rest is counted.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use tokio::sync::watch;

use crate::model::address::AddressKey;
use crate::model::project::Project;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;

/// Most refusals that are kept.
const REFUSALS_MAX: usize = 4_096;
/// Most memory that they take, in bytes.
const REFUSALS_BYTES_MAX: usize = 4 << 20;
/// Most bytes of a text. A longer one is cut off.
const TEXT_BYTES_MAX: usize = 1_024;
/// Most refusals by limits that are kept in a second.
const SAMPLES_MAX: usize = 1_024;

/// A refused call or command.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// When it was refused.
    pub time: Timestamp,
    /// Why.
    pub reason: Reason,
    /// The text that its caller got.
    pub text: String,
    /// The field that is wrong, if it is one.
    pub field: Option<String>,
    /// The beginning of what is refused, as far as the settings let it be kept.
    pub excerpt: Option<String>,
    /// Its call.
    pub call: Arc<RefusedCall>,
}

/// What is kept from a number on.
#[derive(Debug)]
pub struct Following {
    /// The wanted ones, oldest first, each with the number of the one behind it.
    pub refusals: Vec<(u64, Refusal)>,
    /// The number behind all that were looked at.
    pub next: u64,
    /// Whether some had left before they were looked at.
    pub missed: bool,
}

/// A call of which something was refused.
#[derive(Debug)]
pub struct RefusedCall {
    /// The caller's address; none where it is not known.
    pub address: Option<AddressKey>,
    /// The project; none where it is not known, or is none of the settings.
    pub project: Option<Arc<Project>>,
    /// The key's name, which is no secret.
    pub key: Option<String>,
    /// The service's method or the REST route.
    pub route: &'static str,
    /// The call's ID.
    pub id: HeaderValue,
}

/// The newest refusals. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct RecentRefusals(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<Kept>,
    /// The number of the next one.
    next: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    refusals: VecDeque<Refusal>,
    /// The number of the oldest one: how many have left.
    first: u64,
    bytes: usize,
    not_kept: u64,
    /// The second of the last refusal by a limit, and what one is kept of in it.
    second: i64,
    samples: HashSet<(Option<AddressKey>, Reason)>,
}

impl RecentRefusals {
    /// Whether a refusal by a limit is to be kept: the first of its address and reason in this second. Any other is
    /// counted.
    pub fn samples(&self, address: Option<AddressKey>, reason: Reason, now: Timestamp) -> bool {
        let second = now.micros() / 1_000_000;
        let mut kept = self.kept();
        if kept.second != second {
            kept.second = second;
            kept.samples.clear();
        }
        let is_kept = kept.samples.len() < SAMPLES_MAX && kept.samples.insert((address, reason));
        kept.not_kept += u64::from(!is_kept);
        is_kept
    }

    /// Keeps a refusal. The oldest make room for it.
    pub fn keep(&self, mut refusal: Refusal) {
        let end = refusal.text.floor_char_boundary(TEXT_BYTES_MAX);
        refusal.text.truncate(end);
        let mut kept = self.kept();
        kept.bytes += bytes(&refusal);
        kept.refusals.push_back(refusal);
        while kept.refusals.len() > REFUSALS_MAX || kept.bytes > REFUSALS_BYTES_MAX {
            let Some(oldest) = kept.refusals.pop_front() else {
                break;
            };
            kept.bytes -= bytes(&oldest);
            kept.first += 1;
        }
        let next = kept.next();
        drop(kept);
        self.0.next.send_replace(next);
    }

    /// The number of the next one, and a signal of each change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.next.subscribe()
    }

    /// The number of the oldest one that is kept.
    pub fn oldest(&self) -> u64 {
        self.kept().first
    }

    /// Those from a number on for which `is_wanted`, at most so many.
    pub fn following(
        &self,
        number: u64,
        most: usize,
        is_wanted: impl Fn(&Refusal) -> bool,
    ) -> Following {
        let kept = self.kept();
        let missed = number < kept.first;
        let from = number.max(kept.first);
        let skipped = usize::try_from(from - kept.first).unwrap_or(usize::MAX);
        let numbered = (from + 1..).zip(kept.refusals.iter().skip(skipped));
        let wanted = numbered.filter(|(_, refusal)| is_wanted(refusal));
        let refusals: Vec<_> = wanted
            .take(most)
            .map(|(number, refusal)| (number, refusal.clone()))
            .collect();
        let last = refusals.last().filter(|_| refusals.len() == most);
        Following {
            next: last.map_or(kept.next(), |(number, _)| *number),
            refusals,
            missed,
        }
    }

    /// The kept ones for which `is_wanted`, newest first.
    pub fn newest(&self, most: usize, is_wanted: impl Fn(&Refusal) -> bool) -> Vec<Refusal> {
        let kept = self.kept();
        let wanted = kept
            .refusals
            .iter()
            .rev()
            .filter(|refusal| is_wanted(refusal));
        wanted.take(most).cloned().collect()
    }

    /// How many were not kept, because a limit refused the same to their address in the same second.
    pub fn not_kept(&self) -> u64 {
        self.kept().not_kept
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What is kept is whole after each of the steps above.
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn next(&self) -> u64 {
        self.first + self.refusals.len() as u64
    }
}

/// The memory that a refusal takes: its call's too, though those of a batch share it.
fn bytes(refusal: &Refusal) -> usize {
    let field = refusal.field.as_deref().map_or(0, str::len);
    let excerpt = refusal.excerpt.as_deref().map_or(0, str::len);
    let key = refusal.call.key.as_deref().map_or(0, str::len);
    let texts = refusal.text.len() + excerpt + field + key;
    size_of::<Refusal>() + size_of::<RefusedCall>() + texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: String) -> Refusal {
        Refusal {
            time: Timestamp::MIN,
            reason: Reason::IdsMissing,
            text,
            field: None,
            excerpt: None,
            call: Arc::new(RefusedCall {
                address: None,
                project: None,
                key: None,
                route: "customers",
                id: HeaderValue::from_static("1"),
            }),
        }
    }

    #[test]
    fn the_newest_stay_within_their_number_and_their_memory() {
        let recent = RecentRefusals::default();
        for number in 0..=REFUSALS_MAX {
            recent.keep(refusal(number.to_string()));
        }
        let all = recent.newest(usize::MAX, |_| true);
        assert_eq!(all.len(), REFUSALS_MAX);
        assert_eq!(all.first().unwrap().text, REFUSALS_MAX.to_string());
        assert_eq!(all.last().unwrap().text, "1");
        for _ in 0..REFUSALS_MAX {
            recent.keep(refusal("é".repeat(10_000)));
        }
        let all = recent.newest(usize::MAX, |_| true);
        assert!(
            all.iter()
                .all(|refusal| refusal.text.len() <= TEXT_BYTES_MAX)
        );
        let kept = all.iter().map(bytes).sum::<usize>();
        assert!(kept <= REFUSALS_BYTES_MAX, "{kept}");
        assert!(kept > REFUSALS_BYTES_MAX - 2 * TEXT_BYTES_MAX, "{kept}");
        assert_eq!(recent.newest(7, |_| true).len(), 7);
    }

    #[test]
    fn a_reader_gets_each_once_and_learns_what_it_missed() {
        let recent = RecentRefusals::default();
        let mut next = *recent.subscribe().borrow();
        let mut read = |most| {
            let found = recent.following(next, most, |refusal| refusal.text != "b");
            next = found.next;
            let texts = found.refusals.into_iter().map(|(_, refusal)| refusal.text);
            (texts.collect::<Vec<_>>().concat(), found.missed)
        };
        assert_eq!(read(9), (String::new(), false));
        for text in ["a", "b", "c", "d"] {
            recent.keep(refusal(text.to_owned()));
        }
        assert_eq!(read(2), ("ac".to_owned(), false));
        assert_eq!(read(2), ("d".to_owned(), false));
        for _ in 0..=REFUSALS_MAX {
            recent.keep(refusal("e".to_owned()));
        }
        assert_eq!(read(2), ("ee".to_owned(), true));
        assert_eq!(recent.oldest(), 5);
        assert_eq!(read(usize::MAX).0.len(), REFUSALS_MAX - 2);
        assert_eq!(read(9), (String::new(), false));
    }

    #[test]
    fn of_a_flood_one_a_second_and_address_is_kept() {
        let recent = RecentRefusals::default();
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let address = |last: u8| Some(AddressKey::V4([192, 0, 2, last].into()));
        let (rate, memory) = (Reason::RateLimitExceeded, Reason::BodyMemory);
        assert!(recent.samples(address(1), rate, at(5)));
        assert!(!recent.samples(address(1), rate, at(5)));
        assert!(recent.samples(address(1), memory, at(5)));
        assert!(recent.samples(address(2), rate, at(5)));
        assert!(recent.samples(address(1), rate, at(6)));
        assert_eq!(recent.not_kept(), 1);
        let mut sampled = 0;
        for number in 0..=u16::MAX {
            let [a, b] = number.to_be_bytes();
            let address = AddressKey::V4([10, 0, a, b].into());
            sampled += usize::from(recent.samples(Some(address), rate, at(7)));
        }
        assert_eq!(sampled, SAMPLES_MAX);
    }
}
