//! The size of an HTTP/2 request's list of headers: beyond the limit, the call is refused in the form of its protocol.
//!
//! h2 bounds the list too, but answers by itself, uncounted, and even gRPC callers only with an HTTP status. So its
//! bound is above this one. hyper bounds the head of an HTTP/1.1 request before it is one.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::num::NonZeroU32;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::uri::{Authority, PathAndQuery};
use http::{Request, Response, StatusCode, Version};
use tonic::Status;
use tower::{Layer, Service, layer::layer_fn};

use super::{Body, Guard, HttpStatus};

/// What each header takes beside its name and its value (RFC 9113, 6.5.2).
const FIELD_BYTES: usize = 32;

/// Refuses calls with `INVALID_ARGUMENT`, 431 over REST, whose headers are too large.
#[derive(Clone, Debug)]
pub struct HeaderList<S> {
    inner: S,
    bytes_max: usize,
}

impl<S> HeaderList<S> {
    /// The layer that passes lists of at most `bytes_max`.
    pub fn layer(bytes_max: NonZeroU32) -> impl Layer<S, Service = Self> + Clone {
        let bytes_max = usize::try_from(bytes_max.get()).unwrap_or(usize::MAX);
        layer_fn(move |inner| Self { inner, bytes_max })
    }
}

/// The size of a list of headers, as RFC 9113 (6.5.2) defines it.
fn bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let own = [
        (":method", Some(request.method().as_str())),
        // h2 drops it where there is no authority.
        (":scheme", uri.scheme_str()),
        (":authority", uri.authority().map(Authority::as_str)),
        (":path", uri.path_and_query().map(PathAndQuery::as_str)),
    ];
    let own = own
        .into_iter()
        .filter_map(|(name, value)| Some((name.len(), value?.len())));
    let others = request.headers().iter();
    let others = others.map(|(name, value)| (name.as_str().len(), value.len()));
    own.chain(others)
        .map(|(name, value)| name + value + FIELD_BYTES)
        .sum()
}

fn refusal(bytes: usize, bytes_max: usize) -> Response<Body> {
    let text = format!("Headers are too large: {bytes} bytes, at most {bytes_max}");
    let status = Guard::HeaderBytes.behind(Status::invalid_argument(text));
    let mut response = status.into_http();
    let status = HttpStatus(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    response.extensions_mut().insert(status);
    response
}

impl<S, B> Service<Request<B>> for HeaderList<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.version() == Version::HTTP_2 {
            let bytes = bytes(&request);
            if bytes > self.bytes_max {
                return Either::Right(ready(Ok(refusal(bytes, self.bytes_max))));
            }
        }
        Either::Left(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_all_names_and_values_and_32_bytes_for_each() {
        let request = Request::post("https://a.example/b?c=d")
            .header("x", "1")
            .header("x", "22")
            .body(())
            .unwrap();
        let own = ":methodPOST:schemehttps:authoritya.example:path/b?c=d";
        assert_eq!(bytes(&request), own.len() + "x1x22".len() + 6 * 32);
        // What h2 makes of a request without an authority.
        let request = Request::get("/b").body(()).unwrap();
        assert_eq!(bytes(&request), ":methodGET:path/b".len() + 2 * 32);
    }
}
