//! A daemon without a master, and a client for it.

use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lonja_services::{Running, ServicesConfig};
use serde_json::Value;
use tempfile::TempDir;

/// The longest that anything here takes.
const WITHIN: Duration = Duration::from_secs(20);

/// A daemon whose master never answers: definitions and deployments are there, and no instance is ever launched.
pub(crate) struct Door {
    running: Running,
    client: Client<HttpConnector, Full<Bytes>>,
    /// Removed at the end.
    _folder: TempDir,
}

/// A reply, read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// Its body as JSON; null: it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// A header; empty: it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Door {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listen = "127.0.0.1:0".parse().expect("an address");
        // Nobody listens at port 1.
        let config = ServicesConfig::new("http://127.0.0.1:1", listen, folder.path().join("services"));
        let running = lonja_services::start(config).await.expect("the daemon starts");
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { running, client, _folder: folder }
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.running.address()
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let response = self.begin(method, path, headers, body).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = tokio::time::timeout(WITHIN, response.into_body().collect()).await;
        let body = body.expect("the body comes in time").expect("the body comes whole").to_bytes();
        Reply { status, headers, text: String::from_utf8_lossy(&body).into_owned() }
    }

    /// The reply's head, with its body to be read.
    pub(crate) async fn begin(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<hyper::body::Incoming> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let response = tokio::time::timeout(WITHIN, self.client.request(request)).await;
        response.expect("an answer in time").expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "").await
    }

    /// With a JSON body.
    pub(crate) async fn put(&self, method: &str, path: &str, body: Value) -> Reply {
        self.send(method, path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// Stops the daemon.
    pub(crate) async fn close(self) {
        self.running.stopper().stop();
        self.running.stopped().await.expect("it stops well");
    }
}
