//! Watches over gRPC, as a scenario follows them.

use footfall::grpc::pb;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use tonic::{Status, Streaming};

use super::calls::json;
use super::{PRIVATE, Server, TOKEN, authorized};

/// A watch in flight.
pub struct Watcher {
    messages: Streaming<pb::WatchEventsResponse>,
    /// The cursor of the last message.
    pub cursor: String,
}

/// Everything from now on.
pub fn now() -> pb::WatchEventsRequest {
    pb::WatchEventsRequest {
        project_token: TOKEN.to_owned(),
        ..pb::WatchEventsRequest::default()
    }
}

/// Everything that there is.
pub fn beginning() -> pb::WatchEventsRequest {
    pb::WatchEventsRequest {
        start: pb::WatchStart::Beginning.into(),
        ..now()
    }
}

/// Everything behind a cursor.
pub fn after(cursor: &str) -> pb::WatchEventsRequest {
    pb::WatchEventsRequest {
        cursor: cursor.to_owned(),
        ..now()
    }
}

impl Server {
    /// Watches, with the private key. The first message says where the watch begins.
    pub async fn watches(&self, question: pb::WatchEventsRequest) -> Watcher {
        self.watches_as(PRIVATE, question).await.unwrap()
    }

    pub async fn watches_as(
        &self,
        key: &str,
        question: pb::WatchEventsRequest,
    ) -> Result<Watcher, Status> {
        let mut client = CustomerServiceClient::new(self.channel().await);
        let messages = client.watch_events(authorized(question, key)).await?;
        let mut messages = messages.into_inner();
        let first = messages.message().await?.unwrap();
        assert_eq!(first.event, None);
        Ok(Watcher {
            messages,
            cursor: first.cursor,
        })
    }
}

impl Watcher {
    /// The next message; none at the end.
    pub async fn message(&mut self) -> Result<Option<pb::WatchEventsResponse>, Status> {
        let message = self.messages.message().await?;
        if let Some(message) = &message {
            assert!(!message.cursor.is_empty());
            self.cursor.clone_from(&message.cursor);
        }
        Ok(message)
    }

    /// The next event, with whatever else its message says.
    pub async fn event(&mut self) -> (pb::Event, Vec<pb::CustomerId>) {
        loop {
            let message = self.message().await.unwrap().unwrap();
            if let Some(event) = message.event {
                return (event, message.customer_ids);
            }
        }
    }

    /// The types of the next events.
    pub async fn tells(&mut self, count: usize) -> Vec<String> {
        let mut types = Vec::with_capacity(count);
        for _ in 0..count {
            types.push(self.event().await.0.r#type);
        }
        types
    }

    /// The next event as text: `type {properties} kind=value,value kind=value`.
    pub async fn told(&mut self) -> String {
        let (event, ids) = self.event().await;
        let mut text = format!("{} {}", event.r#type, json(event.properties));
        for id in ids {
            text.push_str(&format!(" {}={}", id.r#type, id.values.join(",")));
        }
        text
    }
}
