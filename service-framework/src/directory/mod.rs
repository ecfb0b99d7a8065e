//! The names of what runs, and where they lead.
//!
//! For an app `/prod/db` in the zone `lonja` (`docs/service-discovery.md`):
//!
//! | name | leads to |
//! |---|---|
//! | `db.prod.lonja` | the addresses of the agents where instances take requests |
//! | `_NAME._tcp.db.prod.lonja` | their ports of this name; `_udp` for those over UDP |
//! | `_db.prod._tcp.lonja` | all their ports; `_udp` for those over UDP |
//! | `UUID.db.prod.lonja` | the address of one instance, as the ports' records name it |
//!
//! Invariants
//! - An app that is known has its name even while no instance takes requests, so that clients hear "nothing there now" and
//!   not "no such name", which they would remember.
//! - What is no name by the rules of DNS (a segment of more than 63 bytes, or too long a whole) is left out.
//!
//! Source: RFC 2782 for `_port._tcp`; Mesos-DNS for `_app._tcp`.

pub(crate) mod hosts;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use lonja_services_core::PathId;
use lonja_services_core::event::Endpoint;

/// The longest label of a name, in bytes. Source: RFC 1035, section 2.3.4.
const LABEL_BYTES: usize = 63;

/// The longest name, in bytes, with a dot for each label. Source: as above, less the length of the first label.
const NAME_BYTES: usize = 253;

/// Where something is: an address, or a name that the host resolves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    /// This.
    Address(IpAddr),
    /// What this name leads to.
    Name(Arc<str>),
}

impl Host {
    /// Reads one as agents give it.
    pub(crate) fn new(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.into()), Self::Address)
    }
}

/// A port of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// It.
    pub(crate) port: u16,
    /// The instance's own name, without a dot at its end.
    pub(crate) name: Arc<str>,
    /// Where that is.
    pub(crate) host: Host,
}

/// What a name leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    /// Addresses.
    pub(crate) hosts: Vec<Host>,
    /// Ports.
    pub(crate) targets: Vec<Target>,
}

/// What there is under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No such name.
    Nothing,
    /// The name, of one app or, if their ids read the same as names, of several.
    Records(Vec<Arc<Records>>),
}

/// All names of one zone. Shared by whoever answers.
#[derive(Debug)]
pub(crate) struct Directory {
    zone: Vec<String>,
    names: RwLock<Names>,
    changes: AtomicU32,
}

/// A name as its labels from the outermost to the innermost, in lower case, each with a zero byte before it: what is below a
/// name then stands right behind it.
type Key = Vec<u8>;

#[derive(Debug, Default)]
struct Names {
    records: BTreeMap<Key, BTreeMap<PathId, Arc<Records>>>,
    of: BTreeMap<PathId, Vec<Key>>,
    hosts: BTreeMap<PathId, BTreeSet<Arc<str>>>,
}

impl Directory {
    /// An empty one of this zone, such as `lonja`.
    pub(crate) fn new(zone: &str) -> Self {
        let labels = zone.split('.').filter(|label| !label.is_empty());
        Self {
            zone: labels.map(str::to_ascii_lowercase).collect(),
            names: RwLock::default(),
            changes: AtomicU32::new(1),
        }
    }

    /// The zone's labels, the innermost first.
    pub(crate) fn zone(&self) -> &[String] {
        &self.zone
    }

    /// Grows with each change.
    pub(crate) fn serial(&self) -> u32 {
        self.changes.load(Ordering::Relaxed)
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.read().records.len()
    }

    /// Hostnames that are to be resolved.
    pub(crate) fn hostnames(&self) -> BTreeSet<Arc<str>> {
        self.read().hosts.values().flatten().cloned().collect()
    }

    /// The app or pod is known, and reached at exactly these.
    pub(crate) fn set(&self, spec: &PathId, endpoints: &[Endpoint]) {
        let made = self.records_of(spec, endpoints);
        let hosts = endpoints.iter().filter_map(|one| match Host::new(&one.host) {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        });
        let hosts: BTreeSet<Arc<str>> = hosts.collect();
        let mut names = self.write();
        names.forget(spec);
        names.of.insert(spec.clone(), made.keys().cloned().collect());
        if !hosts.is_empty() {
            names.hosts.insert(spec.clone(), hosts);
        }
        for (key, records) in made {
            names.records.entry(key).or_default().insert(spec.clone(), Arc::new(records));
        }
        drop(names);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// The app or pod is no more.
    pub(crate) fn remove(&self, spec: &PathId) {
        self.write().forget(spec);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// All that are known.
    pub(crate) fn specs(&self) -> Vec<PathId> {
        self.read().of.keys().cloned().collect()
    }

    /// What there is under a name, given by its labels, the innermost first, in any case, without the zone's.
    pub(crate) fn find<'a>(&self, labels: impl DoubleEndedIterator<Item = &'a [u8]>) -> Found {
        let mut key = Key::new();
        for label in labels.rev() {
            if label.contains(&0) {
                return Found::Nothing;
            }
            key.push(0);
            key.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        let names = self.read();
        if let Some(found) = names.records.get(&key) {
            return Found::Records(found.values().cloned().collect());
        }
        // Nothing is called so, but something below may be. The zone itself is always there.
        let is_above = |below: &Key| below.get(key.len()) == Some(&0) && below.starts_with(&key);
        let mut behind = names.records.range(key.clone()..).map(|(below, _)| below);
        if key.is_empty() || behind.next().is_some_and(is_above) {
            return Found::Records(Vec::new());
        }
        Found::Nothing
    }

    fn records_of(&self, spec: &PathId, endpoints: &[Endpoint]) -> BTreeMap<Key, Records> {
        let own = spec.reversed();
        let zone = self.zone.join(".");
        let mut made: BTreeMap<Key, Records> = BTreeMap::new();
        let Some(key) = key_of(&own, &zone) else { return made };
        made.entry(key).or_default();
        for endpoint in endpoints {
            let host = Host::new(&endpoint.host);
            let (_, unique) = endpoint.instance.as_str().rsplit_once(".instance-").unwrap_or_default();
            let instance = format!("{unique}.{own}");
            let Some(instance_key) = key_of(&instance, &zone) else { continue };
            let name: Arc<str> = format!("{instance}.{zone}").into();
            made.entry(instance_key).or_default().hosts.push(host.clone());
            for port in &endpoint.ports {
                let protocol = if port.udp { "_udp" } else { "_tcp" };
                let by_name = port.name.as_ref().map(|name| format!("_{name}.{protocol}.{own}"));
                for name_of_ports in by_name.into_iter().chain([format!("_{own}.{protocol}")]) {
                    let Some(key) = key_of(&name_of_ports, &zone) else { continue };
                    let records = made.entry(key).or_default();
                    let target = Target { port: port.port, name: Arc::clone(&name), host: host.clone() };
                    if endpoint.accepts && !records.targets.contains(&target) {
                        records.targets.push(target);
                    }
                }
            }
            let own_records = key_of(&own, &zone).map(|key| made.entry(key).or_default());
            if let Some(records) = own_records.filter(|_| endpoint.accepts)
                && !records.hosts.contains(&host)
            {
                records.hosts.push(host);
            }
        }
        made
    }

    fn read(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Names> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn forget(&mut self, spec: &PathId) {
        self.hosts.remove(spec);
        for key in self.of.remove(spec).unwrap_or_default() {
            if let Some(records) = self.records.get_mut(&key) {
                records.remove(spec);
                if records.is_empty() {
                    self.records.remove(&key);
                }
            }
        }
    }
}

/// The key of a name that is given without its zone; none: it is no name in that zone.
fn key_of(name: &str, zone: &str) -> Option<Key> {
    if name.len() + 1 + zone.len() > NAME_BYTES {
        return None;
    }
    let mut key = Key::new();
    for label in name.rsplit('.') {
        if label.is_empty() || label.len() > LABEL_BYTES {
            return None;
        }
        key.push(0);
        key.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    Some(key)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
