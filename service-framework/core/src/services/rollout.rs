//! New instances in place of old ones.
//!
//! The rolling way, for a target of n: `m = ceil(n × minimumHealthCapacity)` stay healthy, there are never more than
//! `M = floor(n × (1 + maximumOverCapacity))`. At the beginning as many old ones may be killed as are healthy beyond m; each new
//! one that serves for the first time lets one more go. Those that are not healthy go first. Where m and M leave no room to move
//! (m = M, and all of M healthy) one above M may be started; where data are kept, one below m is killed instead.
//!
//! Before it, a canary starts a few new ones beside the old, and blue-green all of them, hidden; they go on when promoted.
//!
//! Invariants
//! - There are never more than M instances with a task that may be alive, or of a trial no more than the old and the trial.
//! - No old one that is healthy is killed while that would leave fewer than m healthy ones; where data are kept, once.
//!
//! Source: Marathon's task replacement; `docs/services.md`.

use lonja_model::Timestamp;

use super::counting::counts;
use super::{Services, Timer};
use crate::definition::{RunSpec, Strategy};
use crate::deployment::{DeploymentId, Phase, RolloutState};
use crate::instance::{Condition, Goal, Instance, InstanceId};
use crate::path_id::PathId;

/// The instances of a service during a rollout.
#[derive(Default)]
struct Sides {
    /// Of the new definition, to run.
    new: Vec<InstanceId>,
    /// Of those, how many serve.
    new_serving: u32,
    /// Of the old one, to run; those that may go first, first.
    old: Vec<(InstanceId, bool)>,
    /// Of those, how many are healthy.
    old_healthy: u32,
    /// All that have a task that may be alive, or are about to.
    all: u32,
    /// Old ones whose task has yet to end.
    going: u32,
}

fn sides(service: &crate::service::Service, target: &RunSpec) -> Sides {
    let mut sides = Sides::default();
    let is_new = |one: &Instance| one.spec.version().last_config == target.version().last_config;
    let mut old: Vec<&Instance> = Vec::new();
    for one in service.instances.values() {
        if counts(one) {
            if is_new(one) {
                sides.new_serving += u32::from(one.is_serving());
                sides.new.push(one.id.clone());
            } else {
                sides.old_healthy += u32::from(one.is_healthy());
                old.push(one);
            }
        }
        let occupies = one.condition == Condition::Scheduled && one.goal == Goal::Running || one.is_active();
        sides.all += u32::from(occupies && !one.is_silent());
        sides.going +=
            u32::from(!is_new(one) && one.goal != Goal::Running && one.is_active() && !one.is_silent());
    }
    old.sort_by_key(|one| (one.is_healthy(), one.condition == Condition::Running, one.id.clone()));
    sides.old = old.into_iter().map(|one| (one.id.clone(), one.is_healthy())).collect();
    sides
}

/// The part of `n` that is a fraction: rounded up, and rounded down.
fn ceil(n: u32, fraction: f64) -> u32 {
    to_count((f64::from(n) * fraction - 1e-9).ceil())
}

fn floor(n: u32, fraction: f64) -> u32 {
    to_count((f64::from(n) * fraction + 1e-9).floor())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits before")]
fn to_count(value: f64) -> u32 {
    value.clamp(0.0, f64::from(u32::MAX)) as u32
}

/// How many stay healthy at least, and how many there are at most.
pub(super) fn bounds(spec: &RunSpec) -> (u32, u32) {
    let (n, upgrade) = (spec.instances(), spec.upgrade());
    (ceil(n, upgrade.minimum_health_capacity), floor(n, 1.0 + upgrade.maximum_over_capacity))
}

impl Services {
    /// Brings a service's rollout nearer to its end.
    pub(super) fn roll(&mut self, now: Timestamp, id: &PathId) {
        let Some(service) = self.services.get(id) else { return };
        let Some(deployment) = service.deployment.clone() else { return };
        let Some(state) = self.deployments.get(&deployment).and_then(|one| one.rollouts.get(id)).cloned()
        else {
            return;
        };
        let target = service.spec.clone();
        let before = (state.phase, state.promoted);
        let state = match state.phase {
            Phase::Trial => self.try_out(now, id, &target, state),
            Phase::Waiting => self.wait_for_promotion(now, id, &target, &deployment, state),
            Phase::Replacing => self.replace(now, id, &target, state),
        };
        let (phase, promoted) = (state.phase, state.promoted);
        if let Some(deployment) = self.deployments.get_mut(&deployment) {
            deployment.rollouts.insert(id.clone(), state);
            if (phase, promoted) != before {
                deployment.progressed = now;
            }
        }
        if (phase, promoted) != before {
            self.keep_deployment(&deployment);
            self.touch(id);
        }
    }

    /// Starts what is tried, and keeps the old ones as they are.
    fn try_out(
        &mut self,
        now: Timestamp,
        id: &PathId,
        target: &RunSpec,
        mut state: RolloutState,
    ) -> RolloutState {
        let sides = sides(&self.services[id], target);
        let (wanted, hidden) = match state.strategy {
            Strategy::Canary { fraction, .. } => (ceil(target.instances(), fraction).max(1), false),
            Strategy::BlueGreen { .. } => (target.instances(), true),
            Strategy::Rolling => (0, false),
        };
        self.drop_abandoned(now, id, target);
        let have = u32::try_from(sides.new.len()).unwrap_or(u32::MAX);
        for _ in have..wanted {
            self.make_instance(now, id, target, hidden);
        }
        if sides.new_serving >= wanted {
            (state.phase, state.good_since) = (Phase::Waiting, Some(now));
        }
        state
    }

    /// What an earlier trial left when it was ended by force is no part of the old ones, of which there are as many as before.
    fn drop_abandoned(&mut self, now: Timestamp, id: &PathId, target: &RunSpec) {
        let Some(service) = self.services.get(id) else { return };
        let deployment = service.deployment.as_ref().and_then(|one| self.deployments.get(one));
        let before =
            deployment.and_then(|one| one.plan.original.get(id)?.as_ref()).map_or(0, RunSpec::instances);
        let is_old = |one: &Instance| one.spec.version().last_config != target.version().last_config;
        let old: Vec<&Instance> =
            service.instances.values().filter(|one| counts(one) && is_old(one)).collect();
        let surplus = old.len().saturating_sub(before as usize);
        let chosen = super::counting::victims(&service.spec, &old, &Default::default(), surplus);
        for one in chosen {
            self.decommission(now, &one);
        }
    }

    /// What is tried is in good health: it waits for a word, or for a time.
    fn wait_for_promotion(
        &mut self,
        now: Timestamp,
        id: &PathId,
        target: &RunSpec,
        deployment: &DeploymentId,
        mut state: RolloutState,
    ) -> RolloutState {
        let sides = sides(&self.services[id], target);
        if (sides.new_serving as usize) < sides.new.len() && !state.promoted {
            (state.phase, state.good_since) = (Phase::Trial, None);
            return state;
        }
        let after = match state.strategy {
            Strategy::Canary { promote_after, .. } | Strategy::BlueGreen { promote_after } => promote_after,
            Strategy::Rolling => None,
        };
        let due = state.good_since.zip(after).map(|(since, after)| since + after);
        if state.promoted || due.is_some_and(|due| due <= now) {
            (state.phase, state.promoted) = (Phase::Replacing, true);
            for one in &sides.new {
                if let Some(instance) = self.instance_mut(one) {
                    instance.hidden = false;
                }
                self.keep_instance(one);
            }
        } else if let Some(due) = due {
            self.timers.at(due, Timer::Deployment(deployment.clone()));
        }
        state
    }

    /// Kills old ones and starts new ones, as many as may be.
    fn replace(
        &mut self,
        now: Timestamp,
        id: &PathId,
        target: &RunSpec,
        mut state: RolloutState,
    ) -> RolloutState {
        self.turn_waiting(id, target);
        let sides = sides(&self.services[id], target);
        let n = target.instances();
        let (minimum, _) = bounds(target);
        let capacity =
            *state.max_capacity.get_or_insert_with(|| first_credits(target, &sides, &mut state.credits));
        for one in &sides.new {
            let serves = self.instance(one).is_some_and(Instance::is_serving);
            if serves && state.served.insert(one.clone()) {
                state.credits = state.credits.saturating_add(1);
            }
        }
        if sides.new_serving >= n {
            state.credits = u32::MAX;
        }
        let resident = target.is_resident();
        let mut healthy = sides.old_healthy + sides.new_serving;
        for (old, is_healthy) in &sides.old {
            let spares = !is_healthy || healthy > minimum || (resident && state.killed == 0);
            if state.killed >= state.credits || !spares {
                break;
            }
            state.killed = state.killed.saturating_add(1);
            healthy -= u32::from(*is_healthy);
            // One with data comes back where they are, as a new one.
            if resident { self.kill_soon(now, old) } else { self.decommission(now, old) }
        }
        let sides = self::sides(&self.services[id], target);
        let have = u32::try_from(sides.new.len()).unwrap_or(u32::MAX);
        // Each old one with data becomes a new one.
        let to_come = if resident { u32::try_from(sides.old.len()).unwrap_or(u32::MAX) } else { 0 };
        let room = capacity.saturating_sub(sides.all);
        let missing = n.saturating_sub(have.saturating_add(to_come)).min(room);
        if missing > 0 {
            self.add(now, id, missing);
        }
        if have > n && sides.old.is_empty() {
            self.drop_surplus(now, id, have - n);
        }
        state
    }

    /// Old ones that were never launched, or have ended and wait, become new ones.
    fn turn_waiting(&mut self, id: &PathId, target: &RunSpec) {
        let Some(service) = self.services.get_mut(id) else { return };
        for one in service.instances.values_mut() {
            let waits = one.condition == Condition::Scheduled && one.goal == Goal::Running;
            if waits && one.spec.version().last_config != target.version().last_config {
                one.spec = target.clone();
            }
        }
    }

    fn drop_surplus(&mut self, now: Timestamp, id: &PathId, surplus: u32) {
        let Some(service) = self.services.get(id) else { return };
        let counted: Vec<&Instance> = service.instances.values().filter(|one| counts(one)).collect();
        let chosen = super::counting::victims(&service.spec, &counted, &Default::default(), surplus as usize);
        for one in chosen {
            self.decommission(now, &one);
        }
    }

    /// Is every instance a new one that serves, and no old one left?
    pub(super) fn has_rolled(&self, id: &PathId) -> bool {
        let Some(service) = self.services.get(id) else { return true };
        let sides = sides(service, &service.spec);
        let n = service.spec.instances();
        let replacing = service
            .deployment
            .as_ref()
            .and_then(|one| self.deployments.get(one)?.rollouts.get(id))
            .is_none_or(|state| state.phase == Phase::Replacing);
        replacing
            && sides.new_serving >= n
            && sides.new.len() <= n as usize
            && sides.old.is_empty()
            && sides.going == 0
    }

    /// The definition that an instance comes back with: the new one, but for old ones while a new one is only tried.
    pub(super) fn spec_to_relaunch(&self, owner: &PathId, id: &InstanceId) -> Option<RunSpec> {
        let service = self.services.get(owner)?;
        let instance = service.instances.get(id)?;
        let rollout =
            service.deployment.as_ref().and_then(|one| self.deployments.get(one)?.rollouts.get(owner));
        let tried = rollout.is_some_and(|state| state.phase != Phase::Replacing);
        let old = instance.spec.version().last_config != service.spec.version().last_config;
        Some(if tried && old { instance.spec.clone() } else { service.spec.clone() })
    }
}

/// How many old ones may be killed at the beginning, added to the credits; returns how many there may be.
fn first_credits(target: &RunSpec, sides: &Sides, credits: &mut u32) -> u32 {
    let n = target.instances();
    let (minimum, mut capacity) = bounds(target);
    let mut at_once = sides.old_healthy.saturating_sub(minimum);
    if minimum == capacity && capacity <= sides.old_healthy {
        if target.is_resident() {
            at_once = sides.old_healthy - minimum + 1;
        } else {
            capacity += 1;
        }
    }
    let current = u32::try_from(sides.old.len() + sides.new.len()).unwrap_or(u32::MAX);
    at_once = at_once.max(current.saturating_sub(n));
    *credits = credits.saturating_add(at_once);
    capacity
}
