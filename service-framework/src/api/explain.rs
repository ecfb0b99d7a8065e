//! `/v2/apps/{id}/explain`: why an app or pod is not as it is wanted, or a job's runs wait, in words. Lonja's own.

use std::collections::BTreeMap;

use lonja_model::Timestamp;
use lonja_services_core::definition::RunSpec;
use lonja_services_core::deployment::Deployment;
use lonja_services_core::instance::{Condition, Instance};
use lonja_services_core::job::{JobRun, RunState};
use lonja_services_core::jobs::{LeftOut, Runs};
use lonja_services_core::kept::Failure;
use lonja_services_core::validate::{self, Fault};
use lonja_services_core::waiting::{Reason, UnusedOffer, Waiting};
use lonja_services_core::{Counts, PathId, Service, Services};
use serde_json::{Value, json};

use super::problem::Problem;
use super::queue_json::{self, SeenOffers};
use super::reply::{self, Outcome};
use super::tasks::only_get;
use super::{Api, Ask, deployments_json};
use crate::wire;

/// The last offers that are shown.
const MAX_OFFERS: usize = 10;

/// What is taken of an app, pod or job at a look.
struct Seen {
    id: PathId,
    kind: &'static str,
    spec: RunSpec,
    wanted: u32,
    counts: Counts,
    conditions: BTreeMap<&'static str, u32>,
    unhealthy: Vec<(String, String)>,
    waiting: Option<Waiting>,
    offers: SeenOffers,
    failure: Option<Failure>,
    deployment: Option<Deployment>,
    /// Of a job: why it runs less than it might, a sentence each.
    notes: Vec<String>,
    warnings: Vec<Fault>,
    now: Timestamp,
}

/// Answers for one app, pod or job.
pub(super) async fn answer(api: &Api, id: &PathId, ask: &Ask) -> Outcome {
    only_get(ask)?;
    let wanted = id.clone();
    let seen = api.door.look(move |services, now| {
        let job = services.jobs().get(&wanted);
        let service = services.services().get(&wanted).or_else(|| services.runs().get(&wanted))?;
        let mut conditions: BTreeMap<&'static str, u32> = BTreeMap::new();
        for instance in service.instances().values() {
            *conditions.entry(instance.condition.name()).or_default() += 1;
        }
        Some(Seen {
            kind: match service.spec() {
                _ if job.is_some() => "job",
                RunSpec::App(_) => "app",
                RunSpec::Pod(_) => "pod",
            },
            spec: service.spec().clone(),
            wanted: match job {
                _ if service.is_removed() => 0,
                Some((_, runs)) => u32::try_from(under_way(runs).count()).unwrap_or(u32::MAX),
                None => service.spec().instances(),
            },
            counts: service.counts(),
            conditions,
            unhealthy: service.instances().values().filter_map(unhealthy).take(MAX_OFFERS).collect(),
            waiting: service.waiting().cloned(),
            offers: SeenOffers::of(service, true),
            failure: service.last_failure().cloned(),
            deployment: service.deployment().and_then(|id| services.deployments().get(id)).cloned(),
            notes: job
                .map(|(_, runs)| notes(runs, service, services.left_out(&wanted), now))
                .unwrap_or_default(),
            warnings: warnings(services, service.spec()),
            id: wanted,
            now,
        })
    });
    let seen = seen.await?.ok_or_else(|| Problem::unknown("App", id))?;
    Ok(reply::ok(&seen.json()))
}

fn under_way(runs: &Runs) -> impl Iterator<Item = &JobRun> {
    runs.values().filter(|run| matches!(run.state, RunState::Waiting | RunState::Running))
}

/// Of a job: why it runs less than it might.
fn notes(runs: &Runs, service: &Service, left_out: Option<&LeftOut>, now: Timestamp) -> Vec<String> {
    let is_later = |run: &&JobRun| run.retry_at.is_some_and(|at| at > now);
    let retried = under_way(runs).filter(is_later).filter_map(|run| {
        let at = wire::time(run.retry_at?);
        Some(format!("run {} has failed and is tried again at {at}", run.id))
    });
    let mut notes: Vec<String> = retried.take(MAX_OFFERS).collect();
    let waiting = under_way(runs).filter(|run| run.state == RunState::Waiting && !is_later(run)).count();
    let for_offers = service.waiting().map_or(0, |waiting| waiting.count);
    if waiting > usize::try_from(for_offers).unwrap_or(usize::MAX) {
        notes.push("a run waits for the end of another: no two have a task at the same time".to_owned());
    }
    notes.extend(left_out.map(|it| format!("nothing was run for {}: {}", wire::time(it.due), it.reason)));
    notes
}

/// What of a definition is taken without the effect that one may think it has.
pub(super) fn warnings(services: &Services, spec: &RunSpec) -> Vec<Fault> {
    let exists = |id: &PathId| services.service(id).is_some() || services.groups().contains_key(id);
    validate::warnings(spec, exists)
}

/// An instance that a check has called unhealthy, and why.
fn unhealthy(instance: &Instance) -> Option<(String, String)> {
    if instance.condition != Condition::Running || instance.healthy() != Some(false) {
        return None;
    }
    let own = instance.health.iter().filter(|state| state.alive() == Some(false));
    let cause = own.filter_map(|state| state.last_failure_cause.clone()).next();
    let message = instance.tasks.iter().find_map(|task| task.message.clone());
    let cause = cause.or(message).unwrap_or_else(|| "its health check failed".to_owned());
    Some((instance.id.to_string(), cause))
}

impl Seen {
    fn json(&self) -> Value {
        let reasons: Vec<Value> = self
            .by_frequency()
            .into_iter()
            .map(
                |(reason, count)| json!({ "reason": reason.name(), "offers": count, "words": words(reason) }),
            )
            .collect();
        let mut unused: Vec<&UnusedOffer> = self.offers.unused.iter().collect();
        unused.sort_by_key(|unused| std::cmp::Reverse(unused.at));
        let last: Vec<Value> = unused
            .into_iter()
            .take(MAX_OFFERS)
            .map(|unused| {
                json!({
                    "agentId": unused.offer.agent.as_str(),
                    "hostname": unused.offer.hostname,
                    "resources": unused.offer.resources.to_string(),
                    "reason": unused.rejection.reason.name(),
                    "detail": unused.rejection.detail,
                    "timestamp": wire::time(unused.at),
                })
            })
            .collect();
        let unhealthy = self.unhealthy.iter().map(|(id, why)| json!({ "instanceId": id, "why": why }));
        let warning = |one: &Fault| json!({ "path": one.path, "message": one.message });
        let warnings = self.warnings.iter().map(warning);
        json!({
            "id": self.id.as_str(),
            "kind": self.kind,
            "instances": self.wanted,
            "running": self.counts.running,
            "healthy": self.counts.healthy,
            "unhealthy": unhealthy.collect::<Vec<_>>(),
            "conditions": self.conditions,
            "waiting": self.waiting.as_ref().map(|waiting| self.waiting_json(waiting)),
            "summary": self.summary(),
            "warnings": warnings.collect::<Vec<_>>(),
            "reasons": reasons,
            "nearestMiss": self.nearest(),
            "lastOffers": last,
            "processedOffersSummary": queue_json::summary(&self.offers),
            "deployment": self.deployment.as_ref().map(deployment),
            "lastTaskFailure": self.failure.as_ref().map(|failure| {
                json!({
                    "state": failure.state, "message": failure.message, "host": failure.host,
                    "taskId": failure.task, "timestamp": wire::time(failure.at) })
            }),
        })
    }

    fn waiting_json(&self, waiting: &Waiting) -> Value {
        let delayed = waiting.delayed_until.filter(|until| *until > self.now);
        json!({
            "count": waiting.count,
            "since": wire::time(waiting.since),
            "delayedUntil": delayed.map(wire::time),
        })
    }

    /// The reasons of the last offers, the most frequent first.
    fn by_frequency(&self) -> Vec<(Reason, u64)> {
        let mut reasons: Vec<(Reason, u64)> =
            self.offers.last.iter().map(|(one, count)| (*one, *count)).collect();
        reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
        reasons
    }

    /// The offer that was nearest to being used: what stood in its way comes last in the order of asking.
    fn nearest(&self) -> Option<Value> {
        let nearest = self.offers.unused.iter().max_by_key(|unused| (unused.rejection.reason, unused.at))?;
        Some(json!({
            "agentId": nearest.offer.agent.as_str(),
            "hostname": nearest.offer.hostname,
            "reason": nearest.rejection.reason.name(),
            "why": nearest.rejection.detail,
        }))
    }

    /// The most important thing first, a sentence each.
    fn summary(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(waiting) = &self.waiting {
            lines.push(self.why_waiting(waiting));
        }
        lines.extend(self.notes.iter().cloned());
        for (id, why) in &self.unhealthy {
            lines.push(format!("{id} is not healthy: {why}"));
        }
        let lost = [Condition::Unreachable, Condition::UnreachableInactive];
        let lost: u32 = lost.iter().filter_map(|one| self.conditions.get(one.name())).sum();
        if lost > 0 {
            lines.push(format!("the agents of {lost} instances are silent"));
        }
        if let Some(waits_for) = self.deployment.as_ref().and_then(|one| one.waits_for.as_ref()) {
            lines.push(format!("its deployment waits: {waits_for}"));
        }
        if let Some(failure) = self.failure.as_ref().filter(|_| self.counts.running < self.wanted) {
            lines.push(format!("the last task ended with {}: {}", failure.state, failure.message));
        }
        if lines.is_empty() {
            let (running, wanted) = (self.counts.running, self.wanted);
            let what = self.noun(wanted);
            lines.push(format!("{running} of {wanted} {what} run; nothing is in the way"));
        }
        lines
    }

    fn noun(&self, count: u32) -> &'static str {
        match (self.kind, count) {
            ("job", 1) => "run",
            ("job", _) => "runs",
            (_, 1) => "instance",
            (_, _) => "instances",
        }
    }

    fn why_waiting(&self, waiting: &Waiting) -> String {
        let what = self.noun(waiting.count);
        let count = match waiting.count {
            1 => format!("1 {what} waits"),
            count => format!("{count} {what} wait"),
        };
        if let Some(until) = waiting.delayed_until.filter(|until| *until > self.now) {
            let left = until.since(self.now).as_secs_f64();
            return format!("{count} for {left:.0} s more: earlier ones failed, and launches are delayed");
        }
        if self.offers.processed.processed == 0 {
            return format!(
                "{count}, and no offer has come that could hold one: no agent has {} free for the role {}",
                asked(&self.spec),
                self.spec.role()
            );
        }
        let looked_at: u64 = self.offers.last.values().sum();
        match self.by_frequency().first() {
            Some((reason, of)) => {
                format!("{count}: of the last offers of {looked_at} agents, {of} {}", words(*reason))
            }
            None => format!("{count} for the next offer"),
        }
    }
}

/// What one instance asks for, in words.
fn asked(spec: &RunSpec) -> String {
    let (cpus, mem, disk, gpus) = match spec {
        RunSpec::App(app) => (app.cpus.to_f64(), app.mem.to_f64(), app.disk.to_f64(), app.gpus),
        RunSpec::Pod(pod) => {
            let own = &pod.executor_resources;
            pod.containers.iter().fold(
                (own.cpus.to_f64(), own.mem.to_f64(), own.disk.to_f64(), 0_u32),
                |(cpus, mem, disk, gpus), one| {
                    let (more_cpus, more_mem) = (one.cpus.to_f64(), one.mem.to_f64());
                    (
                        cpus + more_cpus,
                        mem + more_mem,
                        disk + one.disk.to_f64(),
                        gpus.saturating_add(one.gpus),
                    )
                },
            )
        }
    };
    let mut asked = format!("{cpus} CPUs, {mem} MiB of memory");
    if disk > 0.0 {
        asked.push_str(&format!(", {disk} MiB of disk"));
    }
    if gpus > 0 {
        asked.push_str(&format!(", {gpus} GPUs"));
    }
    asked
}

fn deployment(deployment: &Deployment) -> Value {
    let seen = deployments_json::SeenDeployment { deployment: deployment.clone(), asked: Vec::new() };
    deployments_json::running(&seen, true)
}

/// A reason in words, to follow on "3 offers".
fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::UnfulfilledRole => "are for another role, or reserved",
        Reason::UnfulfilledConstraint => "break a constraint",
        Reason::NoCorrespondingReservationFound => "are not where the instance's data are",
        Reason::AgentMaintenance => "are of agents that are to be maintained",
        Reason::InsufficientCpus => "have too few CPUs",
        Reason::InsufficientMemory => "have too little memory",
        Reason::InsufficientDisk => "have too little disk",
        Reason::InsufficientGpus => "have too few GPUs",
        Reason::InsufficientPorts => "do not have the ports",
        Reason::DeclinedScarceResources => "have GPUs, which are kept for those who need them",
    }
}
