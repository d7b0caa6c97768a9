//! A future whose response is modified once it is ready: what most layers return.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

/// What a layer does with a response.
pub trait Finish<B> {
    /// Modifies the response.
    fn finish(self, response: Response<B>) -> Response<B>;
}

pin_project! {
    /// The inner future, and what to do with its response.
    #[derive(Debug)]
    pub struct Finished<F, T> {
        #[pin]
        inner: F,
        finish: Option<T>,
    }
}

impl<F, T> Finished<F, T> {
    /// A future that lets `finish` modify the response of `inner`.
    pub fn new(inner: F, finish: T) -> Self {
        Self {
            inner,
            finish: Some(finish),
        }
    }
}

impl<F, T, B, E> Future for Finished<F, T>
where
    F: Future<Output = Result<Response<B>, E>>,
    T: Finish<B>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(context))?;
        Poll::Ready(Ok(match this.finish.take() {
            Some(finish) => finish.finish(response),
            None => response,
        }))
    }
}
