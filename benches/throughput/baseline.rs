//! What the network stack alone can do: the same message, read and answered.

#[path = "baseline/reads.rs"]
mod reads;

use std::collections::HashMap;
use std::hint::black_box;

use axum::Json;
use axum::body::Bytes;
use axum::routing::post;
use footfall::grpc::pb;
use footfall::grpc::pb::customer_service_server::CustomerServiceServer;
use footfall::grpc::pb::tracking_service_server::{TrackingService, TrackingServiceServer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

/// A body of `customers/events`, typed.
#[derive(Deserialize)]
#[allow(dead_code, reason = "read and dropped: that is the baseline")]
struct Event {
    customer_ids: HashMap<String, String>,
    event_type: String,
    timestamp: Option<f64>,
    properties: HashMap<String, serde_json::Value>,
}

/// A body of `batch`, typed.
#[derive(Deserialize)]
struct Batch {
    commands: Vec<Command>,
}

#[derive(Deserialize)]
#[serde(tag = "name", content = "data")]
#[allow(dead_code, reason = "read and dropped: that is the baseline")]
enum Command {
    #[serde(rename = "customers/events")]
    Event(Event),
}

/// A body of the question for events, typed.
#[derive(Deserialize)]
#[allow(dead_code, reason = "read and dropped: that is the baseline")]
struct Question {
    customer_ids: HashMap<String, String>,
    event_types: Vec<String>,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct Answer {
    success: bool,
    errors: Vec<String>,
}

impl Answer {
    const SUCCESS: Self = Self {
        success: true,
        errors: Vec::new(),
    };
}

#[derive(Serialize)]
struct Results {
    success: bool,
    start_time: f64,
    end_time: f64,
    results: Vec<Answer>,
}

/// A page of one event without content.
#[derive(Serialize)]
struct Page {
    success: bool,
    data: Vec<HashMap<String, String>>,
}

/// Prints the port, as every server of the benchmark does.
async fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    listener
}

pub(super) async fn axum() {
    let event = async |body: Bytes| {
        let event: Event = serde_json::from_slice(&body).unwrap();
        black_box(event);
        Json(Answer::SUCCESS)
    };
    let batch = async |body: Bytes| {
        let batch: Batch = serde_json::from_slice(&body).unwrap();
        let batch = black_box(batch);
        let results = batch.commands.iter().map(|_| Answer::SUCCESS);
        Json(Results {
            success: true,
            start_time: 1_800_000_000.5,
            end_time: 1_800_000_000.5,
            results: results.collect(),
        })
    };
    let question = async |body: Bytes| {
        let question: Question = serde_json::from_slice(&body).unwrap();
        black_box(question);
        Json(Page {
            success: true,
            data: vec![HashMap::new()],
        })
    };
    let router = axum::Router::new()
        .route("/track/v2/projects/{token}/customers/events", post(event))
        .route("/track/v2/projects/{token}/batch", post(batch))
        .route("/data/v2/projects/{token}/customers/events", post(question));
    axum::serve(listen().await, router).await.unwrap();
}

pub(super) struct Bare;

#[tonic::async_trait]
impl TrackingService for Bare {
    async fn update_customer(
        &self,
        _: Request<pb::UpdateCustomerRequest>,
    ) -> Result<Response<pb::UpdateCustomerResponse>, Status> {
        Ok(Response::new(pb::UpdateCustomerResponse {}))
    }

    async fn add_event(
        &self,
        request: Request<pb::AddEventRequest>,
    ) -> Result<Response<pb::AddEventResponse>, Status> {
        black_box(request.into_inner());
        Ok(Response::new(pb::AddEventResponse {}))
    }

    async fn track_campaign_click(
        &self,
        _: Request<pb::TrackCampaignClickRequest>,
    ) -> Result<Response<pb::TrackCampaignClickResponse>, Status> {
        Ok(Response::new(pb::TrackCampaignClickResponse {}))
    }

    async fn execute_batch(
        &self,
        _: Request<pb::ExecuteBatchRequest>,
    ) -> Result<Response<pb::ExecuteBatchResponse>, Status> {
        Ok(Response::new(pb::ExecuteBatchResponse::default()))
    }

    type TrackStreamStream = footfall::grpc::Messages<pb::TrackStreamResponse>;

    async fn track_stream(
        &self,
        _: Request<tonic::Streaming<pb::TrackStreamRequest>>,
    ) -> Result<Response<Self::TrackStreamStream>, Status> {
        Err(Status::unimplemented("not measured here"))
    }

    async fn get_system_time(
        &self,
        _: Request<pb::GetSystemTimeRequest>,
    ) -> Result<Response<pb::GetSystemTimeResponse>, Status> {
        Ok(Response::new(pb::GetSystemTimeResponse::default()))
    }
}

pub(super) async fn tonic() {
    let listener = listen().await;
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .add_service(TrackingServiceServer::new(Bare))
        .add_service(CustomerServiceServer::new(Bare))
        .serve_with_incoming(incoming)
        .await
        .unwrap();
}
