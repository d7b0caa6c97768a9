//! A stop while something leaves the disk.

use std::sync::Arc;

use footfall::grpc::pb::EraseCustomerRequest;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::log::memory::MemoryStore;

use crate::harness::calls::ids;
use crate::harness::{PRIVATE, Setup, TOKEN, authorized};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_a_purge_closes_the_log_first() {
    let store = Arc::new(MemoryStore::default());
    store.purge_slowly();
    let setup = Setup::default().with("[data]\nerase_within = \"0s\"");
    let server = setup.over(store.clone()).start().await;
    let event = r#"{"customer_ids":{"registered":"a"},"event_type":"visit"}"#;
    server.accepts("customers/events", event).await;
    let erase = EraseCustomerRequest {
        project_token: TOKEN.to_owned(),
        customer_ids: ids(&[("registered", "a")]),
    };
    let mut client = CustomerServiceClient::new(server.channel().await);
    client
        .erase_customer(authorized(erase, PRIVATE))
        .await
        .unwrap();
    drop(client);
    let purging = store.clone();
    let purging = tokio::task::spawn_blocking(move || purging.wait_for_purge());
    purging.await.unwrap();
    // The purge of this store lasts until it is closed.
    server.stop().await;
    assert!(store.is_closed());
}
