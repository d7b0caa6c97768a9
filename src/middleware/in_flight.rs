//! How many calls may be in flight at once, in all and of one address: beyond it a call is refused before its body is
//! read.
//!
//! A call is in flight from its headers until its answer begins: that is when the service works for it, and when its
//! body takes memory. A streaming call goes on after that, so it also has a permit of another kind until its stream
//! ends: otherwise a handful of watches would use up the permits of all calls. Probes have a few permits of their own.
//!
//! Over HTTP/2 an address keeps its permit until it has taken its answer: a connection may have hundreds of answers not
//! taken, over HTTP/1.1 only one. The permit among all calls is released once the answer begins.
//!
//! A call's memory for bodies is released with its permit, or with its stream. An answer may repeat what was sent: as
//! much as it has is held until it is taken.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Request, Response, Version};
use http_body::Body as _;
use tonic::Status;
use tower::{Layer, Service, layer::layer_fn};

use super::concurrency_limit::{CallPermit, ConcurrencyLimit};
use super::finish::{Finish, Finished};
use super::guard::{Guard, NestedRejections, Rejections};
use super::held_body::HeldBody;
use super::stalls::Stalls;
use super::{Body, CallContext};
use crate::limit::{KeyedPermit, Meter};
use crate::model::address::AddressKey;

/// Refuses calls beyond the limits of concurrency with `UNAVAILABLE`, and counts what any guard behind it refuses.
#[derive(Clone, Debug)]
pub struct InFlight<S> {
    inner: S,
    concurrency: ConcurrencyLimit,
}

impl<S> InFlight<S> {
    /// The layer that admits as many calls as `concurrency` does.
    pub fn layer(concurrency: ConcurrencyLimit) -> impl Layer<S, Service = Self> + Clone {
        layer_fn(move |inner| Self {
            inner,
            concurrency: concurrency.clone(),
        })
    }
}

/// What goes with an answer until it is taken.
#[derive(Clone, Debug)]
pub(super) struct HeldUntilTaken(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    /// The address's permit, over HTTP/2.
    _place: Option<KeyedPermit<AddressKey>>,
    /// The memory that the body of the request held.
    _meter: Option<Meter>,
}

impl HeldUntilTaken {
    /// The answer, with what goes with it.
    pub(super) fn hold(mut response: Response<Body>) -> Response<Body> {
        match response.extensions_mut().remove() {
            Some(Self(kept)) => response.map(|body| HeldBody::hold(body, kept)),
            None => response,
        }
    }
}

/// A call in flight.
#[derive(Debug)]
pub struct Admitted {
    permit: CallPermit,
    is_http2: bool,
    /// For a stream that sends.
    stalls: Option<Stalls>,
    rejections: Rejections,
}

impl Finish<Body> for Admitted {
    fn finish(self, mut response: Response<Body>) -> Response<Body> {
        count(&response, &self.rejections);
        let CallPermit {
            permit,
            streaming,
            meter,
        } = self.permit;
        if let Some(streaming) = streaming {
            let body = |body| match self.stalls {
                Some(stalls) => stalls.watch(body, meter.holder()),
                None => body,
            };
            let response = response.map(body);
            let held = Arc::new((streaming, meter));
            return response.map(|body| HeldBody::hold(body, held));
        }
        let place = permit.by_address.filter(|_| self.is_http2);
        let meter = Some(meter).filter(|meter| meter.keep(bytes_max(response.body())));
        if place.is_some() || meter.is_some() {
            let kept = Kept {
                _place: place,
                _meter: meter,
            };
            response
                .extensions_mut()
                .insert(HeldUntilTaken(Arc::new(kept)));
        }
        response
    }
}

/// How many bytes a body has at most.
fn bytes_max(body: &Body) -> usize {
    let bytes = body.size_hint().upper();
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.unwrap_or(usize::MAX)
}

fn count(response: &Response<Body>, rejections: &Rejections) {
    let status = response.extensions().get::<Status>();
    let nested = response.extensions().get::<NestedRejections>();
    let nested = nested.into_iter().flat_map(NestedRejections::guards);
    for guard in status.and_then(Guard::of).into_iter().chain(nested) {
        rejections.count(guard);
    }
}

impl<S, B> Service<Request<B>> for InFlight<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Finished<S::Future, Admitted>, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let is_http2 = request.version() == Version::HTTP_2;
        let (context, address) = match CallContext::of_mut(request.extensions_mut())
            .and_then(|context| context.address().map(|address| (context, address)))
        {
            Ok(found) => found,
            Err(missing) => return Either::Right(ready(Ok(missing.into_response()))),
        };
        let classified = context.classified();
        match self.concurrency.acquire(classified, address) {
            Ok(permit) => {
                self.concurrency.equip(context, &permit.meter);
                let admitted = Admitted {
                    permit,
                    is_http2,
                    stalls: classified
                        .sends_many()
                        .then(|| self.concurrency.stalls().clone()),
                    rejections: self.concurrency.rejections().clone(),
                };
                Either::Left(Finished::new(self.inner.call(request), admitted))
            }
            Err(status) => {
                let response = status.into_http();
                count(&response, self.concurrency.rejections());
                Either::Right(ready(Ok(response)))
            }
        }
    }
}
