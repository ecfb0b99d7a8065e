//! Kills: bounded in number, and drained first.
//!
//! The SDK says each kill to every master anew until the task's end was seen, so that here nothing is repeated.

use lonja_model::Timestamp;

use super::{Services, Timer};
use crate::instance::{Goal, Instance, InstanceId};

impl Services {
    /// Ends what runs of it as soon as that may be. One that serves takes no new requests for a while first.
    pub(super) fn kill_soon(&mut self, now: Timestamp, id: &InstanceId) {
        if self.doomed.contains(id) {
            return;
        }
        let drain = self.config.drain;
        let Some(instance) = self.instance(id) else { return };
        if !drain.is_zero() && instance.is_serving() && !instance.hidden && instance.goal != Goal::Running {
            self.hide(now, id, true);
            self.timers.at(now + drain, Timer::Drained(id.clone()));
            return;
        }
        self.doom(id.clone());
    }

    /// Its turn to be killed will come.
    pub(super) fn doom(&mut self, id: InstanceId) {
        if self.doomed.insert(id.clone()) {
            // Its turn may come after a restart.
            self.keep_instance(&id);
            self.kill_queue.push_back(id);
        }
    }

    pub(super) fn drained(&mut self, _now: Timestamp, id: &InstanceId) {
        if self.instance(id).is_some_and(Instance::is_active) {
            self.doom(id.clone());
        }
    }

    /// Launched and not heard of for too long.
    pub(super) fn overdue(&mut self, now: Timestamp, id: &InstanceId) {
        let Some(instance) = self.instance(id) else { return };
        let launched = instance.tasks.first().map(|task| task.staged_at).unwrap_or(now);
        if instance.is_staged() && now.since(launched) >= self.config.launch_timeout {
            self.kill_soon(now, id);
        }
    }

    /// Begins as many kills as may be under way. Of an instance whose agent is silent nobody knows when it ends: it waits for
    /// its agent, and nothing waits for it.
    pub(super) fn kill_some(&mut self, _now: Timestamp) {
        if self.kill_queue.is_empty() {
            return;
        }
        let is_heard = |id: &&InstanceId| self.instance(id).is_some_and(|one| !one.is_silent());
        let mut under_way = self.killing.iter().filter(is_heard).count();
        while under_way < self.config.kill_chunk_size {
            let Some(id) = self.kill_queue.pop_front() else { break };
            let Some(instance) = self.instance(&id).filter(|one| one.is_active()) else {
                self.doomed.remove(&id);
                continue;
            };
            under_way += usize::from(!instance.is_silent());
            let grace = instance.spec.kill_grace();
            let tasks: Vec<_> = instance.tasks.iter().map(|task| task.id.clone()).collect();
            for task in tasks {
                self.plan = std::mem::take(&mut self.plan).kill(task, grace);
            }
            self.killing.insert(id);
        }
    }
}
