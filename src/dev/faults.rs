//! Faults: calls that are answered with a status, delayed, or cut off, in front of the services of both protocols.

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::fields::{Fields, Wrong};
use crate::middleware::intercept::{Answer, Next};
use crate::middleware::{
    Body, CallContext, Cut, DrainedBody, HttpStatus, Interceptor, RequestClass, refusal,
};
use crate::rest::routes;

/// Most faults that wait for their calls, in all and of one project.
const FAULTS_MAX: usize = 1_024;
const FAULTS_PER_PROJECT_MAX: usize = 64;
/// Most calls that meet one fault.
const TIMES_MAX: u64 = 1_000_000;
/// Longest delay, and longest wait that a fault asks for.
const DELAY_MAX: Duration = Duration::from_secs(60);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// Longest wait for the message that names the project of a gRPC call.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// When a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Nothing is stored.
    Before,
    /// The call was executed, and its answer is lost.
    After,
}

/// What happens to a call.
#[derive(Clone, Debug)]
struct Fault {
    project: String,
    /// None: any.
    route: Option<String>,
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    delay: Option<Duration>,
    cut: Option<When>,
    /// How many calls it still meets.
    left: u64,
}

/// The faults to come, in the order in which they were asked for. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Arc<Mutex<Vec<Fault>>>);

impl Fault {
    fn read(fields: &mut Fields) -> Result<Self, Wrong> {
        let status = fields.number("status", 400, 599)?;
        let status =
            status.and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
        let fault = Self {
            project: fields.needed("project")?,
            route: fields.text("route")?,
            status,
            retry_after: fields.seconds("retry_after", RETRY_AFTER_MAX)?,
            delay: fields.seconds("delay", DELAY_MAX)?,
            cut: fields.word("cut", &[("before", When::Before), ("after", When::After)])?,
            left: fields.number("times", 1, TIMES_MAX)?.unwrap_or(1),
        };
        match (fault.status, fault.cut, fault.delay) {
            (None, None, None) => Err("one of 'status', 'delay' and 'cut' is needed".to_owned()),
            (Some(_), Some(_), _) => Err("'status' and 'cut' exclude each other".to_owned()),
            (None, _, _) if fault.retry_after.is_some() => {
                Err("'retry_after' needs a 'status'".to_owned())
            }
            _ => Ok(fault),
        }
    }

    /// Whether it is for a route: of REST, with or without what stands before the token, or an rpc of gRPC.
    fn is_for(&self, route: &str) -> bool {
        let Some(wanted) = &self.route else {
            return true;
        };
        let wanted = wanted.trim_start_matches('/');
        let route = route.trim_start_matches('/');
        let rest = route.strip_suffix(wanted);
        rest.is_some_and(|rest| {
            rest.is_empty()
                || rest.ends_with("/projects/{project_token}/")
                || rest.ends_with("Service/")
        })
    }

    fn shown(&self) -> Value {
        json!({
            "project": self.project,
            "route": self.route,
            "status": self.status.map(|status| status.as_u16()),
            "retry_after": self.retry_after.map(|wait| wait.as_secs_f64()),
            "delay": self.delay.map(|delay| delay.as_secs_f64()),
            "cut": self.cut.map(|cut| match cut {
                When::Before => "before",
                When::After => "after",
            }),
            "times": self.left,
        })
    }

    /// The answer in both protocols.
    fn answer(&self, status: StatusCode) -> Response<Body> {
        let text = format!(
            "the emulator answers {} to this call, as asked",
            status.as_u16()
        );
        let code = code(status);
        let refusal = match self.retry_after {
            None => Status::new(code, text),
            Some(wait) => {
                let details = ErrorDetails::with_retry_info(Some(wait));
                refusal::pushed_back(Status::with_error_details(code, text, details), wait)
            }
        };
        let mut response = refusal.into_http();
        response.extensions_mut().insert(HttpStatus(status));
        response
    }
}

/// The code of a status of HTTP: as gRPC's mapping has it, and finer where our own answers are.
fn code(status: StatusCode) -> Code {
    match status.as_u16() {
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::Aborted,
        429 => Code::ResourceExhausted,
        500 => Code::Internal,
        501 => Code::Unimplemented,
        502 | 503 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        _ => Code::Unknown,
    }
}

impl Faults {
    /// Adds a fault, or with `clear` takes away those of a project. Gives those that the project has.
    pub(super) fn change(&self, mut fields: Fields) -> Result<Value, Wrong> {
        const KNOWN: &str = "project, route, status, retry_after, delay, cut, times, clear";
        let project = match fields.flag("clear")? {
            true => {
                let project = fields.needed("project")?;
                fields.end("project, clear")?;
                self.clear(&project);
                project
            }
            false => {
                let fault = Fault::read(&mut fields)?;
                fields.end(KNOWN)?;
                let project = fault.project.clone();
                self.add(fault)?;
                project
            }
        };
        let faults = self.faults();
        let of_project = faults.iter().filter(|fault| fault.project == project);
        Ok(json!({ "faults": of_project.map(Fault::shown).collect::<Vec<_>>() }))
    }

    /// Takes away the faults of a project.
    pub(super) fn clear(&self, project: &str) {
        self.faults().retain(|fault| fault.project != project);
    }

    fn add(&self, fault: Fault) -> Result<(), Wrong> {
        let mut faults = self.faults();
        let of_project = faults.iter().filter(|known| known.project == fault.project);
        if of_project.count() >= FAULTS_PER_PROJECT_MAX {
            return Err(format!(
                "the project has {FAULTS_PER_PROJECT_MAX} faults, which is the most"
            ));
        }
        if faults.len() >= FAULTS_MAX {
            return Err(format!("there are {FAULTS_MAX} faults, which is the most"));
        }
        faults.push(fault);
        Ok(())
    }

    /// The fault that a call meets.
    fn take(&self, project: &str, route: &str) -> Option<Fault> {
        let mut faults = self.faults();
        let is_it = |fault: &Fault| fault.project == project && fault.is_for(route);
        let place = faults.iter().position(is_it)?;
        let fault = faults.get_mut(place)?;
        fault.left -= 1;
        match fault.left {
            0 => Some(faults.remove(place)),
            _ => Some(fault.clone()),
        }
    }

    fn faults(&self) -> MutexGuard<'_, Vec<Fault>> {
        // A list of values is whole after each step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Interceptor for Faults {
    fn call(&self, mut request: Request<DrainedBody>, next: Next) -> Answer {
        if self.faults().is_empty() {
            return next(request);
        }
        let faults = self.clone();
        Box::pin(async move {
            let Some((project, route)) = named(&mut request).await else {
                return next(request).await;
            };
            let Some(fault) = faults.take(&project, route) else {
                return next(request).await;
            };
            if let Some(delay) = fault.delay {
                tokio::time::sleep(delay).await;
            }
            if let Some(status) = fault.status {
                return Ok(fault.answer(status));
            }
            let cut = request.extensions().get::<Cut>().cloned();
            match (fault.cut, cut) {
                (Some(when), Some(cut)) => {
                    if when == When::After {
                        drop(next(request).await);
                    }
                    cut.cut();
                    // The connection ends, and this with it.
                    pending().await
                }
                (None, _) | (_, None) => next(request).await,
            }
        })
    }
}

/// The project and the route of a call.
async fn named(request: &mut Request<DrainedBody>) -> Option<(String, &'static str)> {
    let classified = CallContext::of(request.extensions()).ok()?.classified();
    match classified.class {
        RequestClass::Grpc(rpc) => {
            rpc?;
            let beginning = request.body_mut().beginning();
            let beginning = tokio::time::timeout(MESSAGE_TIMEOUT, beginning).await;
            let project = project_of(beginning.ok()??)?;
            Some((project.to_owned(), classified.route))
        }
        RequestClass::Rest | RequestClass::Sdk => {
            let (_, token) = routes::find(request.uri().path())?;
            Some((token.to_owned(), classified.route))
        }
        RequestClass::OtherGrpc | RequestClass::Preflight | RequestClass::Probe(_) => None,
    }
}

/// The project in the first message of a call: its first field, in every message. None if it is compressed.
fn project_of(bytes: &[u8]) -> Option<&str> {
    const HEAD: usize = 5;
    const FIELD: u8 = 1 << 3 | 2;
    let message = bytes.get(HEAD..).filter(|_| bytes.first() == Some(&0))?;
    let mut rest = message.strip_prefix(&[FIELD])?;
    let length = prost::encoding::decode_varint(&mut rest).ok()?;
    std::str::from_utf8(rest.get(..usize::try_from(length).ok()?)?).ok()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::grpc::pb;

    fn ask(faults: &Faults, json: &str) -> Result<Value, Wrong> {
        faults.change(Fields::of_json(json.as_bytes()).unwrap())
    }

    #[test]
    fn a_fault_meets_as_many_calls_as_asked_of_its_project_and_route() {
        let faults = Faults::default();
        let event = "/track/v2/projects/{project_token}/customers/events";
        ask(
            &faults,
            r#"{"project": "a", "route": "customers/events", "status": 503, "times": 2}"#,
        )
        .unwrap();
        assert!(faults.take("b", event).is_none());
        assert!(
            faults
                .take("a", "/track/v2/projects/{project_token}/batch")
                .is_none()
        );
        assert!(faults.take("a", event).is_some());
        assert!(faults.take("a", event).is_some());
        assert!(faults.take("a", event).is_none());
        ask(
            &faults,
            r#"{"project": "a", "route": "AddEvent", "cut": "after"}"#,
        )
        .unwrap();
        let rpc = "/footfall.tracking.v2.TrackingService/AddEvent";
        assert!(faults.take("a", event).is_none());
        assert!(faults.take("a", rpc).is_some());
        ask(
            &faults,
            r#"{"project": "a", "route": "events", "cut": "after"}"#,
        )
        .unwrap();
        assert!(
            faults.take("a", event).is_none(),
            "a part of a route is none"
        );
    }

    #[test]
    fn faults_stay_within_their_number_and_say_what_is_wrong() {
        let faults = Faults::default();
        let fault = |project: usize| format!(r#"{{"project": "{project}", "delay": 1}}"#);
        for project in 0..FAULTS_MAX / FAULTS_PER_PROJECT_MAX {
            for _ in 0..FAULTS_PER_PROJECT_MAX {
                ask(&faults, &fault(project)).unwrap();
            }
        }
        assert_eq!(
            ask(&faults, &fault(0)).unwrap_err(),
            "the project has 64 faults, which is the most"
        );
        assert_eq!(
            ask(&faults, &fault(999)).unwrap_err(),
            "there are 1024 faults, which is the most"
        );
        ask(&faults, r#"{"project": "0", "clear": true}"#).unwrap();
        ask(&faults, &fault(999)).unwrap();
        for (json, wrong) in [
            (r#"{"delay": 1}"#, "'project' is needed"),
            (
                r#"{"project": "a"}"#,
                "one of 'status', 'delay' and 'cut' is needed",
            ),
            (
                r#"{"project": "a", "status": 503, "cut": "after"}"#,
                "'status' and 'cut' exclude each other",
            ),
            (
                r#"{"project": "a", "cut": "after", "retry_after": 1}"#,
                "'retry_after' needs a 'status'",
            ),
            (
                r#"{"project": "a", "status": 200}"#,
                "'status' must be a whole number from 400 to 599, not 200",
            ),
            (
                r#"{"project": "a", "delay": 61}"#,
                "'delay' must be a number of seconds from 0 to 60, not 61",
            ),
            (
                r#"{"project": "a", "delay": 1, "times": 0}"#,
                "'times' must be a whole number from 1 to 1000000, not 0",
            ),
            (
                r#"{"project": "a", "delay": 1, "x": 0}"#,
                "known: project, route, status, retry_after, delay, cut, times, clear, not 'x'",
            ),
        ] {
            assert_eq!(ask(&faults, json).unwrap_err(), wrong, "{json}");
        }
    }

    #[test]
    fn the_project_of_a_message_is_read_from_its_beginning() {
        let request = pb::AddEventRequest {
            project_token: "token".to_owned(),
            event_type: "x".to_owned(),
            ..pb::AddEventRequest::default()
        };
        let mut bytes = vec![0, 0, 0, 0, 9];
        request.encode(&mut bytes).unwrap();
        assert_eq!(project_of(&bytes), Some("token"));
        assert_eq!(
            project_of(bytes.get(..9).unwrap()),
            None,
            "it is not all there"
        );
        bytes[0] = 1;
        assert_eq!(project_of(&bytes), None, "it is compressed");
    }
}
