//! A stream of commands, as a client of it.

use std::collections::VecDeque;

use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Server, authorized};

/// Commands that the client keeps for a service that does not take them.
const QUEUED_MAX: usize = 16;

pub struct Lane {
    pub commands: mpsc::Sender<pb::TrackStreamRequest>,
    pub answers: Streaming<pb::TrackStreamResponse>,
    told: VecDeque<pb::Acknowledgement>,
}

impl Server {
    /// Opens a stream of commands.
    pub async fn opens(&self, key: &str, from: &str) -> Result<Lane, Status> {
        let mut client = TrackingServiceClient::new(self.channel().await);
        let (commands, queue) = mpsc::channel(QUEUED_MAX);
        let mut request = authorized(ReceiverStream::new(queue), key);
        let address = from.parse().unwrap();
        request.metadata_mut().insert("x-forwarded-for", address);
        let answers = client.track_stream(request).await?.into_inner();
        Ok(Lane {
            commands,
            answers,
            told: VecDeque::new(),
        })
    }
}

impl Lane {
    pub async fn send(&self, token: &str, command: pb::Command) {
        let message = pb::TrackStreamRequest {
            project_token: token.to_owned(),
            command: Some(command),
        };
        self.commands.send(message).await.unwrap();
    }

    /// The next acknowledgement; none at the end.
    pub async fn told(&mut self) -> Result<Option<pb::Acknowledgement>, Status> {
        while self.told.is_empty() {
            match self.answers.message().await? {
                Some(message) => self.told.extend(message.acknowledgements),
                None => return Ok(None),
            }
        }
        Ok(self.told.pop_front())
    }

    /// The next command's number and result.
    pub async fn result(&mut self) -> (u64, pb::CommandResult) {
        let told = self.told().await.unwrap().expect("an acknowledgement");
        (told.number, told.result.unwrap())
    }

    /// Says that no more comes, and tells how the stream ends.
    pub async fn closed(self) -> Result<(), Status> {
        let Self {
            commands,
            mut answers,
            told,
        } = self;
        assert_eq!(told, []);
        drop(commands);
        let more = answers.message().await?;
        assert_eq!(more, None);
        Ok(())
    }
}
