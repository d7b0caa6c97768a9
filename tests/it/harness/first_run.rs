//! The project that a service without settings makes for itself.

use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::process::Process;

/// What `project.toml` says.
#[derive(Clone, Debug)]
pub struct Project {
    pub token: String,
    pub public: String,
    pub id: String,
    pub secret: String,
}

impl Project {
    /// Reads the project of the default data folder in `dir`.
    pub fn read(dir: &Path) -> Self {
        let text = std::fs::read_to_string(dir.join("footfall-data/project.toml")).unwrap();
        let file: toml::Table = text.parse().unwrap();
        let project = &file["project"][0];
        let keys = &project["key"];
        let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
        Self {
            token: text(&project["token"]),
            public: text(&keys[0]["public"]),
            id: text(&keys[1]["id"]),
            secret: text(&keys[1]["secrets"][0]),
        }
    }

    /// `Authorization` of the private key.
    pub fn private(&self) -> String {
        let pair = STANDARD.encode(format!("{}:{}", self.id, self.secret));
        format!("Basic {pair}")
    }

    /// A POST to a route below `/track`.
    pub fn track(&self, address: SocketAddr, route: &str, body: &str) -> super::Request {
        let path = format!("/track/v2/projects/{}/{route}", self.token);
        super::Request::new(address, "POST", &path)
            .header("Authorization", &self.private())
            .body(body)
    }

    /// A POST to a route below `/data/.../customers`.
    pub fn data(&self, address: SocketAddr, route: &str, body: &str) -> super::Request {
        let path = format!("/data/v2/projects/{}/customers/{route}", self.token);
        super::Request::new(address, "POST", &path)
            .header("Authorization", &self.private())
            .body(body)
    }
    /// Stores an event of `customer`.
    pub async fn visit(&self, process: &Process, customer: &str) {
        let event =
            format!(r#"{{"customer_ids":{{"registered":"{customer}"}},"event_type":"visit"}}"#);
        let stored = self.track(process.address, "customers/events", &event);
        let stored = stored.send().await;
        assert_eq!(stored.status, 200, "{}", stored.body);
    }

    /// How many events `customer` has.
    pub async fn visits(&self, process: &Process, customer: &str) -> usize {
        let question =
            format!(r#"{{"customer_ids":{{"registered":"{customer}"}},"event_types":["visit"]}}"#);
        let read = self.data(process.address, "events", &question);
        let read = read.send().await.json();
        read["data"].as_array().map_or(0, Vec::len)
    }
}
