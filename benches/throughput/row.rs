//! One comparison: rounds of both sides in turns, their medians and their ratio.

use std::time::Duration;

use super::load::Answers;
use super::server::Server;

/// What a row is and was.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Callers or streams.
    pub(super) callers: usize,
    /// What is counted.
    pub(super) unit: &'static str,
    /// Things of the unit that one answer stands for.
    pub(super) weight: f64,
    /// The ratio to reach.
    pub(super) goal: Option<f64>,
    pub(super) baseline: Vec<Answers>,
    pub(super) footfall: Vec<Answers>,
}

/// How long a row takes.
#[derive(Clone, Copy)]
pub(super) struct Rounds {
    pub(super) count: usize,
    pub(super) time: Duration,
}

/// Time for which each side is loaded before it is measured.
const WARM_UP: Duration = Duration::from_millis(250);

impl Row {
    pub(super) fn new(
        name: &'static str,
        callers: usize,
        unit: &'static str,
        goal: Option<f64>,
    ) -> Self {
        Self {
            name,
            callers,
            unit,
            weight: 1.0,
            goal,
            baseline: Vec::new(),
            footfall: Vec::new(),
        }
    }

    pub(super) fn weighing(self, weight: f64) -> Self {
        Self { weight, ..self }
    }

    /// Measures both sides in turns. Footfall is halted while its baseline is measured.
    pub(super) async fn measure(
        mut self,
        rounds: Rounds,
        server: &Server,
        baseline: impl AsyncFn(Duration) -> Answers,
        footfall: impl AsyncFn(Duration) -> Answers,
    ) -> Self {
        for round in 0..=rounds.count {
            let is_warm_up = round == 0;
            let time = if is_warm_up { WARM_UP } else { rounds.time };
            server.halt();
            let bare = baseline(time).await;
            server.go_on();
            let full = footfall(time).await;
            if !is_warm_up {
                self.baseline.push(bare);
                self.footfall.push(full);
            }
        }
        self
    }

    /// Of one side, the rate of each round.
    pub(super) fn rates(&self, side: &[Answers]) -> Vec<f64> {
        let side = side.iter();
        side.map(|answers| answers.all() * self.weight).collect()
    }

    pub(super) fn ratio(&self) -> f64 {
        median(&self.rates(&self.footfall)) / median(&self.rates(&self.baseline))
    }

    pub(super) fn print_head() {
        println!(
            "{:<26}{:>8}{:>24}{:>24}{:>8}{:>8}",
            "", "callers", "baseline", "footfall", "ratio", "goal"
        );
    }

    pub(super) fn print(&self) {
        let goal = self.goal.map_or(String::new(), |goal| format!("{goal}"));
        println!(
            "{:<26}{:>8}{:>24}{:>24}{:>8.2}{:>8}{}",
            self.name,
            self.callers,
            shown(&self.rates(&self.baseline)),
            shown(&self.rates(&self.footfall)),
            self.ratio(),
            goal,
            self.remark()
        );
    }

    /// What else there is to say of Footfall's rate.
    fn remark(&self) -> String {
        let of =
            |part: fn(&Answers) -> f64| median(&self.footfall.iter().map(part).collect::<Vec<_>>());
        let refused = of(|answers| answers.refused);
        if refused > 0.0 {
            let accepted = of(|answers| answers.accepted);
            return format!("  {accepted:.0} accepted, {refused:.0} refused");
        }
        if self.weight > 1.0 {
            let requests = of(|answers| answers.accepted);
            return format!("  {requests:.0} requests");
        }
        String::new()
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

pub(super) fn median(values: &[f64]) -> f64 {
    let values = sorted(values);
    values[values.len() / 2]
}

/// The median with the spread from the lowest to the highest.
fn shown(rates: &[f64]) -> String {
    let rates = sorted(rates);
    let (low, high) = (rates[0], rates[rates.len() - 1]);
    format!("{:.0} ({low:.0}-{high:.0})", median(&rates))
}
