//! Waits for complete settings: a file written in place is half written for a moment.
//!
//! A file that is renamed into its place is always complete.

use std::time::Duration;

use super::super::StartError;
use crate::config::Config;

/// How long the settings must stay the same.
const PAUSE: Duration = Duration::from_millis(100);
/// How often they are read again.
const TRIES: usize = 20;

/// Loads the settings until two in a row are the same, mistakes included.
///
/// # Errors
/// Those of the settings, [`StartError::Unsettled`].
pub(super) async fn settled(
    load: &impl Fn() -> Result<Config, StartError>,
) -> Result<Config, StartError> {
    let mut last = load();
    for _ in 0..TRIES {
        tokio::time::sleep(PAUSE).await;
        let next = load();
        let is_settled = match (&last, &next) {
            (Ok(last), Ok(next)) => last == next,
            (Err(last), Err(next)) => last.to_string() == next.to_string(),
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
        if is_settled {
            return next;
        }
        last = next;
    }
    Err(StartError::Unsettled)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn config(token: &str) -> Config {
        let text = format!("[[project]]\ntoken = \"{token}\"\n");
        Config {
            projects: crate::config::projects_from_toml(&text).unwrap(),
            ..Config::default()
        }
    }

    /// The result of settings that read like this, in turn; none: with a mistake.
    async fn comes(of: &[Option<&str>]) -> Result<Config, StartError> {
        let reads = Cell::new(0);
        let load = || {
            let read = reads.replace(reads.get() + 1);
            match of.get(read).or(of.last()) {
                Some(Some(token)) => Ok(config(token)),
                Some(None) | None => Err(StartError::Panicked),
            }
        };
        settled(&load).await
    }

    #[tokio::test]
    async fn half_a_file_is_not_taken_for_a_whole_one() {
        let whole = config("whole");
        assert_eq!(comes(&[Some("whole")]).await.unwrap(), whole);
        assert_eq!(comes(&[Some("half"), Some("whole")]).await.unwrap(), whole);
        assert_eq!(comes(&[None, Some("whole")]).await.unwrap(), whole);
        let rests = [
            Some("whole"),
            None,
            Some("more"),
            Some("whole"),
            Some("whole"),
        ];
        assert_eq!(comes(&rests).await.unwrap(), whole);
    }

    #[tokio::test]
    async fn mistakes_that_stay_are_told_and_a_file_without_rest_is_given_up() {
        let mistake = comes(&[Some("half"), None]).await.unwrap_err();
        assert!(matches!(mistake, StartError::Panicked), "{mistake}");
        let tokens: Vec<_> = (0..2 * TRIES).map(|n| format!("t{n}")).collect();
        let restless: Vec<_> = tokens.iter().map(|token| Some(token.as_str())).collect();
        let given_up = comes(&restless).await.unwrap_err();
        assert!(matches!(given_up, StartError::Unsettled), "{given_up}");
    }
}
