//! What a request is. It is decided once, in front of everything else. Its charges, its limits and its answer all
//! follow from the same value, so nothing can be exempt as one thing and answered as another.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Version};

use super::rpc::{Answers, Rpc, Sends};

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestClass {
    /// A gRPC call: of a known rpc, or of none.
    Grpc(Option<&'static Rpc>),
    /// A form of gRPC that is not served: 415, whatever its path.
    OtherGrpc,
    /// A browser's CORS preflight. Answered from constants.
    Preflight,
    /// What a mobile SDK requests beside tracking. A caller with a key gets an empty answer.
    Sdk,
    /// A probe of an orchestrator. Answered from known state.
    Probe(Probe),
    /// Anything else.
    Rest,
}

/// What an orchestrator asks over REST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Whether the process answers.
    Liveness,
    /// Whether calls succeed.
    Readiness,
    /// Whether the start is over.
    Startup,
    /// What is running.
    Root,
}

/// A request's class and what goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classified {
    /// What the request is.
    pub class: RequestClass,
    /// Its route's name in the metrics, from a fixed set: callers must not be able to make up labels.
    pub route: &'static str,
    /// How it is answered.
    pub answers: Answers,
}

/// Classifies a request by its head.
pub type Classify = fn(&Method, Version, &str, &HeaderMap) -> Classified;

/// The class of a request that says that it is gRPC; none: it is not.
///
/// gRPC is POST over HTTP/2, with one `Content-Type`: `application/grpc` or `application/grpc+proto`.
pub fn grpc(
    method: &Method,
    version: Version,
    path: &str,
    headers: &HeaderMap,
) -> Option<Classified> {
    let types = headers.get_all(CONTENT_TYPE);
    let kind = types.iter().find(|value| is_family(value))?;
    let is_served = *method == Method::POST
        && version == Version::HTTP_2
        && is_served(kind)
        && types.iter().count() == 1;
    let rpc = is_served.then(|| Rpc::find(path)).flatten();
    Some(Classified {
        class: match is_served {
            true => RequestClass::Grpc(rpc),
            false => RequestClass::OtherGrpc,
        },
        route: rpc.map_or("other", |rpc| rpc.path),
        answers: rpc.map_or(Answers::Once, |rpc| rpc.answers),
    })
}

const GRPC: &str = "application/grpc";
const GRPC_PROTO: &str = "application/grpc+proto";

/// Whether a content type begins like those of gRPC.
fn is_family(value: &HeaderValue) -> bool {
    let start = value.as_bytes().trim_ascii_start().get(..GRPC.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(GRPC.as_bytes()))
}

fn is_served(value: &HeaderValue) -> bool {
    let essence = value.as_bytes().split(|byte| *byte == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    [GRPC, GRPC_PROTO]
        .iter()
        .any(|served| essence.eq_ignore_ascii_case(served.as_bytes()))
}

impl Classified {
    /// Whether it is answered as gRPC.
    pub fn is_grpc(self) -> bool {
        matches!(self.class, RequestClass::Grpc(_))
    }

    /// Whether it takes from the quota of probes instead of that of calls.
    pub fn is_probe(self) -> bool {
        match self.class {
            RequestClass::Grpc(rpc) => rpc.is_some_and(Rpc::is_probe),
            RequestClass::Preflight | RequestClass::Probe(_) | RequestClass::Sdk => true,
            RequestClass::OtherGrpc | RequestClass::Rest => false,
        }
    }

    /// Whether its caller sends one message after the other.
    pub fn sends_many(self) -> bool {
        match self.class {
            RequestClass::Grpc(rpc) => rpc.is_some_and(|rpc| rpc.sends == Sends::Many),
            RequestClass::OtherGrpc
            | RequestClass::Preflight
            | RequestClass::Probe(_)
            | RequestClass::Sdk
            | RequestClass::Rest => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/grpc.health.v1.Health/Check";

    fn class(method: &Method, version: Version, types: &[&str]) -> Option<RequestClass> {
        let mut headers = HeaderMap::new();
        for value in types {
            headers.append(CONTENT_TYPE, value.parse().unwrap());
        }
        grpc(method, version, PATH, &headers).map(|classified| classified.class)
    }

    #[test]
    fn grpc_is_post_over_http_2_with_one_of_two_types() {
        let served = Some(RequestClass::Grpc(Rpc::find(PATH)));
        for kind in [
            GRPC,
            GRPC_PROTO,
            "Application/gRPC",
            "application/grpc; a=b",
        ] {
            let class = |method, version| class(method, version, &[kind]);
            assert_eq!(class(&Method::POST, Version::HTTP_2), served, "{kind}");
            for (method, version) in [
                (&Method::POST, Version::HTTP_11),
                (&Method::GET, Version::HTTP_2),
                (&Method::OPTIONS, Version::HTTP_2),
            ] {
                assert_eq!(class(method, version), Some(RequestClass::OtherGrpc));
            }
        }
    }

    #[test]
    fn whatever_else_begins_like_grpc_is_not_served_and_the_rest_is_something_else() {
        let of = |types: &[&str]| class(&Method::POST, Version::HTTP_2, types);
        for types in [
            &["application/grpc-web"][..],
            &["application/grpc+json"],
            &["application/grpcx"],
            &[" application/grpc-web"],
            &[GRPC, GRPC],
            &["application/json", GRPC],
        ] {
            assert_eq!(of(types), Some(RequestClass::OtherGrpc), "{types:?}");
        }
        for types in [&[][..], &["application/json"], &["application/grp"]] {
            assert_eq!(of(types), None, "{types:?}");
        }
    }
}
