//! The client of a call: the socket's address, or the one that trusted proxies report.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request};
use tower::{Layer, Service, layer::layer_fn};

use crate::model::address::{ClientAddress, Peer, Resolver};

/// Gives each request its [`ClientAddress`] as an extension. The connection gives the [`Peer`].
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
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // A request without a peer came through no socket; all such share one address.
        let peer = request.extensions().get::<Peer>().copied();
        let lines = request.headers().get_all(self.resolver.header_name());
        let lines = lines.iter().map(HeaderValue::as_bytes);
        let address: ClientAddress = self.resolver.resolve(peer.unwrap_or(Peer::Unix), lines);
        request.extensions_mut().insert(address);
        self.inner.call(request)
    }
}
