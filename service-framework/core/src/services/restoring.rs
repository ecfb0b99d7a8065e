//! A daemon that begins anew: what was kept becomes what is, and what is not certain is asked.
//!
//! Instances that were launched are taken to be as they were last known; the SDK asks the master where they stand as soon as
//! it is subscribed. Deployments go on from what is there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use lonja_model::{TaskState, Timestamp};
use lonja_sdk_core::{Plan, State};

use super::orphans::Orphans;
use super::{Services, Timer, Timers, keeping};
use crate::config::Config;
use crate::definition::{RunSpec, Version};
use crate::deployment::{Action, Deployment, DeploymentPlan, Phase, RolloutState, Step};
use crate::draws::Draws;
use crate::groups::Group;
use crate::instance::{Condition, Goal, Instance, InstanceId, InstanceTask};
use crate::job::{Job, JobRun, JobRunId};
use crate::kept::{Codec, Failure, Kept, KeptDeployment, KeptInstance, KeptJob, KeptPlan, KeptRollout};
use crate::path_id::PathId;
use crate::service::Service;

pub(super) fn restore(
    config: Config,
    codec: Arc<dyn Codec>,
    seed: u64,
    state: &State,
) -> Result<Services, String> {
    let mut found = Found::read(&*codec, state)?;
    let mut services = Services::empty(config, codec, seed, &found);
    services.framework = state.framework().cloned();
    services.parts = std::mem::take(&mut found.parts);
    services.keep("boots".to_owned(), &Kept::Boots(found.boots + 1));
    services.rebuild(found);
    // The first look happens as soon as there is a clock.
    services.timers.at(Timestamp::ZERO, Timer::Began);
    Ok(services)
}

/// All definitions that were kept of each app or pod.
type Versions = BTreeMap<PathId, BTreeMap<Version, RunSpec>>;

/// What was found, sorted.
#[derive(Default)]
struct Found {
    boots: u64,
    /// Of how many parts each value is that is of several.
    parts: keeping::Parts,
    specs: BTreeMap<PathId, RunSpec>,
    versions: Versions,
    groups: BTreeMap<PathId, Group>,
    instances: Vec<KeptInstance>,
    deployments: Vec<KeptDeployment>,
    failures: BTreeMap<PathId, Failure>,
    jobs: BTreeMap<PathId, (Job, BTreeMap<JobRunId, JobRun>)>,
    /// Of each job, how far its calendar was seen to.
    seen_to: BTreeMap<PathId, Timestamp>,
    runs: Vec<(String, JobRun)>,
}

impl Found {
    fn read(codec: &dyn Codec, state: &State) -> Result<Self, String> {
        let (values, parts) = keeping::whole(state);
        let mut found = Self { parts, ..Self::default() };
        for (key, bytes) in values {
            let kept = codec
                .read(key, &bytes)
                .map_err(|why| format!("what is kept under {key:?} cannot be read: {why}"))?;
            found.add(key, kept);
        }
        let root = PathId::root();
        found.groups.entry(root.clone()).or_insert_with(|| Group::new(root, Version::default()));
        Ok(found)
    }

    fn add(&mut self, key: &str, kept: Kept) {
        match kept {
            Kept::Boots(count) => self.boots = count,
            Kept::Spec(spec) if key.starts_with("spec") => drop(self.specs.insert(spec.id().clone(), spec)),
            Kept::Spec(spec) => {
                self.versions.entry(spec.id().clone()).or_default().insert(spec.version().version, spec);
            }
            Kept::Group(group) => drop(self.groups.insert(group.id.clone(), group)),
            Kept::Instance(instance) => self.instances.push(instance),
            Kept::Deployment(deployment) => self.deployments.push(*deployment),
            Kept::Failure(failure) => drop(self.failures.insert(failure.app.clone(), failure)),
            Kept::Job(KeptJob { job, seen_to }) => {
                self.seen_to.extend(seen_to.map(|at| (job.id.clone(), at)));
                self.jobs.insert(job.id.clone(), (job, BTreeMap::new()));
            }
            Kept::Run(run) => self.runs.push((key.to_owned(), run)),
        }
    }
}

impl Services {
    /// With nothing of what was found but the time of the last change, and how often the daemon has begun.
    fn empty(config: Config, codec: Arc<dyn Codec>, seed: u64, found: &Found) -> Self {
        // The root has that of the last change of all, also where what was changed is no more.
        let version = found.groups.values().map(|group| group.version).max().unwrap_or_default();
        let orphans = if found.boots == 0 { Orphans::default() } else { Orphans::after_restart() };
        Self {
            config,
            codec,
            draws: Draws::new(seed ^ found.boots.wrapping_mul(0xd134_2543_de82_ef95)),
            framework: None,
            region: None,
            services: BTreeMap::new(),
            work: BTreeMap::new(),
            scalers: BTreeMap::new(),
            runs: BTreeMap::new(),
            groups: BTreeMap::new(),
            deployments: BTreeMap::new(),
            ended: VecDeque::new(),
            jobs: BTreeMap::new(),
            owners: BTreeMap::new(),
            wanted: 0,
            service_ports: BTreeMap::new(),
            dirty: BTreeSet::new(),
            moving: BTreeSet::new(),
            hungry: BTreeSet::new(),
            kill_queue: VecDeque::new(),
            doomed: BTreeSet::new(),
            killing: BTreeSet::new(),
            orphans,
            planned: Vec::new(),
            patterns: Default::default(),
            timers: Timers::default(),
            version,
            revive: false,
            revived: Timestamp::ZERO,
            plan: Plan::new(),
            events: Vec::new(),
            changes: BTreeMap::new(),
            parts: keeping::Parts::new(),
            kept_instances: BTreeSet::new(),
        }
    }

    /// All that was found, one resting on the other: definitions, then deployments of them, then instances of both.
    fn rebuild(&mut self, found: Found) {
        let Found {
            specs, mut versions, groups, instances, deployments, failures, jobs, seen_to, runs, ..
        } = found;
        (self.groups, self.jobs) = (groups, jobs);
        for (id, (job, _)) in &self.jobs {
            self.runs.insert(id.clone(), Services::run_service(job));
            self.dirty.insert(id.clone());
        }
        for (key, run) in runs {
            self.take_run(&key, run);
        }
        self.take_work(&seen_to);
        for (id, spec) in specs {
            self.version = self.version.max(spec.version().version);
            let mut service = Service::new(spec);
            service.versions = versions.remove(&id).unwrap_or_default();
            self.services.insert(id.clone(), service);
            self.count_in(&id, true);
            self.dirty.insert(id);
        }
        for deployment in deployments {
            self.resume(deployment, &mut versions);
        }
        for (id, failure) in failures {
            match self.of_mut(&id) {
                Some(service) => service.last_failure = Some(failure),
                None => self.forget(format!("failure{id}")),
            }
        }
        for instance in instances {
            self.kept_instances.insert(instance.id.clone());
            self.adopt(instance);
        }
        // What is of no app or pod any more would be taken for a later one's of that name.
        for (id, versions) in versions {
            versions.keys().for_each(|version| self.forget_version(&id, *version));
        }
    }

    /// A deployment goes on.
    fn resume(&mut self, kept: KeptDeployment, versions: &mut Versions) {
        let KeptDeployment { id, plan, began, step, reverts, rollouts } = kept;
        let plan = self.plan_again(plan, versions);
        for (path, wanted) in &plan.target {
            if wanted.is_none() {
                let Some(spec) = plan.original.get(path).cloned().flatten() else { continue };
                let mut service = Service::new(spec);
                service.versions = versions.remove(path).unwrap_or_default();
                service.removed = true;
                self.services.insert(path.clone(), service);
                self.dirty.insert(path.clone());
            }
            if let Some(service) = self.services.get_mut(path) {
                service.deployment = Some(id.clone());
            }
        }
        self.version = self.version.max(plan.version);
        let rollouts = rollouts_again(&plan.steps, rollouts);
        let deployment = Deployment {
            id: id.clone(),
            plan: Arc::new(plan),
            began,
            step,
            progressed: began,
            reverts,
            sentenced: BTreeSet::new(),
            rollouts,
            waits_for: None,
        };
        self.deployments.insert(id.clone(), deployment);
        self.timers.at(Timestamp::ZERO, Timer::Resumed(id.clone()));
        self.moving.insert(id);
    }

    /// A plan with the definitions that it names by their versions.
    fn plan_again(&self, kept: KeptPlan, versions: &Versions) -> DeploymentPlan {
        let KeptPlan { version, steps, original, target, original_groups, target_groups } = kept;
        let find = |id: &PathId, version: Option<Version>| -> Option<RunSpec> {
            let version = version?;
            let of_service = self.services.get(id).and_then(|service| service.versions.get(&version));
            of_service.or_else(|| versions.get(id)?.get(&version)).cloned()
        };
        let specs = |of: BTreeMap<PathId, Option<Version>>| -> BTreeMap<PathId, Option<RunSpec>> {
            let found = |(id, version)| {
                let spec = find(&id, version);
                (id, spec)
            };
            of.into_iter().map(found).collect()
        };
        let (original, target) = (specs(original), specs(target));
        DeploymentPlan { version, steps, original, target, original_groups, target_groups }
    }

    /// An instance is taken on as it was last known.
    fn adopt(&mut self, kept: KeptInstance) {
        let (id, owner) = (kept.id.clone(), kept.spec.clone());
        let Some(service) = self.of_mut(&owner) else {
            // Its app is no more, and so is it to be: as soon as its task is heard of, that is killed.
            self.let_go(Timestamp::ZERO, kept.place);
            return self.forget_kept_instance(&id);
        };
        let (launched, doomed) = (kept.launched, kept.doomed);
        let instance = adopted(service, kept);
        let (staged_at, began) = (instance.since, instance.started_at().is_some());
        let is_to_end = doomed || instance.goal != Goal::Running;
        service.instances.insert(id.clone(), instance);
        self.owners.insert(id.clone(), owner.clone());
        self.dirty.insert(owner);
        if launched && !began {
            self.overdue_at(staged_at, &id);
        }
        if launched && is_to_end {
            self.doom(id);
        }
    }
}

/// How far the rollouts of a plan had come.
fn rollouts_again(steps: &[Step], kept: BTreeMap<PathId, KeptRollout>) -> BTreeMap<PathId, RolloutState> {
    let actions = steps.iter().flat_map(|step| &step.actions).filter(|(_, action)| **action != Action::Stop);
    let mut states: BTreeMap<PathId, RolloutState> =
        actions.map(|(path, _)| (path.clone(), RolloutState::default())).collect();
    for (path, rollout) in kept {
        let state = states.entry(path).or_default();
        (state.strategy, state.promoted) = (rollout.strategy, rollout.promoted);
        // Whether what is tried is in good health is seen anew.
        state.phase = if rollout.phase == Phase::Waiting { Phase::Trial } else { rollout.phase };
    }
    states
}

/// An instance of this service as it was last known.
fn adopted(service: &Service, kept: KeptInstance) -> Instance {
    let KeptInstance {
        id,
        spec: _,
        version,
        goal,
        incarnation,
        launched,
        staged_at,
        started_at,
        place,
        settled,
        hidden,
        doomed: _,
    } = kept;
    let spec = service.steered(service.versions.get(&version).unwrap_or(&service.spec));
    let condition = match (launched, started_at) {
        (true, Some(_)) => Condition::Running,
        (true, None) => Condition::Staging,
        (false, _) if goal == Goal::Running => Condition::Scheduled,
        (false, _) => Condition::Killed,
    };
    let tasks =
        if launched { tasks_again(&id, &spec, incarnation, staged_at, started_at) } else { Vec::new() };
    let ready = service.deployment.is_none() || spec.readiness().is_none();
    Instance {
        id,
        spec,
        goal,
        condition,
        since: started_at.unwrap_or(staged_at),
        incarnation,
        place,
        tasks,
        health: Vec::new(),
        ready,
        last_response: None,
        unreachable_since: None,
        settled,
        hidden,
        confirmed: !launched,
    }
}

/// The tasks of an instance that was launched, of which nothing was heard yet.
fn tasks_again(
    id: &InstanceId,
    spec: &RunSpec,
    incarnation: u32,
    staged_at: Timestamp,
    started_at: Option<Timestamp>,
) -> Vec<InstanceTask> {
    let containers: Vec<Option<String>> = match spec {
        RunSpec::App(_) => vec![None],
        RunSpec::Pod(pod) => pod.containers.iter().map(|one| Some(one.name.clone())).collect(),
    };
    let task = |container: Option<String>| {
        Some(InstanceTask {
            id: id.task(container.as_deref(), incarnation)?,
            container,
            // As it was last known, until the master says otherwise: requests go on while that is away.
            state: started_at.map(|_| TaskState::Running),
            since: started_at.unwrap_or(staged_at),
            staged_at,
            started_at,
            healthy: None,
            check: None,
            message: None,
        })
    };
    containers.into_iter().filter_map(task).collect()
}
