//! What makes services reachable: their checks, their names, their balancer, and what they are measured to use.
//!
//! All of it follows the services by their events. Where events were lost, and once a minute in any case, everything is read
//! anew, so that nothing stays wrong for long.
//!
//! Source: `docs/service-discovery.md`.

mod counters;
mod follow;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lonja_sdk::Link;
use lonja_services_core::command::Look;
use lonja_services_core::{Command, Services};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::directory::Directory;
use crate::directory::hosts::Hosts;
use crate::dns::{DnsError, NameServer, Zone};
use crate::probing::Prober;
use crate::proxy::{Balancer, ProxyLimits};
use crate::usage::{Sampler, scaled};
pub use counters::{Count, Counters, Figure, Kind};
use follow::Follower;

/// Results that may wait for the services to take them.
const RESULTS: usize = 1_024;

/// What the operator decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetConfig {
    /// Health and readiness checks at once.
    pub checks_at_once: usize,
    /// From measurement to measurement, for autoscaling.
    pub measure_every: Duration,
    /// Where names are asked for, over UDP and TCP; none: nowhere.
    pub dns: Option<SocketAddr>,
    /// The zone of the names.
    pub zone: String,
    /// How long answers may be kept; whole seconds.
    pub ttl: Duration,
    /// Packets a second that the name server takes from one source.
    pub dns_rate: u32,
    /// The address at which service ports are opened; none: they are not.
    pub proxy: Option<IpAddr>,
    /// The balancer's bounds.
    pub proxy_limits: ProxyLimits,
}

impl NetConfig {
    /// As much of it as so many open files allow; most of the rest is for the API.
    #[must_use]
    pub fn within(self, files: usize) -> Self {
        let checks_at_once = self.checks_at_once.min(files / 8).max(1);
        Self { checks_at_once, proxy_limits: self.proxy_limits.within(files), ..self }
    }
}

impl Default for NetConfig {
    /// 256 checks at once, measurements every 10 s; no name server and no balancer. Their defaults: the zone `lonja`, 5 s,
    /// 5,000 packets a second.
    fn default() -> Self {
        Self {
            checks_at_once: 256,
            measure_every: Duration::from_secs(10),
            dns: None,
            zone: "lonja".to_owned(),
            ttl: Duration::from_secs(5),
            dns_rate: 5_000,
            proxy: None,
            proxy_limits: ProxyLimits::default(),
        }
    }
}

/// Why services cannot be made reachable.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The name server cannot listen.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// The zone is no name.
    #[error(
        "{0:?} is no zone: it takes one or more labels of letters, digits and hyphens, with dots between"
    )]
    Zone(String),
}

/// Checks, names, balancer and measurements, at work. They end when this is dropped.
#[derive(Debug)]
pub struct Discovery {
    counters: Arc<Counters>,
    balancer: Option<Arc<Balancer>>,
    dns: Option<SocketAddr>,
    work: JoinSet<()>,
}

impl Discovery {
    /// Starts them for these services. Errors: the zone is no name, or the name server cannot listen; a service port that
    /// cannot be opened is no error but a [problem](Balancer::problems).
    pub async fn start(link: Link<Services>, config: NetConfig) -> Result<Self, NetError> {
        if !is_zone(&config.zone) {
            return Err(NetError::Zone(config.zone));
        }
        let counters = Arc::new(Counters::default());
        let directory = Arc::new(Directory::new(&config.zone));
        let hosts = Arc::new(Hosts::default());
        let mut work = JoinSet::new();
        let mut dns = None;
        if let Some(address) = config.dns {
            let (directory, hosts) = (Arc::clone(&directory), Arc::clone(&hosts));
            let zone = Zone { directory, hosts, ttl: config.ttl, counters: Arc::clone(&counters) };
            let server = NameServer::bind(address, config.dns_rate, zone).await?;
            let bound = server.address().map_err(|source| DnsError { address, source })?;
            tracing::info!(address = %bound, zone = config.zone, "names are answered");
            dns = Some(bound);
            work.spawn(server.run());
        }
        let balancer = config.proxy.map(|bind| {
            let (hosts, counters) = (Arc::clone(&hosts), Arc::clone(&counters));
            Arc::new(Balancer::new(bind, config.proxy_limits, hosts, counters))
        });
        let (results, inbox) = mpsc::channel(RESULTS);
        let prober = Prober::start(config.checks_at_once, results.clone(), Arc::clone(&counters));
        work.spawn(pass_on(inbox, link.clone()));
        work.spawn(measure(link.clone(), config.measure_every, Arc::clone(&counters)));
        if config.dns.is_some() || config.proxy.is_some() {
            let (directory, hosts, counters) =
                (Arc::clone(&directory), Arc::clone(&hosts), Arc::clone(&counters));
            work.spawn(async move { hosts.keep(&directory, &counters).await });
        }
        let follower = Follower {
            link,
            prober,
            directory,
            hosts,
            balancer: balancer.clone(),
            counters: Arc::clone(&counters),
        };
        work.spawn(follower.run());
        Ok(Self { counters, balancer, dns, work })
    }

    /// What they have done.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Where names are asked for.
    pub fn dns_address(&self) -> Option<SocketAddr> {
        self.dns
    }

    /// The balancer.
    pub fn balancer(&self) -> Option<&Arc<Balancer>> {
        self.balancer.as_ref()
    }

    /// Ends them all.
    pub async fn stop(mut self) {
        self.work.shutdown().await;
    }
}

/// Gives results to the services until these have ended.
async fn pass_on(mut results: mpsc::Receiver<Command>, link: Link<Services>) {
    while let Some(command) = results.recv().await {
        if link.send(command).await.is_err() {
            return;
        }
    }
}

/// Looks at the services. None: they have ended.
async fn look<T: Send + 'static>(
    link: &Link<Services>,
    see: impl FnOnce(&Services) -> T + Send + 'static,
) -> Option<T> {
    let (sender, seen) = oneshot::channel();
    let looking = Look(Box::new(move |services, _now| drop(sender.send(see(services)))));
    link.send(Command::Look(looking)).await.ok()?;
    seen.await.ok()
}

async fn measure(link: Link<Services>, every: Duration, counters: Arc<Counters>) {
    let mut sampler = Sampler::new(counters);
    let mut turns = tokio::time::interval(every.max(Duration::from_secs(1)));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let Some(apps) = look(&link, scaled).await else { return };
        for command in sampler.round(&apps).await {
            if link.send(command).await.is_err() {
                return;
            }
        }
    }
}

fn is_zone(zone: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_label = |label: &str| !label.is_empty() && label.len() <= 63 && label.bytes().all(is_inner);
    zone.len() <= 64 && zone.split('.').all(is_label)
}

#[cfg(test)]
mod tests;
