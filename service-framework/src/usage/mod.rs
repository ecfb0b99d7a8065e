//! Measures what apps with an autoscaling rule use, and tells the services.
//!
//! CPU and memory come from the agents' `/monitor/statistics`, as fractions of what the measured instances asked for together;
//! other measures from a Prometheus server. What cannot be measured is not told: a missing number must scale nothing.
//!
//! Invariants
//! - One round at a time; each answer is bounded in size and time.
//! - CPU is measured between two rounds, for those instances alone that were there at both.
//!
//! Source: Mesos's `/monitor/statistics`; Prometheus's HTTP interface, instant queries; `docs/service-discovery.md`.

mod agents;
mod prometheus;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lonja_services_core::definition::{Measure, RunSpec};
use lonja_services_core::instance::Condition;
use lonja_services_core::{Command, PathId, Services};

use crate::discovery::Counters;
use agents::{Agent, Sample, Samples};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Servers asked at once.
const AT_ONCE: usize = 32;

/// What is to be measured of one app.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scaled {
    app: PathId,
    measure: Measure,
    tasks: Vec<Measured>,
}

/// One running task of an app.
#[derive(Clone, Debug, PartialEq)]
struct Measured {
    task: String,
    agent: Agent,
    cpus: f64,
    memory_bytes: f64,
}

/// The apps with an autoscaling rule and their running tasks. O(instances of those apps).
pub(crate) fn scaled(services: &Services) -> Vec<Scaled> {
    let with_rule = services.services().values().filter_map(|service| match service.spec() {
        RunSpec::App(app) if !service.is_removed() => Some((service, app, app.autoscale.as_ref()?)),
        RunSpec::App(_) | RunSpec::Pod(_) => None,
    });
    let all = with_rule.map(|(service, app, rule)| {
        let running = service.instances().values().filter(|one| one.condition == Condition::Running);
        let tasks = running.filter_map(|instance| {
            let (RunSpec::App(own), Some(place)) = (&instance.spec, &instance.place) else { return None };
            Some(Measured {
                task: instance.tasks.first()?.id.as_str().to_owned(),
                agent: Agent { host: place.hostname.clone(), port: place.agent_port },
                cpus: own.cpus.to_f64(),
                memory_bytes: own.mem.to_f64() * 1024.0 * 1024.0,
            })
        });
        Scaled { app: app.id.clone(), measure: rule.measure.clone(), tasks: tasks.collect() }
    });
    all.collect()
}

/// Measures, and remembers what it needs for the next round.
#[derive(Debug)]
pub(crate) struct Sampler {
    before: Samples,
    counters: Arc<Counters>,
}

impl Sampler {
    /// One that has measured nothing yet.
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { before: Samples::new(), counters }
    }

    /// One round: what the services are to be told. Ends within the time for one answer, times the number of servers over 32.
    pub(crate) async fn round(&mut self, apps: &[Scaled]) -> Vec<Command> {
        let by_agents = apps.iter().filter(|app| matches!(app.measure, Measure::Cpu | Measure::Memory));
        let mut wanted: BTreeMap<Agent, Vec<String>> = BTreeMap::new();
        for one in by_agents.flat_map(|app| &app.tasks) {
            wanted.entry(one.agent.clone()).or_default().push(one.task.clone());
        }
        let mut asked = Vec::new();
        for (agent, tasks) in wanted {
            asked.push(async move {
                tokio::time::timeout(PATIENCE, agents::ask(&agent, &tasks)).await.ok().flatten()
            });
        }
        let mut now = Samples::new();
        let mut answers = futures::stream::iter(asked).buffer_unordered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            match answer {
                Some(samples) => now.extend(samples),
                None => self.counters.usage_failed.add(1),
            }
        }
        drop(answers);
        let mut queries = Vec::new();
        for app in apps {
            queries.push(self.value(app, &now));
        }
        let values: Vec<Option<f64>> = futures::stream::iter(queries).buffered(AT_ONCE).collect().await;
        self.before = now;
        let told = apps.iter().zip(values);
        let commands: Vec<Command> = told
            .filter_map(|(app, value)| {
                Some(Command::Usage { app: app.app.clone(), value: value.filter(|value| value.is_finite())? })
            })
            .collect();
        self.counters.usage_samples.add(commands.len() as u64);
        commands
    }

    async fn value(&self, app: &Scaled, now: &Samples) -> Option<f64> {
        match &app.measure {
            Measure::Cpu => fraction(app, |one| {
                let (before, after) = (self.before.get(&one.task)?, now.get(&one.task)?);
                Some((before.cpus_until(after)?, one.cpus))
            }),
            Measure::Memory => {
                fraction(app, |one| Some((now.get(&one.task).and_then(Sample::memory)?, one.memory_bytes)))
            }
            Measure::Prometheus { server, query } => {
                match tokio::time::timeout(PATIENCE, prometheus::ask(server, query)).await {
                    Ok(Ok(value)) => Some(value),
                    Ok(Err(reason)) => {
                        self.counters.usage_failed.add(1);
                        tracing::warn!(app = %app.app, %reason, "an autoscaling query has no answer");
                        None
                    }
                    Err(_) => {
                        self.counters.usage_failed.add(1);
                        tracing::warn!(app = %app.app, "an autoscaling query is not answered in time");
                        None
                    }
                }
            }
        }
    }
}

/// What is used of what was asked for, over those tasks of which both are known; none: of no task.
fn fraction(app: &Scaled, of: impl Fn(&Measured) -> Option<(f64, f64)>) -> Option<f64> {
    let known: Vec<(f64, f64)> = app.tasks.iter().filter_map(of).collect();
    let used: f64 = known.iter().map(|(used, _)| used).sum();
    let asked: f64 = known.iter().map(|(_, asked)| asked).sum();
    (asked > 0.0).then(|| used / asked)
}

#[cfg(test)]
mod tests;
