//! The environment: the only place that reads it, and the names in it.

use std::collections::BTreeMap;

const PREFIX: &str = "FOOTFALL_";

/// The variables that are ours, by name.
pub(super) type Environment = BTreeMap<String, String>;

/// The process's variables that begin with `FOOTFALL_`.
///
/// What is not UTF-8 arrives with U+FFFD in its place, and no setting accepts that.
#[must_use]
pub fn read() -> Vec<(String, String)> {
    let variables = std::env::vars_os().map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        )
    });
    variables.filter(|(name, _)| is_ours(name)).collect()
}

pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The variable of a key. A section within another has its name behind the other's.
pub(super) fn variable(section: &str, key: &str) -> String {
    let name = format!("{PREFIX}{section}_{key}").to_ascii_uppercase();
    name.replace('.', "_")
}

/// Whether Kubernetes made the variable for a service whose name begins with `footfall`.
///
/// It gives every container of the namespace `<SERVICE>_SERVICE_HOST`, `<SERVICE>_PORT` and others,
/// which are no mistake of anybody.
pub(super) fn is_service_link(name: &str, environment: &Environment) -> bool {
    let services = environment
        .keys()
        .filter_map(|name| name.strip_suffix("_SERVICE_HOST"));
    let mut rests = services.filter_map(|service| name.strip_prefix(service));
    rests.any(|rest| rest.starts_with("_SERVICE_") || rest.starts_with("_PORT"))
}
