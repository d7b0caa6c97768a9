//! Bodies of any bytes on every route over REST: an answer of a kind that callers know, and never an internal error.
#![no_main]

use std::num::NonZeroUsize;
use std::sync::Mutex;

use bytes::Bytes;
use footfall::limit::{Budget, BudgetOptions};
use footfall::rest::routes::ENTRIES;
use footfall_fuzz::{AUTHORIZATION, BODY_BYTES_MAX, Growth, Service, TOKEN, context};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use libfuzzer_sys::fuzz_target;

/// Less than the largest body takes.
fn budget() -> Budget {
    let max = NonZeroUsize::new(2 * BODY_BYTES_MAX).unwrap();
    Budget::new(BudgetOptions {
        all_max: max,
        address_max: max,
        key_max: max,
    })
}

static SERVICE: Mutex<Option<Service>> = Mutex::new(None);

fuzz_target!(|input: (u8, Growth, &[u8])| {
    let (route, growth, body) = input;
    // The watch has no end, and no body.
    let posts = ENTRIES
        .iter()
        .filter(|entry| entry.methods.contains(&http::Method::POST));
    let posts: Vec<_> = posts.collect();
    let path = posts[usize::from(route) % posts.len()]
        .path
        .replace("{project_token}", TOKEN);
    let context = context(&path, budget().meter(None));
    let request = Request::post(path)
        .extension(context)
        .header("authorization", AUTHORIZATION)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(growth.of(body))))
        .unwrap();
    Service::run(&mut SERVICE.lock().unwrap(), async |service| {
        let answer = service.rest.serve(request).await;
        let code = answer
            .headers()
            .get("grpc-status")
            .map(|code| code.to_str().unwrap().to_owned());
        let body = answer.into_body().collect().await;
        // UNKNOWN and INTERNAL are nobody's fault but the service's.
        assert!(!matches!(code.as_deref(), Some("2" | "13")), "{code:?}");
        match (code, body) {
            (None, Ok(body)) => {
                let body = body.to_bytes();
                assert!(
                    serde_json::from_slice::<serde_json::Value>(&body).is_ok(),
                    "{body:?}"
                );
            }
            (Some(_), _) => {}
            (None, Err(error)) => panic!("{error}"),
        }
    });
});
