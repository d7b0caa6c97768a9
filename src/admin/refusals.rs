//! `GET /refusals`: the newest refusals, for operators.

use serde_json::{Value, json};

use crate::middleware::RecentRefusals;
use crate::middleware::reasons::Refusal;
use crate::model::quote::quoted;
use crate::model::reason::Reason;

/// How many refusals are listed, unless `limit` says otherwise.
const LISTED: usize = 100;

/// What a query asks for.
#[derive(Default)]
struct Wanted {
    project: Option<String>,
    reason: Option<Reason>,
    limit: Option<usize>,
}

/// The newest first, as JSON. The query's `project`, `reason` and `limit` narrow it. `own`: the only project
/// to show. Times are RFC 3339, in UTC.
///
/// # Errors
/// What is wrong with the query, in words.
pub(super) fn json(
    refusals: &RecentRefusals,
    query: &str,
    own: Option<&str>,
) -> Result<String, String> {
    let mut wanted = wanted(query)?;
    wanted.project = own.map(str::to_owned).or(wanted.project);
    let is_wanted = |refusal: &Refusal| {
        let project = refusal.call.project.as_ref().map(|project| &*project.token);
        let of_project = wanted
            .project
            .as_deref()
            .is_none_or(|token| project == Some(token));
        of_project && wanted.reason.is_none_or(|reason| refusal.reason == reason)
    };
    let newest = refusals.newest(wanted.limit.unwrap_or(LISTED), is_wanted);
    let listed: Vec<_> = newest.iter().map(listed).collect();
    Ok(json!({ "not_kept": refusals.not_kept(), "refusals": listed }).to_string())
}

fn wanted(query: &str) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let bad = |expected: &str| format!("'{name}' must be {expected}, not '{}'", quoted(&value));
        match &*name {
            "project" => wanted.project = Some(value.into_owned()),
            "reason" => {
                let mut all = Reason::ALL.iter();
                let reason = all.find(|reason| reason.tag() == value);
                wanted.reason = Some(*reason.ok_or_else(|| bad("a reason"))?);
            }
            "limit" => wanted.limit = Some(value.parse().map_err(|_| bad("a number"))?),
            _ => {
                let name = quoted(&name);
                return Err(format!("known: project, reason, limit, not '{name}'"));
            }
        }
    }
    Ok(wanted)
}

pub(super) fn listed(refusal: &Refusal) -> Value {
    let call = &refusal.call;
    let time = jiff::Timestamp::from_microsecond(refusal.time.micros());
    json!({
        "time": time.map(|time| time.to_string()).ok(),
        "reason": refusal.reason.tag(),
        "text": refusal.text,
        "field": refusal.field,
        "excerpt": refusal.excerpt,
        "project": call.project.as_ref().map(|project| &project.token),
        "key": call.key,
        "address": call.address.map(|address| address.to_string()),
        "route": call.route,
        "request_id": call.id.to_str().ok(),
    })
}
