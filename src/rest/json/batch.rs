//! A batch: commands that fail in their JSON keep their place among the results.
//!
//! A batch of usual size is read in one pass. If anything in it cannot be read so, it is read again: first for where
//! each command lies in the text, and then command by command.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tonic::Status;

use super::super::error::Error;
use super::fast_path::{self, Fast, InObject};
use super::fields::{Fields, Ids, Part, object_text, read, refused, text};
use crate::grpc::pb;
use crate::model::properties::{Object, QUICK_BYTES_MAX};
use crate::model::quote::quoted;
use crate::model::time::Timestamp;
use crate::tracker::{self, COMMANDS_MAX};

/// Largest batch that is read in one pass, in bytes: of a larger one, too much would be read for nothing.
const AT_ONCE_BYTES_MAX: usize = 64 * 1024;

/// A batch as it is to be executed.
#[derive(Debug)]
pub(in super::super) struct Batch<'a> {
    /// What the service gets.
    pub(in super::super) request: pb::ExecuteBatchRequest,
    /// One entry a command, in the commands' order.
    pub(in super::super) plan: Vec<(Option<&'a RawValue>, Planned)>,
}

/// Where a command's result comes from.
#[derive(Debug)]
pub(in super::super) enum Planned {
    /// From the service: the next of its results.
    Executed,
    /// From here: its JSON is no command.
    Failed(Status),
}

#[derive(Deserialize)]
struct Body<C> {
    commands: Option<C>,
}

/// A command. Its data are text, unless they have been read already.
#[derive(Deserialize)]
#[serde(bound(deserialize = "D: Deserialize<'de>"))]
pub(super) struct Named<'a, D = &'a RawValue> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    data: Option<D>,
    /// Any JSON value, `null` too: it is echoed as it came.
    #[serde(borrow, default, deserialize_with = "present")]
    command_id: Option<&'a RawValue>,
}

/// The name that a caller gave to a command which cannot be read otherwise.
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
    /// Why commands fail that are none.
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
) -> Result<Batch<'a>, Error> {
    let text = std::str::from_utf8(body).map_err(Error::not_utf8)?;
    let commands = match at_once(text) {
        Some(commands) => commands
            .into_iter()
            .map(|named| named.read(token, now))
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
    for (command_id, command) in commands {
        let planned = match command {
            Ok(command) => {
                batch.request.commands.push(pb::Command {
                    command_id: String::new(),
                    command: Some(command),
                });
                Planned::Executed
            }
            Err(error) => Planned::Failed(error.into_status()),
        };
        batch.plan.push((command_id, planned));
    }
    Ok(batch)
}

/// The commands of a batch in one pass; none: there are too few or too many, or one of them has to be read by itself.
pub(super) fn at_once(text: &str) -> Option<Vec<FastCommand<'_>>> {
    if text.len() > AT_ONCE_BYTES_MAX {
        return None;
    }
    let InObject(Body { commands }) = serde_json::from_str(text).ok()?;
    let AtOnce(commands) = commands?;
    are_small(text, &commands).then_some(commands)
}

/// Whether each command is so small that it could be read in one pass by itself: it lies between the names of those
/// beside it.
fn are_small(text: &str, commands: &[FastCommand<'_>]) -> bool {
    let place = |InObject(named): &FastCommand<'_>| {
        let name = named.name?.get().as_ptr().addr();
        name.checked_sub(text.as_ptr().addr())
    };
    let (mut before, mut last) = (0, Some(0));
    for next in commands.iter().map(place).chain([Some(text.len())]) {
        let Some((at, next)) = last.zip(next) else {
            return false;
        };
        if next.saturating_sub(before) > QUICK_BYTES_MAX {
            return false;
        }
        (before, last) = (at, Some(next));
    }
    !commands.is_empty()
}

/// The commands of a batch, each read by itself.
pub(super) fn one_by_one<'a>(
    text: &'a str,
    token: &str,
    now: Timestamp,
) -> Result<Vec<Read<'a>>, Error> {
    let commands = commands(text)?;
    tracker::check_batch(commands.count).map_err(refused)?;
    let read = |raw: &'a RawValue| {
        let text = object_text(raw.get())?;
        let read = fast_path(text, token, now);
        Ok(read.unwrap_or_else(|| validating_path(text, token, now)))
    };
    commands.first.into_iter().map(read).collect()
}

fn commands(text: &str) -> Result<Commands<'_>, Error> {
    if let Ok(body) = serde_json::from_str::<Body<Commands<'_>>>(text) {
        return Ok(body.commands.unwrap_or_default());
    }
    // What is no list has no commands, whatever it is.
    let body: Body<&RawValue> = read(text)?;
    match body.commands {
        Some(raw) if raw.get().starts_with('[') => read(raw.get()),
        Some(_) | None => Ok(Commands::default()),
    }
}

/// What is known of a command: its ID, and the message or why there is none.
pub(super) type Read<'a> = (Option<&'a RawValue>, Result<pb::command::Command, Error>);

/// The command in one pass, if it can be read so.
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
        fields: impl FnOnce() -> Result<Fields<'f, I, P>, Error>,
        token: &str,
        now: Timestamp,
    ) -> Result<pb::command::Command, Error> {
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
                return Err(Error::invalid(Some("name"), message));
            }
        })
    }
}

impl Named<'_> {
    fn fields(&self) -> Result<Fields<'_>, Error> {
        let data = self.data.map_or("{}", RawValue::get);
        if !data.starts_with('{') {
            let message = format!("Field 'data' must be an object, not {}.", quoted(data));
            return Err(Error::invalid(Some("data"), message));
        }
        Fields::of_text(data)
    }
}

/// The commands of a batch, as many as there may be.
struct AtOnce<'a>(Vec<FastCommand<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for AtOnce<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Vec<FastCommand<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of commands")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut commands = Vec::new();
                while let Some(command) = seq.next_element()? {
                    if commands.len() == COMMANDS_MAX {
                        return Err(A::Error::custom("too many commands"));
                    }
                    commands.push(command);
                }
                Ok(commands)
            }
        }

        deserializer.deserialize_seq(All).map(Self)
    }
}

/// The commands of a batch: no more are kept than may be, all are counted.
#[derive(Default)]
struct Commands<'a> {
    first: Vec<&'a RawValue>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Commands<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counted;

        impl<'de> Visitor<'de> for Counted {
            type Value = Commands<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of commands")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut commands = Commands::default();
                while commands.first.len() < COMMANDS_MAX {
                    let Some(command) = seq.next_element()? else {
                        break;
                    };
                    commands.first.push(command);
                }
                commands.count = commands.first.len();
                if commands.count == COMMANDS_MAX {
                    while seq.next_element::<IgnoredAny>()?.is_some() {
                        commands.count += 1;
                    }
                }
                Ok(commands)
            }
        }

        deserializer.deserialize_seq(Counted)
    }
}
