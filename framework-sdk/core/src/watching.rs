//! What a task asks to be looked at for, and how long it may run.

use std::time::Duration;

use lonja_model::Resources;
use lonja_model::check::{Check, CheckKind, HealthCheck, Probe};

use crate::task::Task;

/// A task's wishes about being looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    pub(crate) health: Option<HealthCheck>,
    pub(crate) check: Option<Check>,
    /// The probe's port is that of the task's own ports.
    health_port: Option<usize>,
    check_port: Option<usize>,
    pub(crate) longest: Option<Duration>,
}

impl Watch {
    /// The health check of a task that has these resources.
    pub(crate) fn health_on(&self, resources: &Resources) -> Option<Box<HealthCheck>> {
        let mut health = self.health.clone()?;
        with_port(&mut health.probe, self.health_port, resources);
        Some(Box::new(health))
    }

    /// How it is looked at, each with the number of the task's own port that it is looked at on.
    pub(crate) fn probes(&self) -> impl Iterator<Item = (CheckKind, &Probe, Option<usize>)> {
        let health = self.health.as_ref().map(|check| (CheckKind::Health, &check.probe, self.health_port));
        let check = self.check.as_ref().map(|check| (CheckKind::General, &check.probe, self.check_port));
        health.into_iter().chain(check)
    }

    /// The check of a task that has these resources.
    pub(crate) fn check_on(&self, resources: &Resources) -> Option<Box<Check>> {
        let mut check = self.check.clone()?;
        with_port(&mut check.probe, self.check_port, resources);
        Some(Box::new(check))
    }
}

/// Puts the task's port of that number into the probe; without such a port 0, which the master refuses.
fn with_port(probe: &mut Probe, index: Option<usize>, resources: &Resources) {
    let Some(index) = index else { return };
    let own = resources.ranges("ports").numbers().nth(index);
    let own = own.and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    match probe {
        Probe::Command(_) => {}
        Probe::Http(http) => http.port = own,
        Probe::Tcp { port, .. } => *port = own,
    }
}

impl Task {
    /// Ends it when it fails this too often: TASK_KILLED, with `healthy` false. Its framework hears of each change of
    /// its health with TASK_RUNNING.
    ///
    /// ```
    /// use lonja_sdk_core::Task;
    /// use lonja_model::check::{HealthCheck, Probe};
    /// let task = Task::shell("serve --port 8080")?.health_check(HealthCheck::new(Probe::http(8080, "/health")));
    /// # Ok::<(), lonja_sdk_core::InvalidTask>(())
    /// ```
    #[must_use]
    pub fn health_check(mut self, check: HealthCheck) -> Self {
        (self.watch.health, self.watch.health_port) = (Some(check), None);
        self
    }

    /// The same, at the task's own port number `index`, the one that it finds in `PORT0`, `PORT1` and so on, whatever
    /// port the check names.
    #[must_use]
    pub fn health_check_on_port(mut self, index: usize, check: HealthCheck) -> Self {
        (self.watch.health, self.watch.health_port) = (Some(check), Some(index));
        self
    }

    /// Reports what this sees, with TASK_RUNNING whenever it has changed.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        (self.watch.check, self.watch.check_port) = (Some(check), None);
        self
    }

    /// The same, at the task's own port number `index`.
    #[must_use]
    pub fn check_on_port(mut self, index: usize, check: Check) -> Self {
        (self.watch.check, self.watch.check_port) = (Some(check), Some(index));
        self
    }

    /// Ended by its agent after this long, from the start of its program: TASK_FAILED.
    #[must_use]
    pub fn max_run_time(mut self, longest: Duration) -> Self {
        self.watch.longest = Some(longest);
        self
    }
}

#[cfg(test)]
mod tests {
    use lonja_model::{AgentId, TaskId};

    use super::*;

    #[test]
    fn a_check_of_an_own_port_names_the_one_that_the_task_got() {
        let task = Task::shell("true").unwrap().ports(2);
        let health = HealthCheck::new(Probe::http(1, "/health"));
        let task = task.health_check_on_port(1, health).check_on_port(2, Check::new(Probe::tcp(9)));
        let resources = Resources::parse("cpus:1;ports:[31005-31005,31007-31007]").unwrap();
        let (agent, id) = (AgentId::new("a").unwrap(), TaskId::new("t").unwrap());
        let info = task.max_run_time(Duration::from_secs(9)).with_resources(&agent, id, resources);
        assert_eq!(info.health_check.unwrap().probe, Probe::http(31_007, "/health"));
        assert_eq!(info.check.unwrap().probe, Probe::tcp(0), "it has no third port");
        assert_eq!(info.max_completion_time, Some(Duration::from_secs(9)));
    }
}
