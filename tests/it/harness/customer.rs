//! Customers, as a scenario makes them and looks at them.

use serde_json::{Value, json};

use super::Server;

/// What a write answers.
pub const WRITTEN: &str = r#"{"success": true, "errors": []}"#;

impl Server {
    /// Updates a customer; the update must be accepted.
    pub async fn updates(&self, body: &Value) {
        self.accepts("customers", &body.to_string()).await;
    }

    /// Adds an event; it must be accepted.
    pub async fn adds(&self, body: &Value) {
        self.accepts("customers/events", &body.to_string()).await;
    }

    /// Sends to a route that writes; the body must be accepted.
    pub async fn accepts(&self, route: &str, body: &str) {
        let answer = self.track(route, body).send().await;
        let said = (answer.status, answer.body.as_str());
        assert_eq!(said, (200, WRITTEN), "{body:.200}");
    }

    /// Everything about a customer.
    pub async fn customer(&self, ids: Value) -> Value {
        let question = json!({ "customer_ids": ids }).to_string();
        let answer = self.data("export-one", &question).send().await;
        assert_eq!(answer.status, 200, "{ids}: {}", answer.body);
        answer.json()
    }

    /// Whether one of the IDs leads to a customer.
    pub async fn knows(&self, ids: Value) -> bool {
        let question = json!({ "customer_ids": ids }).to_string();
        let answer = self.data("export-one", &question).send().await;
        assert!(matches!(answer.status, 200 | 404), "{}", answer.body);
        answer.status == 200
    }

    /// A customer's properties.
    pub async fn properties(&self, ids: Value) -> Value {
        self.customer(ids).await["properties"].take()
    }

    /// The types of a customer's events, oldest first.
    pub async fn timeline(&self, ids: Value) -> Vec<String> {
        let customer = self.customer(ids).await;
        let events = customer["events"].as_array().unwrap();
        let types = events.iter().map(|event| event["type"].as_str().unwrap());
        types.map(str::to_owned).collect()
    }
}
