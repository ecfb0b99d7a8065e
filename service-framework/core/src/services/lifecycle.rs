//! The life of one instance: made, launched, ended, forgotten.

use lonja_model::{TaskState, Timestamp};

use super::{Services, Timer, backoff};
use crate::definition::RunSpec;
use crate::event::What;
use crate::instance::{Condition, Goal, Instance, InstanceId};
use crate::kept::{Failure, Kept};
use crate::path_id::PathId;

impl Services {
    pub(super) fn instance(&self, id: &InstanceId) -> Option<&Instance> {
        self.of(self.owners.get(id)?)?.instances.get(id)
    }

    pub(super) fn instance_mut(&mut self, id: &InstanceId) -> Option<&mut Instance> {
        let owner = self.owners.get(id)?;
        let service = self.services.get_mut(owner).or_else(|| self.runs.get_mut(owner));
        service?.instances.get_mut(id)
    }

    /// One more instance, which waits for an offer.
    pub(super) fn make_instance(&mut self, now: Timestamp, owner: &PathId, spec: &RunSpec, hidden: bool) {
        let id = InstanceId::new(owner, self.draws.name());
        self.make_named_instance(now, owner, id, spec, hidden);
    }

    pub(super) fn make_named_instance(
        &mut self,
        now: Timestamp,
        owner: &PathId,
        id: InstanceId,
        spec: &RunSpec,
        hidden: bool,
    ) {
        let instance = Instance {
            id: id.clone(),
            spec: spec.clone(),
            goal: Goal::Running,
            condition: Condition::Scheduled,
            since: now,
            incarnation: 0,
            place: None,
            tasks: Vec::new(),
            health: Vec::new(),
            ready: false,
            last_response: None,
            unreachable_since: None,
            settled: false,
            hidden,
            confirmed: true,
        };
        let Some(service) = self.of_mut(owner) else { return };
        service.instances.insert(id.clone(), instance);
        self.owners.insert(id.clone(), owner.clone());
        self.tell_condition(now, &id);
    }

    pub(super) fn set_condition(&mut self, now: Timestamp, id: &InstanceId, condition: Condition) {
        let Some(instance) = self.instance_mut(id) else { return };
        if instance.condition == condition {
            return;
        }
        let healthy = instance.healthy();
        instance.condition = condition;
        instance.since = now;
        let changed = (instance.healthy() != healthy).then(|| instance.healthy());
        self.tell_condition(now, id);
        if let Some(healthy) = changed {
            self.tell_health(now, id, healthy);
        }
        if let Some(owner) = self.owners.get(id).cloned() {
            self.touch(&owner);
        }
    }

    fn tell_condition(&mut self, now: Timestamp, id: &InstanceId) {
        let (Some(instance), Some(owner)) = (self.instance(id), self.owners.get(id)) else { return };
        let place = instance.place.as_ref();
        let what = What::InstanceChanged {
            instance: id.clone(),
            condition: instance.condition,
            spec: owner.clone(),
            agent: place.map(|place| place.agent.clone()),
            host: place.map(|place| place.hostname.clone()),
            version: instance.spec.version().version,
        };
        self.tell(now, what);
    }

    pub(super) fn tell_health(&mut self, now: Timestamp, id: &InstanceId, healthy: Option<bool>) {
        let (Some(instance), Some(owner)) = (self.instance(id), self.owners.get(id)) else { return };
        let version = instance.spec.version().version;
        let what =
            What::InstanceHealthChanged { instance: id.clone(), spec: owner.clone(), version, healthy };
        self.tell(now, what);
    }

    /// All its tasks have ended. It waits to be launched again, keeps its data, or is no more, as its goal is.
    pub(super) fn instance_ended(
        &mut self,
        now: Timestamp,
        id: &InstanceId,
        state: TaskState,
        message: &str,
    ) {
        if self.run_instance_ended(now, id, state, message) {
            return;
        }
        let Some(owner) = self.owners.get(id).cloned() else { return };
        self.killing.remove(id);
        self.doomed.remove(id);
        self.note_failure(now, id, state, message);
        self.set_condition(now, id, Condition::of(state));
        self.note_end(now, &owner, id);
        let gone = state == TaskState::GoneByOperator;
        let relaunched = self.spec_to_relaunch(&owner, id);
        let Some(instance) = self.instance_mut(id) else { return };
        instance.tasks.clear();
        instance.health.clear();
        (instance.ready, instance.last_response) = (false, None);
        let leaves = !instance.spec.is_resident() || gone || !instance.settled;
        let left = if leaves { instance.place.take() } else { None };
        instance.settled &= !leaves;
        let goal = instance.goal;
        if goal == Goal::Running
            && let Some(spec) = relaunched
        {
            instance.spec = spec;
        }
        // What is on an agent that is gone for good goes with it.
        self.let_go(now, left.filter(|_| !gone));
        match goal {
            Goal::Decommissioned => self.forget_instance(now, id),
            Goal::Stopped => self.keep_instance(id),
            Goal::Running => {
                self.set_condition(now, id, Condition::Scheduled);
                self.keep_instance(id);
            }
        }
        self.touch(&owner);
    }

    /// An end that nobody wanted delays launches, and may end a deployment; failures are shown, too.
    fn note_failure(&mut self, now: Timestamp, id: &InstanceId, state: TaskState, message: &str) {
        use TaskState::{Dropped, Error, Failed, Finished, Gone, GoneByOperator, Lost, Unknown};
        let Some(instance) = self.instance(id) else { return };
        // One that was to end has done what it should; an operator's word on an agent says nothing of what ran there.
        let by_itself = matches!(state, Failed | Error | Dropped | Finished | Gone | Lost);
        let counts = instance.goal == Goal::Running && by_itself;
        if matches!(state, Failed | Error | Lost | Dropped | Gone | GoneByOperator | Unknown) {
            self.show_failure(now, id, state, message);
        }
        if counts {
            self.count_against(now, id);
        }
    }

    /// The same of an instance that is killed for its health.
    pub(super) fn note_unhealthy(&mut self, now: Timestamp, id: &InstanceId, message: &str) {
        self.show_failure(now, id, TaskState::Killed, message);
        self.count_against(now, id);
    }

    /// The last failure of its app or pod is this.
    fn show_failure(&mut self, now: Timestamp, id: &InstanceId, state: TaskState, message: &str) {
        let (Some(instance), Some(owner)) = (self.instance(id), self.owners.get(id).cloned()) else { return };
        let place = instance.place.as_ref();
        let failure = Failure {
            app: owner.clone(),
            host: place.map_or(String::new(), |place| place.hostname.clone()),
            message: message.to_owned(),
            state: state.name().to_owned(),
            task: instance.tasks.first().map_or(String::new(), |task| task.id.to_string()),
            at: now,
            version: instance.spec.version().version,
            agent: place.map(|place| place.agent.to_string()),
        };
        self.keep(format!("failure{owner}"), &Kept::Failure(failure.clone()));
        if let Some(service) = self.of_mut(&owner) {
            service.last_failure = Some(failure);
        }
    }

    /// Launches of its configuration are delayed, and its deployment hears of it.
    fn count_against(&mut self, now: Timestamp, id: &InstanceId) {
        let Some(owner) = self.owners.get(id).cloned() else { return };
        let Some(service) = self.of_mut(&owner) else { return };
        let Some(instance) = service.instances.get(id) else { return };
        let config = instance.spec.version().last_config;
        service.delay = backoff::failed(service.delay.take(), now, instance.spec.backoff(), config);
        self.count_failure(&owner, config);
    }

    /// It is no more, and nothing of it is remembered.
    pub(super) fn forget_instance(&mut self, now: Timestamp, id: &InstanceId) {
        let Some(owner) = self.owners.remove(id) else { return };
        self.killing.remove(id);
        self.doomed.remove(id);
        let instance = self.of_mut(&owner).and_then(|service| service.instances.remove(id));
        self.let_go(now, instance.and_then(|one| one.place));
        self.forget_kept_instance(id);
        self.touch(&owner);
    }

    /// It is to end for good. One that waits ends at once.
    pub(super) fn decommission(&mut self, now: Timestamp, id: &InstanceId) {
        let Some(instance) = self.instance_mut(id) else { return };
        if instance.goal == Goal::Decommissioned {
            return;
        }
        instance.goal = Goal::Decommissioned;
        if instance.is_active() {
            self.keep_instance(id);
            self.kill_soon(now, id);
        } else {
            self.forget_instance(now, id);
        }
    }

    /// It is to end, and its data stay.
    pub(super) fn stop(&mut self, now: Timestamp, id: &InstanceId) {
        let Some(instance) = self.instance_mut(id) else { return };
        if instance.place.is_none() {
            return self.decommission(now, id);
        }
        instance.goal = Goal::Stopped;
        let is_active = instance.is_active();
        self.keep_instance(id);
        if is_active {
            self.kill_soon(now, id);
        }
    }

    /// Its agent is silent. It is given up after the times of its strategy; of a single-instance app never, or there
    /// might be two.
    pub(super) fn still_unreachable(&mut self, now: Timestamp, id: &InstanceId) {
        use crate::definition::UnreachableStrategy::{Disabled, Enabled};
        let Some(instance) = self.instance(id) else { return };
        if !matches!(instance.condition, Condition::Unreachable | Condition::UnreachableInactive) {
            return;
        }
        let strategy = if instance.spec.is_singleton() || instance.spec.is_resident() {
            Disabled
        } else {
            instance.spec.unreachable()
        };
        let Enabled { inactive_after, expunge_after } = strategy else { return };
        let silent = now.since(instance.since_unreachable());
        let (since, tasks) = (instance.since_unreachable(), instance.tasks.clone());
        if silent >= expunge_after {
            // Should its agent come back, its task is to end at once.
            for task in &tasks {
                self.plan = std::mem::take(&mut self.plan).kill(task.id.clone(), None);
            }
            if !self.run_instance_ended(now, id, TaskState::Lost, "its agent is silent") {
                self.forget_instance(now, id);
            }
        } else if silent >= inactive_after {
            self.set_condition(now, id, Condition::UnreachableInactive);
            self.timers.at(since + expunge_after, Timer::Unreachable(id.clone()));
        } else {
            self.timers.at(since + inactive_after, Timer::Unreachable(id.clone()));
        }
    }
}
