//! New instances in place of old ones.
//!
//! The rolling way, for a target of n: `m = ceil(n × minimumHealthCapacity)` stay healthy, there are never more than
//! `M = floor(n × (1 + maximumOverCapacity))`. Where they leave no room to move (m = M) there may be one above M; where data are
//! kept, one below m. What may be done is found from what is there, at every look, and not from what was done before, so that a
//! daemon that begins anew goes on the same way. Old ones are killed
//! - as far as healthy ones stay beyond m, and one for each new one that serves; those in bad health go first, and do not count;
//! - if neither lets one go and there is no room for a new one, one in bad health.
//!
//! Before it, a canary starts a few new ones beside the old, and blue-green all of them, hidden; they go on when promoted, which
//! may be once they have been in good health, and where nobody looks at their health, have run for [`SETTLES_WITHIN`].
//!
//! Invariants
//! - There are never more than M instances with a task that may be alive (m = M: M + 1), or of a trial no more than the old and
//!   the trial.
//! - No old one that may be healthy is killed while that would leave fewer than m that are known to be (with data and m = M:
//!   m − 1). One of which nothing was heard yet may be.
//!
//! Source: Marathon's task replacement, whose bounds these are; `docs/services.md`.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_model::Timestamp;

use super::counting::counts;
use super::{Services, Timer};
use crate::definition::{RunSpec, Strategy};
use crate::deployment::{DeploymentId, Phase, RolloutState};
use crate::instance::{Condition, Goal, Instance, InstanceId};
use crate::path_id::PathId;
use crate::service::Service;

/// So long does what is tried have to run before it counts as in good health, if it has no health checks.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// How an old instance is, those first that go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// It does not run, or a health check said no.
    Bad,
    /// It runs, and not all health checks were heard of.
    Unknown,
    Healthy,
}

impl Standing {
    fn of(one: &Instance) -> Self {
        if one.is_healthy() && one.confirmed {
            Self::Healthy
        } else if one.condition == Condition::Running && one.healthy() != Some(false) {
            Self::Unknown
        } else {
            Self::Bad
        }
    }
}

/// The instances of a service during a rollout.
#[derive(Default)]
struct Sides {
    /// Of the new definition, to run.
    new: Vec<InstanceId>,
    /// Of those, how many serve.
    new_serving: u32,
    /// Of the old one, to run, and not about to be killed; those that go first, first.
    old: Vec<(InstanceId, Standing)>,
    /// All that have a task that may be alive, or are about to.
    all: u32,
    /// Old ones whose task has yet to end.
    going: u32,
    /// Of those, how many come back as new ones.
    coming_back: u32,
}

impl Sides {
    fn old_of(&self, standing: Standing) -> u32 {
        count(self.old.iter().filter(|(_, one)| *one == standing).count())
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// `doomed` are about to be killed.
fn sides(service: &Service, target: &RunSpec, doomed: &BTreeSet<InstanceId>) -> Sides {
    let mut sides = Sides::default();
    let is_new = |one: &Instance| one.spec.version().last_config == target.version().last_config;
    let mut old: Vec<&Instance> = Vec::new();
    for one in service.instances.values() {
        let is_doomed = doomed.contains(&one.id);
        if counts(one) {
            if is_new(one) {
                sides.new_serving += u32::from(one.is_serving() && one.confirmed);
                sides.new.push(one.id.clone());
            } else if is_doomed {
                sides.coming_back += 1;
            } else {
                old.push(one);
            }
        }
        let occupies = one.condition == Condition::Scheduled && one.goal == Goal::Running || one.is_active();
        sides.all += u32::from(occupies && !one.is_silent());
        let goes = one.goal != Goal::Running || is_doomed;
        sides.going += u32::from(!is_new(one) && goes && one.is_active() && !one.is_silent());
    }
    old.sort_by_key(|one| (Standing::of(one), one.id.clone()));
    sides.old = old.into_iter().map(|one| (one.id.clone(), Standing::of(one))).collect();
    sides
}

/// How many are tried at first, and whether they are hidden from requests.
fn trial(target: &RunSpec, strategy: &Strategy) -> (u32, bool) {
    match strategy {
        Strategy::Canary { fraction, .. } => (ceil(target.instances(), *fraction).max(1), false),
        Strategy::BlueGreen { .. } => (target.instances(), true),
        Strategy::Rolling => (0, false),
    }
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
            Phase::Trial => self.try_out(now, id, &target, &deployment, state),
            Phase::Waiting => self.wait_for_promotion(now, id, &target, &deployment, state),
            Phase::Replacing => self.replace(now, id, &target, state),
        };
        let (phase, promoted) = (state.phase, state.promoted);
        if let Some(deployment) = self.deployments.get_mut(&deployment) {
            deployment.rollouts.insert(id.clone(), state);
            // That something is in good health, or no longer, is no progress by itself.
            if phase == Phase::Replacing && phase != before.0 {
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
        deployment: &DeploymentId,
        mut state: RolloutState,
    ) -> RolloutState {
        let sides = sides(&self.services[id], target, &self.doomed);
        let (wanted, hidden) = trial(target, &state.strategy);
        self.drop_abandoned(now, id, target);
        for _ in count(sides.new.len())..wanted {
            self.make_instance(now, id, target, hidden);
        }
        if sides.new_serving < wanted {
            state.good_since = None;
            return state;
        }
        let since = *state.good_since.get_or_insert(now);
        // Where nobody looks, to run is all that can be seen: of what fails at once, too.
        let settled = if target.has_health_checks() { since } else { since + SETTLES_WITHIN };
        if settled <= now {
            state.phase = Phase::Waiting;
            self.drop_idle(now, &sides, wanted);
        } else {
            self.timers.at(settled, Timer::Deployment(deployment.clone()));
        }
        state
    }

    /// Of those that are tried there are enough that serve: others, started in the place of one that fell silent, go.
    fn drop_idle(&mut self, now: Timestamp, sides: &Sides, wanted: u32) {
        let serves = |one: &&InstanceId| self.instance(one).is_some_and(Instance::is_serving);
        let idle: Vec<InstanceId> = sides.new.iter().filter(|one| !serves(one)).cloned().collect();
        let surplus = sides.new.len().saturating_sub(wanted as usize);
        idle.iter().take(surplus).for_each(|one| self.decommission(now, one));
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
        let sides = sides(&self.services[id], target, &self.doomed);
        if sides.new_serving < trial(target, &state.strategy).0 && !state.promoted {
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
                self.hide(now, one, false);
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
        let is_resident = target.is_resident();
        let (n, (minimum, maximum)) = (target.instances(), bounds(target));
        let no_room_to_move = minimum >= maximum;
        let capacity = maximum.saturating_add(u32::from(no_room_to_move && !is_resident));
        self.let_old_go(
            now,
            id,
            target,
            minimum.saturating_sub(u32::from(no_room_to_move && is_resident)),
            capacity,
        );

        let sides = self::sides(&self.services[id], target, &self.doomed);
        state.replaced = sides.new_serving;
        let have = count(sides.new.len());
        // Each old one with data becomes a new one.
        let to_come = if is_resident { sides.coming_back.saturating_add(count(sides.old.len())) } else { 0 };
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

    /// Kills as many old ones as may be: `floor` stay healthy, and there may be `capacity`.
    fn let_old_go(&mut self, now: Timestamp, id: &PathId, target: &RunSpec, floor: u32, capacity: u32) {
        let (n, is_resident) = (target.instances(), target.is_resident());
        let sides = sides(&self.services[id], target, &self.doomed);
        let mut healthy = sides.old_of(Standing::Healthy).saturating_add(sides.new_serving);
        let beyond = healthy.saturating_add(sides.old_of(Standing::Unknown)).saturating_sub(floor);
        let replaced = count(sides.old.len()).saturating_add(sides.new_serving).saturating_sub(n);
        let is_stuck =
            sides.all >= capacity && sides.going == 0 && count(sides.new.len()) == sides.new_serving;
        let mut surplus =
            count(sides.old.len() + sides.new.len()).saturating_add(sides.coming_back).saturating_sub(n);
        let most = beyond.max(replaced).max(u32::from(is_stuck));
        for (old, standing) in sides.old.iter().take(most as usize) {
            let may_go = match standing {
                Standing::Bad => true,
                // Whoever is known to be healthy is enough.
                Standing::Unknown => healthy >= floor && beyond > 0,
                Standing::Healthy => healthy > floor,
            };
            if !may_go {
                break;
            }
            healthy -= u32::from(*standing == Standing::Healthy);
            match (is_resident, surplus > 0) {
                (false, _) => self.decommission(now, old),
                (true, true) => self.stop(now, old),
                // One with data comes back where they are, as a new one.
                (true, false) => self.kill_soon(now, old),
            }
            surplus = surplus.saturating_sub(1);
        }
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
        self.retire(now, id, &chosen);
    }

    /// Is every instance a new one that serves, and no old one left?
    pub(super) fn has_rolled(&self, id: &PathId) -> bool {
        let Some(service) = self.services.get(id) else { return true };
        let sides = sides(service, &service.spec, &self.doomed);
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
            && sides.coming_back == 0
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
