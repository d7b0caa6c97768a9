//! Calls that somebody answers in place of their services, or delays, or cuts off: for the emulator. In a service
//! there is nobody.

use std::convert::Infallible;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::sync::Notify;
use tower::{Layer, Service, layer::layer_fn};

use super::{Body, DrainedBody};

/// The answer to a call.
pub type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
/// Passes a call on to its service.
pub type Next = Box<dyn FnOnce(Request<DrainedBody>) -> Answer + Send>;

/// Answers calls in place of their services, or passes them on.
pub trait Interceptor: Debug + Send + Sync {
    /// Answers a call.
    fn call(&self, request: Request<DrainedBody>, next: Next) -> Answer;
}

/// Gives each call to an interceptor, if there is one.
#[derive(Clone, Debug)]
pub struct Intercept<S> {
    inner: S,
    interceptor: Option<Arc<dyn Interceptor>>,
}

impl<S> Intercept<S> {
    /// The layer in front of which is `interceptor`.
    pub fn layer(
        interceptor: Option<Arc<dyn Interceptor>>,
    ) -> impl Layer<S, Service = Self> + Clone {
        layer_fn(move |inner| Self {
            inner,
            interceptor: interceptor.clone(),
        })
    }
}

impl<S> Service<Request<DrainedBody>> for Intercept<S>
where
    S: Service<
            Request<DrainedBody>,
            Response = Response<Body>,
            Error = Infallible,
            Future = Answer,
        >,
    S: Clone + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<DrainedBody>) -> Answer {
        match &self.interceptor {
            None => self.inner.call(request),
            Some(interceptor) => {
                let mut inner = self.inner.clone();
                interceptor.call(request, Box::new(move |request| inner.call(request)))
            }
        }
    }
}

/// Cuts a connection off, as an extension of its requests.
#[derive(Clone, Debug, Default)]
pub struct Cut(Arc<Notify>);

impl Cut {
    /// Closes the socket. Nothing of any answer is sent any more.
    pub fn cut(&self) {
        self.0.notify_one();
    }

    /// Waits until the connection is cut.
    pub async fn is_cut(&self) {
        self.0.notified().await;
    }
}
