//! The client of a call: the socket's address, or the one that trusted proxies report.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{HeaderValue, Request, Response};
use tower::{Layer, Service, layer::layer_fn};

use super::{Body, CallContext};
use crate::model::address::Resolver;

/// Sets the client's address in the context of each call.
#[derive(Clone, Debug)]
pub struct ResolveClient<S> {
    inner: S,
    resolver: Arc<Resolver>,
}

impl<S> ResolveClient<S> {
    /// The layer that asks `resolver`.
    pub fn layer(resolver: Arc<Resolver>) -> impl Layer<S, Service = Self> + Clone {
        layer_fn(move |inner| Self {
            inner,
            resolver: resolver.clone(),
        })
    }
}

impl<S, B> Service<Request<B>> for ResolveClient<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let peer = match CallContext::of(request.extensions()) {
            Ok(context) => context.peer(),
            Err(missing) => return Either::Right(ready(Ok(missing.into_response()))),
        };
        let lines = request.headers().get_all(self.resolver.header_name());
        let lines = lines.iter().map(HeaderValue::as_bytes);
        let address = self.resolver.resolve(peer, lines);
        if let Ok(context) = CallContext::of_mut(request.extensions_mut()) {
            context.set_address(address);
        }
        Either::Left(self.inner.call(request))
    }
}
