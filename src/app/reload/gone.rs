//! What new settings remove. More often a mistake than meant, and callers that used it are not notified.

use crate::config::{KeyAccess, KeyConfig, ProjectConfig};

/// Removed projects and keys, by name. A public key is shown only by its place, as its text gives access.
pub(super) fn gone(before: &[ProjectConfig], after: &[ProjectConfig]) -> Vec<String> {
    let mut gone = Vec::new();
    for project in before {
        let token = &project.token;
        match after.iter().find(|other| other.token == *token) {
            None => gone.push(format!("project \"{token}\"")),
            Some(other) => {
                let keys = project.keys.iter().enumerate();
                let lost = keys.filter(|(_, key)| !other.keys.iter().any(|new| is_same(key, new)));
                gone.extend(
                    lost.map(|(at, key)| format!("{} of project \"{token}\"", name(at, key))),
                );
            }
        }
    }
    gone
}

fn is_same(one: &KeyConfig, other: &KeyConfig) -> bool {
    match (&one.access, &other.access) {
        (KeyAccess::Public { key: one }, KeyAccess::Public { key: other }) => one == other,
        (KeyAccess::Private { id: one, .. }, KeyAccess::Private { id: other, .. }) => one == other,
        (KeyAccess::Public { .. }, KeyAccess::Private { .. })
        | (KeyAccess::Private { .. }, KeyAccess::Public { .. }) => false,
    }
}

fn name(index: usize, key: &KeyConfig) -> String {
    match &key.access {
        KeyAccess::Public { .. } => format!("the public key[{}]", index + 1),
        KeyAccess::Private { id, .. } => format!("key \"{id}\""),
    }
}
