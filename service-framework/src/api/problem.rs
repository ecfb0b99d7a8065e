//! What goes wrong with a request, and how that is said: status, and a JSON object with `message`.
//!
//! Source: Marathon's error replies.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lonja_sdk::Unanswered;
use lonja_services_core::Refused;
use lonja_services_core::validate::Fault;
use serde_json::{Value, json};

use super::route::Nothing;
use crate::wire::{self, Rejected};

/// What clients of Marathon look for when something is locked.
const LOCKED: &str = "App is locked by one or more deployments. Override with the option '?force=true'. View details at \
                      '/v2/deployments/<DEPLOYMENT_ID>'.";

/// Why a request is not carried out.
#[derive(Debug)]
pub(crate) enum Problem {
    /// What it says cannot be read, or is wrong by itself.
    Rejected(Rejected),
    /// The services do not do it.
    Refused(Refused),
    /// There is nothing of that name; in words.
    Unknown(String),
    /// Its parameters contradict each other or cannot be read.
    Parameters(String),
    /// Its arguments mean nothing.
    Illegal(String),
    /// The path is right, the method is not; what it takes.
    Method(&'static str),
    /// Events are given as a stream of events only.
    NotAStream,
    /// No form that the client takes can be given.
    Form(&'static str),
    /// The body is too large; the most that is taken, in bytes.
    TooLarge(usize),
    /// The body did not come in time.
    TooSlow,
    /// Too many requests are under way.
    Busy,
    /// The services did not answer in time, or have ended.
    NoAnswer(String),
}

impl Problem {
    /// There is none of this kind with this id.
    pub(crate) fn unknown(kind: &str, id: impl std::fmt::Display) -> Self {
        Self::Unknown(format!("{kind} '{id}' does not exist"))
    }

    /// There is one, and not of this version.
    pub(crate) fn unknown_version(kind: &str, id: impl std::fmt::Display, version: &str) -> Self {
        let version: String = version.chars().take(64).collect();
        Self::Unknown(format!("{kind} '{id}' does not exist in version {version}"))
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Rejected(rejected) => match rejected {
                Rejected::NotJson(_) | Rejected::NotAnObject(_) | Rejected::BadQuery(_) => {
                    StatusCode::BAD_REQUEST
                }
                Rejected::Types(_) | Rejected::Values(_) | Rejected::Illegal(_) => {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
            },
            Self::Refused(refused) => match refused {
                Refused::Locked(_) | Refused::Exists { .. } | Refused::Stale(_) | Refused::NotNow(_) => {
                    StatusCode::CONFLICT
                }
                Refused::Unknown { .. } => StatusCode::NOT_FOUND,
                Refused::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
                Refused::TooManyDeployments(_) => StatusCode::FORBIDDEN,
                Refused::NoServicePort(..) => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Parameters(_) => StatusCode::BAD_REQUEST,
            Self::Illegal(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Method(_) | Self::NotAStream => StatusCode::METHOD_NOT_ALLOWED,
            Self::Form(_) => StatusCode::NOT_ACCEPTABLE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::NoAnswer(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn body(&self) -> Value {
        match self {
            Self::Rejected(rejected) => match rejected {
                Rejected::NotJson(why) => json!({ "message": "Invalid JSON", "details": why }),
                Rejected::NotAnObject(why) => {
                    json!({ "message": "Please specify data in JSON format", "details": why })
                }
                Rejected::Types(faults) => json!({ "message": "Invalid JSON", "details": details(faults) }),
                Rejected::Values(faults) => invalid(faults),
                Rejected::Illegal(why) | Rejected::BadQuery(why) => json!({ "message": why }),
            },
            Self::Refused(refused) => match refused {
                Refused::Locked(by) => {
                    let by: Vec<Value> = by.iter().map(|id| json!({ "id": id.as_str() })).collect();
                    json!({ "message": LOCKED, "deployments": by })
                }
                Refused::Invalid(faults) => invalid(faults),
                Refused::Unknown { kind, id, version: Some(version) } => {
                    json!({ "message": format!("{kind} '{id}' does not exist in version {}", wire::version(*version)) })
                }
                Refused::Unknown { .. }
                | Refused::Exists { .. }
                | Refused::TooManyDeployments(_)
                | Refused::NoServicePort(..)
                | Refused::Stale(_)
                | Refused::NotNow(_) => json!({ "message": refused.to_string() }),
            },
            Self::Unknown(why) | Self::Parameters(why) | Self::Illegal(why) | Self::NoAnswer(why) => {
                json!({ "message": why })
            }
            Self::Method(allowed) => json!({ "message": format!("this path takes {allowed} only") }),
            Self::NotAStream => {
                json!({ "message": "events are a stream: ask with the header 'Accept: text/event-stream'" })
            }
            Self::Form(given) => {
                json!({ "message": format!("this is given as {given} only; name it in the Accept header") })
            }
            Self::TooLarge(most) => {
                json!({ "message": format!("the body is too large: at most {most} bytes are taken") })
            }
            Self::TooSlow => json!({ "message": "the body did not come in time" }),
            Self::Busy => json!({ "message": "too many requests are under way; try again in a moment" }),
        }
    }
}

fn invalid(faults: &[Fault]) -> Value {
    json!({ "message": "Object is not valid", "details": details(faults) })
}

/// Faults by their path, in the order in which the paths first come.
fn details(faults: &[Fault]) -> Vec<Value> {
    let mut paths: Vec<(&str, Vec<&str>)> = Vec::new();
    for fault in faults {
        match paths.iter_mut().find(|(path, _)| *path == fault.path) {
            Some((_, messages)) => messages.push(&fault.message),
            None => paths.push((&fault.path, vec![&fault.message])),
        }
    }
    paths.into_iter().map(|(path, errors)| json!({ "path": path, "errors": errors })).collect()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), axum::Json(self.body())).into_response();
        if let Self::Method(allowed) = self {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Unanswered> for Problem {
    fn from(unanswered: Unanswered) -> Self {
        Self::NoAnswer(unanswered.to_string())
    }
}

impl From<Nothing> for Problem {
    fn from(nothing: Nothing) -> Self {
        match nothing {
            Nothing::Unknown => Self::Unknown("URI not found".to_owned()),
            Nothing::Id(why) => Self::Illegal(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_one_path_stand_together() {
        let faults = [Fault::at("/a", "one"), Fault::at("/b", "two"), Fault::at("/a", "three")];
        let body = Problem::Rejected(Rejected::Values(faults.to_vec())).body();
        assert_eq!(
            body,
            json!({ "message": "Object is not valid", "details": [
                { "path": "/a", "errors": ["one", "three"] }, { "path": "/b", "errors": ["two"] }] })
        );
    }

    #[test]
    fn a_lock_names_who_holds_it_and_the_way_out() {
        let by = lonja_services_core::deployment::DeploymentId::from_text("d-1");
        let problem = Problem::Refused(Refused::Locked(vec![by]));
        assert_eq!(problem.status(), StatusCode::CONFLICT);
        let body = problem.body();
        assert_eq!(body["deployments"], json!([{ "id": "d-1" }]));
        assert!(body["message"].as_str().is_some_and(|message| message.contains("?force=true")), "{body}");
    }
}
