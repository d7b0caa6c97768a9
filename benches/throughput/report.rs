//! What the file of a run has.

use serde_json::{Value, json};

use super::file;
use super::load::Answers;
use super::row::{Row, median};

/// Writes all rows.
pub(super) fn write(rows: &[Row], quick: bool) {
    let rows: Vec<_> = rows.iter().map(row).collect();
    file::write("throughput", json!({"quick": quick, "rows": rows}));
}

fn row(row: &Row) -> Value {
    json!({
        "name": row.name,
        "callers": row.callers,
        "unit": row.unit,
        "baseline": side(row, &row.baseline),
        "footfall": side(row, &row.footfall),
        "ratio": row.ratio(),
        "goal": row.goal,
    })
}

/// Rates a second: accepted and refused together, of each round and the median; and what of the rounds was refused.
fn side(row: &Row, side: &[Answers]) -> Value {
    let rounds = row.rates(side);
    let refused: Vec<_> = side.iter().map(|answers| answers.refused).collect();
    json!({"median": median(&rounds), "rounds": rounds, "refused": refused})
}
