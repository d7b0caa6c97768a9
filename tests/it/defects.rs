//! What callers and operators are told when the service itself is at fault: damage in the log, panics on any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use footfall::grpc::pb;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::log::memory::MemoryStore;
use footfall::log::{Error, Position, Rewrites, Store, StoreError};
use serde_json::json;
use tonic::Code;

use crate::harness::calls::ids;
use crate::harness::{PRIVATE, Server, Setup, TOKEN, authorized, eventually};

const DEFECT: &str = "the service has met a defect in itself; the call may have been carried out";
const A: &str = r#"{"customer_ids":{"registered":"a"}}"#;

/// What a disk does with the next records.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trouble {
    None,
    /// It gives back other bytes than were written.
    Flips,
    /// Reading meets a defect of the service.
    ReadPanics,
    WritePanics,
}

#[derive(Debug, Default)]
struct Disk {
    store: MemoryStore,
    trouble: AtomicU8,
}

impl Disk {
    fn meets(&self, trouble: Trouble) {
        self.trouble.store(trouble as u8, Ordering::SeqCst);
    }

    fn is(&self, trouble: Trouble) -> bool {
        self.trouble.load(Ordering::SeqCst) == trouble as u8
    }
}

impl Store for Disk {
    fn commit(&self, first: Position, records: &[Bytes]) -> Result<(), StoreError> {
        assert!(!self.is(Trouble::WritePanics), "as a defect would");
        self.store.commit(first, records)
    }
    fn last(&self) -> Position {
        self.store.last()
    }
    fn read(&self, position: Position) -> Result<Bytes, Error> {
        assert!(!self.is(Trouble::ReadPanics), "as a defect would");
        let mut bytes = self.store.read(position)?.to_vec();
        if self.is(Trouble::Flips) {
            *bytes.last_mut().unwrap() ^= 1;
        }
        Ok(bytes.into())
    }
    fn read_after(&self, after: Position, limit: usize) -> Result<Vec<(Position, Bytes)>, Error> {
        self.store.read_after(after, limit)
    }
    fn rewrite(&self, rewrites: &mut Rewrites<'_>) -> Result<(), Error> {
        self.store.rewrite(rewrites)
    }
    fn is_purge_pending(&self) -> Result<bool, Error> {
        self.store.is_purge_pending()
    }
    fn purge(&self, room: u64) -> Result<(), Error> {
        self.store.purge(room)
    }
    fn end_purge(&self) -> Result<(), Error> {
        self.store.end_purge()
    }
    fn has_space(&self) -> bool {
        self.store.has_space()
    }
    fn close(&self) {}
}

/// A service with a customer, and its disk.
async fn known() -> (Arc<Disk>, Server) {
    let disk = Arc::new(Disk::default());
    let server = Setup::default().over(disk.clone()).start().await;
    server
        .adds(&json!({"customer_ids": {"registered": "a"}, "event_type": "visit"}))
        .await;
    assert_eq!(server.timeline(json!({"registered": "a"})).await, ["visit"]);
    (disk, server)
}

/// How a read of the customer fails, over both protocols: the code and the text.
async fn fails(server: &Server) -> (Code, String) {
    let request = pb::GetCustomerRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(&[("registered", "a")]),
        ..pb::GetCustomerRequest::default()
    };
    let mut client = CustomerServiceClient::new(server.channel().await);
    let status = client.get_customer(authorized(request, PRIVATE)).await;
    let status = status.unwrap_err();
    let answer = server.data("export-one", A).send().await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.error(), status.message());
    (status.code(), status.message().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_told_without_the_engine_s_words_and_turns_readiness_off() {
    let (disk, server) = known().await;
    assert_eq!(server.get("/readyz").send().await.status, 200);
    disk.meets(Trouble::Flips);
    let told = fails(&server).await;
    assert_eq!(told, (Code::DataLoss, "the log is damaged".to_owned()));
    let readiness = async || server.get("/readyz").send().await;
    eventually("readiness is off", async || {
        (readiness().await.status != 200).then_some(())
    })
    .await;
    let reason = readiness().await.json()["reason"].take();
    assert_eq!(reason, "the log is damaged at position 1");
    // What is whole is taken and told as before.
    disk.meets(Trouble::None);
    assert_eq!(server.timeline(json!({"registered": "a"})).await, ["visit"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_panics_is_internal_and_counted() {
    let (disk, server) = known().await;
    disk.meets(Trouble::ReadPanics);
    let told = fails(&server).await;
    assert_eq!(told, (Code::Internal, DEFECT.to_owned()));
    assert_eq!(server.counted("footfall_panics_total").await, 2);
    disk.meets(Trouble::None);
    assert_eq!(server.timeline(json!({"registered": "a"})).await, ["visit"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_panics_is_internal_and_counted_and_reads_go_on() {
    let (disk, server) = known().await;
    disk.meets(Trouble::WritePanics);
    for _ in 0..2 {
        let answer = server.track("customers", A).send().await;
        let refusal = answer.refusal();
        let told = (refusal.status, refusal.code.as_str(), refusal.text.as_str());
        assert_eq!(told, (500, "INTERNAL", DEFECT));
    }
    // The callers are answered while the thread ends, and it is counted at its end.
    eventually("the panic is counted", async || {
        (server.counted("footfall_panics_total").await == 1).then_some(())
    })
    .await;
    assert_eq!(server.timeline(json!({"registered": "a"})).await, ["visit"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_s_name_in_a_question_follows_the_rules_of_commands() {
    let (_, server) = known().await;
    let long = "é".repeat(256);
    let question = json!({"customer_ids": {"registered": "a"}, "attributes": [
        {"type": "property", "property": ""}, {"type": "property", "property": long},
        {"type": "property", "property": "é".repeat(255)}]});
    let answer = server
        .data("attributes", &question.to_string())
        .send()
        .await;
    let results = answer.json()["results"].take();
    assert_eq!(results[0]["error"], "a property's name is empty");
    let text = results[1]["error"].as_str().unwrap();
    assert!(text.ends_with("is longer than 255 characters"), "{text}");
    assert_eq!(results[2], json!({"success": true, "value": null}));
    server.stop().await;
}
