use http_body_util::{BodyExt as _, Full};
use prometheus_client::registry::Registry;

use super::*;
use crate::model::address::AddressKey;

fn of(host: u8) -> Holder {
    Holder::Address(AddressKey::V4([203, 0, 113, host].into()))
}

fn stalls(max: usize) -> (Stalls, Registry) {
    let mut registry = Registry::default();
    let rejections = Rejections::new(&mut registry);
    let max = NonZeroUsize::new(max).unwrap();
    (Stalls::new(max, rejections), registry)
}

fn rejected(registry: &Registry) -> String {
    let mut shown = String::new();
    prometheus_client::encoding::text::encode(&mut shown, registry).unwrap();
    let begin = "footfall_guard_rejections_total{guard=\"stalled_streams_max\"} ";
    let mut lines = shown.lines();
    lines
        .find_map(|line| line.strip_prefix(begin))
        .unwrap()
        .to_owned()
}

/// The answer to a stream, which was not polled yet.
fn stalled(stalls: &Stalls, host: u8) -> Body {
    let body =
        Body::new(Full::new(Bytes::from_static(b"all of it")).map_err(|never| match never {}));
    stalls.watch(body, of(host))
}

async fn is_cut_off(body: Body) -> bool {
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    match trailers.and_then(|trailers| trailers.get("grpc-status").cloned()) {
        Some(code) => {
            assert_eq!(code, "14");
            true
        }
        None => {
            assert_eq!(collected.to_bytes(), "all of it");
            false
        }
    }
}

#[tokio::test]
async fn beyond_the_most_the_longest_of_whoever_has_most_ends() {
    let (stalls, registry) = stalls(3);
    let quiet = stalled(&stalls, 1);
    let loud = [2, 2, 2, 2].map(|host| stalled(&stalls, host));
    assert_eq!(stalls.count(), 3);
    assert_eq!(rejected(&registry), "2");
    let mut ended = Vec::new();
    for body in loud {
        ended.push(is_cut_off(body).await);
    }
    assert_eq!(ended, [true, true, false, false]);
    assert!(!is_cut_off(quiet).await);
    assert_eq!(stalls.count(), 0);
}

#[tokio::test]
async fn of_equals_the_one_that_has_waited_longest_ends() {
    let (stalls, _registry) = stalls(2);
    let [first, second, third] = [1, 2, 3].map(|host| stalled(&stalls, host));
    assert!(is_cut_off(first).await);
    assert!(!is_cut_off(second).await && !is_cut_off(third).await);
}

#[tokio::test]
async fn who_asks_for_more_stalls_no_longer_and_is_never_in_the_way() {
    let (stalls, registry) = stalls(1);
    for _ in 0..10 {
        assert!(!is_cut_off(stalled(&stalls, 1)).await);
    }
    drop(stalled(&stalls, 1));
    assert_eq!(stalls.count(), 0);
    assert_eq!(rejected(&registry), "0");
}

#[tokio::test]
async fn what_is_long_comes_in_pieces_and_trailers_follow() {
    let (stalls, _registry) = stalls(1);
    let bytes: Vec<u8> = (0..=255).cycle().take(2 * PIECE_BYTES_MAX + 1).collect();
    let trailers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from_static("0"),
    )]);
    let long = Full::new(Bytes::from(bytes.clone())).map_err(|never| match never {});
    let long = long.with_trailers(std::future::ready(Some(Ok(trailers.clone()))));
    let mut body = stalls.watch(Body::new(long), of(1));
    let (mut pieces, mut reported) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.unwrap().into_data() {
            Ok(data) => pieces.push(data),
            Err(frame) => reported = frame.into_trailers().ok(),
        }
    }
    let lengths: Vec<_> = pieces.iter().map(Bytes::len).collect();
    assert_eq!(lengths, [PIECE_BYTES_MAX, PIECE_BYTES_MAX, 1]);
    assert_eq!(pieces.concat(), bytes);
    assert_eq!(reported, Some(trailers));
}
