//! A batch of commands. A command with bad JSON keeps its place among the results.
//!
//! A batch of usual size is read in one pass. If that fails, it is read again: first the place of each command in the
//! text, and then one command after the other.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tonic::Status;

use super::super::error::{Error, Result};
use super::fast_path::{self, Fast, InObject};
use super::fields::{Fields, Ids, Part, beginning, object_text, of_text, read, refused, text};
use crate::grpc::pb;
use crate::model::properties::{FAST_PATH_BYTES_MAX, Object};
use crate::model::quote::quoted;
use crate::model::reason::Reason;
use crate::model::time::Timestamp;
use crate::tracker::{self, COMMANDS_MAX};

/// Largest batch that is read in one pass, in bytes. A failed pass through a larger batch would cost too much.
const AT_ONCE_BYTES_MAX: usize = 64 * 1024;

/// A batch to execute.
#[derive(Debug)]
pub(in super::super) struct Batch<'a> {
    /// The message for the service.
    pub(in super::super) request: pb::ExecuteBatchRequest,
    /// The ID and the result's source of each command, in their order.
    pub(in super::super) plan: Vec<(Option<&'a RawValue>, Planned)>,
}

/// The source of a command's result.
#[derive(Debug)]
pub(in super::super) enum Planned {
    /// The next result of the service.
    Executed,
    /// This status, because the JSON is no command.
    Failed(Status),
}

#[derive(Deserialize)]
struct Body<C> {
    commands: Option<C>,
}

/// A command. The data are JSON text, or have been read already.
#[derive(Deserialize)]
#[serde(bound(deserialize = "D: Deserialize<'de>"))]
pub(super) struct Named<'a, D = &'a RawValue> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    data: Option<D>,
    /// Any JSON value, `null` too. The response repeats it byte for byte.
    #[serde(borrow, default, deserialize_with = "present")]
    command_id: Option<&'a RawValue>,
}

/// The ID of a command that cannot be read otherwise.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Identified<'a> {
    #[serde(borrow, deserialize_with = "present")]
    command_id: Option<&'a RawValue>,
}

/// A command whose data have been read.
pub(super) type FastCommand<'a> = InObject<Named<'a, InObject<Fast<'a>>>>;

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Batch<'_> {
    /// The failures of commands with bad JSON.
    pub(in super::super) fn failures(&self) -> impl Iterator<Item = &Status> {
        self.plan.iter().filter_map(|(_, planned)| match planned {
            Planned::Executed => None,
            Planned::Failed(status) => Some(status),
        })
    }
}

/// Reads the body of a batch.
pub(in super::super) fn batch<'a>(
    body: &'a [u8],
    token: &str,
    now: Timestamp,
) -> Result<Batch<'a>> {
    let text = std::str::from_utf8(body).map_err(Error::not_utf8)?;
    let commands = match at_once(text) {
        Some(commands) => commands
            .into_iter()
            .map(|named| {
                let at = place(text, &named).unwrap_or_default();
                let rest = text.get(at..).unwrap_or_default();
                (rest, named.read(token, now))
            })
            .collect(),
        None => one_by_one(object_text(text)?, token, now)?,
    };
    let mut batch = Batch {
        request: pb::ExecuteBatchRequest {
            project_token: token.to_owned(),
            commands: Vec::with_capacity(commands.len()),
        },
        plan: Vec::with_capacity(commands.len()),
    };
    for (text, (command_id, command)) in commands {
        let planned = match command {
            Ok(command) => {
                batch.request.commands.push(pb::Command {
                    command_id: String::new(),
                    command: Some(command),
                });
                Planned::Executed
            }
            Err(error) => Planned::Failed(error.about(text.as_bytes()).into_status()),
        };
        batch.plan.push((command_id, planned));
    }
    Ok(batch)
}

/// The commands of a batch for the service.
///
/// # Errors
/// What is wrong with the batch, or with its first wrong command.
pub(crate) fn request(
    body: &[u8],
    token: &str,
    now: Timestamp,
) -> Result<pb::ExecuteBatchRequest, Status> {
    let batch = batch(body, token, now).map_err(Error::into_status)?;
    let failed = batch.failures().next().cloned();
    match failed {
        Some(status) => Err(status),
        None => Ok(batch.request),
    }
}

/// The commands of a batch in one pass. None if there are too few or too many, or if one must be read by itself.
pub(super) fn at_once(text: &str) -> Option<Vec<FastCommand<'_>>> {
    if text.len() > AT_ONCE_BYTES_MAX {
        return None;
    }
    let InObject(Body { commands }) = serde_json::from_str(text).ok()?;
    let Commands { first, count } = commands?;
    (count == first.len() && are_small(text, &first)).then_some(first)
}

/// Whether each command is small enough for one pass by itself. A command stands between the names of its neighbours.
fn are_small(text: &str, commands: &[FastCommand<'_>]) -> bool {
    let (mut before, mut last) = (0, Some(0));
    let places = commands.iter().map(|command| place(text, command));
    for next in places.chain([Some(text.len())]) {
        let Some((at, next)) = last.zip(next) else {
            return false;
        };
        if next.saturating_sub(before) > FAST_PATH_BYTES_MAX {
            return false;
        }
        (before, last) = (at, Some(next));
    }
    !commands.is_empty()
}

/// Where the name of a command stands in the text.
fn place(text: &str, InObject(named): &FastCommand<'_>) -> Option<usize> {
    let name = named.name?.get().as_ptr().addr();
    name.checked_sub(text.as_ptr().addr())
}

/// The commands of a batch, read one after the other, with their texts.
pub(super) fn one_by_one<'a>(
    text: &'a str,
    token: &str,
    now: Timestamp,
) -> Result<Vec<(&'a str, Read<'a>)>> {
    let Commands { first, count } = commands(text)?.unwrap_or(Commands {
        first: Vec::new(),
        count: 0,
    });
    tracker::check_batch(count).map_err(refused)?;
    let read = |raw: &'a RawValue| {
        let text = object_text(raw.get())?;
        let read = fast_path(text, token, now);
        let read = read.unwrap_or_else(|| validating_path(text, token, now));
        Ok((text, read))
    };
    first.into_iter().map(read).collect()
}

/// The list of commands. None if the field is absent, or is no list.
fn commands(text: &str) -> Result<Option<Commands<&RawValue>>> {
    if let Ok(body) = serde_json::from_str::<Body<_>>(text) {
        return Ok(body.commands);
    }
    let body: Body<&RawValue> = read(text)?;
    let list = body.commands.filter(|raw| raw.get().starts_with('['));
    list.map(|raw| read(raw.get())).transpose()
}

/// The ID of a command, and its message or the error.
pub(super) type Read<'a> = (Option<&'a RawValue>, Result<pb::command::Command>);

/// The command, if it can be read in one pass.
pub(super) fn fast_path<'a>(text: &'a str, token: &str, now: Timestamp) -> Option<Read<'a>> {
    let named: FastCommand<'a> = InObject(fast_path::object(text)?);
    Some(named.read(token, now))
}

/// The command field by field.
pub(super) fn validating_path<'a>(text: &'a str, token: &str, now: Timestamp) -> Read<'a> {
    match read::<Named<'a>>(text) {
        Ok(named) => {
            let command = named.command(|| named.fields(), token, now);
            (named.command_id, command)
        }
        Err(error) => {
            let identified: Identified<'a> = read(text).unwrap_or_default();
            (identified.command_id, Err(error))
        }
    }
}

impl<'a> InObject<Named<'a, InObject<Fast<'a>>>> {
    pub(super) fn read(self, token: &str, now: Timestamp) -> Read<'a> {
        let Self(mut named) = self;
        let fields = named.data.take().map(|InObject(fields)| fields);
        let command = named.command(|| Ok(fields.unwrap_or_default()), token, now);
        (named.command_id, command)
    }
}

impl<D> Named<'_, D> {
    fn command<'f, I: Part<Ids>, P: Part<Object>>(
        &self,
        fields: impl FnOnce() -> Result<Fields<'f, I, P>>,
        token: &str,
        now: Timestamp,
    ) -> Result<pb::command::Command> {
        use pb::command::Command;
        Ok(match &*text("name", self.name)? {
            "customers" => Command::UpdateCustomer(fields()?.update(token)?),
            "customers/events" => Command::AddEvent(fields()?.event(token, now)?),
            "campaigns/clicks" => Command::TrackCampaignClick(fields()?.click(token, now)?),
            "system/time" => Command::GetSystemTime(pb::GetSystemTimeRequest {
                project_token: token.to_owned(),
            }),
            _ => {
                let name = self.name.map_or("null", RawValue::get);
                let message = format!("Unknown command {}", quoted(name));
                return Err(Error::invalid(
                    Reason::CommandUnknown,
                    Some("name"),
                    message,
                ));
            }
        })
    }
}

impl Named<'_> {
    fn fields(&self) -> Result<Fields<'_>> {
        match self.data {
            None => of_text("{}"),
            Some(data) => of_text(beginning('{', "data", "an object", data)?),
        }
    }
}

/// The first commands of a batch, and the number of all.
struct Commands<C> {
    first: Vec<C>,
    count: usize,
}

impl<'de, C: Deserialize<'de>> Deserialize<'de> for Commands<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counted<C>(PhantomData<C>);

        impl<'de, C: Deserialize<'de>> Visitor<'de> for Counted<C> {
            type Value = Commands<C>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of commands")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut first = Vec::new();
                while first.len() < COMMANDS_MAX
                    && let Some(command) = seq.next_element()?
                {
                    first.push(command);
                }
                let mut count = first.len();
                while count >= COMMANDS_MAX && seq.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Commands { first, count })
            }
        }

        deserializer.deserialize_seq(Counted(PhantomData))
    }
}
