use super::*;
use std::num::NonZeroU32;

const NOW: Duration = Duration::from_secs(1_000);

/// A limiter of `burst` requests a minute by default.
struct Scenario {
    options: Options,
}

impl Scenario {
    fn with_burst(burst: u32) -> Self {
        Self {
            options: Options {
                quota: a_minute(burst),
                slots: NonZeroUsize::MIN,
                ..Options::default()
            },
        }
    }

    fn overriding(mut self, network: &str, burst: u32) -> Self {
        self.options
            .overrides
            .push((network.parse().unwrap(), a_minute(burst)));
        self
    }

    fn exempting(mut self, network: &str) -> Self {
        self.options.exempt.push(network.parse().unwrap());
        self
    }

    fn in_shadow(mut self) -> Self {
        self.options.shadow = true;
        self
    }

    fn start_with_room(mut self) -> Limiter {
        self.options.slots = NonZeroUsize::new(1 << 12).unwrap();
        self.start()
    }

    fn start(self) -> Limiter {
        Limiter::new(self.options, [1, 2])
    }
}

fn a_minute(requests: u32) -> Quota {
    let requests = NonZeroU32::new(requests).unwrap();
    Quota::new(requests, Duration::from_secs(60), requests).unwrap()
}

fn ip(text: &str) -> ClientAddress {
    ClientAddress::Ip(text.parse().unwrap())
}

/// Requests that pass before the first refusal.
fn passing(limiter: &Limiter, address: ClientAddress) -> usize {
    (0..100)
        .take_while(|_| matches!(limiter.check(address, NOW), Decision::Admitted(..)))
        .count()
}

#[test]
fn by_default_an_address_has_6000_a_minute_and_16_mib_hold_them() {
    let options = Options::default();
    assert_eq!(options.quota, Quota::default());
    assert_eq!(options.slots.get() * 16, 16 << 20);
}

#[test]
fn a_spent_quota_is_refused_and_other_addresses_notice_nothing() {
    let limiter = Scenario::with_burst(6_000).start();
    let address = ip("203.0.113.7");
    assert!((0..6_000).all(|_| matches!(limiter.check(address, NOW), Decision::Admitted(..))));
    let Decision::Refused(_, refusal) = limiter.check(address, NOW) else {
        panic!("not refused")
    };
    assert_eq!(refusal.retry_after, Duration::from_millis(10));
    assert!(matches!(
        limiter.check(ip("203.0.113.8"), NOW),
        Decision::Admitted(..)
    ));
    assert!(matches!(
        limiter.check(address, NOW + refusal.retry_after),
        Decision::Admitted(..)
    ));
}

#[test]
fn addresses_of_one_ipv6_64_share_a_bucket() {
    let limiter = Scenario::with_burst(3).start();
    assert_eq!(passing(&limiter, ip("2001:db8:1:2::1")), 3);
    assert_eq!(passing(&limiter, ip("2001:db8:1:2:ffff::9")), 0);
    assert_eq!(passing(&limiter, ip("2001:db8:1:3::1")), 3);
}

#[test]
fn local_callers_share_a_bucket() {
    let limiter = Scenario::with_burst(3)
        .exempting("0.0.0.0/0")
        .exempting("::/0")
        .start();
    assert_eq!(passing(&limiter, ClientAddress::Unix), 3);
}

#[test]
fn the_longest_network_decides() {
    let limiter = Scenario::with_burst(1)
        .overriding("10.0.0.0/8", 2)
        .exempting("10.1.0.0/16")
        .overriding("10.1.2.0/24", 3)
        .exempting("10.1.2.3/32")
        .overriding("2001:db8::/32", 4)
        .start();
    assert_eq!(passing(&limiter, ip("192.0.2.1")), 1);
    assert_eq!(passing(&limiter, ip("10.9.9.9")), 2);
    assert_eq!(limiter.check(ip("10.1.9.9"), NOW), Decision::Exempt);
    assert_eq!(passing(&limiter, ip("10.1.2.9")), 3);
    assert_eq!(limiter.check(ip("10.1.2.3"), NOW), Decision::Exempt);
    assert_eq!(passing(&limiter, ip("2001:db8::1")), 4);
}

#[test]
fn of_two_rules_for_one_network_exemption_wins_and_then_the_later_override() {
    let limiter = Scenario::with_burst(1)
        .overriding("10.0.0.0/8", 2)
        .overriding("10.9.9.9/8", 3)
        .exempting("192.0.2.0/24")
        .overriding("192.0.2.0/24", 5)
        .start();
    assert_eq!(passing(&limiter, ip("10.0.0.1")), 3);
    assert_eq!(limiter.check(ip("192.0.2.1"), NOW), Decision::Exempt);
}

#[test]
fn each_address_of_an_overridden_network_has_the_quota_for_itself() {
    let limiter = Scenario::with_burst(1).overriding("10.0.0.0/8", 2).start();
    assert_eq!(passing(&limiter, ip("10.0.0.1")), 2);
    assert_eq!(passing(&limiter, ip("10.0.0.2")), 2);
}

#[test]
fn in_shadow_mode_what_would_be_refused_passes_and_is_counted() {
    let limiter = Scenario::with_burst(2).in_shadow().start();
    assert_eq!(passing(&limiter, ip("192.0.2.1")), 2);
    let Decision::Shadowed(_, refusal) = limiter.check(ip("192.0.2.1"), NOW) else {
        panic!("not shadowed")
    };
    assert_eq!(refusal.retry_after, Duration::from_secs(30));
    assert_eq!(
        limiter.counts(),
        Counts {
            admitted: 2,
            shadowed: 2,
            ..Counts::default()
        }
    );
}

#[test]
fn every_decision_but_an_exemption_is_counted_once() {
    let limiter = Scenario::with_burst(2).exempting("10.0.0.0/8").start();
    limiter.check(ip("10.0.0.1"), NOW);
    // Eight addresses fill the only set, and the ninth overflows.
    for host in 1..=9 {
        passing(&limiter, ip(&format!("192.0.2.{host}")));
    }
    let counts = limiter.counts();
    assert_eq!(counts.admitted, 8 * 2 + 2 * 16);
    assert_eq!(counts.refused, 9);
    assert_eq!(counts.overflowed, 2 * 16 + 1);
}

#[test]
fn an_override_of_any_length_has_wider_buckets_of_its_own() {
    // A /64 with another quota, and a /32 around everything with a third one.
    let limiter = Scenario::with_burst(1)
        .overriding("2001:db8::/32", 2)
        .overriding("2001:db8:0:7::/64", 5)
        .start_with_room();
    let spent = (0x20..0x40).map(|of_64| {
        let address = ip(&format!("2001:db8:0:{of_64:x}::1"));
        passing(&limiter, address)
    });
    // Sixteen quotas of the /32's kind, spent by all others of the /56.
    assert_eq!(spent.sum::<usize>(), 16 * 2);
    assert_eq!(passing(&limiter, ip("2001:db8:0:50::1")), 0);
    assert_eq!(passing(&limiter, ip("2001:db8:0:7::1")), 5);
}

#[test]
fn what_is_exempt_costs_its_neighbours_nothing() {
    let limiter = Scenario::with_burst(1)
        .exempting("2001:db8:0:7::/64")
        .start_with_room();
    for _ in 0..100 {
        let exempt = limiter.check(ip("2001:db8:0:7::1"), NOW);
        assert_eq!(exempt, Decision::Exempt);
    }
    assert!((0x20..0x30).all(|n| passing(&limiter, ip(&format!("2001:db8:0:{n:x}::"))) == 1));
}

#[test]
fn a_mapped_or_translated_address_is_its_ipv4_address_and_has_no_wider_network() {
    let limiter = Scenario::with_burst(3)
        .overriding("192.0.2.0/24", 5)
        .start_with_room();
    let written = |text: &str| ClientAddress::of(text.parse().unwrap());
    assert_eq!(passing(&limiter, written("64:ff9b::198.51.100.7")), 3);
    assert_eq!(passing(&limiter, written("::ffff:198.51.100.7")), 0);
    assert_eq!(passing(&limiter, written("198.51.100.7")), 0);
    // An override for IPv4 applies to either form.
    assert_eq!(passing(&limiter, written("64:ff9b::192.0.2.1")), 5);
    assert_eq!(passing(&limiter, written("::ffff:192.0.2.2")), 5);
    let others = (0..100).map(|host| written(&format!("64:ff9b::203.0.113.{host}")));
    assert_eq!(
        others.map(|other| passing(&limiter, other)).sum::<usize>(),
        300
    );
}

#[test]
fn refusals_by_a_wider_network_are_counted_apart() {
    for shadow in [false, true] {
        let scenario = Scenario::with_burst(1);
        let scenario = if shadow {
            scenario.in_shadow()
        } else {
            scenario
        };
        let limiter = scenario.start_with_room();
        for of_64 in 0..20 {
            limiter.check(ip(&format!("2001:db8:0:{of_64:x}::")), NOW);
        }
        // One by its own quota, four by that of the /56.
        limiter.check(ip("2001:db8::"), NOW);
        let counts = limiter.counts();
        assert_eq!((counts.admitted, counts.refused + counts.shadowed), (16, 5));
        assert_eq!(counts.wider, 4);
    }
}

fn options(burst: u32) -> Options {
    Scenario::with_burst(burst).options
}

#[test]
fn a_change_takes_effect_and_forgets_no_debt() {
    let limiter = Scenario::with_burst(10).start();
    let (spent, half, fresh) = (ip("192.0.2.1"), ip("192.0.2.2"), ip("192.0.2.3"));
    assert_eq!(passing(&limiter, spent), 10);
    assert!((0..5).all(|_| matches!(limiter.check(half, NOW), Decision::Admitted(..))));
    // Twice as many in the same time: half of the time is still owed by one, all of it by the other.
    limiter.change(&options(20));
    assert_eq!(passing(&limiter, spent), 0);
    assert_eq!(passing(&limiter, half), 10);
    assert_eq!(passing(&limiter, fresh), 20);
}

#[test]
fn a_change_brings_and_takes_exemptions_overrides_and_shadow_mode() {
    let limiter = Scenario::with_burst(1).start();
    assert_eq!(passing(&limiter, ip("192.0.2.1")), 1);
    let ruled = Scenario::with_burst(1)
        .overriding("10.0.0.0/8", 3)
        .exempting("192.0.2.0/24")
        .in_shadow();
    limiter.change(&ruled.options);
    assert_eq!(limiter.check(ip("192.0.2.1"), NOW), Decision::Exempt);
    assert_eq!(passing(&limiter, ip("10.0.0.1")), 3);
    assert!(matches!(
        limiter.check(ip("10.0.0.1"), NOW),
        Decision::Shadowed(..)
    ));
    limiter.change(&options(1));
    let refused = |host| matches!(limiter.check(ip(host), NOW), Decision::Refused(..));
    assert!(refused("192.0.2.1"), "owed as before its exemption");
    assert!(refused("10.0.0.1"));
}

#[test]
fn a_slow_quotas_debt_ends_when_it_was_going_to_under_a_faster_one_too() {
    let hour = Duration::from_secs(3_600);
    let one = NonZeroU32::MIN;
    let slow = Options {
        quota: Quota::new(one, hour, one).unwrap(),
        ..options(1)
    };
    let limiter = Limiter::new(slow, [1, 2]);
    let address = ip("192.0.2.1");
    assert!(matches!(
        limiter.check(address, NOW),
        Decision::Admitted(..)
    ));
    limiter.change(&options(60));
    let Decision::Refused(_, refusal) = limiter.check(address, NOW) else {
        panic!("not refused")
    };
    // The refusal says when: one minute before the end, which a full bucket of a minute covers.
    assert_eq!(refusal.retry_after, hour - Duration::from_secs(59));
    assert!(matches!(
        limiter.check(address, NOW + refusal.retry_after),
        Decision::Admitted(..)
    ));
}
