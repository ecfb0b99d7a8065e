//! A daemon that begins anew: what was kept becomes what is, and what is not certain is asked.
//!
//! Instances that were launched are taken to be as they were last known; the SDK asks the master where they stand as soon as
//! it is subscribed. Deployments go on from what is there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use lonja_model::{TaskState, Timestamp};
use lonja_sdk_core::{Plan, State};

use super::draws::Draws;
use super::{Services, Timer, Timers};
use crate::config::Config;
use crate::definition::{RunSpec, Version};
use crate::deployment::{Action, Deployment, DeploymentPlan, Phase, RolloutState};
use crate::groups::Group;
use crate::instance::{Condition, Instance, InstanceTask};
use crate::kept::{Codec, Kept, KeptDeployment, KeptInstance, KeptPlan};
use crate::path_id::PathId;
use crate::service::Service;

pub(super) fn restore(
    config: Config,
    codec: Arc<dyn Codec>,
    seed: u64,
    state: &State,
) -> Result<Services, String> {
    let mut kept = Found::default();
    let mut boots = 0;
    for (key, bytes) in state.entries() {
        let value = codec
            .read(key, bytes)
            .map_err(|why| format!("what is kept under {key:?} cannot be read: {why}"))?;
        match value {
            Kept::Boots(count) => boots = count,
            Kept::Spec(spec) if key.starts_with("spec") => drop(kept.specs.insert(spec.id().clone(), spec)),
            Kept::Spec(spec) => {
                kept.versions.entry(spec.id().clone()).or_default().insert(spec.version().version, spec);
            }
            Kept::Group(group) => drop(kept.groups.insert(group.id.clone(), group)),
            Kept::Instance(instance) => kept.instances.push(instance),
            Kept::Deployment(deployment) => kept.deployments.push(*deployment),
            Kept::Failure(failure) => drop(kept.failures.insert(failure.app.clone(), failure)),
            Kept::Job(job) => drop(kept.jobs.insert(job.id.clone(), (job, BTreeMap::new()))),
            Kept::Run(run) => kept.runs.push((key.to_owned(), run)),
        }
    }
    let root = PathId::root();
    kept.groups.entry(root.clone()).or_insert_with(|| Group::new(root, Version::default()));
    // The root has that of the last change of all, also where what was changed is no more.
    let version = kept.groups.values().map(|group| group.version).max().unwrap_or_default();
    let mut services = Services {
        config,
        codec,
        draws: Draws::new(seed ^ boots.wrapping_mul(0xd134_2543_de82_ef95)),
        framework: state.framework().cloned(),
        services: BTreeMap::new(),
        work: BTreeMap::new(),
        scalers: BTreeMap::new(),
        runs: BTreeMap::new(),
        groups: kept.groups,
        deployments: BTreeMap::new(),
        ended: VecDeque::new(),
        jobs: kept.jobs,
        owners: BTreeMap::new(),
        service_ports: BTreeMap::new(),
        dirty: BTreeSet::new(),
        moving: BTreeSet::new(),
        hungry: BTreeSet::new(),
        kill_queue: VecDeque::new(),
        doomed: BTreeSet::new(),
        killing: BTreeSet::new(),
        to_free: BTreeMap::new(),
        planned: Vec::new(),
        patterns: Default::default(),
        timers: Timers::default(),
        version,
        revive: false,
        revived: Timestamp::ZERO,
        plan: Plan::new(),
        events: Vec::new(),
        changes: BTreeMap::new(),
    };
    services.keep("boots".to_owned(), &Kept::Boots(boots + 1));
    for (id, (job, _)) in &services.jobs {
        services.runs.insert(id.clone(), Services::run_service(job));
        services.dirty.insert(id.clone());
    }
    for (key, run) in kept.runs {
        services.take_run(&key, run);
    }
    for (id, spec) in kept.specs {
        services.version = services.version.max(spec.version().version);
        let mut service = Service::new(spec);
        service.versions = kept.versions.remove(&id).unwrap_or_default();
        service.last_failure = kept.failures.remove(&id);
        services.services.insert(id.clone(), service);
        services.count_ports(&id, true);
        services.dirty.insert(id);
    }
    for deployment in kept.deployments {
        services.resume(deployment, &mut kept.versions)?;
    }
    for instance in kept.instances {
        services.adopt(instance, &kept.versions);
    }
    // The first look happens as soon as there is a clock.
    services.timers.at(Timestamp::ZERO, Timer::Began);
    Ok(services)
}

/// What was found, sorted.
#[derive(Default)]
struct Found {
    specs: BTreeMap<PathId, RunSpec>,
    versions: BTreeMap<PathId, BTreeMap<Version, RunSpec>>,
    groups: BTreeMap<PathId, Group>,
    instances: Vec<KeptInstance>,
    deployments: Vec<KeptDeployment>,
    failures: BTreeMap<PathId, crate::kept::Failure>,
    jobs: BTreeMap<PathId, (crate::job::Job, BTreeMap<crate::job::JobRunId, crate::job::JobRun>)>,
    runs: Vec<(String, crate::job::JobRun)>,
}

impl Services {
    /// A deployment goes on.
    fn resume(
        &mut self,
        kept: KeptDeployment,
        versions: &mut BTreeMap<PathId, BTreeMap<Version, RunSpec>>,
    ) -> Result<(), String> {
        let KeptDeployment { id, plan, began, step, reverts, rollouts } = kept;
        let KeptPlan { version, steps, original, target, original_groups, target_groups } = plan;
        let find = |id: &PathId, version: Option<Version>| -> Option<RunSpec> {
            let version = version?;
            let of_service = self.services.get(id).and_then(|service| service.versions.get(&version));
            of_service.or_else(|| versions.get(id)?.get(&version)).cloned()
        };
        let specs = |of: BTreeMap<PathId, Option<Version>>| -> BTreeMap<PathId, Option<RunSpec>> {
            of.into_iter()
                .map(|(id, version)| {
                    let spec = find(&id, version);
                    (id, spec)
                })
                .collect()
        };
        let (original, target) = (specs(original), specs(target));
        let mut states = BTreeMap::new();
        for step in &steps {
            for (path, _) in step.actions.iter().filter(|(_, action)| **action != Action::Stop) {
                states.entry(path.clone()).or_insert_with(RolloutState::default);
            }
        }
        for (path, rollout) in rollouts {
            let state: &mut RolloutState = states.entry(path).or_default();
            (state.strategy, state.promoted) = (rollout.strategy, rollout.promoted);
            // Whether what is tried is in good health is seen anew.
            state.phase = if rollout.phase == Phase::Waiting { Phase::Trial } else { rollout.phase };
        }
        for (path, wanted) in &target {
            if wanted.is_none() {
                let Some(spec) = original.get(path).cloned().flatten() else { continue };
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
        self.version = self.version.max(version);
        let plan = DeploymentPlan { version, steps, original, target, original_groups, target_groups };
        let deployment = Deployment {
            id: id.clone(),
            plan,
            began,
            step,
            progressed: began,
            reverts,
            sentenced: BTreeSet::new(),
            rollouts: states,
            waits_for: None,
        };
        self.deployments.insert(id.clone(), deployment);
        self.timers.at(Timestamp::ZERO, Timer::Resumed(id.clone()));
        self.moving.insert(id);
        Ok(())
    }

    /// An instance is taken on as it was last known.
    fn adopt(&mut self, kept: KeptInstance, versions: &BTreeMap<PathId, BTreeMap<Version, RunSpec>>) {
        let KeptInstance {
            id,
            spec: owner,
            version,
            goal,
            incarnation,
            launched,
            staged_at,
            started_at,
            place,
            settled,
            hidden,
        } = kept;
        let service = self.services.get_mut(&owner).or_else(|| self.runs.get_mut(&owner));
        let Some(service) = service else {
            // Its app is no more, and so is it to be: as soon as its task is heard of, that is killed.
            self.forget_kept_instance(&id);
            return;
        };
        let of_version = service.versions.get(&version).or_else(|| versions.get(&owner)?.get(&version));
        let spec = service.steered(of_version.unwrap_or(&service.spec));
        let containers: Vec<Option<String>> = match &spec {
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
        let tasks = if launched { containers.into_iter().filter_map(task).collect() } else { Vec::new() };
        let condition = match (launched, started_at) {
            (true, Some(_)) => Condition::Running,
            (true, None) => Condition::Staging,
            (false, _) if goal == crate::instance::Goal::Running => Condition::Scheduled,
            (false, _) => Condition::Killed,
        };
        let ready = service.deployment.is_none() || spec.readiness().is_none();
        let instance = Instance {
            id: id.clone(),
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
        };
        service.instances.insert(id.clone(), instance);
        self.owners.insert(id.clone(), owner.clone());
        self.dirty.insert(owner);
        if goal != crate::instance::Goal::Running && launched {
            self.doom(id);
        }
    }
}
