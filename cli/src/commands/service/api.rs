//! Asking the service framework, over its REST API and nothing else.
//!
//! Source: Marathon's REST API; what is Lonja's own is in `docs/services.md`.

use std::fmt;
use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde_json::Value;
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

use crate::output;

/// How long one try to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long one that changes something waits for the framework to be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);

/// The largest answer: a listing of many thousands of apps with all their tasks.
const MAX_ANSWER_BYTES: u64 = 512 << 20;

/// An event stream that is silent for so long has broken off: it has a heartbeat every 10 s.
const SILENCE: Duration = Duration::from_secs(45);

/// The API at one address.
#[derive(Clone, Debug)]
pub(super) struct Api {
    agent: Agent,
    /// The same for what does not end.
    streams: Agent,
    url: String,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// The deployment that the request began.
    pub(super) deployment: Option<String>,
    /// The body; null if there is none, text if it is not JSON.
    pub(super) body: Value,
}

/// Why the framework did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// Nobody is there.
    #[error(
        "no services answer at {url} ({cause}); are they running? name others with --services or LONJA_SERVICES"
    )]
    Unreachable { url: String, cause: String },
    /// Somebody is there who is no service framework: a master takes any path, and answers with nothing.
    #[error("{url} is not a service framework (a master?); name one with --services or LONJA_SERVICES")]
    Stranger { url: String },
    /// It said no.
    #[error("{0}")]
    Refused(Refusal),
}

/// What the framework has against a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
    /// Which field, and what is wrong with it.
    pub(super) faults: Vec<(String, String)>,
    /// The deployments that stand in the way.
    pub(super) deployments: Vec<String>,
}

impl Api {
    /// The API at `url`, such as `http://127.0.0.1:8080`; nothing is asked yet. Errors: it is no such URL.
    pub(super) fn at(url: &str) -> anyhow::Result<Self> {
        let full = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let parsed: ureq::http::Uri = full.parse().with_context(|| format!("--services {url}"))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none() {
            return Err(anyhow!("--services {url}: write, for example, http://127.0.0.1:8080"));
        }
        let config = || {
            let config =
                Agent::config_builder().http_status_as_error(false).timeout_connect(Some(CONNECT_TIMEOUT));
            // Daemons of a cluster are reached directly, as masters and agents are.
            config.proxy(None).user_agent(concat!("lonja/", env!("CARGO_PKG_VERSION")))
        };
        let agent = config().timeout_global(Some(ANSWER_TIMEOUT)).build().into();
        let streams = config().timeout_per_read(Some(SILENCE)).build().into();
        Ok(Self { agent, streams, url: full.trim_end_matches('/').to_owned() })
    }

    /// Waits until the framework answers and knows its leader, for as long as it may take to come up. Errors: it does not.
    pub(super) async fn wait_until_there(&self) -> anyhow::Result<()> {
        let (started, mut said) = (Instant::now(), false);
        loop {
            let why = match self.get("/v2/info") {
                Ok(_) => return Ok(()),
                Err(ApiError::Refused(refusal)) if !matches!(refusal.status, 502..=504) => return Ok(()),
                Err(stranger @ ApiError::Stranger { .. }) => return Err(stranger.into()),
                Err(why) => why,
            };
            if started.elapsed() + RETRY > PATIENCE {
                let waited = humantime::format_duration(PATIENCE);
                return Err(anyhow::Error::new(why).context(format!("waited {waited}")));
            }
            if !std::mem::replace(&mut said, true) {
                output::note(&format!("waiting for services at {} ...", self.url));
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// What is at `path`. Errors: nobody is there, or no service framework, or it is refused.
    pub(super) fn get(&self, path: &str) -> Result<Value, ApiError> {
        match self.ask("GET", path, None)?.body {
            body @ (Value::Object(_) | Value::Array(_)) => Ok(body),
            _ => Err(self.stranger()),
        }
    }

    /// The same; `None` if there is no such thing.
    pub(super) fn find(&self, path: &str) -> Result<Option<Value>, ApiError> {
        match self.get(path) {
            Ok(found) => Ok(Some(found)),
            Err(ApiError::Refused(refusal)) if refusal.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a request. Errors: nobody is there, or it is refused.
    pub(super) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply, ApiError> {
        let reply = self.send(method, path, body).map_err(|error| self.unreachable(&error))?;
        if reply.status < 300 { Ok(reply) } else { Err(ApiError::Refused(Refusal::read(&reply))) }
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Reply, ureq::Error> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request = request.header("accept", "application/json");
        // Blocking is fine for this one task, as long as the others of the process go on.
        tokio::task::block_in_place(|| {
            let response = match (method, body) {
                ("GET" | "HEAD" | "DELETE", None) => self.agent.run(request.body(())?)?,
                (_, body) => {
                    let bytes = body.map(Value::to_string).unwrap_or_default().into_bytes();
                    self.agent.run(request.header("content-type", "application/json").body(bytes)?)?
                }
            };
            // What of a definition was taken without effect.
            for words in response.headers().get_all("lonja-warning") {
                output::warn(words.to_str().unwrap_or_default());
            }
            Reply::read(response)
        })
    }

    /// A stream of events that does not end by itself. Errors: as of [`Api::ask`].
    pub(super) fn stream(&self, path: &str) -> Result<impl Read + Send + use<>, ApiError> {
        let request = Request::get(format!("{}{path}", self.url)).header("accept", "text/event-stream");
        let response =
            request.body(()).map_err(ureq::Error::from).and_then(|request| self.streams.run(request));
        let response = response.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
            if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
                return Err(self.stranger());
            }
            return Ok(response.into_body().into_reader());
        }
        let reply = Reply::read(response).map_err(|error| self.unreachable(&error))?;
        Err(ApiError::Refused(Refusal::read(&reply)))
    }

    fn stranger(&self) -> ApiError {
        ApiError::Stranger { url: self.url.clone() }
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> ApiError {
        let mut cause = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        ApiError::Unreachable { url: self.url.clone(), cause: cause.to_string() }
    }
}

impl Reply {
    fn read(mut response: Response<Body>) -> Result<Self, ureq::Error> {
        let header = response.headers().get("marathon-deployment-id").and_then(|id| id.to_str().ok());
        let header = header.map(ToOwned::to_owned);
        let bytes = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
        let body = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(_) if bytes.is_empty() => Value::Null,
            Err(_) => Value::String(String::from_utf8_lossy(&bytes).trim().to_owned()),
        };
        let deployment = header.or_else(|| body["deploymentId"].as_str().map(ToOwned::to_owned));
        Ok(Self { status: response.status().as_u16(), deployment, body })
    }
}

impl Refusal {
    fn read(reply: &Reply) -> Self {
        let body = &reply.body;
        let text = body["message"].as_str().or(body.as_str()).filter(|text| !text.is_empty());
        let message = text.map_or_else(|| format!("HTTP status {}", reply.status), ToOwned::to_owned);
        let mut faults = Vec::new();
        if let Some(detail) = body["details"].as_str() {
            faults.push((String::new(), detail.to_owned()));
        }
        for detail in body["details"].as_array().into_iter().flatten() {
            let path = detail["path"].as_str().unwrap_or_default();
            let errors = detail["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
            faults.extend(errors.map(|error| (path.to_owned(), error.to_owned())));
        }
        let ids = body["deployments"].as_array().into_iter().flatten();
        let deployments =
            ids.filter_map(|deployment| deployment["id"].as_str().map(ToOwned::to_owned)).collect();
        Self { status: reply.status, message, faults, deployments }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (path, fault) in &self.faults {
            match path.as_str() {
                "" => write!(f, "\n  {fault}")?,
                path => write!(f, "\n  {path}: {fault}")?,
            }
        }
        if !self.deployments.is_empty() {
            write!(f, "\n  in the way: deployment {}", self.deployments.join(", "))?;
            f.write_str(
                "; wait for it, take it back with `lonja service rollback`, or give it up with --force",
            )?;
        }
        Ok(())
    }
}

/// A name as part of a path or query: what has a meaning there is escaped, slashes are not.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                escaped.push(char::from(byte));
            }
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(status: u16, body: Value) -> String {
        Refusal::read(&Reply { status, deployment: None, body }).to_string()
    }

    #[test]
    fn a_refusal_names_the_fields_at_fault() {
        let details =
            json!([{ "path": "/healthChecks(0)/portIndex", "errors": ["there is no port 3", "at most 1"] }]);
        assert_eq!(
            refusal(422, json!({ "message": "Object is not valid", "details": details })),
            "Object is not valid\n  /healthChecks(0)/portIndex: there is no port 3\n  /healthChecks(0)/portIndex: at most 1"
        );
        let text = refusal(400, json!({ "message": "Invalid JSON", "details": "line 3: expected a comma" }));
        assert_eq!(text, "Invalid JSON\n  line 3: expected a comma");
    }

    #[test]
    fn a_lock_names_the_deployment_and_the_ways_out() {
        let text = refusal(409, json!({ "message": "App is locked", "deployments": [{ "id": "d-1" }] }));
        assert!(text.contains("deployment d-1") && text.contains("--force"), "{text}");
    }

    #[test]
    fn an_answer_without_words_has_its_status() {
        assert_eq!(refusal(500, Value::Null), "HTTP status 500");
        assert_eq!(refusal(502, json!("no leader")), "no leader");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in ["ftp://x", "http://", "http://a b"] {
            assert!(Api::at(url).unwrap_err().to_string().contains("--services"), "{url}");
        }
        assert_eq!(Api::at("127.0.0.1:8080/").unwrap().url, "http://127.0.0.1:8080");
    }

    #[test]
    fn names_are_escaped_but_for_slashes() {
        assert_eq!(escape("/prod/web::status?x=a b&ä"), "/prod/web::status%3Fx%3Da%20b%26%C3%A4");
    }
}
