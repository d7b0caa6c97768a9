//! How many calls may be under way at once, in all and of one address: beyond it a call is refused before its body is read.
//!
//! A call is under way from its headers until its answer begins: that is when the service works for it, and when its body takes
//! room. A stream is not under way for as long as it lasts, or a handful of watches would use up what everybody needs; what bounds
//! streams is `watchers_max`, and how many a connection may have.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;
use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer, Service, layer::layer_fn};

use super::Body;
use super::finish::{Finish, Finished};
use super::guard::{Guard, Inside, Rejections};
use super::rate_limit::{address, is_probe, sends_many};
use crate::limit::{Share, Shares};
use crate::model::address::Resolver;

/// How long a caller should wait before it calls again.
const DELAY: Duration = Duration::from_secs(1);

/// The room for calls under way. Clones share it.
#[derive(Clone, Debug)]
pub struct Room {
    all: Arc<Semaphore>,
    all_max: usize,
    by_address: Arc<Shares>,
    address_max: usize,
    /// Proxies that are known by their address call for many.
    resolver: Arc<Resolver>,
    rejections: Rejections,
}

impl Room {
    /// Room for `all_max` calls, `address_max` of them of one address.
    pub fn new(
        all_max: NonZeroUsize,
        address_max: NonZeroUsize,
        resolver: Arc<Resolver>,
        rejections: Rejections,
    ) -> Self {
        let all_max = all_max.get().min(Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(all_max)),
            all_max,
            by_address: Shares::new(address_max),
            address_max: address_max.get(),
            resolver,
            rejections,
        }
    }

    /// A place for a call, or the refusal.
    fn enter<B>(&self, request: &Request<B>) -> Result<Place, Status> {
        // Orchestrators ask whether a service lives that is busy.
        if is_probe(request) {
            return Ok(Place::default());
        }
        let client = address(request);
        let by_address = match self.resolver.is_proxy(client) {
            true => None,
            false => Some(self.by_address.take(client.key()).ok_or_else(|| {
                let text = format!(
                    "{} calls from {} are under way, which is the most",
                    self.address_max,
                    client.key()
                );
                refusal(Guard::RequestsPerAddress, text)
            })?),
        };
        let all = self.all.clone().try_acquire_owned().map_err(|_| {
            let text = format!("{} calls are under way, which is the most", self.all_max);
            refusal(Guard::Requests, text)
        })?;
        Ok(Place {
            _all: Some(all),
            _by_address: by_address,
        })
    }
}

fn refusal(guard: Guard, text: String) -> Status {
    let details = ErrorDetails::with_retry_info(Some(DELAY));
    guard.behind(Status::with_error_details(Code::Unavailable, text, details))
}

/// The place of a call, as long as it is under way.
#[derive(Debug, Default)]
struct Place {
    _all: Option<OwnedSemaphorePermit>,
    _by_address: Option<Share>,
}

/// Refuses calls with `UNAVAILABLE` for which there is no room, and counts what any guard behind it refuses.
#[derive(Clone, Debug)]
pub struct InFlight<S> {
    inner: S,
    room: Room,
}

impl<S> InFlight<S> {
    /// The layer that lets calls into `room`.
    pub fn layer(room: Room) -> impl Layer<S, Service = Self> + Clone {
        layer_fn(move |inner| Self {
            inner,
            room: room.clone(),
        })
    }
}

/// A call under way.
#[derive(Debug)]
pub struct UnderWay {
    _place: Place,
    rejections: Rejections,
}

impl Finish<Body> for UnderWay {
    fn finish(self, response: Response<Body>) -> Response<Body> {
        count(&response, &self.rejections);
        response
    }
}

fn count(response: &Response<Body>, rejections: &Rejections) {
    let status = response.extensions().get::<Status>();
    let inside = response.extensions().get::<Inside>();
    let inside = inside.into_iter().flat_map(Inside::guards);
    for guard in status.and_then(Guard::of).into_iter().chain(inside) {
        rejections.count(guard);
    }
}

impl<S, B> Service<Request<B>> for InFlight<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Finished<S::Future, UnderWay>, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.room.enter(&request) {
            Ok(place) => {
                if sends_many(request.uri().path()) {
                    // What it refuses once its answer has begun, it has to count itself.
                    request
                        .extensions_mut()
                        .insert(self.room.rejections.clone());
                }
                let under_way = UnderWay {
                    _place: place,
                    rejections: self.room.rejections.clone(),
                };
                Either::Left(Finished::new(self.inner.call(request), under_way))
            }
            Err(status) => {
                let response = status.into_http();
                count(&response, &self.room.rejections);
                Either::Right(ready(Ok(response)))
            }
        }
    }
}
