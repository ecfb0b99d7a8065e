//! What health and readiness checks of the framework say.
//!
//! Failures soon after the start do not count until the first success. After too many in a row an instance is killed, and
//! another one starts within what its strategy allows.
//!
//! Source: Marathon's health checks; `docs/services.md` says where this differs.

use lonja_model::Timestamp;

use super::Services;
use crate::definition::{HealthCheck, RunSpec};
use crate::event::What;
use crate::instance::{Condition, InstanceId, Response};

impl Services {
    /// One of the framework's health checks has looked.
    pub(super) fn checked(
        &mut self,
        now: Timestamp,
        id: &InstanceId,
        incarnation: u32,
        index: usize,
        result: Result<(), String>,
    ) {
        let Some(owner) = self.owners.get(id).cloned() else { return };
        let Some(instance) = self.instance_mut(id) else { return };
        let Some(check) = own_check(&instance.spec, index) else { return };
        if instance.incarnation != incarnation || instance.condition != Condition::Running {
            return;
        }
        let before = instance.healthy();
        let age = instance.started_at().map_or(std::time::Duration::ZERO, |began| now.since(began));
        if instance.health.len() <= index {
            instance.health.resize(index + 1, Default::default());
        }
        let state = &mut instance.health[index];
        let alive = state.alive();
        let failure = match result {
            Ok(()) => {
                state.first_success.get_or_insert(now);
                state.last_success = Some(now);
                state.consecutive_failures = 0;
                None
            }
            Err(cause) => {
                let is_young = state.first_success.is_none() && age < check.grace;
                if is_young {
                    return;
                }
                // What was counted before this failure decides.
                let too_many = check.max_consecutive_failures > 0
                    && state.consecutive_failures >= check.max_consecutive_failures;
                state.last_failure = Some(now);
                state.last_failure_cause = Some(cause.clone());
                state.consecutive_failures = state.consecutive_failures.saturating_add(1);
                Some((cause, too_many))
            }
        };
        let (now_alive, after) = (state.alive(), instance.healthy());
        let version = instance.spec.version().version;
        if let (Some(now_alive), true) = (now_alive, now_alive != alive) {
            let (app, instance) = (owner.clone(), id.clone());
            self.tell(now, What::HealthStatusChanged { app, instance, version, alive: now_alive });
        }
        if after != before {
            self.tell_health(now, id, after);
        }
        if let Some((cause, too_many)) = failure {
            self.tell(now, What::FailedHealthCheck { app: owner.clone(), instance: id.clone(), check });
            if too_many {
                self.kill_unhealthy(now, id, &cause);
            }
        }
        self.touch(&owner);
    }

    fn kill_unhealthy(&mut self, now: Timestamp, id: &InstanceId, cause: &str) {
        let (Some(instance), Some(owner)) = (self.instance(id), self.owners.get(id).cloned()) else { return };
        if self.doomed.contains(id) {
            return;
        }
        let Some(task) = instance.tasks.first().map(|task| task.id.clone()) else { return };
        let place = instance.place.as_ref();
        let what = What::UnhealthyInstanceKill {
            app: owner,
            task,
            instance: id.clone(),
            version: instance.spec.version().version,
            reason: cause.to_owned(),
            host: place.map_or(String::new(), |place| place.hostname.clone()),
            agent: place.map(|place| place.agent.clone()),
        };
        self.tell(now, what);
        self.note_unhealthy(now, id, &format!("its health check failed too often: {cause}"));
        self.kill_soon(now, id);
    }

    /// A readiness check has looked.
    pub(super) fn readied(&mut self, id: &InstanceId, incarnation: u32, response: Response) {
        let Some(owner) = self.owners.get(id).cloned() else { return };
        let Some(instance) = self.instance_mut(id) else { return };
        let Some(check) = instance.spec.readiness().cloned() else { return };
        if instance.incarnation != incarnation || instance.condition != Condition::Running || instance.ready {
            return;
        }
        instance.ready = check.statuses.contains(&response.status);
        if check.preserve_last_response {
            instance.last_response = Some(response);
        }
        self.touch(&owner);
    }
}

/// The framework's own check of this number.
fn own_check(spec: &RunSpec, index: usize) -> Option<HealthCheck> {
    match spec {
        RunSpec::App(app) => {
            app.health_checks.iter().filter(|check| !check.protocol.is_by_agent()).nth(index).cloned()
        }
        RunSpec::Pod(_) => None,
    }
}
