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
use hyper::body::Body as _;
use lonja_services_core::definition::Strategy;
use lonja_services_core::{ChangeOptions, Config};
use serde_json::Value;
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

/// The most values that the documents of all requests under way come to: each takes some 300 bytes at most.
const MAX_VALUES: usize = 2 * wire::MAX_VALUES;

/// Requests that are carried out at once; those that are only read are bounded by connections and bytes.
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
    /// One for each value of a document.
    values: Arc<Semaphore>,
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
    values: Arc<Semaphore>,
}

/// The body of a request as JSON, with its place among those under way.
struct Document {
    value: Value,
    _held: Option<OwnedSemaphorePermit>,
}

impl Document {
    /// One that was made here.
    fn own(value: Value) -> Self {
        Self { value, _held: None }
    }
}

impl std::ops::Deref for Document {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl Ask {
    /// The body as JSON. Errors: it is none, too deep or of too many values, or there is no place for so many now.
    fn json(&self) -> Result<Document, Problem> {
        in_place(|| {
            let values = u32::try_from(wire::values(&self.body)?).unwrap_or(u32::MAX);
            let held = Arc::clone(&self.values).try_acquire_many_owned(values).map_err(|_| Problem::Busy)?;
            Ok(Document { value: wire::json(&self.body)?, _held: Some(held) })
        })
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
            values: Arc::new(Semaphore::new(MAX_VALUES)),
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
    let ask = read(&api, request).await?;
    // Not before: a body may be long in coming. Who asks how it goes is answered in any case.
    let requests = Arc::clone(&api.requests);
    let is_looking = matches!(route, Route::Ping | Route::Metrics | Route::Prometheus);
    let one = if is_looking { None } else { Some(requests.try_acquire().map_err(|_| Problem::Busy)?) };
    let accept = ask.accept.as_deref();
    let in_text = matches!(route, Route::Ping | Route::Root | Route::Prometheus | Route::Tasks)
        || matches!(route, Route::AppTasks(_) | Route::TasksBelow(_));
    if !in_text && !reply::accepts(accept, "application/json") {
        return Err(Problem::Form("application/json"));
    }
    let outcome = dispatch(&api, route, &ask).await;
    drop(one);
    outcome
}

/// Reads a request whole, within the bounds of size and time.
async fn read(api: &Api, request: Request) -> Result<Ask, Problem> {
    let (head, body) = request.into_parts();
    let from = serve::from(&head.extensions);
    let accept = head.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // The body of a GET means nothing; some clients send one all the same.
    let has_body = !matches!(head.method, Method::GET | Method::HEAD);
    let body = if has_body { body } else { Body::empty() };
    // Who asks first is told before anything is sent; others would not hear it before all is.
    let is_too_large = usize::try_from(body.size_hint().lower()).is_ok_and(|bytes| bytes > MAX_BODY_BYTES);
    if is_too_large && head.headers.contains_key(header::EXPECT) {
        return Err(Problem::TooLarge(MAX_BODY_BYTES));
    }
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
        values: Arc::clone(&api.values),
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::StatusCode;
    use futures::{FutureExt, stream};
    use lonja_model::clock::Clock;
    use lonja_sdk::{Driver, FrameworkOptions};
    use lonja_services_core::Services;

    use super::*;

    /// Before services that never answer.
    fn api() -> Api {
        let options = FrameworkOptions::named("services");
        let (_, link) = Driver::new("http://127.0.0.1:1", options).interactive::<Services>();
        let clock = Clock::start();
        let about = About {
            listen: serve::nowhere(),
            hostname: "here".to_owned(),
            framework_name: "services".to_owned(),
            master: "http://127.0.0.1:1".to_owned(),
            failover_timeout: Duration::ZERO,
            started: clock.now(),
        };
        let counters = Arc::new(Counters::new(Arc::default()));
        Api::new(Door::new(link), Hub::new(clock), about, Config::default(), counters)
    }

    async fn status(api: &Api, request: Request) -> StatusCode {
        answer(State(api.clone()), request).await.status()
    }

    fn post(body: impl Into<Body>) -> Request {
        Request::post("/v2/apps").body(body.into()).unwrap()
    }

    #[tokio::test]
    async fn bodies_that_are_slow_to_come_keep_nobody_else_out() {
        let api = api();
        let slow = (0..=MAX_REQUESTS).map(|_| {
            let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
            let mut one = Box::pin(answer(State(api.clone()), post(body)));
            assert!(one.as_mut().now_or_never().is_none());
            one
        });
        let slow: Vec<_> = slow.collect();
        let ping = Request::get("/ping").body(Body::empty()).unwrap();
        assert_eq!(status(&api, ping).await, StatusCode::OK);
        assert_eq!(status(&api, post("{")).await, StatusCode::BAD_REQUEST);
        drop(slow);
    }

    #[tokio::test]
    async fn who_looks_after_the_daemon_is_answered_however_much_is_under_way() {
        let api = api();
        let _all = Arc::clone(&api.requests).acquire_many_owned(512).await.unwrap();
        let ping = Request::get("/ping").body(Body::empty()).unwrap();
        assert_eq!(status(&api, ping).await, StatusCode::OK);
        assert_eq!(status(&api, post("{}")).await, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn documents_of_more_values_than_there_is_room_for_wait_for_others() {
        let api = api();
        let held = Arc::clone(&api.values).acquire_many_owned(999_990).await.unwrap();
        let many = || post("[0,0,0,0,0,0,0,0,0,0,0,0");
        assert_eq!(status(&api, many()).await, StatusCode::SERVICE_UNAVAILABLE);
        drop(held);
        assert_eq!(status(&api, many()).await, StatusCode::BAD_REQUEST);
    }
}
