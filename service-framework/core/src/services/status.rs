//! News of tasks.

use lonja_model::{TaskId, TaskState, TaskStatus, Timestamp};

use super::{Services, Timer};
use crate::event::What;
use crate::instance::{Condition, Goal, InstanceId, InstanceTask};

impl Services {
    /// Takes in news of a task.
    pub(super) fn hear(&mut self, now: Timestamp, status: &TaskStatus) {
        let known = InstanceId::of_task(status.task.as_str()).filter(|id| {
            self.instance(id).is_some_and(|instance| instance.tasks.iter().any(|task| task.id == status.task))
        });
        let Some(id) = known else { return self.hear_of_stranger(now, status) };
        let is_news = self.instance(&id).is_some_and(|instance| {
            instance.tasks.iter().any(|task| task.id == status.task && task.is_news(status))
        });
        // A master that is asked answers with what is known, too.
        if is_news {
            let message = status.message.clone().unwrap_or_default();
            self.tell_status(now, &id, &status.task, status.state, message);
        }
        let healthy = self.instance(&id).and_then(|instance| instance.healthy());
        self.take_in(now, &id, status);
        let Some(instance) = self.instance(&id) else { return };
        // Nobody knows of it: for most that is an end. Where two at once are forbidden, and where data are, it is waited for.
        let waits = instance.spec.is_singleton() || instance.spec.is_resident();
        let is_end = |state: TaskState| state.is_terminal() || (state == TaskState::Unknown && !waits);
        let states: Vec<Option<TaskState>> = instance.tasks.iter().map(|task| task.state).collect();
        if states.iter().all(|state| state.is_some_and(is_end)) {
            let worst = states.into_iter().flatten().max_by_key(|state| severity(*state));
            let message = status.message.clone().unwrap_or_default();
            return self.instance_ended(now, &id, worst.unwrap_or(status.state), &message);
        }
        let alive = instance.tasks.iter().map(InstanceTask::stands).filter(|state| !is_end(*state));
        let Some(state) = alive.min_by_key(|state| progress(*state)) else { return };
        self.stand_at(now, &id, state);
        // A kill that was said while the library knew no such task did not last.
        if self.killing.contains(&id) && is_alive(status.state) {
            let grace = self.instance(&id).and_then(|instance| instance.spec.kill_grace());
            self.plan = std::mem::take(&mut self.plan).kill(status.task.clone(), grace);
        }
        let changed = self.instance(&id).and_then(|instance| instance.healthy());
        if changed != healthy {
            self.tell_health(now, &id, changed);
        }
        if let Some(owner) = self.owners.get(&id).cloned() {
            self.touch(&owner);
        }
    }

    fn take_in(&mut self, now: Timestamp, id: &InstanceId, status: &TaskStatus) {
        let Some(instance) = self.instance_mut(id) else { return };
        let Some(task) = instance.tasks.iter_mut().find(|task| task.id == status.task) else { return };
        if task.state != Some(status.state) {
            task.since = now;
        }
        task.state = Some(status.state);
        if status.state == TaskState::Running {
            task.started_at.get_or_insert(status.timestamp);
        }
        if status.healthy.is_some() {
            task.healthy = status.healthy;
        }
        if status.check.is_some() {
            task.check = status.check;
        }
        task.message.clone_from(&status.message);
        instance.confirmed = true;
        let is_silent = matches!(status.state, TaskState::Unreachable | TaskState::Unknown);
        let since = status.unreachable_since.or(instance.unreachable_since).unwrap_or(now);
        instance.unreachable_since = is_silent.then_some(since);
    }

    /// The state of an instance that has not ended.
    fn stand_at(&mut self, now: Timestamp, id: &InstanceId, state: TaskState) {
        let condition =
            if state == TaskState::Unknown { Condition::Unreachable } else { Condition::of(state) };
        let Some(instance) = self.instance(id) else { return };
        let was = instance.condition;
        if condition == Condition::Unreachable && was == Condition::UnreachableInactive {
            return;
        }
        let is_first_run = condition == Condition::Running && was != Condition::Running;
        self.set_condition(now, id, condition);
        if is_first_run {
            self.began(now, id);
        }
        if condition == Condition::Unreachable {
            self.still_unreachable(now, id);
        } else if matches!(condition, Condition::Staging | Condition::Starting) {
            self.advance_delay(now, id);
        }
    }

    /// Its program runs.
    fn began(&mut self, now: Timestamp, id: &InstanceId) {
        self.advance_delay(now, id);
        let deployed = self
            .owners
            .get(id)
            .and_then(|owner| self.of(owner))
            .is_some_and(|service| service.deployment.is_some());
        if let Some(instance) = self.instance_mut(id) {
            // Outside a deployment nobody asks whether it is ready.
            instance.settled = true;
            instance.ready = instance.ready || !deployed || instance.spec.readiness().is_none();
        }
        self.keep_instance(id);
    }

    fn advance_delay(&mut self, now: Timestamp, id: &InstanceId) {
        let Some(owner) = self.owners.get(id).cloned() else { return };
        let service = self.of_mut(&owner);
        if let Some(delay) = service.and_then(|service| service.delay.as_mut()) {
            delay.advance(now);
        }
    }

    fn tell_status(
        &mut self,
        now: Timestamp,
        id: &InstanceId,
        task: &TaskId,
        state: TaskState,
        message: String,
    ) {
        let (Some(instance), Some(owner)) = (self.instance(id), self.owners.get(id)) else { return };
        let place = instance.place.as_ref();
        let what = What::StatusUpdate {
            agent: place.map(|place| place.agent.clone()),
            task: task.clone(),
            state: instance.told(state),
            message,
            spec: owner.clone(),
            host: place.map_or(String::new(), |place| place.hostname.clone()),
            ports: place.map_or(Vec::new(), |place| place.ports.clone()),
            version: instance.spec.version().version,
        };
        self.tell(now, what);
    }

    /// It is hidden from requests, or takes them from now on. Balancers hear of it as of any news of its tasks.
    pub(super) fn hide(&mut self, now: Timestamp, id: &InstanceId, hidden: bool) {
        let Some(instance) = self.instance_mut(id).filter(|instance| instance.hidden != hidden) else {
            return;
        };
        instance.hidden = hidden;
        let runs = instance.tasks.iter().filter(|task| task.state == Some(TaskState::Running));
        let running: Vec<TaskId> = runs.map(|task| task.id.clone()).collect();
        let message = if hidden { "takes no new requests" } else { "takes requests" };
        for task in running {
            self.tell_status(now, id, &task, TaskState::Running, message.to_owned());
        }
        if let Some(owner) = self.owners.get(id).cloned() {
            self.touch(&owner);
        }
    }

    /// A task that nobody here knows is an orphan: it is to end.
    fn hear_of_stranger(&mut self, now: Timestamp, status: &TaskStatus) {
        if status.state.is_terminal() {
            if let Some(instance) = InstanceId::of_task(status.task.as_str()) {
                let condition = Condition::of(status.state);
                self.tell(now, What::UnknownInstanceTerminated { instance, condition });
            }
        } else if !matches!(status.state, TaskState::Unreachable | TaskState::Unknown) {
            self.plan = std::mem::take(&mut self.plan).kill(status.task.clone(), None);
        }
    }

    /// Instances that were named end and come back; with `wipe` under other names, without their data.
    pub(super) fn kill(
        &mut self,
        now: Timestamp,
        ids: impl IntoIterator<Item = InstanceId>,
        wipe: bool,
    ) -> Vec<InstanceId> {
        let mut killed = Vec::new();
        for id in ids {
            let Some(instance) = self.instance(&id) else { continue };
            if instance.goal == Goal::Decommissioned && !wipe {
                continue;
            }
            if wipe {
                self.decommission(now, &id);
            } else if instance.is_active() {
                self.kill_soon(now, &id);
            } else {
                continue;
            }
            killed.push(id);
        }
        killed
    }

    pub(super) fn overdue_at(&mut self, now: Timestamp, id: &InstanceId) {
        self.timers.at(now + self.config.launch_timeout, Timer::Overdue(id.clone()));
    }
}

/// Does it live, for all that is known, and is it not being ended?
fn is_alive(state: TaskState) -> bool {
    matches!(state, TaskState::Staging | TaskState::Starting | TaskState::Running)
}

/// Of several ends of one pod the one that is told.
fn severity(state: TaskState) -> u8 {
    match state {
        TaskState::Finished => 0,
        TaskState::Killed => 1,
        TaskState::Unknown => 2,
        TaskState::Gone | TaskState::GoneByOperator | TaskState::Lost | TaskState::Dropped => 3,
        TaskState::Error => 5,
        TaskState::Failed
        | TaskState::Staging
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Killing
        | TaskState::Unreachable => 4,
    }
}

/// Of several tasks of one pod the one that is furthest behind says where it stands.
fn progress(state: TaskState) -> u8 {
    match state {
        TaskState::Unreachable | TaskState::Unknown => 0,
        TaskState::Staging => 1,
        TaskState::Starting => 2,
        TaskState::Killing => 3,
        TaskState::Running
        | TaskState::Finished
        | TaskState::Failed
        | TaskState::Killed
        | TaskState::Error
        | TaskState::Lost
        | TaskState::Dropped
        | TaskState::Gone
        | TaskState::GoneByOperator => 4,
    }
}
