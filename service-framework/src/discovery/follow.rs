//! Carries what the services tell to whoever acts on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lonja_sdk::Link;
use lonja_services_core::event::{Endpoint, Watch};
use lonja_services_core::reaching::ServicePort;
use lonja_services_core::{PathId, Services, What};
use tokio::time::Instant;

use super::{Counters, look};
use crate::directory::Directory;
use crate::directory::hosts::Hosts;
use crate::probing::Prober;
use crate::proxy::Balancer;

/// Everything is read anew so often, whatever was heard.
const ANEW: Duration = Duration::from_secs(60);

/// After a change of definitions, ports are read within this time; many changes make one reading.
const PORTS_WITHIN: Duration = Duration::from_millis(100);

/// Tells the prober, the directory and the balancer.
pub(super) struct Follower {
    pub(super) link: Link<Services>,
    pub(super) prober: Prober,
    pub(super) directory: Arc<Directory>,
    pub(super) hosts: Arc<Hosts>,
    pub(super) balancer: Option<Arc<Balancer>>,
    pub(super) counters: Arc<Counters>,
}

/// All there is to know of one app or pod.
struct Seen {
    endpoints: Arc<[Endpoint]>,
    watches: Arc<[Watch]>,
    ports: Vec<ServicePort>,
}

type Ports = BTreeMap<PathId, Vec<ServicePort>>;

impl Follower {
    /// Follows until the services' run ends.
    pub(super) async fn run(self) {
        let mut events = self.link.events();
        if self.read_all().await.is_none() {
            return;
        }
        let mut anew = Instant::now() + ANEW;
        let mut ports: Option<Instant> = None;
        loop {
            let next = ports.map_or(anew, |ports| ports.min(anew));
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(next) => {
                    if Instant::now() < anew {
                        ports = None;
                        if self.read_ports().await.is_none() {
                            return;
                        }
                        continue;
                    }
                    (anew, ports) = (Instant::now() + ANEW, None);
                    if self.read_all().await.is_none() {
                        return;
                    }
                }
                event = events.next() => match event {
                    None => return,
                    Some(Ok(event)) => {
                        if self.take(event.what).await && ports.is_none() {
                            ports = Some(Instant::now() + PORTS_WITHIN);
                        }
                    }
                    Some(Err(missed)) => {
                        self.counters.event_lags.add(1);
                        tracing::debug!(%missed, "the services are read anew");
                        // What still waits is older than what is read now.
                        events = self.link.events();
                        (anew, ports) = (Instant::now() + ANEW, None);
                        if self.read_all().await.is_none() {
                            return;
                        }
                    }
                },
            }
        }
    }

    /// Acts on an event. Returns whether definitions may have changed.
    async fn take(&self, what: What) -> bool {
        match what {
            What::Watches { app, watches } => {
                self.prober.set(app, watches).await;
                false
            }
            What::Endpoints { spec, endpoints } => {
                self.reach(&spec, endpoints);
                self.settle();
                true
            }
            What::AppTerminated { app } => {
                self.directory.remove(&app);
                self.settle();
                true
            }
            What::GroupChangeSuccess { .. } | What::DeploymentSuccess { .. } => true,
            _ => false,
        }
    }

    fn reach(&self, spec: &PathId, endpoints: Arc<[Endpoint]>) {
        self.directory.set(spec, &endpoints);
        if let Some(balancer) = &self.balancer {
            balancer.set_endpoints(spec, endpoints);
        }
    }

    fn settle(&self) {
        self.counters.names.set(self.directory.len());
        self.hosts.look_again();
    }

    /// Reads everything. None: the services have ended.
    async fn read_all(&self) -> Option<()> {
        let all = look(&self.link, |services| {
            let seen = services.services().iter().map(|(id, service)| {
                let seen = Seen {
                    endpoints: service.endpoints().into(),
                    watches: service.watches().into(),
                    ports: service.service_ports(),
                };
                (id.clone(), seen)
            });
            seen.collect::<BTreeMap<PathId, Seen>>()
        });
        let all = all.await?;
        for gone in self.directory.specs().iter().filter(|spec| !all.contains_key(*spec)) {
            self.directory.remove(gone);
            if let Some(balancer) = &self.balancer {
                balancer.set_endpoints(gone, Arc::new([]));
            }
        }
        let mut watches = BTreeMap::new();
        let mut ports = Ports::new();
        for (spec, seen) in all {
            self.reach(&spec, seen.endpoints);
            if !seen.watches.is_empty() {
                watches.insert(spec.clone(), seen.watches);
            }
            if !seen.ports.is_empty() {
                ports.insert(spec, seen.ports);
            }
        }
        if let Some(balancer) = &self.balancer {
            balancer.set_ports(ports);
        }
        self.prober.set_all(watches).await;
        self.settle();
        Some(())
    }

    /// Reads which ports apps have, and which apps there are. None: the services have ended.
    async fn read_ports(&self) -> Option<()> {
        let all = look(&self.link, |services| {
            let ports = services.services().iter().map(|(id, service)| (id.clone(), service.service_ports()));
            ports.collect::<Ports>()
        });
        let all = all.await?;
        let known = self.directory.specs();
        for new in all.keys().filter(|spec| known.binary_search(spec).is_err()) {
            // It has a name before it has an instance.
            self.directory.set(new, &[]);
        }
        if let Some(balancer) = &self.balancer {
            balancer.set_ports(all.into_iter().filter(|(_, ports)| !ports.is_empty()).collect());
        }
        self.settle();
        Some(())
    }
}
