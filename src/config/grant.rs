//! `permissions` of a `[[project.key]]`.

use std::collections::BTreeSet;

use super::mistake::quoted;
use super::reader::Fields;
use super::value::Kind;
use crate::model::event::EventType;
use crate::model::project::Permission;

/// Most event types that one key names.
const EVENT_TYPES_MAX: usize = 1_000;

/// What a key allows.
#[derive(Debug, Default)]
pub(super) struct Granted {
    pub(super) permissions: Vec<Permission>,
    /// Beside [`Permission::SetEvents`], which is for all of them.
    pub(super) event_types: BTreeSet<EventType>,
}

enum Grant {
    Permission(Permission),
    /// `events:set:TYPE`.
    Events(EventType),
}

const GRANT: Kind<Grant> = Kind::new(
    "\"customers:set\", \"events:set\", \"events:set:TYPE\", \"customers:get\", \"events:get\", \"customers:anonymize\", \"customers:erase\" or \"refusals:get\"",
    |value| {
        let named =
            value.one_of(&Permission::ALL.map(|permission| (permission.name(), permission)));
        if let Some(permission) = named {
            return Some(Grant::Permission(permission));
        }
        let text = value.text()?;
        let event_type = text
            .strip_prefix(Permission::SetEvents.name())?
            .strip_prefix(':')?;
        // With blanks around it, it would look like another type than it is.
        let parsed = EventType::parse(event_type).ok()?;
        (parsed.as_str() == event_type).then_some(Grant::Events(parsed))
    },
);

impl Granted {
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let listed = fields.list("permissions", GRANT, "");
        if !fields.is_given("permissions") {
            let problem = format!("missing, expected a list of {}", GRANT.expected);
            fields.mistake("permissions", problem);
        }
        let mut granted = Self::default();
        for grant in listed {
            if let Some(name) = granted.add(grant) {
                let problem = format!("{} is listed already", quoted(&name));
                fields.mistake("permissions", problem);
            }
        }
        if granted.event_types.len() > EVENT_TYPES_MAX {
            let count = granted.event_types.len();
            let problem = format!("{count} event types, expected at most {EVENT_TYPES_MAX}");
            fields.mistake("permissions", problem);
        }
        if granted.permissions.contains(&Permission::SetEvents)
            && let Some(event_type) = granted.event_types.first()
        {
            let name = quoted(&format!("events:set:{event_type}"));
            let problem = format!("{name} is part of \"events:set\", expected one of the two");
            fields.mistake("permissions", problem);
        }
        granted
    }

    /// What was there already comes back.
    fn add(&mut self, grant: Grant) -> Option<String> {
        match grant {
            Grant::Permission(permission) if self.permissions.contains(&permission) => {
                Some(permission.name().to_owned())
            }
            Grant::Permission(permission) => {
                self.permissions.push(permission);
                None
            }
            Grant::Events(event_type) if self.event_types.contains(&event_type) => {
                Some(format!("events:set:{event_type}"))
            }
            Grant::Events(event_type) => {
                self.event_types.insert(event_type);
                None
            }
        }
    }
}
