//! What new settings remove. More often a mistake than meant, and callers that used it are not notified.

use crate::config::ProjectConfig;
use crate::model::project::{Key, KeyAccess};

/// Removed projects and keys, by name. A public key is shown only by its place, as its text gives access.
pub(super) fn gone(before: &[ProjectConfig], after: &[ProjectConfig]) -> Vec<String> {
    let mut gone = Vec::new();
    for project in before {
        let token = &project.token;
        match after.iter().find(|other| other.token == *token) {
            None => gone.push(format!("project \"{token}\"")),
            Some(other) => {
                let keys = project.keys.iter().enumerate();
                let keys = keys.map(|(at, key)| (at, &key.key));
                let is_there = |key: &Key| other.keys.iter().any(|new| key.is_same_as(&new.key));
                let lost = keys.filter(|(_, key)| !is_there(key));
                gone.extend(
                    lost.map(|(at, key)| format!("{} of project \"{token}\"", name(at, key))),
                );
            }
        }
    }
    gone
}

fn name(index: usize, key: &Key) -> String {
    match &key.access {
        KeyAccess::Public(_) => format!("the public key[{}]", index + 1),
        KeyAccess::Private { id, .. } => format!("key \"{id}\""),
    }
}
