//! One look at one instance.

use std::time::Duration;

use lonja_services_core::Command;
use lonja_services_core::definition::{HealthCheck, HealthProtocol, ReadinessCheck};
use lonja_services_core::event::{Watch, WatchKind};
use lonja_services_core::instance::Response;
use tokio_rustls::TlsConnector;

use super::get::{Answered, GetError, Server};

/// The most that is kept of the body of an answer to a readiness check, in bytes.
const READINESS_BYTES: usize = 64 * 1024;

/// What is said of a readiness check without an answer.
const NO_ANSWER: u16 = 504;

/// How a look went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looked {
    /// The check said yes.
    pub(super) good: bool,
    /// There is no need for another.
    pub(super) last: bool,
}

/// Looks, and says what the services are to be told. Ends within the check's timeout.
pub(super) async fn look(watch: &Watch, tls: &TlsConnector) -> (Command, Looked) {
    let server = Server { host: &watch.host, port: watch.port };
    let (instance, incarnation) = (watch.instance.clone(), watch.incarnation);
    match &watch.check {
        WatchKind::Health(number, check) => {
            let result = within(check.timeout, health(server, check, tls)).await.and_then(|result| result);
            let good = result.is_ok();
            let command = Command::Health { instance, incarnation, check: *number, result };
            (command, Looked { good, last: false })
        }
        WatchKind::Readiness(check) => {
            let response = readiness(server, check, tls).await;
            let good = check.statuses.contains(&response.status);
            (Command::Readiness { instance, incarnation, response }, Looked { good, last: good })
        }
    }
}

async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(time, work).await.map_err(|_| format!("no answer within {time:?}"))
}

async fn health(server: Server<'_>, check: &HealthCheck, tls: &TlsConnector) -> Result<(), String> {
    let tls = match check.protocol {
        HealthProtocol::Tcp => return server.connect().await.map(drop).map_err(|error| error.to_string()),
        HealthProtocol::Https => Some(tls),
        HealthProtocol::Http
        | HealthProtocol::Command
        | HealthProtocol::MesosHttp
        | HealthProtocol::MesosHttps
        | HealthProtocol::MesosTcp => None,
    };
    let path = check.path.as_deref().unwrap_or("/");
    let answered = server.get(tls, path, 0).await.map_err(|error| error.to_string())?;
    match answered.status.as_u16() {
        200..=399 => Ok(()),
        status => Err(format!("status {status} from {server}")),
    }
}

async fn readiness(server: Server<'_>, check: &ReadinessCheck, tls: &TlsConnector) -> Response {
    let tls = check.https.then_some(tls);
    let answer = within(check.timeout, server.get(tls, &check.path, READINESS_BYTES)).await;
    match answer.and_then(|answer| answer.map_err(|error: GetError| error.to_string())) {
        Ok(Answered { status, content_type, body, .. }) => {
            let mut body = String::from_utf8_lossy(&body).into_owned();
            // What is no text grows as it is made one.
            body.truncate(body.floor_char_boundary(READINESS_BYTES));
            Response { status: status.as_u16(), content_type, body }
        }
        Err(reason) => Response { status: NO_ANSWER, content_type: "text/plain".to_owned(), body: reason },
    }
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
