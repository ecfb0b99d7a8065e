//! As many instances as wanted.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::Timestamp;

use super::{Services, Timer};
use crate::definition::{KillSelection, Operator, RunSpec};
use crate::deployment::Action;
use crate::instance::{Condition, Goal, Instance, InstanceId};
use crate::matching::Field;
use crate::path_id::PathId;
use crate::service::Service;
use crate::waiting::Waiting;

/// What is to be done about a service now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Order {
    /// As many as this, whichever they are.
    Keep(u32),
    /// None, for good.
    Stop,
    /// New ones in place of old ones.
    Restart,
}

impl Services {
    /// What is to be done about a service: what its deployment's step says, else what it wants itself.
    pub(super) fn order(&self, id: &PathId) -> Option<Order> {
        let service = self.services.get(id)?;
        let Some(deployment) = service.deployment.as_ref().and_then(|one| self.deployments.get(one)) else {
            return Some(if service.removed { Order::Stop } else { Order::Keep(service.spec.instances()) });
        };
        let before =
            || deployment.plan.original.get(id).cloned().flatten().map_or(0, |spec| spec.instances());
        let (done, rest) = deployment.plan.steps.split_at(deployment.step.min(deployment.plan.steps.len()));
        let action = |steps: &[crate::deployment::Step]| {
            steps
                .iter()
                .filter_map(|step| step.actions.get(id).copied())
                .rfind(|action| *action != Action::Start)
        };
        Some(match rest.first().and_then(|step| step.actions.get(id)) {
            Some(Action::Stop) => Order::Stop,
            Some(Action::Scale) => Order::Keep(service.spec.instances()),
            Some(Action::Restart) => Order::Restart,
            Some(Action::Start) => Order::Keep(0),
            None if action(done).is_some() => {
                if service.removed {
                    Order::Stop
                } else {
                    Order::Keep(service.spec.instances())
                }
            }
            None => Order::Keep(before()),
        })
    }

    pub(super) fn follow_orders(&mut self, now: Timestamp, id: &PathId) {
        match self.order(id) {
            None => {}
            Some(Order::Keep(count)) => self.keep_count(now, id, count),
            Some(Order::Stop) => {
                let all: Vec<_> = self.services[id].instances.keys().cloned().collect();
                all.iter().for_each(|instance| self.decommission(now, instance));
            }
            Some(Order::Restart) => self.roll(now, id),
        }
    }

    /// As many instances as this.
    fn keep_count(&mut self, now: Timestamp, id: &PathId, count: u32) {
        let Some(service) = self.services.get(id) else { return };
        let sentenced: BTreeSet<InstanceId> = service
            .deployment
            .as_ref()
            .and_then(|one| self.deployments.get(one))
            .map(|one| one.sentenced.clone())
            .unwrap_or_default();
        let counted: Vec<&Instance> = service.instances.values().filter(|one| counts(one)).collect();
        let have = u32::try_from(counted.len()).unwrap_or(u32::MAX);
        if have < count {
            return self.add(now, id, count - have);
        }
        if have == count && service.deployment.is_none() {
            return self.show_hidden(now, id);
        }
        if have > count {
            let surplus = (have - count) as usize;
            let victims = victims(&service.spec, &counted, &sentenced, surplus);
            self.retire(now, id, &victims);
        }
    }

    /// They are too many: those with data stay, and do not run.
    pub(super) fn retire(&mut self, now: Timestamp, id: &PathId, victims: &[InstanceId]) {
        let is_resident = self.services.get(id).is_some_and(|service| service.spec.is_resident());
        for victim in victims {
            if is_resident { self.stop(now, victim) } else { self.decommission(now, victim) }
        }
    }

    /// Those that were hidden to be tried take requests: they are all that there is to be.
    fn show_hidden(&mut self, now: Timestamp, id: &PathId) {
        let Some(service) = self.services.get(id) else { return };
        let hidden = service.instances.values().filter(|one| one.hidden && one.goal == Goal::Running);
        let hidden: Vec<InstanceId> = hidden.map(|one| one.id.clone()).collect();
        for one in &hidden {
            self.hide(now, one, false);
            self.keep_instance(one);
        }
    }

    /// So many more: those that were stopped first, for their data.
    pub(super) fn add(&mut self, now: Timestamp, id: &PathId, count: u32) {
        let Some(service) = self.services.get(id) else { return };
        let is_stopped = |one: &&Instance| one.goal == Goal::Stopped && !one.is_active();
        let stopped: Vec<InstanceId> = service
            .instances
            .values()
            .filter(is_stopped)
            .map(|one| one.id.clone())
            .take(count as usize)
            .collect();
        let spec = service.spec.clone();
        let rest = count - u32::try_from(stopped.len()).unwrap_or(count);
        for one in stopped {
            if let Some(instance) = self.instance_mut(&one) {
                (instance.goal, instance.spec) = (Goal::Running, spec.clone());
            }
            self.set_condition(now, &one, Condition::Scheduled);
            self.keep_instance(&one);
        }
        for _ in 0..rest {
            self.make_instance(now, id, &spec, false);
        }
    }

    /// How many of a service wait for offers, and since when.
    pub(super) fn refresh_waiting(&mut self, now: Timestamp, id: &PathId) {
        let Some(service) = self.of_mut(id) else {
            self.hungry.remove(id);
            return;
        };
        let waits = service
            .instances
            .values()
            .filter(|one| one.condition == Condition::Scheduled && one.goal == Goal::Running);
        let count = u32::try_from(waits.count()).unwrap_or(u32::MAX);
        let config = service.spec.version().last_config;
        let until = service.delay.as_ref().and_then(|delay| delay.until(now, config));
        let since = service.waiting.as_ref().map_or(now, |waiting| waiting.since);
        if count == 0 {
            service.waiting = None;
            service.offers = Default::default();
            self.hungry.remove(id);
            return;
        }
        let is_new = service.waiting.as_ref().is_none_or(|waiting| waiting.count < count);
        service.waiting = Some(Waiting { count, since, delayed_until: until });
        match until {
            Some(until) => {
                self.hungry.remove(id);
                self.timers.at(until, Timer::Launch(id.clone()));
            }
            None => {
                let wanted_before = !self.hungry.is_empty();
                let newly = self.hungry.insert(id.clone());
                self.revive |= wanted_before && (newly || is_new);
            }
        }
    }
}

/// Does it count towards the number that is wanted?
pub(super) fn counts(instance: &Instance) -> bool {
    instance.goal == Goal::Running && instance.condition != Condition::UnreachableInactive
}

/// Which go when there are too many: those that were named, those that keep groups even, those that do least, then by age.
///
/// Source: Marathon's kill selection.
pub(super) fn victims(
    spec: &RunSpec,
    counted: &[&Instance],
    sentenced: &BTreeSet<InstanceId>,
    surplus: usize,
) -> Vec<InstanceId> {
    let mut left: Vec<&Instance> = counted.to_vec();
    left.sort_by_key(|one| rank(spec, one, sentenced));
    let mut chosen = Vec::with_capacity(surplus);
    let fields: Vec<&str> = spec
        .constraints()
        .iter()
        .filter(|constraint| matches!(constraint.operator, Operator::GroupBy(_)))
        .map(|constraint| constraint.field.as_str())
        .collect();
    while chosen.len() < surplus && !left.is_empty() {
        let named = left.first().is_some_and(|one| sentenced.contains(&one.id) || one.place.is_none());
        let at = if named { 0 } else { fields.first().map_or(0, |field| first_of_largest(field, &left)) };
        chosen.push(left.remove(at).id.clone());
    }
    chosen
}

/// The first, in order, of those in the largest group.
fn first_of_largest(field: &str, left: &[&Instance]) -> usize {
    let field = Field::named(field);
    let value = |one: &Instance| field.of_place(one.place.as_ref()?).map(str::to_owned);
    let mut sizes: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for one in left {
        *sizes.entry(value(one)).or_default() += 1;
    }
    let largest = sizes.values().copied().max().unwrap_or(0);
    left.iter().position(|one| sizes.get(&value(one)) == Some(&largest)).unwrap_or(0)
}

fn rank(spec: &RunSpec, one: &Instance, sentenced: &BTreeSet<InstanceId>) -> (bool, bool, u8, i128) {
    let condition = match one.condition {
        Condition::Scheduled => 0,
        Condition::Unreachable | Condition::UnreachableInactive => 1,
        Condition::Provisioned | Condition::Staging => 2,
        Condition::Starting => 3,
        Condition::Running => 4,
        Condition::Killing
        | Condition::Finished
        | Condition::Failed
        | Condition::Killed
        | Condition::Error
        | Condition::Gone
        | Condition::Dropped
        | Condition::Unknown => 5,
    };
    let began =
        one.started_at().or_else(|| one.tasks.first().map(|task| task.staged_at)).unwrap_or(one.since);
    let began = i128::from(began.as_nanos());
    let age = match spec.kill_selection() {
        KillSelection::YoungestFirst => -began,
        KillSelection::OldestFirst => began,
    };
    (!sentenced.contains(&one.id), !one.hidden, condition, age)
}

impl Service {
    /// Are there as many that serve as wanted, and no more than that?
    pub(super) fn has_count(&self, count: u32) -> bool {
        let serving = self.instances.values().filter(|one| counts(one) && one.is_serving() && one.confirmed);
        let serving = serving.count();
        let going = self
            .instances
            .values()
            .any(|one| one.goal != Goal::Running && one.is_active() && !one.is_silent());
        serving >= count as usize && !going
    }
}
