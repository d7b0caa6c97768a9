//! Messages of any bytes to every rpc: an answer of a kind that callers know, and never an internal error.
#![no_main]

use std::sync::Mutex;

use bytes::{BufMut as _, Bytes, BytesMut};
use footfall::grpc::pb::customer_service_server::CustomerServiceServer;
use footfall::grpc::pb::tracking_service_server::TrackingServiceServer;
use footfall::limit::Meter;
use footfall_fuzz::{AUTHORIZATION, Growth, Service, TOKEN, context};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use libfuzzer_sys::fuzz_target;
use tower::ServiceExt as _;

const RPCS: [&str; 11] = [
    "TrackingService/UpdateCustomer",
    "TrackingService/AddEvent",
    "TrackingService/TrackCampaignClick",
    "TrackingService/ExecuteBatch",
    "TrackingService/GetSystemTime",
    "CustomerService/GetCustomer",
    "CustomerService/GetAttributes",
    "CustomerService/ListEvents",
    "CustomerService/AnonymizeCustomer",
    "CustomerService/EraseCustomer",
    "CustomerService/ExportCustomers",
];

/// Less than an input grows to.
const MESSAGE_BYTES_MAX: usize = 128 << 10;

static SERVICE: Mutex<Option<Service>> = Mutex::new(None);

fuzz_target!(|input: (u8, Growth, &[u8])| {
    let (rpc, growth, message) = input;
    let message = growth.of(message);
    let rpc = RPCS[usize::from(rpc) % RPCS.len()];
    let request = Request::post(format!("http://fuzz/footfall.tracking.v2.{rpc}"))
        .header("authorization", AUTHORIZATION)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .extension(context("/", Meter::none()))
        .body(Full::new(framed(&message)))
        .unwrap();
    Service::run(&mut SERVICE.lock().unwrap(), async |service| {
        let answer = match rpc.starts_with("Tracking") {
            true => {
                TrackingServiceServer::new(service.tracking.clone())
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .oneshot(request)
                    .await
            }
            false => {
                CustomerServiceServer::new(service.customers.clone())
                    .max_decoding_message_size(MESSAGE_BYTES_MAX)
                    .oneshot(request)
                    .await
            }
        };
        let answer = answer.unwrap();
        let mut code = answer.headers().get("grpc-status").cloned();
        let body = answer.into_body().collect().await.unwrap();
        if let Some(trailers) = body.trailers() {
            code = code.or_else(|| trailers.get("grpc-status").cloned());
        }
        let code = code.expect("a status");
        // UNKNOWN and INTERNAL are nobody's fault but the service's; INTERNAL is also tonic's word for a message that
        // cannot be decoded.
        assert_ne!(code, "2");
    });
});

/// A gRPC frame of the message; the last of several project tokens counts.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32((message.len() + 2 + TOKEN.len()) as u32);
    frame.put_slice(message);
    frame.put_slice(&[0x0a, TOKEN.len() as u8]);
    frame.put_slice(TOKEN.as_bytes());
    frame.freeze()
}
