//! What a connection's stream and its calls know of each other: which calls are open, and whether the caller has closed
//! its sending side.
//!
//! A caller that closes its sending side still waits for its answers (RFC 9112, 9.6). hyper takes that for the end of
//! the connection, at once over HTTP/2. So the stream hides it from hyper while a call is open that has to be answered,
//! and ends the answers that would go on forever.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::header::CONNECTION;
use http::{HeaderName, HeaderValue, Request, Response, Version};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::watch;
use tonic::Status;

use crate::middleware::{Body, CallerEnded, Lasting};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// How often what is queued has to reach the socket once no call is open: what was queued meanwhile goes with the
/// second time.
const FLUSHES: u8 = 2;

/// What stream and calls of a connection share.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenCalls(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Heads of HTTP/1.1 that have come.
    heads: AtomicU32,
    /// Whether there is a call of HTTP/1.1 whose answer has not begun.
    is_called: AtomicBool,
    /// Whether the answer of HTTP/1.1 goes on as long as its caller is there.
    lasts: AtomicBool,
    /// Calls of HTTP/2 that have to be answered before the connection may end.
    open: AtomicUsize,
    /// Of those, the ones whose answers have not been asked for more since the last piece: mostly for want of the
    /// caller's room.
    unasked: AtomicUsize,
    /// How often everything has reached the socket since the last of them.
    flushes: AtomicU8,
    /// Whether the caller has closed its sending side.
    ended: watch::Sender<bool>,
    reader: AtomicWaker,
}

impl OpenCalls {
    /// How many heads have come over HTTP/1.1.
    pub(super) fn heads(&self) -> u32 {
        self.0.heads.load(Ordering::Relaxed)
    }

    /// Whether a call of HTTP/1.1 is in flight, so that it matters whether its caller is still there.
    pub(super) fn is_in_flight(&self) -> bool {
        self.is_called() || self.0.lasts.load(Ordering::Relaxed)
    }

    /// Whether a call of HTTP/1.1 waits for its answer.
    pub(super) fn is_called(&self) -> bool {
        self.0.is_called.load(Ordering::Relaxed)
    }

    /// The caller has closed its sending side.
    pub(super) fn end(&self) {
        self.0.ended.send_replace(true);
    }

    /// Whether all that is asked over HTTP/2 is answered, down to the socket; otherwise the reader is woken when it may
    /// be.
    pub(super) fn is_over(&self, context: &mut Context<'_>) -> bool {
        self.0.reader.register(context.waker());
        let is_closed = self.0.open.load(Ordering::Acquire) == 0;
        is_closed && self.0.flushes.load(Ordering::Acquire) >= FLUSHES
    }

    /// Whether no call of HTTP/2 is open. It has to be asked before what is queued is given to the socket.
    pub(super) fn is_closed(&self) -> bool {
        self.0.open.load(Ordering::Acquire) == 0
    }

    /// Whether no call of HTTP/2 is open but such whose answers wait until there is room.
    pub(super) fn is_unasked(&self) -> bool {
        self.0.unasked.load(Ordering::Acquire) >= self.0.open.load(Ordering::Acquire)
    }

    /// All that was queued has reached the socket, while no call was open.
    pub(super) fn flushed(&self) {
        let flushes = self.0.flushes.load(Ordering::Acquire);
        if flushes < FLUSHES {
            self.0.flushes.store(flushes + 1, Ordering::Release);
            self.0.reader.wake();
        }
    }

    /// What tells a call that its caller has closed its sending side.
    pub(super) fn caller_ended(&self) -> CallerEnded {
        CallerEnded::new(self.0.ended.subscribe())
    }

    /// Begins a call, and says what its answer is to be done with. `keep_alive`: how long a kept connection waits, in
    /// words.
    pub(super) fn begin<B>(&self, request: &Request<B>, keep_alive: &HeaderValue) -> Begun {
        if request.version() == Version::HTTP_2 {
            self.0.flushes.store(0, Ordering::Release);
            self.0.open.fetch_add(1, Ordering::AcqRel);
            return Begun::Http2(Some(Open(self.clone())));
        }
        self.0.heads.fetch_add(1, Ordering::Relaxed);
        self.0.is_called.store(true, Ordering::Relaxed);
        self.0.lasts.store(false, Ordering::Relaxed);
        Begun::Http1 {
            open_calls: self.clone(),
            keep_alive: is_kept(request).then(|| keep_alive.clone()),
        }
    }
}

/// Whether the connection of an HTTP/1 request stays open once that is answered (RFC 9112, 9.3).
fn is_kept<B>(request: &Request<B>) -> bool {
    let has = |wanted: &str| {
        let mut values = request.headers().get_all(CONNECTION).iter();
        values.any(|value| {
            let mut options = value.to_str().unwrap_or_default().split(',');
            options.any(|option| option.trim().eq_ignore_ascii_case(wanted))
        })
    };
    match request.version() {
        Version::HTTP_10 => has("keep-alive"),
        _ => !has("close"),
    }
}

/// A call of HTTP/2 that has to be answered.
#[derive(Debug)]
pub(super) struct Open(OpenCalls);

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.0.reader.wake();
        }
    }
}

/// A call that has begun.
#[derive(Debug)]
pub(super) enum Begun {
    Http1 {
        open_calls: OpenCalls,
        keep_alive: Option<HeaderValue>,
    },
    Http2(Option<Open>),
}

impl Begun {
    /// The answer, which ends with its caller if it would last otherwise.
    fn answer(&mut self, mut response: Response<Body>) -> Response<Body> {
        let lasts = response.extensions_mut().remove::<Lasting>().is_some();
        match self {
            Self::Http2(open) => match open.take().filter(|_| !lasts) {
                Some(open) => response.map(|inner| {
                    let is_unasked = false;
                    Body::new(UntilSent {
                        inner,
                        open,
                        is_unasked,
                    })
                }),
                None => response,
            },
            Self::Http1 {
                open_calls,
                keep_alive,
            } => {
                let shared = &open_calls.0;
                shared.is_called.store(false, Ordering::Relaxed);
                shared.lasts.store(lasts, Ordering::Relaxed);
                if let Some(keep_alive) = keep_alive.take() {
                    response.headers_mut().insert(KEEP_ALIVE, keep_alive);
                }
                if !lasts {
                    return response;
                }
                let ended = open_calls.caller_ended();
                response.map(|inner| Body::new(WhileHeard { inner, ended }))
            }
        }
    }
}

pin_project! {
    /// A call's answer to come.
    #[derive(Debug)]
    pub(super) struct Answering<F> {
        #[pin]
        answer: F,
        begun: Begun,
    }
}

impl<F> Answering<F> {
    pub(super) fn new(begun: Begun, answer: F) -> Self {
        Self { answer, begun }
    }
}

impl<F, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(context));
        Poll::Ready(answer.map(|response| this.begun.answer(response)))
    }
}

/// An answer over HTTP/2 that has to be sent as a whole.
#[derive(Debug)]
struct UntilSent {
    inner: Body,
    open: Open,
    is_unasked: bool,
}

impl UntilSent {
    fn is_asked(&mut self, is_asked: bool) {
        let unasked = &self.open.0.0.unasked;
        match (std::mem::replace(&mut self.is_unasked, !is_asked), is_asked) {
            (true, true) => drop(unasked.fetch_sub(1, Ordering::AcqRel)),
            (false, false) => drop(unasked.fetch_add(1, Ordering::AcqRel)),
            (true, false) | (false, true) => {}
        }
    }
}

impl Drop for UntilSent {
    fn drop(&mut self) {
        self.is_asked(true);
    }
}

impl http_body::Body for UntilSent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.is_asked(true);
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && frame.is_data()
        {
            self.is_asked(false);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer over HTTP/1.1 that goes on for as long as its caller does not close its sending side.
#[derive(Debug)]
struct WhileHeard {
    inner: Body,
    ended: CallerEnded,
}

impl http_body::Body for WhileHeard {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended.poll(context).is_ready() {
            return Poll::Ready(Some(Err(Status::cancelled("the caller has gone"))));
        }
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
