//! The rate limit: a layer in front of the services that refuses an address without reading the body.
//!
//! The services find out the project and the key. They charge those themselves and note the result on the call's
//! [`QuotaOutcome`], so that this layer reports all quotas in one place.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;
use http::{Request, Response};
use tower::{Layer, Service, layer::layer_fn};

use super::finish::{Finish, Finished};
use super::reasons::{RefusedCaller, refuses};
use super::{Body, CallContext, Classified, refusal};
use crate::clock::Clock;
use crate::limit::{
    AuthFailureLimiter, Charge, Decision, Limiter, QuotaOutcome, Refused, Subject, Verdict,
};
use crate::model::address::{AddressKey, ClientAddress};

/// The quotas of calls and of probes.
#[derive(Debug)]
pub struct Limiters {
    /// What callers may send.
    pub calls: Limiter,
    /// What orchestrators may probe, which traffic must not take from them.
    pub probes: Limiter,
    /// How often callers may fail to authenticate, which is checked where they do.
    pub failures: Arc<AuthFailureLimiter>,
    /// The addresses whose calls are refused, or would be without shadow mode.
    pub refused: Refused,
}

/// What each further message of a call costs, for calls that send many.
#[derive(Clone, Debug)]
pub struct MessageCharge {
    limiters: Arc<Limiters>,
    clock: Arc<dyn Clock>,
    address: ClientAddress,
}

impl Limiters {
    /// Charges a request that is not a probe.
    fn call(&self, address: ClientAddress, now: Duration) -> Decision {
        let decision = self.calls.check(address, now);
        if let Decision::Refused(by, _) | Decision::Shadowed(by, _) = decision {
            self.refused.count(by, now);
        }
        decision
    }
}

impl MessageCharge {
    /// Charges the call's address with one more request; none: it is not limited.
    pub fn charge(&self) -> Option<Charge> {
        charge(self.limiters.call(self.address, self.clock.elapsed()))
    }
}

/// The charge of a decision to its address.
fn charge(decision: Decision) -> Option<Charge> {
    let (by, verdict) = match decision {
        Decision::Exempt | Decision::Shadowed(..) => return None,
        Decision::Admitted(by, remaining) => (by, Verdict::Admitted(remaining)),
        Decision::Refused(by, refusal) => (by, Verdict::Refused(refusal)),
    };
    Some(Charge {
        subject: Subject::Address(by),
        verdict,
    })
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

    fn check(&self, classified: Classified, address: ClientAddress) -> Decision {
        let now = self.clock.elapsed();
        match classified.is_probe() {
            true => self.limiters.probes.check(address, now),
            false => self.limiters.call(address, now),
        }
    }
}

/// What a call was charged to, for the quota headers of its answer.
#[derive(Debug)]
pub struct QuotaHeaders {
    caller: AddressKey,
    address: Option<Charge>,
    quota_outcome: QuotaOutcome,
}

impl Finish<Body> for QuotaHeaders {
    fn finish(self, response: Response<Body>) -> Response<Body> {
        let (address, outcome) = (self.caller, self.quota_outcome.clone());
        let mut response = self.with_headers(response);
        if refuses(response.extensions()) {
            response.extensions_mut().insert(RefusedCaller {
                address: Some(address),
                known: outcome.caller().cloned(),
            });
        }
        response
    }
}

impl QuotaHeaders {
    fn with_headers(self, mut response: Response<Body>) -> Response<Body> {
        let all: Vec<_>;
        let charges = match self.quota_outcome.charges() {
            // Most projects and keys have no quota of their own.
            [] => self.address.as_slice(),
            noted => {
                all = self.address.iter().chain(noted).cloned().collect();
                &*all
            }
        };
        // The service has refused the call already; this is the refusal in full.
        if let Some(refusal) = refusal::response(charges) {
            return refusal;
        }
        refusal::quota_headers(charges, response.headers_mut());
        response
    }
}

impl<S, B> Service<Request<B>> for RateLimit<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        Either<Finished<S::Future, QuotaHeaders>, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let (context, address) = match CallContext::of_mut(request.extensions_mut())
            .and_then(|context| context.address().map(|address| (context, address)))
        {
            Ok(found) => found,
            Err(missing) => return Either::Right(ready(Ok(missing.into_response()))),
        };
        let classified = context.classified();
        let address_charge = charge(self.check(classified, address));
        if let Some(mut refusal) = refusal::response(address_charge.as_slice()) {
            refusal.extensions_mut().insert(RefusedCaller {
                address: Some(address.key()),
                known: None,
            });
            return Either::Right(ready(Ok(refusal)));
        }
        let quota_outcome = QuotaOutcome::default();
        let message_charge = classified.sends_many().then(|| MessageCharge {
            limiters: self.limiters.clone(),
            clock: self.clock.clone(),
            address,
        });
        context.set_charges(quota_outcome.clone(), message_charge);
        let headers = QuotaHeaders {
            caller: address.key(),
            // Probes are limited, but their answers have no quota headers.
            address: address_charge.filter(|_| !classified.is_probe()),
            quota_outcome,
        };
        Either::Left(Finished::new(self.inner.call(request), headers))
    }
}
