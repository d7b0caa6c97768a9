//! Floods of ever new addresses, in simulated time: who overflows, and whom it harms.
//!
//! `cargo test --release floods -- --ignored --nocapture` prints the table for up to three million new addresses a
//! second.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::time::Duration;

use footfall::limit::{Decision, Limiter, Options};
use footfall::model::address::ClientAddress;

use crate::harness::{Request, Setup};

/// An attack, and the table that it meets. Quotas are the default ones: 100 a second, 6,000 at once.
#[derive(Clone, Copy)]
struct Flood {
    addresses_per_second: u64,
    /// What each of them sends at once before it is never seen again.
    requests_each: u64,
    ipv6: bool,
    slots: usize,
    seconds: u64,
}

#[derive(Debug)]
struct Harm {
    /// Of the flood's requests, those that were charged to overflow, in a million.
    overflowed_per_million: u64,
    /// Requests of an address that has spent its quota and goes on with three times its rate.
    victim_admitted: u64,
    /// Refusals of an address that sends half of what it may.
    honest_refused: u64,
    /// Slots in debt at the end, in a hundred.
    in_debt_percent: usize,
}

const VICTIM: ClientAddress = ClientAddress::Ip(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)));
const HONEST: ClientAddress = ClientAddress::Ip(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)));

impl Flood {
    /// The flood's next address: any IPv4 one outside of the two others' /8s, or one of a new IPv6 /48.
    fn address(self, number: u64) -> ClientAddress {
        let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ClientAddress::Ip(if self.ipv6 {
            let network = 0x2000_0000_0000_0000 | mixed >> 19 << 16;
            IpAddr::V6(Ipv6Addr::from_bits(u128::from(network) << 64))
        } else {
            let [a, b, c, d, ..] = mixed.to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(a % 190, b, c, d))
        })
    }

    fn run(self) -> Harm {
        let options = Options {
            slots: NonZeroUsize::new(self.slots).unwrap(),
            ..Options::default()
        };
        let limiter = Limiter::new(options, [1, 2]);
        let start = Duration::from_secs(1_000);
        let admitted = |address, now| matches!(limiter.check(address, now), Decision::Admitted(..));
        assert!((0..6_000).all(|_| admitted(VICTIM, start)));
        let mut harm = Harm {
            overflowed_per_million: 0,
            victim_admitted: 0,
            honest_refused: 0,
            in_debt_percent: 0,
        };
        let millis = self.seconds * 1_000;
        let each_milli = self.addresses_per_second / 1_000;
        for milli in 0..millis {
            let now = start + Duration::from_millis(milli);
            for number in 0..each_milli {
                let address = self.address(milli * each_milli + number);
                for _ in 0..self.requests_each {
                    admitted(address, now);
                }
            }
            if milli % 20 == 0 {
                harm.honest_refused += u64::from(!admitted(HONEST, now));
            }
            let sends = if milli % 10 == 0 { 3 } else { 0 };
            harm.victim_admitted += (0..sends).filter(|_| admitted(VICTIM, now)).count() as u64;
        }
        let flood = millis * each_milli * self.requests_each;
        harm.overflowed_per_million = limiter.counts().overflowed * 1_000_000 / flood;
        let end = start + Duration::from_millis(millis);
        harm.in_debt_percent = 100 * limiter.in_debt(end) / limiter.slots();
        harm
    }
}

#[test]
fn a_flood_of_new_addresses_frees_nobody_and_harms_nobody_while_the_table_has_room() {
    // A sixteenth of the default table, and of three million addresses a second.
    let flood = Flood {
        addresses_per_second: 187_500,
        requests_each: 1,
        ipv6: false,
        slots: 1 << 16,
        seconds: 1,
    };
    for ipv6 in [false, true] {
        let harm = Flood { ipv6, ..flood }.run();
        assert_eq!(harm.overflowed_per_million, 0, "{harm:?}");
        assert_eq!(harm.honest_refused, 0, "{harm:?}");
        assert!((99..=100).contains(&harm.victim_admitted), "{harm:?}");
        assert!((2..5).contains(&harm.in_debt_percent), "{harm:?}");
    }
}

#[test]
fn a_flood_that_fills_the_table_does_not_free_whoever_is_limited() {
    let flood = Flood {
        addresses_per_second: 187_500,
        requests_each: 50,
        ipv6: false,
        slots: 1 << 14,
        seconds: 1,
    };
    let harm = flood.run();
    assert!(harm.in_debt_percent > 90, "{harm:?}");
    assert!(harm.overflowed_per_million > 300_000, "{harm:?}");
    assert!((99..=100).contains(&harm.victim_admitted), "{harm:?}");
}

#[test]
#[ignore = "takes a minute, and is there to be read"]
fn the_harm_of_floods() {
    println!(
        "new addresses/s  requests each  kind  in debt  overflowed  victim (may 300)  honest refused (of 150)"
    );
    for (ipv6, requests_each) in [(false, 1), (true, 1), (false, 50)] {
        for addresses_per_second in [10_000, 100_000, 1_000_000, 3_000_000] {
            let flood = Flood {
                addresses_per_second,
                requests_each,
                ipv6,
                slots: 1 << 20,
                seconds: 3,
            };
            let harm = flood.run();
            println!(
                "{addresses_per_second:>15}  {requests_each:>13}  {}  {:>6}%  {:>9.4}%  {:>16}  {:>14}",
                if ipv6 { "IPv6" } else { "IPv4" },
                harm.in_debt_percent,
                harm.overflowed_per_million as f64 / 10_000.0,
                harm.victim_admitted,
                harm.honest_refused,
            );
            assert!((299..=300).contains(&harm.victim_admitted), "{harm:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_how_full_the_table_is() {
    let small = "[rate_limit]\nslots = 1024";
    let server = Setup::default().with(small).start().await;
    for host in 1..=3 {
        let from = format!("203.0.113.{host}");
        server.get("/nowhere").from(&from).send().await;
    }
    let metrics = Request::new(server.admin, "GET", "/metrics");
    let told = metrics.send().await.body;
    for line in [
        "footfall_rate_limit_slots 1024\n",
        "footfall_rate_limit_slots_in_debt 3\n",
        "footfall_rate_limit_wider_total 0\n",
        "footfall_rate_limit_admitted_total 3\n",
    ] {
        assert!(told.contains(line), "{told}");
    }
    assert!(!told.contains("203.0.113"), "no address is told");
    server.stop().await;
}
