//! The rate limit: stands before the services and refuses without reading the body.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Method, Request, Response};
use tower::{Layer, Service, layer::layer_fn};

use super::finish::{Finish, Finished};
use super::{Body, refusal};
use crate::clock::Clock;
use crate::limit::{Decision, Limiter, Standing};
use crate::model::address::{AddressKey, ClientAddress};

/// The quotas of calls and of probes.
#[derive(Debug)]
pub struct Limiters {
    /// What callers may send.
    pub calls: Limiter,
    /// What orchestrators may probe, which traffic must not take from them.
    pub probes: Limiter,
}

/// Refuses an address's calls with `RESOURCE_EXHAUSTED` once its quota is spent.
#[derive(Clone, Debug)]
pub struct RateLimit<S> {
    inner: S,
    limiters: Arc<Limiters>,
    clock: Arc<dyn Clock>,
}

impl<S> RateLimit<S> {
    /// The layer that asks `limiters`.
    pub fn layer(
        limiters: Arc<Limiters>,
        clock: Arc<dyn Clock>,
    ) -> impl Layer<S, Service = Self> + Clone {
        layer_fn(move |inner| Self {
            inner,
            limiters: limiters.clone(),
            clock: clock.clone(),
        })
    }

    fn check<B>(&self, request: &Request<B>) -> Decision {
        let address = address(request);
        let limiter = match is_probe(request) {
            true => &self.limiters.probes,
            false => &self.limiters.calls,
        };
        limiter.check(address, self.clock.elapsed())
    }
}

fn address<B>(request: &Request<B>) -> ClientAddress {
    let address = request.extensions().get::<ClientAddress>();
    // Without a layer that knows better, all share one address.
    address.copied().unwrap_or(ClientAddress::Unix)
}

/// Whether a request asks for health alone. Preflights are answered from constants, like probes.
fn is_probe<B>(request: &Request<B>) -> bool {
    let path = request.uri().path();
    path.starts_with("/grpc.health.v1.Health/")
        || matches!(path, "/healthz" | "/readyz" | "/startupz")
        || request.method() == Method::OPTIONS
}

/// What a limited answer says about the caller's standing.
#[derive(Debug)]
pub struct Stand(Option<(AddressKey, Standing)>);

impl<B> Finish<B> for Stand {
    fn finish(self, mut response: Response<B>) -> Response<B> {
        if let Some((key, standing)) = &self.0 {
            refusal::standing_headers(*key, standing, response.headers_mut());
        }
        response
    }
}

impl<S, B> Service<Request<B>> for RateLimit<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Finished<S::Future, Stand>, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let standing = match self.check(&request) {
            Decision::Exempt | Decision::Shadowed(..) => None,
            Decision::Admitted(key, standing) => Some((key, standing)),
            Decision::Refused(key, refused) => {
                let status = refusal::status(key, &refused);
                let mut response = status.into_http();
                refusal::refusal_headers(key, &refused, response.headers_mut());
                return Either::Right(ready(Ok(response)));
            }
        };
        // Probes are limited, but nobody counts on how far.
        let standing = standing.filter(|_| !is_probe(&request));
        Either::Left(Finished::new(self.inner.call(request), Stand(standing)))
    }
}
