//! The REST interface: paths to questions and changes, and what comes of them to JSON. No rule about services lives here.
//!
//! Invariants
//! - Every request is bounded: its head, its body, its time, and how many are under way at once.
//! - JSON is read and made here, and not where the services decide.
//!
//! Source: Marathon's REST API; what is Lonja's own says so.

pub(crate) mod app_json;
pub(crate) mod deployments_json;
mod groups_json;
mod pods_json;
mod queue_json;
pub(crate) mod tasks_json;

mod door;
mod problem;
mod query;
mod reply;
mod route;
mod selector;

mod apps;
mod deployments;
mod events;
mod explain;
mod groups;
mod jobs;
mod kills;
mod pods;
mod queue;
mod system;
mod tasks;

pub(crate) mod serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use lonja_services_core::definition::Strategy;
use lonja_services_core::{ChangeOptions, Config};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::compression::CompressionLayer;

use crate::events::Hub;
use crate::metrics::Counters;
use crate::wire;
pub(crate) use door::Door;
use problem::Problem;
use query::Query;
use reply::Outcome;
use route::Route;
pub(crate) use system::About;

/// The largest body that is taken.
pub(crate) const MAX_BODY_BYTES: usize = 10 << 20;

/// The most that the bodies of all requests under way come to: of each some times as much is made while it is read.
const MAX_BODIES_BYTES: usize = 64 << 20;

/// How long a body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Requests under way at once.
const MAX_REQUESTS: usize = 512;

/// Streams of events at once.
const MAX_STREAMS: usize = 1_000;

/// All that requests need. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) door: Door,
    pub(crate) hub: Hub,
    pub(crate) about: Arc<About>,
    pub(crate) config: Arc<Config>,
    pub(crate) counters: Arc<Counters>,
    requests: Arc<Semaphore>,
    /// One for each byte of a body.
    bodies: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

/// A request, read.
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) accept: Option<String>,
    pub(crate) from: SocketAddr,
    pub(crate) body: Bytes,
    /// The body's place among those under way.
    _held: OwnedSemaphorePermit,
}

impl Ask {
    /// The body as JSON. Errors: it is none, or too deep.
    fn json(&self) -> Result<serde_json::Value, Problem> {
        Ok(in_place(|| wire::json(&self.body))?)
    }

    /// How the change is to be made. `force`: unless the query says.
    fn options(&self, force: bool) -> Result<ChangeOptions, Problem> {
        let strategy: Option<Strategy> = match self.query.get("strategy") {
            None => None,
            Some(name) => Some(wire::strategy(name).ok_or_else(|| {
                Problem::Parameters(format!(
                    "strategy={} is none: it is one of rolling, canary and blueGreen",
                    name.chars().take(32).collect::<String>()
                ))
            })?),
        };
        Ok(ChangeOptions { force: self.query.flag("force", force), strategy })
    }

    /// Is only asked what a change would do?
    fn is_dry_run(&self) -> bool {
        self.query.flag("dryRun", false)
    }
}

impl Api {
    pub(crate) fn new(door: Door, hub: Hub, about: About, config: Config, counters: Arc<Counters>) -> Self {
        Self {
            door,
            hub,
            about: Arc::new(about),
            config: Arc::new(config),
            counters,
            requests: Arc::new(Semaphore::new(MAX_REQUESTS)),
            bodies: Arc::new(Semaphore::new(MAX_BODIES_BYTES)),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        }
    }

    /// All of it, for a server.
    pub(crate) fn router(self) -> Router {
        Router::new().fallback(answer).with_state(self).layer(CompressionLayer::new().gzip(true))
    }
}

/// Answers one request.
async fn answer(State(api): State<Api>, request: Request) -> Response {
    let leader = api.about.leader_url();
    let counters = Arc::clone(&api.counters);
    let begun = std::time::Instant::now();
    let mut response = within_bounds(api, request).await.unwrap_or_else(IntoResponse::into_response);
    counters.answered(response.status().as_u16(), begun.elapsed());
    reply::common(response.headers_mut(), &leader);
    response
}

async fn within_bounds(api: Api, request: Request) -> Outcome {
    let route = Route::of(request.uri().path())?;
    if route == Route::Events {
        return events::stream(&api, &request);
    }
    let requests = Arc::clone(&api.requests);
    let _one = requests.try_acquire().map_err(|_| Problem::Busy)?;
    let ask = read(&api, request).await?;
    let accept = ask.accept.as_deref();
    let in_text = matches!(route, Route::Ping | Route::Root | Route::Prometheus | Route::Tasks)
        || matches!(route, Route::AppTasks(_) | Route::TasksBelow(_));
    if !in_text && !reply::accepts(accept, "application/json") {
        return Err(Problem::Form("application/json"));
    }
    dispatch(&api, route, &ask).await
}

/// Reads a request whole, within the bounds of size and time.
async fn read(api: &Api, request: Request) -> Result<Ask, Problem> {
    let (head, body) = request.into_parts();
    let from = head.extensions.get::<serve::Peer>().map_or_else(serve::nowhere, |peer| peer.0);
    let accept = head.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // The body of a GET means nothing; some clients send one all the same.
    let has_body = !matches!(head.method, Method::GET | Method::HEAD);
    let body = if has_body { body } else { Body::empty() };
    let (body, held) = body_of(api, body).await?;
    Ok(Ask {
        path: head.uri.path().to_owned(),
        query: Query::of(head.uri.query()),
        // The server leaves the body of a HEAD's reply out.
        method: if head.method == Method::HEAD { Method::GET } else { head.method },
        accept,
        from,
        body,
        _held: held,
    })
}

async fn body_of(api: &Api, body: Body) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
    let whole = tokio::time::timeout(BODY_WITHIN, gathered(api, body));
    whole.await.map_err(|_| Problem::TooSlow)?
}

/// A whole body, and its place. One for which there is none is read to its end, or its client would not hear that, and none of
/// it is held.
async fn gathered(api: &Api, body: Body) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
    let place = |bytes: usize| {
        let bytes = u32::try_from(bytes).ok()?;
        Arc::clone(&api.bodies).try_acquire_many_owned(bytes).ok()
    };
    let mut body = Limited::new(body, MAX_BODY_BYTES);
    let mut gathered = place(0).map(|held| (Vec::new(), held));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Problem::TooLarge(MAX_BODY_BYTES)
            } else {
                Problem::Parameters(format!("the body broke off: {error}"))
            }
        })?;
        let Ok(data) = frame.into_data() else { continue };
        gathered = gathered.and_then(|(mut whole, mut held)| {
            held.merge(place(data.len())?);
            whole.extend_from_slice(&data);
            Some((whole, held))
        });
    }
    let (whole, held) = gathered.ok_or(Problem::Busy)?;
    Ok((whole.into(), held))
}

async fn dispatch(api: &Api, route: Route, ask: &Ask) -> Outcome {
    match route {
        Route::Root
        | Route::Ping
        | Route::Metrics
        | Route::Prometheus
        | Route::Config
        | Route::Logging
        | Route::OpenApi
        | Route::Leader
        | Route::Info
        | Route::Plugins => system::answer(api, &route, ask).await,
        Route::Apps | Route::App(_) | Route::AppsBelow(_) | Route::AppRestart(_) => {
            apps::answer(api, &route, ask).await
        }
        Route::AppVersions(_) | Route::AppVersion(..) => apps::versions(api, &route, ask).await,
        Route::AppExplain(id) => explain::answer(api, &id, ask).await,
        Route::AppTasks(_)
        | Route::TasksBelow(_)
        | Route::AppTask(..)
        | Route::Tasks
        | Route::TasksDelete => tasks::answer(api, &route, ask).await,
        Route::Group(_) | Route::GroupApps(_) | Route::GroupVersions(_) | Route::GroupVersion(..) => {
            groups::answer(api, &route, ask).await
        }
        Route::Pods
        | Route::PodsStatus
        | Route::Pod(_)
        | Route::PodStatus(_)
        | Route::PodVersions(_)
        | Route::PodVersion(..)
        | Route::PodInstances(_)
        | Route::PodInstance(..) => pods::answer(api, &route, ask).await,
        Route::Deployments | Route::Deployment(_) | Route::Promote(_) => {
            deployments::answer(api, &route, ask).await
        }
        Route::Queue | Route::QueueDelay(_) => queue::answer(api, &route, ask).await,
        Route::Jobs | Route::Job(_) | Route::JobRuns(_) | Route::JobRun(..) => {
            jobs::answer(api, &route, ask).await
        }
        Route::Events => Err(Problem::NotAStream),
    }
}

/// Does what takes its time and cannot be taken elsewhere; other requests go on meanwhile, where there are threads for them.
fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::current().runtime_flavor() {
        tokio::runtime::RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Does what takes its time where no other request waits for it.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Problem::NoAnswer(format!("a part of the answer could not be made: {error}")))
}
