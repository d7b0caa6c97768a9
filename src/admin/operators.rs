//! Leads requests over the second listener to the console, or to what answers operators without it.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower::Service;

use super::console::Console;
use super::endpoint::AdminEndpoint;
use crate::middleware::Body;

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Answers operators over the second listener.
#[derive(Clone, Debug)]
pub(crate) struct Operators {
    pub(crate) endpoint: AdminEndpoint,
    pub(crate) console: Arc<Console>,
}

impl<B> Service<Request<B>> for Operators
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        if self.console.has(request.uri().path()) {
            let console = self.console.clone();
            return Box::pin(async { Ok(console.respond(request).await) });
        }
        Box::pin(ready(Ok(self.endpoint.answer(request.uri()))))
    }
}
