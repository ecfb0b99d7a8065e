//! Deployments: begun, moved from step to step, ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lonja_model::Timestamp;

use super::{MAX_ENDED, Services, Timer};
use crate::command::{Change, ChangeOptions, Refused, Started};
use crate::definition::{RunSpec, Strategy, Version};
use crate::deployment::{
    Action, Deployment, DeploymentEnd, DeploymentId, DeploymentPlan, EndedDeployment, Phase, RolloutState,
};
use crate::event::What;
use crate::instance::{Goal, InstanceId};
use crate::path_id::PathId;
use crate::planning;
use crate::service::Service;

/// How long a canary or blue-green deployment waits to be promoted before it is taken back.
pub(super) const PROMOTE_WITHIN: Duration = Duration::from_secs(24 * 3600);

impl Services {
    /// What a change would do, and nothing is done.
    pub(super) fn plan_change(
        &mut self,
        now: Timestamp,
        change: Change,
        options: &ChangeOptions,
    ) -> Result<DeploymentPlan, Refused> {
        let version = Version::next(now, self.version);
        let plan = planning::plan(change, self, version, &self.config, options)?;
        self.check_room(&plan)?;
        Ok(plan)
    }

    /// Begins a deployment. What it changes is wanted from now on.
    pub(super) fn change(
        &mut self,
        now: Timestamp,
        change: Change,
        options: &ChangeOptions,
        reverts: Option<DeploymentId>,
    ) -> Result<Started, Refused> {
        let sentenced = change.sentenced.clone();
        let plan = self.plan_change(now, change, options)?;
        let in_the_way = self.in_the_way(&plan);
        if !in_the_way.is_empty() && !options.force {
            return Err(Refused::Locked(in_the_way));
        }
        let left = self.deployments.len() - in_the_way.len();
        let is_revert = reverts.is_some();
        if left >= self.config.max_running_deployments && !plan.steps.is_empty() && !is_revert {
            return Err(Refused::TooManyDeployments(self.config.max_running_deployments));
        }
        let id = DeploymentId::new(self.draws.name());
        for other in in_the_way {
            let end = match &reverts {
                Some(reverted) if *reverted == other => {
                    DeploymentEnd::RolledBack { by: id.clone(), reason: "it is taken back".to_owned() }
                }
                _ => DeploymentEnd::Failed { reason: format!("deployment {id} took its place by force") },
            };
            self.end(now, &other, end);
        }
        self.version = plan.version;
        let version = plan.version;
        self.tell(now, What::GroupChangeSuccess { group: PathId::root(), version });
        self.begin(now, id.clone(), plan, sentenced, options, reverts);
        Ok(Started { deployment: id, version })
    }

    /// The deployments that touch what this plan touches.
    fn in_the_way(&self, plan: &DeploymentPlan) -> Vec<DeploymentId> {
        let mut found: Vec<DeploymentId> =
            plan.affected().filter_map(|id| self.services.get(id)?.deployment.clone()).collect();
        found.sort();
        found.dedup();
        found
    }

    fn begin(
        &mut self,
        now: Timestamp,
        id: DeploymentId,
        plan: DeploymentPlan,
        sentenced: std::collections::BTreeSet<InstanceId>,
        options: &ChangeOptions,
        reverts: Option<DeploymentId>,
    ) {
        let rollouts = self.rollouts(&plan, options, reverts.is_some());
        for (group, wanted) in &plan.target_groups {
            match wanted {
                Some(wanted) => self.groups.insert(group.clone(), wanted.clone()),
                None => self.groups.remove(group),
            };
            self.keep_group(group);
        }
        let deployment = Deployment {
            id: id.clone(),
            plan: Arc::new(plan),
            began: now,
            step: 0,
            progressed: now,
            reverts,
            sentenced,
            rollouts,
            waits_for: None,
        };
        let target: Vec<(PathId, Option<RunSpec>)> =
            deployment.plan.target.iter().map(|(id, spec)| (id.clone(), spec.clone())).collect();
        self.deployments.insert(id.clone(), deployment);
        for (path, wanted) in target {
            self.want(&path, wanted, &id);
        }
        self.keep_deployment(&id);
        if self.deployments[&id].plan.steps.is_empty() {
            return self.finish(now, &id);
        }
        self.tell_step(now, &id);
        self.timers.at(now + self.deadline(&id), Timer::Deployment(id.clone()));
        self.moving.insert(id);
    }

    /// This is wanted of an app or pod from now on.
    fn want(&mut self, path: &PathId, wanted: Option<RunSpec>, deployment: &DeploymentId) {
        self.count_in(path, false);
        match wanted {
            Some(spec) => {
                let restarted = self.deployments[deployment]
                    .plan
                    .steps
                    .iter()
                    .any(|step| matches!(step.actions.get(path), Some(Action::Restart | Action::Stop)));
                let service = self.services.entry(path.clone()).or_insert_with(|| Service::new(spec.clone()));
                if restarted {
                    service.delay = None;
                }
                (service.spec, service.removed) = (spec, false);
                service.steer();
                service.deployment = Some(deployment.clone());
                self.keep_spec(path);
            }
            None => {
                if let Some(service) = self.services.get_mut(path) {
                    service.removed = true;
                    service.deployment = Some(deployment.clone());
                    service.delay = None;
                }
                self.forget(format!("spec{path}"));
            }
        }
        self.count_in(path, true);
        self.touch(path);
    }

    /// How the rollouts of a plan begin.
    fn rollouts(
        &self,
        plan: &DeploymentPlan,
        options: &ChangeOptions,
        is_revert: bool,
    ) -> BTreeMap<PathId, RolloutState> {
        let mut rollouts = BTreeMap::new();
        for (path, action) in plan.steps.iter().flat_map(|step| &step.actions) {
            let Some(Some(target)) = plan.target.get(path) else { continue };
            let mut state = RolloutState::default();
            if *action == Action::Restart && !is_revert {
                state.strategy =
                    options.strategy.clone().unwrap_or_else(|| target.rollout().strategy.clone());
                // There is nothing to try beside what keeps data, or may be there once.
                if target.is_resident() || target.is_singleton() {
                    state.strategy = Strategy::Rolling;
                }
                if state.strategy != Strategy::Rolling {
                    state.phase = Phase::Trial;
                }
            }
            if *action != Action::Stop {
                rollouts.insert(path.clone(), state);
            }
        }
        rollouts
    }

    /// Goes on to the next step when the present one is done.
    pub(super) fn advance(&mut self, now: Timestamp, id: &DeploymentId) {
        loop {
            let Some(deployment) = self.deployments.get(id) else { return };
            let Some(step) = deployment.plan.steps.get(deployment.step) else { return self.finish(now, id) };
            let actions: Vec<(PathId, Action)> =
                step.actions.iter().map(|(id, action)| (id.clone(), *action)).collect();
            let waits_for = actions
                .iter()
                .find(|(path, action)| !self.is_done(path, *action))
                .map(|(path, _)| path.clone());
            if let Some(path) = waits_for {
                let why = self.why_not_done(&path);
                if let Some(deployment) = self.deployments.get_mut(id) {
                    deployment.waits_for = Some(why);
                }
                return;
            }
            let (plan, at) = (Arc::clone(&deployment.plan), deployment.step);
            self.tell(now, What::DeploymentStepSuccess { id: id.clone(), plan, step: at });
            if let Some(deployment) = self.deployments.get_mut(id) {
                (deployment.step, deployment.progressed, deployment.waits_for) = (at + 1, now, None);
            }
            for (path, action) in actions {
                if action == Action::Stop {
                    self.tell_terminated(now, &path);
                }
            }
            if self.deployments.get(id).is_some_and(|one| one.step < one.plan.steps.len()) {
                self.keep_deployment(id);
                self.tell_step(now, id);
                let next: Vec<PathId> =
                    self.deployments[id].plan.steps[at + 1].actions.keys().cloned().collect();
                // They are driven first; this is called again after each.
                next.iter().for_each(|path| self.touch(path));
                return;
            }
        }
    }

    fn is_done(&self, path: &PathId, action: Action) -> bool {
        let Some(service) = self.services.get(path) else { return true };
        match action {
            Action::Start => true,
            Action::Stop => service.instances.is_empty(),
            Action::Scale => service.has_count(service.spec.instances()),
            Action::Restart => self.has_rolled(path),
        }
    }

    fn why_not_done(&self, path: &PathId) -> String {
        let Some(service) = self.services.get(path) else { return String::new() };
        let phase = service.deployment.as_ref().and_then(|one| self.deployments.get(one)?.rollouts.get(path));
        if phase.is_some_and(|state| state.phase == Phase::Waiting) {
            return format!("{path} to be promoted");
        }
        let serving = service.instances.values().filter(|one| one.is_serving()).count();
        let wanted = service.spec.instances();
        let waiting = service
            .waiting
            .as_ref()
            .map_or(String::new(), |waiting| format!(", {} wait for offers", waiting.count));
        format!("{path}: {serving} of {wanted} instances serve{waiting}")
    }

    fn tell_step(&mut self, now: Timestamp, id: &DeploymentId) {
        let Some(deployment) = self.deployments.get(id) else { return };
        let (plan, step) = (Arc::clone(&deployment.plan), deployment.step);
        self.tell(now, What::DeploymentInfo { id: id.clone(), plan, step });
    }

    fn tell_terminated(&mut self, now: Timestamp, path: &PathId) {
        let Some(service) = self.services.get(path) else { return };
        if matches!(service.spec, RunSpec::App(_)) {
            self.tell(now, What::AppTerminated { app: path.clone() });
        }
    }

    fn finish(&mut self, now: Timestamp, id: &DeploymentId) {
        self.end(now, id, DeploymentEnd::Done);
    }

    /// It has ended, and what it held is free.
    pub(super) fn end(&mut self, now: Timestamp, id: &DeploymentId, end: DeploymentEnd) {
        let Some(deployment) = self.deployments.remove(id) else { return };
        self.forget_deployment(id);
        let plan = deployment.plan;
        let affected: Vec<PathId> = plan.affected().cloned().collect();
        for path in &affected {
            let Some(service) = self.services.get_mut(path) else { continue };
            if service.deployment.as_ref() != Some(id) {
                continue;
            }
            service.deployment = None;
            for one in service.instances.values_mut() {
                // Nobody asks any more.
                one.ready = true;
            }
            self.touch(path);
        }
        match &end {
            DeploymentEnd::Done => {
                self.tell(now, What::DeploymentSuccess { id: id.clone(), plan: Arc::clone(&plan) })
            }
            DeploymentEnd::RolledBack { reason, .. } | DeploymentEnd::Failed { reason } => {
                let step = deployment.step.min(plan.steps.len().saturating_sub(1));
                self.tell(now, What::DeploymentStepFailure { id: id.clone(), plan: Arc::clone(&plan), step });
                let reason = reason.clone();
                self.tell(now, What::DeploymentFailed { id: id.clone(), plan: Arc::clone(&plan), reason });
            }
        }
        let ended = EndedDeployment { id: id.clone(), version: plan.version, affected, at: now, end };
        self.ended.push_back(ended);
        if self.ended.len() > MAX_ENDED {
            self.ended.pop_front();
        }
    }

    /// Its last instance has gone, and nobody wants it.
    pub(super) fn forget_service(&mut self, path: &PathId) {
        self.forget_spec(path);
        self.services.remove(path);
        self.scalers.remove(path);
        self.hungry.remove(path);
    }

    /// Takes a deployment back by another one. Errors: as of any change.
    pub(super) fn revert(
        &mut self,
        now: Timestamp,
        id: &DeploymentId,
        reason: &str,
    ) -> Result<Started, Refused> {
        let Some(deployment) = self.deployments.get(id) else {
            return Err(Refused::Unknown { kind: "DeploymentPlan", id: id.to_string(), version: None });
        };
        let change = planning::revert(&deployment.plan, self);
        let options = ChangeOptions { force: true, strategy: Some(Strategy::Rolling) };
        let started = self.change(now, change, &options, Some(id.clone()))?;
        if self.deployments.contains_key(id) {
            // It changed nothing that the other touches.
            let end = DeploymentEnd::RolledBack { by: started.deployment.clone(), reason: reason.to_owned() };
            self.end(now, id, end);
        }
        if let Some(ended) = self.ended.iter_mut().rfind(|ended| ended.id == *id) {
            ended.end =
                DeploymentEnd::RolledBack { by: started.deployment.clone(), reason: reason.to_owned() };
        }
        Ok(started)
    }

    /// How long a deployment may get no better.
    fn deadline(&self, id: &DeploymentId) -> Duration {
        let Some(deployment) = self.deployments.get(id) else { return self.config.progress_deadline };
        let own =
            deployment.plan.target.values().flatten().filter_map(|spec| spec.rollout().progress_deadline);
        own.max().unwrap_or(self.config.progress_deadline)
    }

    /// A deployment that has got no better for too long fails, or is taken back.
    pub(super) fn check_deadline(&mut self, now: Timestamp, id: &DeploymentId) {
        let Some(deployment) = self.deployments.get(id) else { return };
        let waiting = deployment.rollouts.values().any(|state| state.phase == Phase::Waiting);
        let within = if waiting { PROMOTE_WITHIN } else { self.deadline(id) };
        let due = deployment.progressed + within;
        if due > now {
            self.timers.at(due, Timer::Deployment(id.clone()));
            return;
        }
        let what = deployment.waits_for.clone().unwrap_or_default();
        let reason = if waiting {
            format!("it was not promoted within {} s", within.as_secs())
        } else {
            format!("nothing got better for {} s: {what}", within.as_secs())
        };
        self.give_up(now, id, reason);
    }

    /// It cannot be done: it is taken back if it is to be, else it ends as it is.
    pub(super) fn give_up(&mut self, now: Timestamp, id: &DeploymentId, reason: String) {
        let Some(deployment) = self.deployments.get(id) else { return };
        let tries = deployment.rollouts.values().any(|state| state.strategy != Strategy::Rolling);
        let wants = deployment.plan.target.values().flatten().any(|spec| spec.rollout().auto_rollback);
        if (tries || wants) && deployment.reverts.is_none() && self.revert(now, id, &reason).is_ok() {
            return;
        }
        self.end(now, id, DeploymentEnd::Failed { reason });
    }

    /// An instance of this configuration has failed; too many end a deployment.
    pub(super) fn count_failure(&mut self, path: &PathId, config: Version) {
        let Some(service) = self.services.get(path) else { return };
        if service.spec.version().last_config != config {
            return;
        }
        let Some(id) = service.deployment.clone() else { return };
        if let Some(state) = self.deployments.get_mut(&id).and_then(|one| one.rollouts.get_mut(path)) {
            state.failures = state.failures.saturating_add(1);
            self.moving.insert(id);
        }
    }

    /// Ends deployments whose new instances have failed too often.
    pub(super) fn check_failures(&mut self, now: Timestamp, path: &PathId) {
        let Some(service) = self.services.get(path) else { return };
        let Some(id) = service.deployment.clone() else { return };
        let Some(state) = self.deployments.get(&id).and_then(|one| one.rollouts.get(path)) else { return };
        let default = (state.strategy != Strategy::Rolling).then_some(1);
        let Some(most) = service.spec.rollout().max_failures.or(default) else { return };
        if state.failures >= most.max(1) {
            let last = service
                .last_failure
                .as_ref()
                .map_or(String::new(), |failure| format!(": {}", failure.message));
            let reason = format!("{} new instances of {path} failed{last}", state.failures);
            self.give_up(now, &id, reason);
        }
    }

    /// An instance that was to end has ended: things get better.
    pub(super) fn note_end(&mut self, now: Timestamp, path: &PathId, instance: &InstanceId) {
        let Some(service) = self.services.get(path) else { return };
        let wanted = service.instances.get(instance).is_some_and(|one| one.goal != Goal::Running);
        let deployment = service.deployment.as_ref().and_then(|id| self.deployments.get_mut(id));
        if let Some(deployment) = deployment.filter(|_| wanted) {
            deployment.progressed = now;
        }
    }

    /// Instances that serve for the first time make things better.
    pub(super) fn note_serving(&mut self, now: Timestamp, path: &PathId) {
        let Some(service) = self.services.get(path) else { return };
        let Some(deployment) = service.deployment.as_ref().and_then(|id| self.deployments.get_mut(id)) else {
            return;
        };
        let Some(state) = deployment.rollouts.get_mut(path) else { return };
        for one in service.instances.values().filter(|one| one.is_serving()) {
            if !state.progressed.contains(&one.id) {
                state.progressed.insert(one.id.clone());
                deployment.progressed = now;
            }
        }
    }
}
