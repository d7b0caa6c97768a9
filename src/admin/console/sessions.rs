//! Who may see customers' data on a page beyond this machine: those who have shown a private key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::COOKIE;
use sha2::{Digest as _, Sha256};

/// How long a session lasts.
pub(super) const TTL: Duration = Duration::from_hours(12);
/// Most sessions at once. The one that ends first makes room for another.
const SESSIONS_MAX: usize = 256;
/// Random bytes of a session's cookie.
const COOKIE_BYTES: usize = 32;
/// The cookie's name.
pub(super) const NAME: &str = "footfall_console";

/// The sessions. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<[u8; 32], Session>>>);

#[derive(Clone, Debug)]
struct Session {
    project: String,
    ends: Duration,
}

impl Sessions {
    /// Begins a session for a project, and returns its cookie. `now` is the time since the process started.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn begin(&self, project: String, now: Duration) -> Result<String, getrandom::Error> {
        let mut bytes = [0; COOKIE_BYTES];
        getrandom::fill(&mut bytes)?;
        let cookie = URL_SAFE_NO_PAD.encode(bytes);
        let mut sessions = self.sessions();
        sessions.retain(|_, session| session.ends > now);
        if sessions.len() >= SESSIONS_MAX
            && let Some(first) = sessions.iter().min_by_key(|(_, session)| session.ends)
        {
            let first = *first.0;
            sessions.remove(&first);
        }
        let ends = now + TTL;
        sessions.insert(digest(&cookie), Session { project, ends });
        Ok(cookie)
    }

    /// The project of the session of a request.
    pub(super) fn project(&self, headers: &HeaderMap, now: Duration) -> Option<String> {
        let sessions = self.sessions();
        let session = sessions.get(&digest(cookie(headers)?))?;
        (session.ends > now).then(|| session.project.clone())
    }

    /// Ends the session of a request.
    pub(super) fn end(&self, headers: &HeaderMap) {
        if let Some(cookie) = cookie(headers) {
            self.sessions().remove(&digest(cookie));
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Only digests are compared and kept: the time of a comparison says nothing of a cookie.
fn digest(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie.as_bytes()).into()
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == NAME).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let line = format!("other=1; {NAME}={cookie}");
        headers.insert(COOKIE, line.parse().unwrap());
        headers
    }

    #[test]
    fn a_session_is_of_its_project_until_it_ends() {
        let sessions = Sessions::default();
        let now = Duration::from_secs(5);
        let cookie = sessions.begin("a".to_owned(), now).unwrap();
        let headers = shows(&cookie);
        assert_eq!(sessions.project(&headers, now).as_deref(), Some("a"));
        assert_eq!(sessions.project(&shows("x"), now), None);
        assert_eq!(sessions.project(&HeaderMap::new(), now), None);
        assert_eq!(sessions.project(&headers, now + TTL), None);
        sessions.end(&headers);
        assert_eq!(sessions.project(&headers, now), None);
    }

    #[test]
    fn there_are_so_many_sessions_and_no_more() {
        let sessions = Sessions::default();
        let mut cookies = Vec::new();
        for second in 0..=SESSIONS_MAX as u64 {
            let now = Duration::from_secs(second);
            cookies.push(sessions.begin("a".to_owned(), now).unwrap());
        }
        assert_eq!(sessions.sessions().len(), SESSIONS_MAX);
        let known = |cookie: &String| sessions.project(&shows(cookie), TTL / 2).is_some();
        assert!(!known(&cookies[0]));
        assert!(cookies[1..].iter().all(known));
    }
}
