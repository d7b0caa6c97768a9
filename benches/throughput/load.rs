//! Callers that wait for each answer and read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use footfall::grpc::pb;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use footfall::model::properties::Properties;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Request;
use tonic::transport::Channel;

use super::server::{AUTHORIZATION, Server, TOKEN};

/// Customers that the events are about.
const CUSTOMERS: u64 = 100_000;
/// Connections that gRPC callers share, as the processes of a fleet would.
const CHANNELS: usize = 8;

fn properties(number: u64) -> String {
    format!(
        r#"{{"path":"/products/{}","referrer":"https://example.com/some/where","title":"A product page with a title","price":49.9,"currency":"EUR","number":{number},"new":true}}"#,
        number % 500
    )
}

/// Requests a second of REST callers, each with a connection that stays open.
pub(super) async fn rest(server: &Server, callers: usize, time: Duration) -> f64 {
    let address = server.address;
    rate(callers, time, |numbers, until| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut answer = vec![0; 4096];
        let mut count = 0;
        while Instant::now() < until {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            let customer = number % CUSTOMERS;
            let body = format!(
                r#"{{"customer_ids":{{"registered":"user-{customer}","cookie":"c-{customer}"}},"event_type":"page_visit","properties":{}}}"#,
                properties(number)
            );
            let request = format!(
                "POST /track/v2/projects/{TOKEN}/customers/events HTTP/1.1\r\nhost: bench\r\nauthorization: {AUTHORIZATION}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            read_answer(&mut stream, &mut answer).await;
            count += 1;
        }
        count
    })
    .await
}

/// Reads one answer, which must be a success in words too.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let count = stream.read(&mut buffer[filled..]).await.unwrap();
        assert_ne!(count, 0, "the server hung up");
        filled += count;
        let text = std::str::from_utf8(&buffer[..filled]).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        assert!(head.starts_with("HTTP/1.1 200 "), "{text}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if body.len() == length.unwrap().parse::<usize>().unwrap() {
            assert!(
                body.contains("\"success\":") && body.contains("true"),
                "{body}"
            );
            return;
        }
    }
}

/// Requests a second of gRPC callers. An answer that is not OK is an error of the client.
pub(super) async fn grpc(server: &Server, callers: usize, time: Duration) -> f64 {
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        let endpoint = Channel::from_shared(format!("http://{}", server.address)).unwrap();
        channels.push(endpoint.tcp_nodelay(true).connect().await.unwrap());
    }
    let next = AtomicUsize::new(0);
    rate(callers, time, |numbers, until| {
        let caller = next.fetch_add(1, Ordering::Relaxed);
        let mut client = TrackingServiceClient::new(channels[caller % CHANNELS].clone());
        async move {
            let mut count = 0;
            while Instant::now() < until {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                client.add_event(event(number)).await.unwrap();
                count += 1;
            }
            count
        }
    })
    .await
}

fn event(number: u64) -> Request<pb::AddEventRequest> {
    let customer = number % CUSTOMERS;
    let properties = Properties::from_json(&properties(number)).unwrap();
    let mut request = Request::new(pb::AddEventRequest {
        project_token: TOKEN.into(),
        customer_ids: [
            ("registered".into(), format!("user-{customer}")),
            ("cookie".into(), format!("c-{customer}")),
        ]
        .into(),
        event_type: "page_visit".into(),
        properties: Some(properties.into()),
        timestamp: None,
    });
    let authorization = AUTHORIZATION.parse().unwrap();
    request
        .metadata_mut()
        .insert("authorization", authorization);
    request
}

/// Runs callers at once until the time is over; requests a second of all together.
async fn rate<F>(
    callers: usize,
    time: Duration,
    caller: impl Fn(Arc<AtomicU64>, Instant) -> F,
) -> f64
where
    F: Future<Output = u64> + Send + 'static,
{
    let numbers = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let until = began + time;
    let tasks: Vec<_> = (0..callers)
        .map(|_| tokio::spawn(caller(numbers.clone(), until)))
        .collect();
    let mut count = 0;
    for task in tasks {
        count += task.await.unwrap();
    }
    count as f64 / began.elapsed().as_secs_f64()
}
