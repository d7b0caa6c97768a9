//! What a refusal says, once its shape is found to be the one that all refusals share.

use serde_json::Value;

use super::{Answer, Request};

const KEYS: [&str; 6] = ["success", "error", "message", "errors", "code", "details"];

/// A refusal, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub text: String,
    /// The key of `errors` below `/data`; empty below `/track`, where it is a list.
    pub field: String,
}

impl Request {
    /// Sends, and tells status and text of the refusal.
    pub async fn refused(self) -> (u16, String) {
        let refusal = self.send().await.refusal();
        (refusal.status, refusal.text)
    }
}

impl Answer {
    /// Reads a refusal. Every key must be there, and all must say the same.
    pub fn refusal(&self) -> Refusal {
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert!(self.header("x-request-id").is_some(), "{self:?}");
        let json = self.json();
        let mut keys: Vec<&str> = json
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, _)| k.as_str())
            .collect();
        let mut expected = KEYS;
        keys.sort_unstable();
        expected.sort_unstable();
        assert_eq!(keys, expected, "{json}");
        assert!(json["details"].is_array(), "{json}");
        let text = self.error();
        let (field, texts) = match json["errors"].as_object() {
            Some(fields) => {
                assert_eq!(fields.len(), 1, "{json}");
                let (field, texts) = fields.iter().next().unwrap();
                (field.clone(), texts)
            }
            None => (String::new(), &json["errors"]),
        };
        assert_eq!(*texts, Value::from(vec![text.clone()]), "{json}");
        Refusal {
            status: self.status,
            code: json["code"].as_str().unwrap().to_owned(),
            text,
            field,
        }
    }
}
