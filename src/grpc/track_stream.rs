//! `TrackStream`: commands as they come, each acknowledged once it is durable.
//!
//! Nothing runs on a stream's behalf: it reads on when it is polled for the next acknowledgements. So a caller that
//! does not read them is not read from, and holds [`GROUPS_MAX`] groups of commands at most.
//!
//! Commands that have arrived are committed together, without waiting for more. The next group is read while the one
//! before is being written to the disk.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use http::HeaderValue;
use prost::Message as _;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Extensions, Request, Status, Streaming};

use super::caller::{authenticate, caller};
use super::convert::{Messages, timestamp};
use super::pb;
use super::prepare::{self, Prepared};
use super::status::rpc_status;
use super::status::{invalid, unavailable};
use super::streams::id_of;
use crate::limit::{KeyHolder, KeyedPermit, QuotaOutcome};
use crate::middleware::{
    CallContext, Guard, MessageCharge, Refusals, RefusedCaller, cause, explained, refusal,
    with_reason,
};
use crate::model::credentials::Credentials;
use crate::model::reason::Reason;
use crate::tracker::{Accepted, Access, Tracker};

/// Most commands that are committed together.
const GROUP_COMMANDS_MAX: usize = 256;
/// Bytes of commands beyond which no more are added to a group.
const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of acknowledgements beyond which no more commands are added to a group: they are held while the caller does
/// not read.
const GROUP_RESULT_BYTES_MAX: usize = 64 * 1024;
/// Longest name that a caller may give a command, in bytes.
pub(super) const COMMAND_ID_BYTES_MAX: usize = 1024;
/// Most groups that wait for the disk at once.
const GROUPS_MAX: usize = 4;
/// How long a caller should wait before it opens another stream.
const DRAIN_DELAY: Duration = Duration::from_secs(1);

/// The acknowledgements of a stream of commands.
pub(super) fn acknowledged(
    tracker: Arc<Tracker>,
    first_message_timeout: Duration,
    request: Request<Streaming<pb::TrackStreamRequest>>,
) -> Messages<pb::TrackStreamResponse> {
    let credentials = caller(&request);
    let (_, extensions, messages) = request.into_parts();
    let heartbeat = tracker.heartbeat();
    let stream = IngestStream {
        ended: tracker.streams_ended(),
        deadline: Instant::now() + first_message_timeout,
        tracker,
        credentials,
        extensions,
        messages,
        access: None,
        place: None,
        taken: 0,
    };
    let groups = stream::unfold(Some(stream), async |stream| {
        let mut stream = stream?;
        let group = stream.next_group().await?;
        let goes_on = group.end.is_none();
        Some((
            group.commit(
                &stream.tracker,
                id_of(&stream.extensions),
                stream.refusals(stream.access.as_ref()),
            ),
            goes_on.then_some(stream),
        ))
    });
    let answers = groups.buffered(GROUPS_MAX).flat_map(stream::iter);
    Box::pin(beating(Box::pin(answers), heartbeat))
}

/// The same messages, and an empty one after each silence of `heartbeat`, so that callers and proxies see that the
/// stream is alive.
fn beating(
    messages: Messages<pb::TrackStreamResponse>,
    heartbeat: Duration,
) -> impl Stream<Item = Result<pb::TrackStreamResponse, Status>> {
    stream::unfold(messages, move |mut messages| async move {
        let next = tokio::time::timeout(heartbeat, messages.next()).await;
        let message = match next {
            Ok(message) => message?,
            Err(_) => Ok(pb::TrackStreamResponse::default()),
        };
        Some((message, messages))
    })
}

/// A stream that is being read.
struct IngestStream {
    tracker: Arc<Tracker>,
    credentials: Credentials,
    extensions: Extensions,
    messages: Streaming<pb::TrackStreamRequest>,
    ended: watch::Receiver<bool>,
    /// The deadline of the first message.
    deadline: Instant,
    /// Known once the first message has named the project.
    access: Option<Access>,
    /// The stream's permit among those of its key.
    place: Option<KeyedPermit<KeyHolder>>,
    /// How many messages were taken.
    taken: u64,
}

/// Notes what is refused inside of a stream.
struct StreamRefusals {
    /// None without a context. With the route and the ID of the call.
    to: Option<(Refusals, &'static str, HeaderValue)>,
    caller: RefusedCaller,
}

impl StreamRefusals {
    fn note<'a>(&self, statuses: impl IntoIterator<Item = &'a Status>) {
        if let Some((refusals, route, id)) = &self.to {
            refusals.note(statuses, &self.caller, route, id);
        }
    }
}

/// Commands that are committed together.
#[derive(Default)]
struct Group {
    writes: Vec<Accepted>,
    bytes: usize,
    result_bytes: usize,
    results: Vec<(pb::Acknowledgement, Kind)>,
    /// Why no more commands follow.
    end: Option<Status>,
}

/// Whether a result depends on the commit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    Decided,
}

impl IngestStream {
    /// Waits for a command, and takes those that have arrived with it. None: the caller has sent all.
    async fn next_group(&mut self) -> Option<Group> {
        let mut group = Group::default();
        let mut next = self.next().await;
        loop {
            match next {
                Some(Ok(message)) => self.take(message, &mut group),
                Some(Err(status)) => group.end = Some(self.refuse(status, self.access.as_ref())),
                None => break,
            }
            let is_full = group.results.len() == GROUP_COMMANDS_MAX
                || group.bytes >= GROUP_BYTES_MAX
                || group.result_bytes >= GROUP_RESULT_BYTES_MAX;
            if is_full || group.end.is_some() {
                break;
            }
            next = match self.next().now_or_never() {
                Some(next) => next,
                None => break,
            };
        }
        let is_empty = group.results.is_empty() && group.end.is_none();
        (!is_empty).then_some(group)
    }

    /// The next message, or why there is none.
    async fn next(&mut self) -> Option<Result<pb::TrackStreamRequest, Status>> {
        if *self.ended.borrow() {
            return Some(Err(draining()));
        }
        let first = async {
            match self.access {
                None => tokio::time::sleep_until(self.deadline).await,
                Some(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            // Arrived messages first: the end was checked just before.
            biased;
            message = self.messages.message() => message.transpose(),
            _ = self.ended.changed() => Some(Err(draining())),
            () = first => {
                self.count(Some(Guard::BodyTimeout));
                let text = "the first message did not come, which says whose stream it is";
                Some(Err(Guard::BodyTimeout.behind(Status::invalid_argument(text))))
            }
        }
    }

    /// Takes a message into a group. Ends the group if the caller has no access to the stream's project.
    fn take(&mut self, message: pb::TrackStreamRequest, group: &mut Group) {
        let access = match self.access(&message.project_token) {
            Ok(access) => access,
            Err(status) => {
                group.end = Some(self.refuse(status, None));
                return;
            }
        };
        self.taken += 1;
        let mut command = message.command.unwrap_or_default();
        let command_id = std::mem::take(&mut command.command_id);
        let named = check_id(&command_id);
        let mut result = pb::CommandResult {
            command_id: if named.is_ok() {
                command_id
            } else {
                String::new()
            },
            error: None,
            time: None,
        };
        let mut kind = Kind::Decided;
        let charged = self.charge(&access).and(named);
        let token = &message.project_token;
        match charged.and_then(|()| self.prepare(&access, token, command)) {
            Ok(Prepared::Write(write)) => {
                group.bytes += write.bytes();
                group.writes.push(write);
                kind = Kind::Write;
            }
            Ok(Prepared::Time) => result.time = Some(timestamp(self.tracker.now())),
            Err(status) => {
                self.count(Guard::of(&status));
                result.error = Some(rpc_status(&self.refuse(status, Some(&access))));
            }
        }
        group.result_bytes += result.encoded_len();
        let acknowledgement = pb::Acknowledgement {
            number: self.taken,
            result: Some(result),
        };
        group.results.push((acknowledgement, kind));
        self.access = Some(access);
    }

    /// The caller's current access: its key may have changed since the last message.
    fn access(&mut self, token: &str) -> Result<Access, Status> {
        let tracker = &self.tracker;
        if let Some(access) = self.access.take() {
            return Ok(tracker.renew(access)?);
        }
        let quota_outcome = QuotaOutcome::default();
        // They are not needed again.
        let credentials = std::mem::replace(&mut self.credentials, Credentials::Missing);
        let access = authenticate(
            tracker,
            token,
            || credentials,
            &self.extensions,
            &quota_outcome,
        )
        .map_err(|status| refused(&quota_outcome, status))?;
        if let Some(streams) = &CallContext::of(&self.extensions)?.stream().keys {
            let place = streams.take(access.holder());
            self.place = Some(place.inspect_err(|status| self.count(Guard::of(status)))?);
        }
        Ok(access)
    }

    fn prepare(
        &self,
        access: &Access,
        token: &str,
        command: pb::Command,
    ) -> Result<Prepared, Status> {
        if !token.is_empty() && token != access.token() {
            return Err(invalid(
                Reason::FieldInvalid,
                Some("project_token"),
                "Field 'project_token' must be empty or that of the first message.".to_owned(),
            ));
        }
        prepare::prepare(&self.tracker, access, command)
    }

    /// The refusal of a command, or of what the stream would have sent yet, as the caller gets it. It is counted here:
    /// the answer has begun, and no layer sees the statuses inside of it.
    fn refuse(&self, status: Status, access: Option<&Access>) -> Status {
        self.refusals(access).note([&status]);
        explained(status)
    }

    fn refusals(&self, access: Option<&Access>) -> StreamRefusals {
        let context = CallContext::of(&self.extensions).ok();
        let known = access.map(|access| {
            let (project, key) = access.caller();
            (project.clone(), Some(key.clone()))
        });
        StreamRefusals {
            to: context.and_then(|context| {
                let refusals = context.stream().refusals.clone()?;
                Some((refusals, context.classified().route, context.id().clone()))
            }),
            caller: RefusedCaller {
                address: context.and_then(|context| Some(context.address().ok()?.key())),
                known,
            },
        }
    }

    /// Counts what a guard refused.
    fn count(&self, guard: Option<Guard>) {
        let context = CallContext::of(&self.extensions).ok();
        let rejections = context.and_then(|context| context.stream().rejections.as_ref());
        if let (Some(guard), Some(rejections)) = (guard, rejections) {
            rejections.count(guard);
        }
    }

    /// Charges a message to all quotas.
    fn charge(&self, access: &Access) -> Result<(), Status> {
        let message_charge = &CallContext::of(&self.extensions)?.stream().message_charge;
        let address = message_charge.as_ref().and_then(MessageCharge::charge);
        if let Some(status) = refusal::status(address.as_slice()) {
            return Err(status);
        }
        let quota_outcome = QuotaOutcome::default();
        match self.tracker.charge(access, &quota_outcome) {
            Ok(()) => Ok(()),
            Err(error) => Err(refused(&quota_outcome, error.into())),
        }
    }
}

impl Group {
    /// Queues the writes at once. Gives the acknowledgements when they are durable, and the stream's end if this is the
    /// last group.
    fn commit(
        self,
        tracker: &Tracker,
        call: Option<HeaderValue>,
        refusals: StreamRefusals,
    ) -> impl Future<Output = Vec<Result<pb::TrackStreamResponse, Status>>> + Send + use<> {
        let committed = tracker.commit(self.writes);
        let (results, end) = (self.results, self.end);
        async move {
            let failure = committed.await.err().map(Status::from);
            if let Some(status) = &failure {
                cause::report(status, call.as_ref());
            }
            let refused = results.iter().filter(|(_, kind)| *kind == Kind::Write);
            refusals.note(refused.filter_map(|_| failure.as_ref()));
            let failure = failure.as_ref().map(rpc_status);
            let acknowledge = |(mut acknowledgement, kind): (pb::Acknowledgement, Kind)| {
                if let (Some(result), Kind::Write) = (&mut acknowledgement.result, kind) {
                    result.error.clone_from(&failure);
                }
                acknowledgement
            };
            let acknowledgements: Vec<_> = results.into_iter().map(acknowledge).collect();
            let mut messages = Vec::with_capacity(2);
            if !acknowledgements.is_empty() {
                messages.push(Ok(pb::TrackStreamResponse { acknowledgements }));
            }
            messages.extend(end.map(Err));
            messages
        }
    }
}

/// Checks the name that a caller gave a command.
fn check_id(id: &str) -> Result<(), Status> {
    match id.len() {
        0..=COMMAND_ID_BYTES_MAX => Ok(()),
        bytes => Err(invalid(
            Reason::FieldInvalid,
            Some("command_id"),
            format!("Field 'command_id' has {bytes} bytes, at most {COMMAND_ID_BYTES_MAX}."),
        )),
    }
}

/// A complete refusal by a quota, as the answer's head, which would report it, is sent already.
fn refused(quota_outcome: &QuotaOutcome, status: Status) -> Status {
    refusal::status(quota_outcome.charges()).unwrap_or(status)
}

fn draining() -> Status {
    let status = unavailable("the service is draining".to_owned(), DRAIN_DELAY);
    with_reason(Reason::Draining, status)
}
