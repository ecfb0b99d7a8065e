//! What is wanted now, for those who plan changes of it; and what follows from it at once.

use std::ops::Bound;
use std::sync::Arc;

use lonja_model::Timestamp;

use super::Services;
use crate::definition::RunSpec;
use crate::event::What;
use crate::groups::Group;
use crate::path_id::PathId;
use crate::planning::Tree;

impl Tree for Services {
    fn spec(&self, id: &PathId) -> Option<&RunSpec> {
        self.service(id).map(|service| &service.spec)
    }

    fn specs_below<'a>(&'a self, group: &PathId) -> Box<dyn Iterator<Item = (&'a PathId, &'a RunSpec)> + 'a> {
        let (from, to) = group.below_range();
        let range =
            self.services.range::<str, _>((Bound::Included(from.as_str()), Bound::Excluded(to.as_str())));
        Box::new(range.filter(|(_, service)| !service.removed).map(|(id, service)| (id, &service.spec)))
    }

    fn group(&self, id: &PathId) -> Option<&Group> {
        self.groups.get(id)
    }

    fn groups_below<'a>(&'a self, group: &PathId) -> Box<dyn Iterator<Item = (&'a PathId, &'a Group)> + 'a> {
        let (from, to) = group.below_range();
        let range =
            self.groups.range::<str, _>((Bound::Included(from.as_str()), Bound::Excluded(to.as_str())));
        Box::new(range.filter(|(id, _)| !id.is_root()))
    }

    fn count(&self) -> usize {
        self.wanted
    }

    fn job_exists(&self, id: &PathId) -> bool {
        self.jobs.contains_key(id)
    }

    fn service_port_taken(&self, port: u16) -> bool {
        self.service_ports.contains_key(&port)
    }
}

impl Services {
    /// Counts one that is wanted with its service ports, or counts it no more.
    pub(super) fn count_in(&mut self, id: &PathId, more: bool) {
        let Some(service) = self.services.get(id).filter(|service| !service.removed) else { return };
        self.wanted = if more { self.wanted + 1 } else { self.wanted.saturating_sub(1) };
        for port in service.spec.service_ports().into_iter().filter(|port| *port > 0) {
            let count = self.service_ports.entry(port).or_default();
            *count = if more { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.service_ports.remove(&port);
            }
        }
    }

    /// Tells where requests go, and what is looked at, if that has changed.
    pub(super) fn refresh_reaching(&mut self, now: Timestamp, id: &PathId) {
        let Some(service) = self.services.get(id) else { return };
        let (endpoints, watches) = (service.endpoints(), service.watches());
        let had_watches = !service.watches.is_empty();
        let (new_endpoints, new_watches) = (*service.endpoints != *endpoints, *service.watches != *watches);
        if new_endpoints {
            let endpoints: Arc<[_]> = endpoints.into();
            if let Some(service) = self.services.get_mut(id) {
                service.endpoints = Arc::clone(&endpoints);
            }
            self.tell(now, What::Endpoints { spec: id.clone(), endpoints });
        }
        if new_watches {
            let watches: Arc<[_]> = watches.into();
            let has_watches = !watches.is_empty();
            let Some(service) = self.services.get_mut(id) else { return };
            service.watches = Arc::clone(&watches);
            let spec = service.spec.clone();
            self.tell(now, What::Watches { app: id.clone(), watches });
            if let (RunSpec::App(app), true) = (&spec, has_watches != had_watches) {
                for check in app.health_checks.iter().filter(|check| !check.protocol.is_by_agent()) {
                    let what = if has_watches {
                        let version = spec.version().version;
                        What::AddHealthCheck { app: id.clone(), version, check: check.clone() }
                    } else {
                        What::RemoveHealthCheck { app: id.clone() }
                    };
                    self.tell(now, what);
                }
            }
        }
    }
}
