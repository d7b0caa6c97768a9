//! Confines a panic to its call.
//!
//! All calls of a connection share a task: without this, a panic in one would end the others too.

use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tower::{Layer, Service, layer::layer_fn};

use super::{Body, CallContext, cause};
use crate::model::panics::{DEFECT, Panics, said};

/// Answers `INTERNAL` to a call whose handling panics.
#[derive(Clone, Debug)]
pub struct CatchPanic<S> {
    inner: S,
    panics: Panics,
}

/// Counts and logs a panic; gives the answer that its caller gets.
fn meet(panics: &Panics, panic: &(dyn Any + Send), id: Option<&HeaderValue>) -> Status {
    panics.count();
    tracing::error!(panic = said(panic), request_id = ?id, "a call panicked");
    Status::internal(DEFECT)
}

impl<S> CatchPanic<S> {
    /// The layer that counts into `panics`.
    pub fn layer(panics: Panics) -> impl Layer<S, Service = Self> + Clone {
        layer_fn(move |inner| Self {
            inner,
            panics: panics.clone(),
        })
    }
}

impl<S, B> Service<Request<B>> for CatchPanic<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = CatchPanicFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let context = CallContext::of(request.extensions()).ok();
        let id = context.map(|context| context.id().clone());
        let has_trailers = context.is_some_and(|context| context.classified().is_grpc());
        // State that a panic leaves half changed belongs to its call, or is behind a lock whose users say why it stays
        // valid.
        let called = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        let met = called.as_ref().err();
        let failure = met.map(|panic| meet(&self.panics, panic.as_ref(), id.as_ref()));
        CatchPanicFuture {
            inner: called.ok(),
            failure,
            panics: self.panics.clone(),
            id,
            has_trailers,
        }
    }
}

pin_project! {
    /// A call that may panic.
    #[derive(Debug)]
    pub struct CatchPanicFuture<F> {
        #[pin]
        inner: Option<F>,
        failure: Option<Status>,
        panics: Panics,
        id: Option<HeaderValue>,
        has_trailers: bool,
    }
}

impl<F> Future for CatchPanicFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = match this.inner.as_pin_mut() {
            Some(inner) => catch_unwind(AssertUnwindSafe(|| inner.poll(context))),
            None => Ok(Poll::Pending),
        };
        let response = match (this.failure.take(), polled) {
            (Some(failure), _) => return Poll::Ready(Ok(failure.into_http())),
            (None, Err(panic)) => meet(this.panics, panic.as_ref(), this.id.as_ref()).into_http(),
            (None, Ok(polled)) => ready!(polled)?,
        };
        if let Some(status) = response.extensions().get::<Status>() {
            cause::report(status, this.id.as_ref());
        }
        // A complete body does not panic any more.
        if response.body().size_hint().exact().is_some() {
            return Poll::Ready(Ok(response));
        }
        Poll::Ready(Ok(contain(
            response,
            this.panics,
            this.id.as_ref(),
            *this.has_trailers,
        )))
    }
}

/// Confines the panics of a body too.
fn contain(
    response: Response<Body>,
    panics: &Panics,
    id: Option<&HeaderValue>,
    has_trailers: bool,
) -> Response<Body> {
    response.map(|body| {
        Body::new(CatchPanicBody {
            inner: Some(body),
            panics: panics.clone(),
            id: id.cloned(),
            has_trailers,
        })
    })
}

/// A body that may panic while it is made.
#[derive(Debug)]
struct CatchPanicBody {
    /// None once it has panicked.
    inner: Option<Body>,
    panics: Panics,
    id: Option<HeaderValue>,
    /// A gRPC stream says in its trailers how it ended; any other is cut off.
    has_trailers: bool,
}

impl http_body::Body for CatchPanicBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(context)));
        let panic = match polled {
            Ok(polled) => {
                if let Poll::Ready(Some(Err(status))) = &polled {
                    cause::report(status, self.id.as_ref());
                }
                return polled;
            }
            Err(panic) => panic,
        };
        self.inner = None;
        let status = meet(&self.panics, panic.as_ref(), self.id.as_ref());
        Poll::Ready(Some(match self.has_trailers {
            true => Ok(Frame::trailers(
                status.into_http::<Body>().into_parts().0.headers,
            )),
            false => Err(status),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
