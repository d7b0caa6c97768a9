use std::convert::Infallible;
use std::num::NonZeroUsize;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use http_body_util::{BodyExt as _, StreamBody};
use prometheus_client::registry::Registry;
use tonic::Code;

use super::messages::HEAD_BYTES;
use super::*;
use crate::limit::{Budget, BudgetOptions};

const TIMEOUT: Duration = Duration::from_millis(60);
const KIB: usize = 1024;

type Pieces = BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

fn message(bytes: usize) -> Vec<u8> {
    let length = u32::try_from(bytes).unwrap().to_be_bytes();
    [&[0][..], &length, &vec![7; bytes]].concat()
}

fn budget(kib: usize) -> Budget {
    let max = NonZeroUsize::new(kib * KIB).unwrap();
    Budget::new(BudgetOptions {
        all_max: max,
        address_max: max,
        key_max: max,
    })
}

fn pieces(pieces: Vec<Vec<u8>>) -> Pieces {
    let frames = pieces
        .into_iter()
        .map(|piece| Ok(Frame::data(Bytes::from(piece))));
    stream::iter(frames).boxed()
}

fn body(pieces: Pieces, pace: Pace, budget: &Budget) -> Pin<Box<MessageBody<StreamBody<Pieces>>>> {
    let limits = Limits {
        bytes_max: 1 << 20,
        timeout: TIMEOUT,
        meter: budget.meter(None),
        rejections: Rejections::new(&mut Registry::default()),
        is_coded: false,
        kept: Arc::default(),
    };
    Box::pin(MessageBody::new(StreamBody::new(pieces), pace, limits))
}

fn status(error: &Error) -> &Status {
    error.downcast_ref().unwrap()
}

#[test]
fn messages_are_told_apart_however_they_are_cut() {
    let sizes = [0, 1, 5, 300, 0, 0, 70_000, 2];
    let bytes: Vec<u8> = sizes.iter().flat_map(|size| message(*size)).collect();
    for cut in [1, 2, 3, 4, 5, 6, 7, 100, 16_384, bytes.len()] {
        let mut messages = Messages::default();
        let mut seen = 0;
        for piece in bytes.chunks(cut) {
            messages.follow(piece);
            seen += piece.len();
            let ends = sizes.iter().scan(0, |end, size| {
                *end += HEAD_BYTES + size;
                Some(*end)
            });
            let whole = ends.take_while(|end| *end <= seen).last().unwrap_or(0);
            assert_eq!(messages.partial, seen - whole, "{cut} {seen}");
        }
        assert_eq!((messages.begun, messages.is_within()), (8, false), "{cut}");
        assert_eq!(messages.largest, 70_000 + HEAD_BYTES);
    }
}

#[tokio::test]
async fn a_call_of_one_message_has_no_second_one() {
    let budget = budget(64);
    let two = [message(3), message(0)].concat();
    for cut in [two.len(), 8, 1] {
        let cut: Vec<_> = two.chunks(cut).map(<[u8]>::to_vec).collect();
        let body = body(pieces(cut), Pace::One, &budget);
        let error = body.collect().await.unwrap_err();
        assert_eq!(status(&error).code(), Code::InvalidArgument);
    }
    let body = body(pieces(vec![message(3)]), Pace::One, &budget);
    assert_eq!(body.collect().await.unwrap().to_bytes(), message(3));
}

#[tokio::test]
async fn what_has_come_of_a_message_is_held_until_the_call_ends() {
    let budget = budget(64);
    let cut: Vec<_> = message(60 * KIB).chunks(KIB).map(<[u8]>::to_vec).collect();
    let mut body = body(pieces(cut.clone()), Pace::One, &budget);
    let meter = body.limits.meter.clone();
    for _ in 0..60 {
        body.frame().await.unwrap().unwrap();
    }
    assert_eq!(budget.taken(), 64 * KIB);
    // The handler of the message still has it.
    drop(body);
    assert_eq!(budget.taken(), 64 * KIB);
    drop(meter);
    assert_eq!(budget.taken(), 0);

    let others = budget.meter(None);
    others.take(32 * KIB).unwrap();
    let body = self::body(pieces(cut), Pace::One, &budget);
    let error = body.collect().await.unwrap_err();
    assert_eq!(status(&error).code(), Code::Unavailable);
    assert_eq!(Guard::of(status(&error)), Some(Guard::BodyMemory));
    assert_eq!(budget.taken(), 32 * KIB);
}

#[tokio::test]
async fn a_stream_holds_the_room_of_its_largest_message_and_no_more() {
    let budget = budget(1024);
    let sizes = [100 * KIB, 1, 50 * KIB, 100 * KIB, 1];
    let mut body = body(pieces(sizes.map(message).to_vec()), Pace::Many, &budget);
    for _ in sizes {
        body.frame().await.unwrap().unwrap();
        let taken = budget.taken();
        assert!((100 * KIB..=224 * KIB).contains(&taken), "{taken}");
    }
    assert!(body.frame().await.is_none());
    assert_eq!(budget.taken(), 112 * KIB);
    drop(body);
    assert_eq!(budget.taken(), 0);

    let small = pieces(vec![message(100); 1_000]);
    let mut body = self::body(small, Pace::Many, &budget);
    while let Some(frame) = body.frame().await {
        frame.unwrap();
        assert_eq!(budget.taken(), 0);
    }
}

#[tokio::test]
async fn each_message_of_a_stream_has_its_time_and_silence_between_them_has_none() {
    let budget = budget(64);
    let half = message(10).split_at(7).0.to_vec();
    let silence = stream::once(tokio::time::sleep(TIMEOUT * 3)).map(|()| message(3));
    let comes = stream::iter([message(3)])
        .chain(silence)
        .chain(stream::iter([half]));
    let comes = comes.map(|piece| Ok(Frame::data(Bytes::from(piece))));
    let never = stream::pending();
    let mut body = body(comes.chain(never).boxed(), Pace::Many, &budget);
    for _ in 0..3 {
        body.frame().await.unwrap().unwrap();
    }
    let began = Instant::now();
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(status(&error).code(), Code::DeadlineExceeded);
    assert!(began.elapsed() >= TIMEOUT / 2);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_busy_stream_is_not_late_though_each_piece_ends_within_a_message() {
    let budget = budget(64);
    let bytes = message(10).repeat(12);
    let cut: Vec<_> = bytes.chunks(14).map(<[u8]>::to_vec).collect();
    let count = cut.len();
    let comes = stream::iter(cut).then(async |piece| {
        tokio::time::sleep(TIMEOUT / 3).await;
        Ok(Frame::data(Bytes::from(piece)))
    });
    let mut body = body(comes.boxed(), Pace::Many, &budget);
    for _ in 0..count {
        body.frame().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_message_that_trickles_is_late_all_the_same() {
    let budget = budget(64);
    for pace in [Pace::Many, Pace::One, Pace::ManyInTime(None)] {
        let comes = stream::iter(message(1_000)).then(async |byte| {
            tokio::time::sleep(TIMEOUT / 7).await;
            Ok(Frame::data(Bytes::from(vec![byte])))
        });
        let error = body(comes.boxed(), pace, &budget).collect().await;
        assert_eq!(status(&error.unwrap_err()).code(), Code::DeadlineExceeded);
    }
}
