//! Leads requests over the second listener: to the emulator's controls, to the console, or to what needs neither.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use tower::Service;

use super::answer::{JSON, error, response};
use super::console::Console;
use super::endpoint::AdminEndpoint;
use super::extension::Extension;
use super::hosts;
use crate::middleware::{Body, DrainedBody};

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Answers operators over the second listener.
#[derive(Clone, Debug)]
pub(crate) struct Operators {
    pub(crate) endpoint: AdminEndpoint,
    pub(crate) console: Arc<Console>,
    pub(crate) extension: Option<Arc<dyn Extension>>,
}

impl Service<Request<DrainedBody>> for Operators {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<DrainedBody>) -> ResponseFuture {
        let extension = self.extension.as_ref();
        if let Some(extension) = extension.filter(|extension| extension.has(request.uri().path())) {
            // As of /refusals: pages of other sites must not read it, nor change anything.
            if let Err(text) = hosts::check(&request, &self.endpoint.hosts) {
                return Box::pin(ready(Ok(error(StatusCode::FORBIDDEN, &text))));
            }
            let answer = extension.answer(request);
            return Box::pin(async move {
                let (status, body) = answer.await;
                Ok(response(status, JSON, body))
            });
        }
        if self.console.has(request.uri().path()) {
            let console = self.console.clone();
            return Box::pin(async { Ok(console.respond(request).await) });
        }
        Box::pin(ready(Ok(self.endpoint.answer(request.uri()))))
    }
}
