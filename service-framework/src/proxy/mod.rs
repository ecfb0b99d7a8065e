//! A balancer: opens the service ports of apps and passes what comes there to instances that take requests.
//!
//! By default each connection goes to one instance, byte for byte. With the label `LONJA_PROXY=http` on an app or on one of its
//! ports each HTTP request is balanced by itself.
//!
//! Invariants
//! - Nothing new goes to an instance that takes no requests; what is under way there may end first.
//! - A connection or request is tried at another instance only while it is certain that nothing was done for it.
//! - Everything is bounded: connections, heads, buffers, the time for each step.
//!
//! Source: `docs/service-discovery.md`.

mod connect;
mod headers;
mod http;
mod idle;
mod pool;
mod port;
mod tcp;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lonja_services_core::PathId;
use lonja_services_core::event::Endpoint;
use lonja_services_core::reaching::ServicePort;
use tokio::sync::Semaphore;

use crate::directory::hosts::Hosts;
use crate::discovery::Counters;
use pool::Pool;
use port::Listening;

/// How much and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyLimits {
    /// Service ports that are open at once; others are not opened.
    pub ports: usize,
    /// Connections of clients at once, of all ports. Those beyond wait to be accepted.
    pub connections: usize,
    /// Of them, of one port.
    pub connections_per_port: usize,
    /// What is under way at a drained or removed instance, or app, is cut after so long.
    pub drain: Duration,
    /// A connection on which nothing passes for so long is cut; of HTTP, one whose request or answer has begun and does not
    /// go on, or is not read.
    pub silence: Duration,
    /// An instance has so long to begin its answer to an HTTP request.
    pub answer: Duration,
}

impl ProxyLimits {
    /// As much of it as so many open files allow: a quarter for ports and a quarter for connections, of which each needs two.
    /// The rest is for the daemon's own.
    #[must_use]
    pub fn within(self, files: usize) -> Self {
        Self { ports: self.ports.min(files / 4), connections: self.connections.min(files / 8), ..self }
    }
}

impl Default for ProxyLimits {
    /// All ports; 8,192 connections, 4,096 a port; 60 s to drain; an hour of silence; five minutes for an answer.
    fn default() -> Self {
        Self {
            ports: 65_535,
            connections: 8_192,
            connections_per_port: 4_096,
            drain: Duration::from_secs(60),
            silence: Duration::from_secs(3_600),
            answer: Duration::from_secs(300),
        }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    hosts: Arc<Hosts>,
    counters: Arc<Counters>,
    limits: ProxyLimits,
    places: Arc<Semaphore>,
}

/// Something that is wrong with a service port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortProblem {
    /// Which.
    pub port: u16,
    /// Whose.
    pub app: PathId,
    /// What, and what to do about it.
    pub reason: String,
}

/// The balancer. Its ports close when it is dropped.
#[derive(Debug)]
pub struct Balancer {
    bind: IpAddr,
    shared: Arc<Shared>,
    desk: Mutex<Desk>,
}

#[derive(Debug, Default)]
struct Desk {
    wanted: BTreeMap<PathId, Vec<ServicePort>>,
    endpoints: BTreeMap<PathId, Arc<[Endpoint]>>,
    open: BTreeMap<u16, Open>,
    clashes: Vec<PortProblem>,
}

#[derive(Debug)]
struct Open {
    app: PathId,
    pool: Arc<Pool>,
    listening: Listening,
}

impl Balancer {
    /// One by itself, that opens its ports at this address and has hostnames resolved as they come.
    pub fn alone(bind: IpAddr, limits: ProxyLimits, counters: Arc<Counters>) -> Self {
        Self::new(bind, limits, Arc::default(), counters)
    }

    /// One that opens its ports at this address.
    pub(crate) fn new(bind: IpAddr, limits: ProxyLimits, hosts: Arc<Hosts>, counters: Arc<Counters>) -> Self {
        let places = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
        let shared = Arc::new(Shared { hosts, counters, limits, places });
        Self { bind, shared, desk: Mutex::default() }
    }

    /// These are the apps' ports from now on; those of other apps are closed. Must be called within a runtime.
    pub fn set_ports(&self, wanted: BTreeMap<PathId, Vec<ServicePort>>) {
        let mut desk = self.lock();
        desk.wanted = wanted;
        self.settle(&mut desk);
    }

    /// This is where the requests for an app go from now on. Must be called within a runtime.
    pub fn set_endpoints(&self, app: &PathId, endpoints: Arc<[Endpoint]>) {
        let mut desk = self.lock();
        for (port, open) in desk.open.iter().filter(|(_, open)| open.app == *app) {
            open.pool.set(*port, &endpoints);
        }
        if endpoints.is_empty() {
            desk.endpoints.remove(app);
        } else {
            desk.endpoints.insert(app.clone(), endpoints);
        }
        let is_left_over = |(port, open): (&u16, &Open)| open.app == *app && !desk.wants(app, *port);
        if desk.open.iter().any(is_left_over) {
            self.settle(&mut desk);
        }
    }

    /// Ports that could not be opened, and those that more than one app wants.
    pub fn problems(&self) -> Vec<PortProblem> {
        let desk = self.lock();
        let failed = desk.open.iter().filter_map(|(port, open)| {
            let reason = open.listening.problem()?;
            Some(PortProblem { port: *port, app: open.app.clone(), reason })
        });
        failed.chain(desk.clashes.iter().cloned()).collect()
    }

    /// How many instances behind a port take requests; none: it is not open.
    pub fn accepting(&self, port: u16) -> Option<usize> {
        self.lock().open.get(&port).map(|open| open.pool.accepting())
    }

    /// How many connections or requests are under way at instances of a port that take no more; none: it is not open.
    pub fn draining(&self, port: u16) -> Option<usize> {
        self.lock().open.get(&port).map(|open| open.pool.draining())
    }

    #[cfg(test)]
    fn is_any_shunned(&self, port: u16) -> bool {
        self.lock().open.get(&port).is_some_and(|open| open.pool.is_any_shunned())
    }

    /// Opens and closes ports, so that each has one owner: whoever has it already, else the first by name.
    fn settle(&self, desk: &mut Desk) {
        let mut takers: BTreeMap<u16, Vec<(PathId, bool)>> = BTreeMap::new();
        for (app, ports) in &desk.wanted {
            for port in ports {
                let of_port = takers.entry(port.port).or_default();
                if of_port.last().is_none_or(|(last, _)| last != app) {
                    of_port.push((app.clone(), port.http));
                }
            }
        }
        let keep: Vec<u16> =
            desk.open.keys().copied().filter(|port| desk.is_needed(*port, takers.get(port))).collect();
        desk.open.retain(|port, open| {
            let stays = keep.contains(port);
            if !stays {
                tracing::info!(port, app = %open.app, "service port closed");
            }
            stays
        });
        let before = std::mem::take(&mut desk.clashes);
        for (port, of_port) in takers {
            let held = desk.open.get(&port).map(|open| open.app.clone());
            let is_new = held.is_none();
            let Some(owner) = held.or_else(|| of_port.first().map(|(app, _)| app.clone())) else { continue };
            if is_new && desk.open.len() >= self.shared.limits.ports {
                desk.clashes.push(self.beyond(port, owner));
                continue;
            }
            let http = of_port.iter().find(|(app, _)| *app == owner).map(|(_, http)| *http);
            self.open(desk, port, &owner, http);
            let others = of_port.into_iter().filter(|(app, _)| *app != owner);
            desk.clashes.extend(others.map(|(app, _)| PortProblem {
                port,
                reason: format!(
                    "service port {port} is taken by {owner}; give {app} another one, or 0 for any"
                ),
                app,
            }));
        }
        // Those that were told before are not told again.
        let before: BTreeSet<&PortProblem> = before.iter().collect();
        for clash in desk.clashes.iter().filter(|clash| !before.contains(clash)) {
            let PortProblem { port, app, reason } = clash;
            tracing::error!(port, %app, reason, "service port is not open for an app");
        }
        self.shared.counters.proxy_ports_clashing.set(desk.clashes.len());
    }

    fn beyond(&self, port: u16, app: PathId) -> PortProblem {
        let most = self.shared.limits.ports;
        let reason = format!(
            "service port {port} is not opened: {most} are open, as many as the daemon's limit of open files leaves room for; \
             raise it (LimitNOFILE of its unit, or ulimit -n) and start it again, or have fewer service ports"
        );
        PortProblem { port, app, reason }
    }

    fn open(&self, desk: &mut Desk, port: u16, app: &PathId, http: Option<bool>) {
        if let Some(open) = desk.open.get(&port) {
            if let Some(http) = http {
                open.listening.set_http(http);
            }
            return;
        }
        let pool = Arc::new(Pool::new(self.shared.limits.drain));
        if let Some(endpoints) = desk.endpoints.get(app) {
            pool.set(port, endpoints);
        }
        let address = SocketAddr::new(self.bind, port);
        let listening = Listening::start(
            address,
            app,
            http.unwrap_or(false),
            Arc::clone(&pool),
            Arc::clone(&self.shared),
        );
        tracing::info!(%address, %app, http, "service port opened");
        desk.open.insert(port, Open { app: app.clone(), pool, listening });
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    fn wants(&self, app: &PathId, port: u16) -> bool {
        self.wanted.get(app).is_some_and(|ports| ports.iter().any(|one| one.port == port))
    }

    /// Does an open port stay with its owner: it wants it, or instances of its earlier versions are reached by it, and no
    /// other app wants it?
    fn is_needed(&self, port: u16, takers: Option<&Vec<(PathId, bool)>>) -> bool {
        let Some(open) = self.open.get(&port) else { return false };
        if takers.is_some_and(|takers| !takers.is_empty()) {
            return takers.is_some_and(|takers| takers.iter().any(|(app, _)| *app == open.app));
        }
        let used = |one: &Endpoint| one.ports.iter().any(|of| of.service_port == port && !of.udp);
        self.endpoints.get(&open.app).is_some_and(|endpoints| endpoints.iter().any(used))
    }
}

#[cfg(test)]
mod tests;
