//! One open service port.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lonja_services_core::PathId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::pool::Pool;
use super::{Shared, http, tcp};

/// The first pause before a port that could not be opened is tried again; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A port that is listened on, or tried again and again until it can be. When dropped it closes; connections have the drain's
/// time to end.
#[derive(Debug)]
pub(super) struct Listening {
    state: Arc<State>,
    _stop: oneshot::Sender<()>,
}

#[derive(Debug)]
struct State {
    address: SocketAddr,
    app: PathId,
    http: AtomicBool,
    problem: Mutex<Option<String>>,
    pool: Arc<Pool>,
    shared: Arc<Shared>,
}

impl Listening {
    /// Starts.
    pub(super) fn start(
        address: SocketAddr,
        app: &PathId,
        http: bool,
        pool: Arc<Pool>,
        shared: Arc<Shared>,
    ) -> Self {
        let problem = Mutex::default();
        let (app, http) = (app.clone(), AtomicBool::new(http));
        let state = Arc::new(State { address, app, http, problem, pool, shared });
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(run(Arc::clone(&state), stopped));
        Self { state, _stop: stop }
    }

    /// Connections that are accepted from now on are read so.
    pub(super) fn set_http(&self, http: bool) {
        self.state.http.store(http, Ordering::Relaxed);
    }

    /// Why it is not open.
    pub(super) fn problem(&self) -> Option<String> {
        self.state.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts something for as long as it lives.
struct Counted<'a>(&'a crate::discovery::Count);

impl<'a> Counted<'a> {
    fn new(count: &'a crate::discovery::Count) -> Self {
        count.add(1);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.take(1);
    }
}

async fn run(state: Arc<State>, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    tokio::select! {
        () = listen(&state, &mut connections) => {}
        // Also when its owner is dropped.
        _stop = &mut stopped => {}
    }
    let rest = async { while connections.join_next().await.is_some() {} };
    // Those that are left are ended with the set.
    let _in_time = tokio::time::timeout(state.shared.limits.drain, rest).await;
}

async fn listen(state: &Arc<State>, connections: &mut JoinSet<()>) {
    let listener = bind(state).await;
    let _open = Counted::new(&state.shared.counters.proxy_ports);
    let most = state.shared.limits.connections_per_port.clamp(1, Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(most));
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(own) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                // Not before: a port that nobody connects to would keep a place from all others.
                let Ok(common) = Arc::clone(&state.shared.places).acquire_owned().await else { return };
                let state = Arc::clone(state);
                connections.spawn(async move {
                    serve(&state, stream, from).await;
                    drop((own, common));
                });
            }
            Err(error) => {
                // Such as no file left; those that are open will end.
                tracing::warn!(address = %state.address, %error, "a service port cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn bind(state: &State) -> TcpListener {
    let say = |problem| *state.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    let mut failing = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match TcpListener::bind(state.address).await {
            Ok(listener) => {
                say(None);
                return listener;
            }
            Err(error) => error,
        };
        // For a moment it may still be held by the owner before; then something else has it.
        if pause >= Duration::from_secs(1) && failing.is_none() {
            tracing::warn!(address = %state.address, app = %state.app, %error, "service port cannot be opened");
            failing = Some(Counted::new(&state.shared.counters.proxy_ports_failed));
        }
        say(Some(format!(
            "cannot listen on {}: {error}; free the port, or give the app another service port",
            state.address
        )));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn serve(state: &State, stream: TcpStream, from: SocketAddr) {
    let counters = &state.shared.counters;
    counters.proxy_connections.add(1);
    let _open = Counted::new(&counters.proxy_connections_open);
    if stream.set_nodelay(true).is_err() {
        // It is closed already.
        return;
    }
    if state.http.load(Ordering::Relaxed) {
        http::serve(stream, from.ip(), state.app.as_str(), &state.pool, &state.shared).await;
    } else {
        tcp::serve(stream, &state.pool, &state.shared).await;
    }
}
