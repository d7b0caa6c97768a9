//! All rows of a run.

use std::net::SocketAddr;
use std::time::Duration;

use super::envoy::Envoy;
use super::load::{Answers, Calls, Load};
use super::message::BATCH;
use super::row::{Rounds, Row};
use super::server::{self, Server};
use super::stream::STREAMS;
use super::{disk, grpc, report, rest, stream};

const CALLERS: usize = 64;
const SWEEP: [usize; 3] = [1, 16, 256];
/// Of the rows with a goal.
const MAIN: Rounds = Rounds {
    count: 5,
    time: Duration::from_secs(2),
};
/// Of the others.
const SHORT: Rounds = Rounds {
    count: 3,
    time: Duration::from_millis(1_500),
};
const QUICK: Rounds = Rounds {
    count: 1,
    time: Duration::from_millis(500),
};
/// Room for as many requests as can be sent.
const UNLIMITED: &str = "requests = 60000000";
/// Room for 100 requests a second.
const LIMITED: &str = "requests = 6000\nburst = 100";

#[derive(Clone, Copy)]
enum Protocol {
    Rest,
    Grpc,
}

struct Run {
    quick: bool,
    callers: Option<usize>,
    /// Parts of the names of the rows to measure; all if there is none.
    wanted: Vec<String>,
    axum: Server,
    tonic: Server,
    rows: Vec<Row>,
}

pub(super) async fn run(words: &[String]) {
    let (numbers, names): (Vec<_>, Vec<_>) =
        words.iter().partition(|word| word.parse::<usize>().is_ok());
    let mut run = Run {
        quick: names.iter().any(|name| *name == "quick"),
        callers: numbers.first().map(|number| number.parse().unwrap()),
        wanted: names
            .into_iter()
            .filter(|name| *name != "quick")
            .map(|name| name.to_lowercase())
            .collect(),
        axum: Server::baseline("serve-axum"),
        tonic: Server::baseline("serve-tonic"),
        rows: Vec::new(),
    };
    let (main, short) = match run.quick {
        true => (QUICK, QUICK),
        false => (MAIN, SHORT),
    };
    println!(
        "rounds in turns: {} of {:?} where there is a goal, {} of {:?} elsewhere; rates a second",
        main.count, main.time, short.count, short.time
    );
    Row::print_head();
    run.measure().await;
    run.print_ratios();
    report::write(&run.rows, run.quick);
}

impl Run {
    async fn measure(&mut self) {
        let callers = self.callers.unwrap_or(CALLERS);
        let goal = |goal| (callers == CALLERS).then_some(goal);
        let (axum, tonic) = (self.axum.address, self.tonic.address);
        let singles = [
            (
                Row::new("REST event", callers, "requests", goal(0.9)),
                Protocol::Rest,
            ),
            (
                Row::new("gRPC AddEvent", callers, "requests", goal(0.85)),
                Protocol::Grpc,
            ),
        ];
        for (row, protocol) in singles {
            self.single(row, protocol, Calls::Events).await;
        }
        let row = Row::new("REST batch of 50", callers, "events", goal(0.8));
        let row = row.weighing(BATCH as f64);
        self.compare(row, Calls::Events, async |load, footfall| {
            rest::batches(footfall.unwrap_or(axum), load).await
        })
        .await;
        let row = Row::new("gRPC TrackStream", STREAMS, "events", Some(0.5));
        self.compare(row, Calls::Events, async |load, footfall| match footfall {
            Some(address) => stream::events(address, load).await,
            None => disk::events(load.time).await,
        })
        .await;
        if let Some(path) = std::env::var_os("ENVOY") {
            let envoy = Envoy::start(path.as_ref(), tonic).await;
            let row = Row::new("REST event, to Envoy", callers, "requests", goal(4.0));
            self.compare(row, Calls::Events, async |load, footfall| match footfall {
                Some(address) => rest::events(address, load).await,
                None => rest::transcoded(envoy.address, load).await,
            })
            .await;
        }
        if self.callers.is_none() {
            for callers in SWEEP {
                let row = |name| Row::new(name, callers, "requests", None);
                self.single(row("REST event"), Protocol::Rest, Calls::Events)
                    .await;
                self.single(row("gRPC AddEvent"), Protocol::Grpc, Calls::Events)
                    .await;
            }
        }
        let row = |name| Row::new(name, callers, "requests", None);
        self.single(row("REST event, limited"), Protocol::Rest, Calls::Limited)
            .await;
        self.single(
            row("gRPC AddEvent, limited"),
            Protocol::Grpc,
            Calls::Limited,
        )
        .await;
        self.single(row("REST event, reads"), Protocol::Rest, Calls::WithReads)
            .await;
        self.single(
            row("gRPC AddEvent, reads"),
            Protocol::Grpc,
            Calls::WithReads,
        )
        .await;
    }

    /// Events, one a call.
    async fn single(&mut self, row: Row, protocol: Protocol, calls: Calls) {
        let (axum, tonic) = (self.axum.address, self.tonic.address);
        self.compare(row, calls, async |load, footfall| match protocol {
            Protocol::Rest => rest::events(footfall.unwrap_or(axum), load).await,
            Protocol::Grpc => grpc::events(footfall.unwrap_or(tonic), load).await,
        })
        .await;
    }

    /// Measures a row, if it is wanted, with a Footfall of its own. `ask` loads that one, or else the baseline.
    async fn compare(
        &mut self,
        row: Row,
        calls: Calls,
        ask: impl AsyncFn(Load, Option<SocketAddr>) -> Answers,
    ) {
        let name = row.name.to_lowercase();
        if !self.wanted.is_empty() && !self.wanted.iter().any(|part| name.contains(part)) {
            return;
        }
        let dir = server::folder();
        let limit = if calls == Calls::Limited {
            LIMITED
        } else {
            UNLIMITED
        };
        let (footfall, _) = Server::footfall_with(dir.path(), limit);
        let rounds = match row.goal {
            _ if self.quick => QUICK,
            Some(_) => MAIN,
            None => SHORT,
        };
        let load = |time| Load {
            callers: row.callers,
            time,
            calls,
        };
        let bare = async |time| ask(load(time), None).await;
        let full = async |time| ask(load(time), Some(footfall.address)).await;
        let row = row.clone().measure(rounds, &footfall, bare, full).await;
        row.print();
        self.rows.push(row);
    }

    fn print_ratios(&self) {
        println!("\n{:<26}{:>8}{:>8}", "", "ratio", "goal");
        for row in &self.rows {
            if let Some(goal) = row.goal {
                let ratio = row.ratio();
                let verdict = if ratio >= goal { "reached" } else { "missed" };
                println!("{:<26}{ratio:>8.2}{goal:>8}  {verdict}", row.name);
            }
        }
    }
}
