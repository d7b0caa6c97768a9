//! Further paths of the second listener, for the emulator. They are asked before the endpoint.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use tower::Service;

use super::endpoint::{AdminEndpoint, JSON, error, response};
use super::hosts;
use crate::middleware::{Body, DrainedBody};

/// The answer of an extension: a status, and JSON.
pub(crate) type Answer = Pin<Box<dyn Future<Output = (StatusCode, String)> + Send>>;

/// Answers some paths of the second listener.
pub(crate) trait Extension: Debug + Send + Sync {
    /// Whether a path is one of these.
    fn has(&self, path: &str) -> bool;

    /// Answers a request to one of these paths.
    fn answer(&self, request: Request<DrainedBody>) -> Answer;
}

/// The endpoint behind an extension, if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Extended {
    pub(crate) endpoint: AdminEndpoint,
    pub(crate) extension: Option<Arc<dyn Extension>>,
}

impl Service<Request<DrainedBody>> for Extended {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<DrainedBody>>::poll_ready(&mut self.endpoint, context)
    }

    fn call(&mut self, request: Request<DrainedBody>) -> Self::Future {
        let extension = self.extension.as_ref();
        let Some(extension) = extension.filter(|extension| extension.has(request.uri().path()))
        else {
            return self.endpoint.call(request);
        };
        // As of /refusals: pages of other sites must not read it, nor change anything.
        if let Err(text) = hosts::check(&request, &self.endpoint.hosts) {
            return Box::pin(ready(Ok(error(StatusCode::FORBIDDEN, &text))));
        }
        let answer = extension.answer(request);
        Box::pin(async move {
            let (status, body) = answer.await;
            Ok(response(status, JSON, body))
        })
    }
}
