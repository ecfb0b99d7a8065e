//! The objects that every listing shares, in the shape that tools written for Mesos read.
//!
//! Numbers are numbers, times seconds since the epoch, an amount of resources an object with `cpus`, `gpus`, `mem` and
//! `disk` always, ranges and sets one text.
//!
//! Source: Mesos, the JSON of its HTTP endpoints, `src/common/http.cpp`.

use std::collections::BTreeMap;
use std::fmt::Write;

use lonja_master_core::snapshot::AgentView;
use lonja_model::Timestamp;
use lonja_model::agent::Domain;
use lonja_model::attributes::{AttributeValue, Attributes};
use lonja_model::labels::Labels;
use lonja_model::resources::{Quantities, Ranges, Resource, Resources, Scalar, Set, Value};
use lonja_proto::convert::agent::agent_capabilities_to_wire;
use lonja_proto::convert::ids::{pid, time_to_seconds};
use lonja_proto::convert::maintenance::duty_to_wire;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// The scalars that are always there.
const ALWAYS: [&str; 4] = ["cpus", "gpus", "mem", "disk"];

/// Resources by name, all kinds of one name together; what may be taken back stands apart.
pub(super) struct Amounts<'a>(Vec<(&'a str, bool, Sum)>);

/// All of one name.
enum Sum {
    Scalar(Scalar),
    Ranges(Ranges),
    Set(Set),
}

impl<'a> Amounts<'a> {
    pub(super) fn of(resources: &'a Resources) -> Self {
        Self::sum(resources.iter())
    }

    fn sum(resources: impl Iterator<Item = &'a Resource>) -> Self {
        let mut sums = Self(Vec::with_capacity(8));
        for resource in resources {
            sums.add(resource);
        }
        sums
    }

    /// The sums of all reservations of each role.
    pub(super) fn reserved(resources: &'a Resources) -> BTreeMap<&'a str, Self> {
        let mut roles: BTreeMap<&str, Self> = BTreeMap::new();
        for resource in resources.iter() {
            if let Some(role) = resource.reserved_for() {
                roles.entry(role.as_str()).or_insert_with(|| Self(Vec::new())).add(resource);
            }
        }
        roles
    }

    /// The sum of what is nobody's.
    pub(super) fn unreserved(resources: &'a Resources) -> Self {
        Self::sum(resources.iter().filter(|resource| resource.reserved_for().is_none()))
    }

    fn add(&mut self, resource: &'a Resource) {
        let amount = match resource.value() {
            Value::Scalar(amount) => Sum::Scalar(*amount),
            Value::Devices(devices) => {
                Sum::Scalar(Scalar::from_thousandths(devices.total()).unwrap_or(Scalar::MAX))
            }
            Value::Ranges(ranges) => Sum::Ranges(ranges.clone()),
            Value::Set(set) => Sum::Set(set.clone()),
        };
        let (name, revocable) = (resource.name(), resource.metadata().revocable);
        match self.0.iter_mut().find(|(known, apart, _)| *known == name && *apart == revocable) {
            Some((.., sum)) => sum.add(amount),
            None => self.0.push((name, revocable, amount)),
        }
    }
}

impl<'a> From<&'a Quantities> for Amounts<'a> {
    fn from(quantities: &'a Quantities) -> Self {
        Self(quantities.iter().map(|(name, amount)| (name, false, Sum::Scalar(amount))).collect())
    }
}

impl Sum {
    /// What was reserved for different roles is disjoint; where it is not, what was there first stands.
    fn add(&mut self, other: Self) {
        match (self, other) {
            (Self::Scalar(one), Self::Scalar(other)) => {
                *one = one.checked_add(other).unwrap_or(Scalar::MAX);
            }
            (Self::Ranges(one), Self::Ranges(other)) => {
                if let Ok(union) = one.disjoint_union(&other) {
                    *one = union;
                }
            }
            (Self::Set(one), Self::Set(other)) => {
                if let Ok(union) = one.disjoint_union(&other) {
                    *one = union;
                }
            }
            (Self::Scalar(_) | Self::Ranges(_) | Self::Set(_), _) => {}
        }
    }
}

impl Serialize for Amounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for name in ALWAYS {
            if !self.0.iter().any(|(known, revocable, _)| *known == name && !revocable) {
                map.serialize_entry(name, &0.0)?;
            }
        }
        for (name, revocable, sum) in &self.0 {
            if *revocable {
                map.serialize_entry(&format!("{name}_revocable"), sum)?;
            } else {
                map.serialize_entry(name, sum)?;
            }
        }
        map.end()
    }
}

impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Scalar(amount) => serializer.serialize_f64(amount.to_f64()),
            Self::Ranges(ranges) => serializer.serialize_str(&ranges_text(ranges)),
            Self::Set(set) => {
                let items: Vec<&str> = set.iter().collect();
                serializer.serialize_str(&format!("{{{}}}", items.join(", ")))
            }
        }
    }
}

/// `[31000-32000, 40000-40001]`.
fn ranges_text(ranges: &Ranges) -> String {
    let mut text = String::from("[");
    for (index, (begin, end)) in ranges.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(text, "{comma}{begin}-{end}").expect("a text takes all");
    }
    text.push(']');
    text
}

/// An agent's attributes: the first of each name.
pub(super) struct AttributeMap<'a>(pub(super) &'a Attributes);

impl Serialize for AttributeMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (index, (name, value)) in self.0.0.iter().enumerate() {
            if self.0.0.iter().take(index).any(|(earlier, _)| earlier == name) {
                continue;
            }
            match value {
                AttributeValue::Scalar(scalar) => map.serialize_entry(name, &scalar.to_f64())?,
                AttributeValue::Ranges(ranges) => map.serialize_entry(name, &ranges_text(ranges))?,
                AttributeValue::Text(text) => map.serialize_entry(name, text)?,
            }
        }
        map.end()
    }
}

/// Labels as a list of `key` and `value`.
pub(super) struct LabelList<'a>(pub(super) &'a Labels);

impl LabelList<'_> {
    /// There are none: then Mesos leaves the field out.
    pub(super) fn some(labels: &Labels) -> Option<LabelList<'_>> {
        (!labels.0.is_empty()).then_some(LabelList(labels))
    }
}

#[derive(Serialize)]
struct Label<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
}

impl Serialize for LabelList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.0.len()))?;
        for (key, value) in &self.0.0 {
            list.serialize_element(&Label { key, value: value.as_deref() })?;
        }
        list.end()
    }
}

/// Where something is.
#[derive(Serialize)]
pub(super) struct Place<'a> {
    fault_domain: FaultDomain<'a>,
}

#[derive(Serialize)]
struct FaultDomain<'a> {
    region: Named<'a>,
    zone: Named<'a>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn of(domain: &'a Domain) -> Self {
        let (region, zone) = (Named { name: &domain.region }, Named { name: &domain.zone });
        Self { fault_domain: FaultDomain { region, zone } }
    }
}

/// Seconds since the epoch; 0 for what has not happened.
pub(super) fn seconds(time: Option<Timestamp>) -> f64 {
    time.map_or(0.0, time_to_seconds)
}

/// An agent in any listing.
#[derive(Serialize)]
pub(super) struct Agent<'a> {
    id: &'a str,
    hostname: &'a str,
    port: u16,
    attributes: AttributeMap<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<Place<'a>>,
    pid: String,
    registered_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reregistered_time: Option<f64>,
    resources: Amounts<'a>,
    used_resources: Amounts<'a>,
    offered_resources: Amounts<'a>,
    reserved_resources: BTreeMap<&'a str, Amounts<'a>>,
    unreserved_resources: Amounts<'a>,
    active: bool,
    deactivated: bool,
    version: &'a str,
    capabilities: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_info: Option<DrainInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_drain_start_time_seconds: Option<f64>,
}

#[derive(Serialize)]
struct DrainInfo {
    state: &'static str,
    config: DrainConfig,
}

#[derive(Serialize)]
struct DrainConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_grace_period: Option<Nanoseconds>,
    mark_gone: bool,
}

#[derive(Serialize)]
struct Nanoseconds {
    nanoseconds: i64,
}

impl<'a> Agent<'a> {
    pub(super) fn of(view: &'a AgentView) -> Self {
        let total = total(view);
        let (deactivated, drain) = duty_to_wire(&view.duty);
        let drain_info = drain.map(|drain| DrainInfo {
            state: drain.state().as_str_name(),
            config: DrainConfig {
                max_grace_period: drain
                    .config
                    .max_grace_period
                    .as_ref()
                    .map(|grace| Nanoseconds { nanoseconds: grace.nanoseconds }),
                mark_gone: drain.config.mark_gone(),
            },
        });
        let capabilities = agent_capabilities_to_wire(&view.capabilities);
        Self {
            id: view.id.as_str(),
            hostname: &view.info.hostname,
            port: view.info.port,
            attributes: AttributeMap(&view.info.attributes),
            domain: view.info.domain.as_ref().map(Place::of),
            pid: pid("slave(1)", &view.info.hostname, view.info.port),
            registered_time: seconds(view.registered),
            reregistered_time: view.reregistered.map(time_to_seconds),
            resources: Amounts::of(total),
            used_resources: Amounts::of(&view.allocated),
            offered_resources: Amounts::of(&view.offered),
            reserved_resources: Amounts::reserved(total),
            unreserved_resources: Amounts::unreserved(total),
            active: is_active(view),
            deactivated,
            version: &view.version,
            capabilities: capabilities.iter().map(|one| one.r#type().as_str_name()).collect(),
            drain_info,
            estimated_drain_start_time_seconds: view.drain_started.map(time_to_seconds),
        }
    }
}

/// All that an agent has; of one that is not part of the cluster what it said last.
pub(super) fn total(view: &AgentView) -> &Resources {
    if view.total.is_empty() { &view.info.resources } else { &view.total }
}

/// Is it offered?
pub(super) fn is_active(view: &AgentView) -> bool {
    view.is_connected() && view.duty.is_active()
}
