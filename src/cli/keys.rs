//! New keys, for operators to put into the settings.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::app::StartError;
use crate::app::first_run::random_text;

/// Random bytes of a secret: 256 bits cannot be guessed at any speed.
const SECRET_BYTES: usize = 32;

/// A key that is in no settings yet. Its `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The key's ID.
    pub id: String,
    /// The secret, which only its owner keeps.
    pub secret: String,
}

impl NewKey {
    /// A key from the system's random numbers.
    ///
    /// # Errors
    /// [`StartError::Random`].
    pub fn new() -> Result<Self, StartError> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(StartError::Random)?;
        Ok(Self {
            id: random_text()?,
            secret: URL_SAFE_NO_PAD.encode(secret),
        })
    }

    /// The lines for the settings file, below their `[[project]]`. They do not contain the secret.
    pub fn settings(&self) -> String {
        let digest = Sha256::digest(self.secret.as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let id = &self.id;
        format!(
            "[[project.key]]\nid = \"{id}\"\nsecrets_sha256 = [\"{digest}\"]\npermissions = [\"customers:set\", \"events:set\"]\n"
        )
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewKey({}, ..)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::projects_from_toml;
    use crate::model::project::{KeyAccess, SecretHash};

    #[test]
    fn the_lines_are_good_settings_with_the_digest_alone() {
        let key = NewKey::new().unwrap();
        let lines = key.settings();
        assert!(!lines.contains(&key.secret));
        let text = format!("[[project]]\ntoken = \"t\"\n{lines}");
        let projects = projects_from_toml(&text).unwrap();
        let digest = Sha256::digest(key.secret.as_bytes()).into();
        let access = KeyAccess::Private {
            id: key.id.clone(),
            secrets: vec![SecretHash::from_sha256(digest)],
        };
        assert_eq!(projects[0].keys[0].key.access, access);
    }

    #[test]
    fn every_key_is_another_and_debug_does_not_show_its_secret() {
        let [one, other] = [NewKey::new().unwrap(), NewKey::new().unwrap()];
        assert_ne!((&one.id, &one.secret), (&other.id, &other.secret));
        assert_eq!(one.secret.len(), 43, "not 256 bits in base64");
        assert!(!format!("{one:?}").contains(&one.secret));
    }
}
