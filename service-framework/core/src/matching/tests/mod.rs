//! A small language for cases: offers from text, apps from a closure, and one call to put an instance.

mod affinities;
mod constraints;
mod launching;
mod pods;
mod properties;
mod reasons;
mod residents;

use std::collections::BTreeMap;
use std::sync::Arc;

use lonja_model::attributes::Attributes;
use lonja_model::{AgentId, FrameworkId, Offer, OfferId, Resources, Role, Timestamp};
use lonja_sdk_core::Step;

use super::{Hand, Matched, Want};
use crate::config::Config;
use crate::definition::{
    App, Backoff, Constraint, KillSelection, Operator, Persistent, PersistentKind, Pod, Preference, Rollout,
    RunSpec, UnreachableStrategy, UpgradeStrategy, VersionInfo,
};
use crate::definition::{ExecutorResources, Version};
use crate::instance::{InstanceId, Place};
use crate::path_id::PathId;
use crate::waiting::ProcessedOffers;
use lonja_model::resources::Scalar;

pub(super) fn now() -> Timestamp {
    Timestamp::from_nanos(1_443_604_157_614_000_000)
}

pub(super) fn units(amount: u64) -> Scalar {
    Scalar::from_units(amount).unwrap()
}

/// The offer of agent `name`, on host `name.example`.
pub(super) fn offer(name: &str, resources: &str, attributes: &str) -> Offer {
    Offer {
        id: OfferId::new(format!("offer-{name}")).unwrap(),
        framework: framework(),
        agent: AgentId::new(name).unwrap(),
        role: Role::default_role(),
        hostname: format!("{name}.example"),
        port: 5051,
        resources: Resources::parse(resources).unwrap(),
        attributes: Attributes::parse(attributes).unwrap(),
        domain: None,
        executors: Vec::new(),
        unavailability: None,
    }
}

pub(super) fn framework() -> FrameworkId {
    FrameworkId::new("services").unwrap()
}

/// `/prod/web`: 1 CPU, 128 MiB, one line, no ports.
pub(super) fn app(change: impl FnOnce(&mut App)) -> RunSpec {
    let version = Version(1_443_604_157_614);
    let mut app = App {
        cmd: Some("serve".to_owned()),
        cpus: units(1),
        mem: units(128),
        version: VersionInfo { version, last_scaling: version, last_config: version },
        ..App::new(PathId::absolute("/prod/web").unwrap())
    };
    change(&mut app);
    RunSpec::App(Arc::new(app))
}

pub(super) fn pod(change: impl FnOnce(&mut Pod)) -> RunSpec {
    let version = Version(1_443_604_157_614);
    let mut pod = Pod {
        id: PathId::absolute("/prod/shop").unwrap(),
        labels: BTreeMap::new(),
        environment: BTreeMap::new(),
        user: None,
        containers: Vec::new(),
        volumes: Vec::new(),
        networks: Vec::new(),
        instances: 1,
        backoff: Backoff::default(),
        upgrade: UpgradeStrategy::default(),
        constraints: Vec::new(),
        accepted_resource_roles: None,
        kill_selection: KillSelection::default(),
        unreachable: UnreachableStrategy::default(),
        executor_resources: ExecutorResources {
            cpus: Scalar::from_thousandths(100).unwrap(),
            mem: units(32),
            disk: units(10),
        },
        role: "*".to_owned(),
        secrets: BTreeMap::new(),
        linux_info: None,
        legacy_shared_cgroups: None,
        preference: Preference::default(),
        rollout: Rollout::default(),
        version: VersionInfo { version, last_scaling: version, last_config: version },
    };
    change(&mut pod);
    RunSpec::Pod(Arc::new(pod))
}

pub(super) fn constraint(field: &str, operator: Operator) -> Constraint {
    Constraint { field: field.to_owned(), operator }
}

pub(super) fn constrained(field: &str, operator: Operator) -> RunSpec {
    app(|app| app.constraints = vec![constraint(field, operator)])
}

pub(super) fn persistent(size: u64) -> Persistent {
    let kind = PersistentKind::Root;
    Persistent { kind, size: units(size), max_size: None, profile: None, constraints: Vec::new() }
}

/// Where an instance is, by its host and what is written down of the agent.
pub(super) fn place(agent: &str, values: &[(&str, &str)]) -> Place {
    Place {
        agent: AgentId::new(agent).unwrap(),
        hostname: format!("{agent}.example"),
        agent_port: 5051,
        region: None,
        zone: None,
        values: values.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect(),
        ports: Vec::new(),
        volumes: Vec::new(),
    }
}

/// What is to be done with offers in the end.
pub(super) type Used = Vec<(Vec<Offer>, Vec<Step>)>;

/// What is put to a hand.
pub(super) struct Case<'a> {
    pub(super) spec: &'a RunSpec,
    pub(super) siblings: Vec<Place>,
    pub(super) home: Option<Place>,
    pub(super) target: u32,
    pub(super) neighbours: Vec<Place>,
    pub(super) config: Config,
    pub(super) number: u32,
}

impl<'a> Case<'a> {
    pub(super) fn new(spec: &'a RunSpec) -> Self {
        let (siblings, neighbours) = (Vec::new(), Vec::new());
        Self {
            spec,
            siblings,
            home: None,
            target: spec.instances(),
            neighbours,
            config: Config::default(),
            number: 1,
        }
    }

    pub(super) fn put(&self, hand: &mut Hand, notes: &mut ProcessedOffers) -> Option<Matched> {
        let siblings: Vec<&Place> = self.siblings.iter().collect();
        let neighbours = |_: &PathId| self.neighbours.iter().collect();
        let instance = InstanceId::new(self.spec.id(), u128::from(self.number));
        let want = Want {
            spec: self.spec,
            instance: &instance,
            incarnation: 1,
            home: self.home.as_ref(),
            siblings: &siblings,
            target: self.target,
            neighbours: &neighbours,
            config: &self.config,
            framework: &framework(),
            draw: u64::from(self.number),
        };
        hand.place(&want, notes)
    }

    /// One instance on these offers.
    pub(super) fn on(&self, offers: &[Offer]) -> (Option<Matched>, ProcessedOffers, Used) {
        let mut notes = ProcessedOffers::default();
        let mut hand = Hand::new(offers, now());
        let matched = self.put(&mut hand, &mut notes);
        (matched, notes, hand.used())
    }

    /// The agent that one instance goes to, or why it goes nowhere, by the last offer.
    pub(super) fn agent(&self, offers: &[Offer]) -> Result<String, String> {
        let (matched, notes, _) = self.on(offers);
        match matched {
            Some(matched) => Ok(matched.place.agent.to_string()),
            None => {
                let last = notes.last_unused.values().next_back().map(|unused| &unused.rejection);
                Err(last.map_or(String::new(), |one| format!("{}: {}", one.reason.name(), one.detail)))
            }
        }
    }
}

/// The only task of the only launch.
pub(super) fn only_task(used: &[(Vec<Offer>, Vec<Step>)]) -> lonja_model::TaskInfo {
    let tasks: Vec<_> = used.iter().flat_map(|(_, steps)| steps).flat_map(Step::tasks).collect();
    assert_eq!(tasks.len(), 1, "{used:?}");
    tasks[0].clone()
}
