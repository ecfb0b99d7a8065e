//! Offers in, launches out.
//!
//! Services take turns, an instance of each at a time, so that a large one does not keep the small ones waiting. One decision
//! launches at most [`MOST_AT_ONCE`] instances: the offers that are left come again at once, and between two decisions the
//! daemon answers what it is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::resources::Quantities;
use lonja_model::{Offer, OfferId, Timestamp};
use lonja_sdk_core::{PlanError, Problem};

use super::{Services, Timer};
use crate::instance::{Condition, Goal, Instance, InstanceId, InstanceTask, Place};
use crate::matching::{Hand, Matched, Want};
use crate::path_id::PathId;

/// The most instances that one decision launches.
const MOST_AT_ONCE: usize = 256;

/// Refusals are forgotten no more often than this.
const LEAST_BETWEEN_REVIVALS: Duration = Duration::from_millis(200);

/// The most sizes that the master is told; with more, any offer will do.
const MOST_SIZES: usize = 16;

impl Services {
    /// Launches what waits on these offers, as far as it may go there.
    pub(super) fn launch(&mut self, now: Timestamp, offers: &[Offer]) {
        self.planned.clear();
        let enforcing = self.groups.values().filter(|group| group.enforce_role == Some(true));
        let enforcing: Vec<String> =
            enforcing.filter_map(|group| group.id.last().map(str::to_owned)).collect();
        let mut hand = Hand::new(offers, now)
            .in_region(self.region.clone())
            .enforcing(enforcing)
            .with_patterns(std::mem::take(&mut self.patterns));
        self.free_orphans(now, &mut hand, offers);
        let mut launched: BTreeMap<OfferId, Vec<InstanceId>> = BTreeMap::new();
        let mut queues = self.queues();
        let mut count = 0;
        while !queues.is_empty() && count < MOST_AT_ONCE {
            queues.retain_mut(|(owner, waiting)| {
                let Some(id) = waiting.pop() else { return false };
                if count >= MOST_AT_ONCE {
                    return true;
                }
                match self.place(owner, &id, &mut hand) {
                    Some((offer, matched)) => {
                        count += 1;
                        launched.entry(offer).or_default().push(id.clone());
                        self.launched(now, &id, matched);
                        !waiting.is_empty()
                    }
                    // What did not do for one will not do for its like, but for those with data of their own.
                    None => self.of(owner).is_some_and(|one| one.spec.is_resident()) && !waiting.is_empty(),
                }
            });
        }
        self.patterns = hand.take_patterns();
        let more_to_do = count >= MOST_AT_ONCE;
        let mut plan = std::mem::take(&mut self.plan);
        for (offers, steps) in hand.used() {
            let ids: Vec<OfferId> = offers.iter().map(|offer| offer.id.clone()).collect();
            let instances = ids.iter().filter_map(|id| launched.remove(id)).flatten().collect();
            self.planned.push((ids, instances));
            plan = plan.accept(&offers, steps);
        }
        plan = plan.refuse_leftovers(Duration::ZERO);
        if more_to_do {
            plan = plan.refuse_rest(Duration::ZERO);
        }
        self.plan = plan.unplaced(self.unplaced());
    }

    /// What waits, by service: those of fewer launches to come take their turn as often as the others.
    fn queues(&self) -> Vec<(PathId, Vec<InstanceId>)> {
        let waits = |one: &&Instance| one.condition == Condition::Scheduled && one.goal == Goal::Running;
        let queue = |id: &PathId| {
            let service = self.of(id)?;
            // Whatever else is decided: of these there are never two, be the other's agent silent.
            if service.spec.is_singleton() && service.instances.values().any(Instance::is_active) {
                return None;
            }
            let mut waiting: Vec<&Instance> = service.instances.values().filter(waits).collect();
            waiting.sort_by_key(|one| std::cmp::Reverse((one.since, one.id.clone())));
            Some((id.clone(), waiting.into_iter().map(|one| one.id.clone()).collect()))
        };
        self.hungry.iter().filter_map(queue).collect()
    }

    fn place(&mut self, owner: &PathId, id: &InstanceId, hand: &mut Hand) -> Option<(OfferId, Matched)> {
        let framework = self.framework.clone()?;
        let draw = self.draws.next();
        let mut notes = std::mem::take(&mut self.of_mut(owner)?.offers);
        let service = self.services.get(owner).or_else(|| self.runs.get(owner))?;
        let instance = service.instances.get(id)?;
        let config = instance.spec.version().last_config;
        let siblings: Vec<&Place> = service
            .instances
            .values()
            .filter(|one| one.id != *id && is_sibling(one, config))
            .filter_map(|one| one.place.as_ref())
            .collect();
        let neighbours = |other: &PathId| -> Vec<&Place> {
            let service = self.of(other);
            let placed =
                service.into_iter().flat_map(|one| one.instances.values()).filter(|one| one.is_active());
            placed.filter_map(|one| one.place.as_ref()).collect()
        };
        let want = Want {
            spec: &instance.spec,
            instance: id,
            incarnation: instance.incarnation + 1,
            home: instance.place.as_ref().filter(|_| instance.spec.is_resident()),
            siblings: &siblings,
            target: instance.spec.instances(),
            neighbours: &neighbours,
            config: &self.config,
            framework: &framework,
            draw,
        };
        let matched = hand.place(&want, &mut notes);
        self.of_mut(owner)?.offers = notes;
        matched.map(|matched| (matched.offer.clone(), matched))
    }

    fn launched(&mut self, now: Timestamp, id: &InstanceId, matched: Matched) {
        let Some(instance) = self.instance_mut(id) else { return };
        instance.incarnation += 1;
        instance.place = Some(matched.place);
        instance.ready = false;
        let task = |(task, container)| InstanceTask {
            id: task,
            container,
            state: None,
            since: now,
            staged_at: now,
            started_at: None,
            healthy: None,
            check: None,
            message: None,
        };
        instance.tasks = matched.tasks.into_iter().map(task).collect();
        instance.health.clear();
        self.set_condition(now, id, Condition::Provisioned);
        self.keep_instance(id);
        self.overdue_at(now, id);
        self.run_launched(now, id);
    }

    /// A plan was impossible: what it was to launch waits again.
    pub(super) fn undo(&mut self, now: Timestamp, problem: &Problem) {
        let Problem::Plan(error) = problem else { return };
        let is_it = |(offers, instances): &(Vec<OfferId>, Vec<InstanceId>)| {
            let has = |task: &lonja_model::TaskId| {
                InstanceId::of_task(task.as_str()).is_some_and(|id| instances.contains(&id))
            };
            #[expect(clippy::wildcard_enum_match_arm, reason = "kinds to come name no launch of ours")]
            match error {
                PlanError::OfferGone(offer) | PlanError::OffersDiffer(offer, _) => offers.contains(offer),
                PlanError::Exceeds { task, .. }
                | PlanError::TaskIdInUse(task)
                | PlanError::NoResources(task)
                | PlanError::WrongAgent { task, .. } => has(task),
                PlanError::ExecutorExceeds { executor, .. } => {
                    // It is called `INSTANCE.INCARNATION`.
                    let instance = executor.as_str().rsplit_once('.').map(|(instance, _)| instance);
                    instances.iter().any(|id| Some(id.as_str()) == instance)
                }
                _ => false,
            }
        };
        let Some(at) = self.planned.iter().position(is_it) else { return };
        let (_, instances) = self.planned.swap_remove(at);
        for id in instances {
            if self.run_instance_ended(now, &id, lonja_model::TaskState::Dropped, "") {
                continue;
            }
            self.killing.remove(&id);
            self.doomed.remove(&id);
            let Some(instance) = self.instance_mut(&id) else { continue };
            instance.tasks.clear();
            // Only what was impossible is left out: data for it may have been made before. Those that are its own stay.
            let leaves = !instance.spec.is_resident() || !instance.settled;
            let left = if leaves { instance.place.take() } else { None };
            let goal = instance.goal;
            self.let_go(now, left);
            if goal == Goal::Decommissioned {
                self.forget_instance(now, &id);
                continue;
            }
            self.set_condition(now, &id, Condition::Scheduled);
            self.keep_instance(&id);
        }
    }

    /// The sizes that are of use, for the master.
    ///
    /// One that no offer was looked at for as yet takes any: what is offered says why it does not do.
    pub(super) fn sizes(&self) -> Vec<Quantities> {
        let mut sizes: Vec<Quantities> = Vec::new();
        for id in &self.hungry {
            let Some(service) = self.of(id) else { continue };
            let size = crate::matching::size(&service.spec);
            if !sizes.contains(&size) {
                sizes.push(size);
            }
            if sizes.len() > MOST_SIZES || service.spec.is_resident() || service.offers.processed == 0 {
                return Vec::new();
            }
        }
        sizes
    }

    fn unplaced(&self) -> Vec<lonja_model::unplaced::Unplaced> {
        let words = |id: &PathId| {
            let service = self.of(id)?;
            let waits = |one: &&Instance| one.condition == Condition::Scheduled && one.goal == Goal::Running;
            let first = service.instances.values().find(waits)?;
            let task = first.id.task(None, first.incarnation + 1)?;
            crate::matching::unplaced(&service.spec, &task, &service.offers)
        };
        self.hungry.iter().filter_map(words).take(lonja_model::unplaced::MAX_UNPLACED).collect()
    }

    /// Forgets refusals if something began to wait to which they may not apply.
    pub(super) fn revive_if_due(&mut self, now: Timestamp) {
        if !self.revive || self.hungry.is_empty() {
            self.revive = false;
            return;
        }
        let due = self.revived + LEAST_BETWEEN_REVIVALS;
        if now < due {
            self.timers.at(due, Timer::Revive);
            return;
        }
        (self.revive, self.revived) = (false, now);
        self.plan = std::mem::take(&mut self.plan).revive();
    }
}

/// Does it count for the constraints of an instance of this configuration?
fn is_sibling(one: &Instance, config: crate::definition::Version) -> bool {
    let has_place = one.is_active() && !one.is_silent() || one.spec.is_resident() && one.place.is_some();
    has_place && one.goal == Goal::Running && one.spec.version().last_config == config
}
