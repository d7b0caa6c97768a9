//! What is known of a call, as one extension of its request. A part that is missing is a defect of the stack of layers:
//! the call fails with `INTERNAL`, and nothing is taken for granted in its place.

use http::{Extensions, HeaderValue, Response};
use tonic::Status;

use super::{Body, Classified, KeyStreams, MessageCharge, Refusals, Rejections};
use crate::limit::{Meter, QuotaOutcome};
use crate::model::address::{ClientAddress, Peer};
use crate::model::certificate::CertificateNames;
use crate::model::panics::DEFECT;

/// The connection of a call, as an extension of its request.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The other end of the socket.
    pub peer: Peer,
    /// The names of its certificate, which the handshake has verified.
    pub certificate: Option<CertificateNames>,
}

/// What is known of a call. The outermost layer makes it; each further layer adds its part.
#[derive(Clone, Debug)]
pub struct CallContext {
    connected: Connected,
    classified: Classified,
    id: HeaderValue,
    address: Option<ClientAddress>,
    quota_outcome: Option<QuotaOutcome>,
    meter: Option<Meter>,
    stream: StreamLimits,
}

/// What a stream of messages is held to, where its layers have said so.
#[derive(Clone, Debug, Default)]
pub struct StreamLimits {
    /// What each message costs its address. None: it is not limited.
    pub message_charge: Option<MessageCharge>,
    /// How many streams its key may have. None: as many as it likes.
    pub keys: Option<KeyStreams>,
    /// Counts what guards refuse once the answer has begun.
    pub rejections: Option<Rejections>,
    /// Counts whatever is refused then.
    pub refusals: Option<Refusals>,
}

/// A part of the context that no layer has set.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no layer has set the {0} of the call")]
pub struct Missing(pub(super) &'static str);

impl Missing {
    /// The response to the call, whose layer or service needs what is missing.
    pub fn into_response(self) -> Response<Body> {
        Status::from(self).into_http()
    }
}

impl From<Missing> for Status {
    fn from(missing: Missing) -> Self {
        tracing::error!(%missing, "a defect of the stack of layers");
        Self::internal(DEFECT)
    }
}

impl CallContext {
    /// The context of a call that came over a connection.
    pub fn new(connected: Connected, classified: Classified, id: HeaderValue) -> Self {
        Self {
            connected,
            classified,
            id,
            address: None,
            quota_outcome: None,
            meter: None,
            stream: StreamLimits::default(),
        }
    }

    /// The context among a request's extensions.
    ///
    /// # Errors
    /// [`Missing`]: no layer has made one.
    pub fn of(extensions: &Extensions) -> Result<&Self, Missing> {
        extensions.get().ok_or(Missing("context"))
    }

    /// As [`Self::of`], to add to it.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn of_mut(extensions: &mut Extensions) -> Result<&mut Self, Missing> {
        extensions.get_mut().ok_or(Missing("context"))
    }

    /// What the request is.
    pub fn classified(&self) -> Classified {
        self.classified
    }

    /// The call's ID: the caller's own, if it sent a valid one.
    pub fn id(&self) -> &HeaderValue {
        &self.id
    }

    /// The other end of the socket.
    pub fn peer(&self) -> Peer {
        self.connected.peer
    }

    /// The names of the connection's certificate.
    pub fn certificate(&self) -> Option<&CertificateNames> {
        self.connected.certificate.as_ref()
    }

    /// The client's address.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn address(&self) -> Result<ClientAddress, Missing> {
        self.address.ok_or(Missing("address"))
    }

    /// Notes what the call is charged to.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn quota_outcome(&self) -> Result<&QuotaOutcome, Missing> {
        self.quota_outcome.as_ref().ok_or(Missing("quota outcome"))
    }

    /// Takes the memory of its body.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn meter(&self) -> Result<&Meter, Missing> {
        self.meter.as_ref().ok_or(Missing("meter"))
    }

    /// What its stream is held to, if it is one.
    pub fn stream(&self) -> &StreamLimits {
        &self.stream
    }

    /// Sets the client's address.
    pub fn set_address(&mut self, address: ClientAddress) {
        self.address = Some(address);
    }

    /// Sets where charges are noted, and what each message of a stream costs.
    pub fn set_charges(
        &mut self,
        quota_outcome: QuotaOutcome,
        message_charge: Option<MessageCharge>,
    ) {
        self.quota_outcome = Some(quota_outcome);
        self.stream.message_charge = message_charge;
    }

    /// Sets what counts refusals inside of its answer.
    pub fn set_refusals(&mut self, refusals: Refusals) {
        self.stream.refusals = Some(refusals);
    }

    /// Sets what takes the memory of its body.
    pub fn set_meter(&mut self, meter: Meter) {
        self.meter = Some(meter);
    }

    /// Sets how many streams its key may have, and what counts refusals behind the beginning of its answer.
    pub fn set_stream(&mut self, keys: KeyStreams, rejections: Rejections) {
        self.stream.keys = Some(keys);
        self.stream.rejections = Some(rejections);
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::middleware::{Answers, RequestClass};

    #[test]
    fn what_no_layer_has_set_is_an_internal_error_and_not_a_default() {
        let mut extensions = Extensions::new();
        let status = Status::from(CallContext::of(&extensions).unwrap_err());
        assert_eq!((status.code(), status.message()), (Code::Internal, DEFECT));
        let connected = Connected {
            peer: Peer::Ip([192, 0, 2, 1].into()),
            certificate: None,
        };
        let classified = Classified {
            class: RequestClass::Rest,
            route: "other",
            answers: Answers::Once,
        };
        let id = HeaderValue::from_static("1");
        extensions.insert(CallContext::new(connected, classified, id));
        let context = CallContext::of_mut(&mut extensions).unwrap();
        assert!(context.address().is_err() && context.meter().is_err());
        assert!(context.quota_outcome().is_err());
        let response = context.address().unwrap_err().into_response();
        assert_eq!(response.headers()["grpc-status"], "13");
    }
}
