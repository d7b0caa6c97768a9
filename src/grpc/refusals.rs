//! The stream of refusals.

use std::collections::VecDeque;

use futures_util::stream;
use tonic::Status;

use super::convert::{Messages, timestamp};
use super::{pb, status};
use crate::middleware::{RecentRefusals, Refusal};
use crate::model::quote::quoted;
use crate::model::reason::Reason;
use crate::tracker::OpenStream;

/// Most refusals that a watch holds. Each takes some 2 KiB at most.
const BATCH_MAX: usize = 64;

/// A watch of refusals in flight.
pub(super) struct RefusalsWatch {
    stream: OpenStream,
    refusals: RecentRefusals,
    /// Empty: all.
    reasons: Vec<Reason>,
    /// The number of the next one to look at.
    next: u64,
    batch: VecDeque<Refusal>,
    missed: bool,
    has_begun: bool,
}

/// The reasons of these tags.
pub(super) fn reasons(tags: &[String]) -> Result<Vec<Reason>, Status> {
    // Each once, however often it is named: no more than there are.
    let mut reasons = Vec::new();
    for tag in tags {
        let Some(reason) = Reason::ALL.iter().find(|reason| reason.tag() == tag) else {
            let text = format!("Field 'reasons' must have reasons, not '{}'.", quoted(tag));
            return Err(status::invalid(Reason::QueryInvalid, Some("reasons"), text));
        };
        if !reasons.contains(reason) {
            reasons.push(*reason);
        }
    }
    Ok(reasons)
}

impl RefusalsWatch {
    pub(super) fn new(
        stream: OpenStream,
        refusals: RecentRefusals,
        reasons: Vec<Reason>,
        recent: bool,
    ) -> Self {
        let next = match recent {
            true => refusals.oldest(),
            false => *refusals.subscribe().borrow(),
        };
        Self {
            stream,
            refusals,
            reasons,
            next,
            batch: VecDeque::new(),
            missed: false,
            has_begun: false,
        }
    }

    /// Waits for the next message; none at the end.
    async fn next(&mut self) -> Option<pb::WatchRefusalsResponse> {
        let mut changes = self.refusals.subscribe();
        loop {
            if !self.stream.goes_on() {
                return None;
            }
            let begins = !std::mem::replace(&mut self.has_begun, true);
            let refusal = match begins {
                true => None,
                false => self.batch.pop_front(),
            };
            if begins || refusal.is_some() || self.stream.is_silent() {
                self.stream.sends();
                return Some(pb::WatchRefusalsResponse {
                    refusal: refusal.map(message),
                    missed: std::mem::take(&mut self.missed),
                });
            }
            changes.borrow_and_update();
            let found = self.refusals.following(self.next, BATCH_MAX, |refusal| {
                let project = refusal.call.project.as_ref();
                let is_own = project.is_some_and(|project| project.token == self.stream.token());
                is_own && (self.reasons.is_empty() || self.reasons.contains(&refusal.reason))
            });
            self.next = found.next;
            self.missed |= found.missed;
            let refusals = found.refusals.into_iter();
            self.batch.extend(refusals.map(|(_, refusal)| refusal));
            if self.batch.is_empty() {
                tokio::select! {
                    // The sender lives as long as `refusals`.
                    _ = changes.changed() => {}
                    () = self.stream.waits() => {}
                }
            }
        }
    }
}

/// The messages of a watch.
pub(super) fn messages(watch: RefusalsWatch) -> Messages<pb::WatchRefusalsResponse> {
    Box::pin(stream::unfold(watch, async |mut watch| {
        let message = watch.next().await?;
        Some((Ok(message), watch))
    }))
}

fn message(refusal: Refusal) -> pb::Refusal {
    let call = refusal.call;
    pb::Refusal {
        time: Some(timestamp(refusal.time)),
        reason: refusal.reason.tag().to_owned(),
        text: refusal.text,
        field: refusal.field.unwrap_or_default(),
        excerpt: refusal.excerpt.unwrap_or_default(),
        key: call.key.clone().unwrap_or_default(),
        address: call
            .address
            .map(|address| address.to_string())
            .unwrap_or_default(),
        route: call.route.to_owned(),
        request_id: call.id.to_str().unwrap_or_default().to_owned(),
    }
}
