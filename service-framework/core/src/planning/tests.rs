//! What a change becomes, rule by rule, and that plans hold what they promise whatever is asked for.

mod properties;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lonja_model::resources::Scalar;

use super::{PlainTree, Tree, plan};
use crate::command::{Change, ChangeOptions, Refused};
use crate::config::Config;
use crate::definition::{App, PortDefinition, RunSpec, Version, VersionInfo};
use crate::deployment::DeploymentPlan;
use crate::groups::Group;
use crate::path_id::PathId;

pub(crate) fn id(text: &str) -> PathId {
    PathId::absolute(text).unwrap()
}

/// An app of one instance that sleeps.
pub(crate) fn app(name: &str) -> App {
    App {
        cmd: Some("sleep 1000".into()),
        cpus: milli(1_000),
        mem: milli(128_000),
        role: String::new(),
        ..App::new(id(name))
    }
}

/// One with a number of service ports to be given.
fn with_ports(name: &str, ports: &[u16]) -> App {
    let one = |port: &u16| PortDefinition { port: *port, ..PortDefinition::default() };
    App { port_definitions: Some(ports.iter().map(one).collect()), ..app(name) }
}

fn after(name: &str, dependencies: &[&str]) -> App {
    App { dependencies: dependencies.iter().map(|name| id(name)).collect(), ..app(name) }
}

fn put(apps: impl IntoIterator<Item = App>) -> Change {
    let specs = apps.into_iter().map(|app| (app.id.clone(), Some(RunSpec::App(Arc::new(app)))));
    Change { specs: specs.collect(), ..Change::default() }
}

fn remove(name: &str) -> Change {
    Change { specs: BTreeMap::from([(id(name), None)]), ..Change::default() }
}

fn group(name: &str, dependencies: &[&str]) -> (PathId, Option<Group>) {
    let dependencies = dependencies.iter().map(|name| id(name)).collect();
    (id(name), Some(Group { dependencies, ..Group::new(id(name), Version::default()) }))
}

/// A tree, changed by one plan after the other.
#[derive(Default)]
struct World {
    tree: PlainTree,
    clock: u64,
    config: Config,
    options: ChangeOptions,
}

impl World {
    fn with(apps: impl IntoIterator<Item = App>) -> Self {
        let mut world = Self::default();
        world.change(put(apps));
        world
    }

    fn plan(&self, change: Change) -> Result<DeploymentPlan, Refused> {
        plan(change, &self.tree, Version(self.clock + 1), &self.config, &self.options)
    }

    fn change(&mut self, change: Change) -> DeploymentPlan {
        let plan = self.plan(change).unwrap();
        self.clock += 1;
        self.tree.follow(&plan);
        plan
    }

    /// The paths and words of what is wrong with a change.
    fn faults(&self, change: Change) -> Vec<String> {
        match self.plan(change) {
            Err(Refused::Invalid(faults)) => {
                faults.into_iter().map(|fault| format!("{}: {}", fault.path, fault.message)).collect()
            }
            other => panic!("not refused as invalid: {other:?}"),
        }
    }

    fn app(&self, name: &str) -> App {
        match self.tree.spec(&id(name)) {
            Some(RunSpec::App(app)) => App::clone(app),
            other => panic!("{name} is no app: {other:?}"),
        }
    }

    fn ports(&self, name: &str) -> Vec<u16> {
        self.app(name).service_ports()
    }
}

/// The steps in words: `Start /a | Scale /a, Restart /b`.
fn steps(plan: &DeploymentPlan) -> String {
    let step = |step: &crate::deployment::Step| {
        let actions = step.actions.iter().map(|(id, action)| format!("{action:?} {id}"));
        actions.collect::<Vec<_>>().join(", ")
    };
    plan.steps.iter().map(step).collect::<Vec<_>>().join(" | ")
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn milli(thousandths: u64) -> Scalar {
    Scalar::from_thousandths(thousandths).unwrap()
}
