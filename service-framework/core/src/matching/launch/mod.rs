//! What is launched: the task of an app, the group of a pod.
//!
//! All tasks have the host's network, so a program listens on the port that it finds in its environment, also where the
//! definition maps another one inside; checks by the agent look there as well.
//!
//! Source: Marathon's TaskInfo of apps and task groups of pods.

mod app;
mod checks;
mod env;
mod files;
mod pod;
mod time;

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::container::{Command, ContainerInfo, WindowSize};
use lonja_model::files::Secret;
use lonja_model::labels::Labels;
use lonja_model::task::{Discovery, DiscoveryPort, Limit, Visibility};
use lonja_model::{Resources, TaskId, TaskInfo};
use lonja_sdk_core::Step;

use super::Want;
use super::needs::Needs;
use super::taking::Taken;
use crate::definition::{EnvValue, Protocol, ResourceLimit, ResourceLimits, RunSpec};
use crate::draws::Draws;
use crate::instance::Place;
use crate::path_id::PathId;

/// Ports of containers that have no port of the agent are drawn from here on.
const FIRST_DRAWN: u16 = 1_025;

/// One launch to come.
pub(super) struct Launch<'a, 'w> {
    pub(super) want: &'a Want<'w>,
    pub(super) needs: &'a Needs,
    pub(super) place: &'a Place,
    pub(super) taken: &'a Taken,
    pub(super) enforces_role: bool,
}

/// The step, and its tasks with the containers they are of.
pub(super) type Launched = (Step, Vec<(TaskId, Option<String>)>);

/// One port of the definition, as its task sees it.
#[derive(Clone, Debug)]
pub(super) struct Port {
    /// The number that the definition names; 0: none.
    pub(super) requested: u16,
    /// The number that its program uses.
    pub(super) number: u16,
    /// It is one of the agent's.
    pub(super) on_agent: bool,
    /// It was drawn, because nobody named one.
    pub(super) drawn: bool,
    pub(super) name: Option<String>,
    pub(super) protocols: Vec<&'static str>,
}

impl Launch<'_, '_> {
    /// What is launched. Errors: the definition cannot be launched, in words.
    pub(super) fn step(&self, draws: &mut Draws) -> Result<Launched, String> {
        match self.want.spec {
            RunSpec::App(app) => self.app(app, draws),
            RunSpec::Pod(pod) => self.pod(pod, draws),
        }
    }

    fn task_id(&self, container: Option<&str>) -> Result<TaskId, String> {
        let id = self.want.instance.task(container, self.want.incarnation);
        id.ok_or_else(|| "the names of app and container are too long for the id of a task".to_owned())
    }

    /// A task of this app or pod that does nothing yet.
    fn task(&self, id: &TaskId, name: String, resources: Resources) -> TaskInfo {
        TaskInfo {
            name,
            id: id.clone(),
            agent: self.place.agent.clone(),
            resources,
            limits: BTreeMap::new(),
            command: Command::none(),
            container: ContainerInfo::default(),
            kill_grace: None,
            max_completion_time: None,
            labels: Labels::default(),
            discovery: None,
            executor: None,
            data: Vec::new(),
            health_check: None,
            check: None,
        }
    }
}

/// Ports in the order of the definition; `inside` says what its container listens on, if that is said.
fn ports<'a>(
    chosen: &[Option<u16>],
    defined: impl Iterator<Item = (u16, Option<u16>, Option<&'a str>, Vec<&'static str>)>,
    draws: &mut Draws,
) -> Vec<Port> {
    let mut used: BTreeSet<u16> = chosen.iter().flatten().copied().collect();
    let mut ports = Vec::with_capacity(chosen.len());
    for (host, (requested, inside, name, protocols)) in chosen.iter().zip(defined) {
        let declared = host.or(inside.filter(|port| *port > 0));
        let number = declared.unwrap_or_else(|| drawn(&used, draws));
        used.insert(number);
        ports.push(Port {
            requested,
            number,
            on_agent: host.is_some(),
            drawn: declared.is_none(),
            name: name.map(str::to_owned),
            protocols,
        });
    }
    ports
}

/// A port that is none of these.
fn drawn(used: &BTreeSet<u16>, draws: &mut Draws) -> u16 {
    let span = u16::MAX - FIRST_DRAWN;
    let start = u16::try_from(draws.below(u64::from(span) + 1)).unwrap_or(0);
    let mut all = (0..=span).map(|step| {
        FIRST_DRAWN + u16::try_from((u32::from(start) + u32::from(step)) % (u32::from(span) + 1)).unwrap_or(0)
    });
    all.find(|port| !used.contains(port)).unwrap_or(FIRST_DRAWN)
}

fn protocols(protocol: Protocol) -> Vec<&'static str> {
    match protocol {
        Protocol::Tcp => vec!["tcp"],
        Protocol::Udp => vec!["udp"],
        Protocol::Both => vec!["udp", "tcp"],
    }
}

/// What the task says to those who look services up.
fn discovery<'a>(id: &PathId, ports: impl Iterator<Item = &'a Port>) -> Discovery {
    let entry = |port: &'a Port| {
        let one = |protocol: &str| DiscoveryPort {
            number: u32::from(port.number),
            name: port.name.clone(),
            protocol: Some(protocol.to_owned()),
        };
        port.protocols.iter().map(|protocol| one(protocol)).collect::<Vec<_>>()
    };
    Discovery {
        visibility: Visibility::Framework,
        name: Some(id.reversed()),
        ports: ports.flat_map(entry).collect(),
        ..Discovery::default()
    }
}

fn labels<'a>(all: impl Iterator<Item = (&'a String, &'a String)>) -> Labels {
    Labels(all.map(|(key, value)| (key.clone(), Some(value.clone()))).collect())
}

fn limits(limits: Option<&ResourceLimits>) -> BTreeMap<String, Limit> {
    let limit = |limit: ResourceLimit| match limit {
        ResourceLimit::Amount(amount) => Limit::Amount(amount),
        ResourceLimit::Unlimited => Limit::Infinite,
    };
    let named = limits.into_iter().flat_map(|limits| [("cpus", limits.cpus), ("mem", limits.mem)]);
    named.filter_map(|(name, one)| Some((name.to_owned(), limit(one?)))).collect()
}

fn tty(tty: Option<bool>) -> Option<WindowSize> {
    tty.filter(|tty| *tty).map(|_| WindowSize::default())
}

/// The agent's own store of secrets has it.
fn secret(name: &str, sources: &BTreeMap<String, String>) -> Result<Secret, String> {
    let source =
        sources.get(name).ok_or_else(|| format!("there is no secret {name:?}; name it in secrets"))?;
    Ok(Secret::Reference { name: source.clone(), key: None })
}

/// Sets variables, each over one of the same name that is there.
fn set_all<'a>(
    command: &mut Command,
    variables: impl Iterator<Item = (&'a String, &'a EnvValue)>,
    sources: &BTreeMap<String, String>,
) -> Result<(), String> {
    for (name, value) in variables {
        command.environment.remove(name);
        command.secrets.remove(name);
        match value {
            EnvValue::Text(text) => {
                command.environment.insert(name.clone(), text.clone());
            }
            EnvValue::Secret(of) => {
                command.secrets.insert(name.clone(), secret(of, sources)?);
            }
        }
    }
    Ok(())
}
