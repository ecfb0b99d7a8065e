//! What the services are told from outside.

use lonja_model::Timestamp;

use super::Services;
use crate::command::{Command, Refused, Started};
use crate::definition::Version;
use crate::deployment::{DeploymentEnd, DeploymentId, Phase};
use crate::groups;
use crate::path_id::PathId;

impl Services {
    pub(super) fn obey(&mut self, now: Timestamp, command: Command) {
        match command {
            Command::Look(look) => (look.0)(self, now),
            Command::Change { change, options, answer } => {
                let result = self.change(now, change, &options, None);
                answer.give(result);
            }
            Command::Plan { change, options, answer } => {
                let result = self.plan_change(now, change, &options);
                answer.give(result);
            }
            Command::Kill { instances, wipe, answer } => {
                let killed = self.kill(now, instances, wipe);
                answer.give(killed);
            }
            Command::Cancel { deployment, force, answer } => {
                let result = self.cancel(now, &deployment, force);
                answer.give(result);
            }
            Command::Promote { deployment, answer } => {
                let result = self.promote(&deployment);
                answer.give(result);
            }
            Command::ResetDelay { spec, answer } => {
                let result = self.reset_delay(&spec);
                answer.give(result);
            }
            Command::Health { instance, incarnation, check, result } => {
                self.checked(now, &instance, incarnation, check, result);
            }
            Command::Readiness { instance, incarnation, response } => {
                self.readied(&instance, incarnation, response);
            }
            Command::Usage { app, value } => self.used(now, &app, value),
            Command::EnforceRole { group, enforce, answer } => {
                let result = self.enforce_role(now, &group, enforce);
                answer.give(result);
            }
            Command::PutJob { job, create, answer } => {
                let result = self.put_job(now, *job, create);
                answer.give(result);
            }
            Command::RemoveJob { job, answer } => {
                let result = self.remove_job(now, &job);
                answer.give(result);
            }
            Command::RunJob { job, answer } => {
                let result = self.run_job(now, &job);
                answer.give(result);
            }
            Command::StopRun { job, run, answer } => {
                let result = self.stop_run(now, &job, &run);
                answer.give(result);
            }
        }
    }

    fn cancel(&mut self, now: Timestamp, id: &DeploymentId, force: bool) -> Result<Option<Started>, Refused> {
        if !self.deployments.contains_key(id) {
            return Err(Refused::Unknown { kind: "DeploymentPlan", id: id.to_string(), version: None });
        }
        if force {
            self.end(now, id, DeploymentEnd::Failed { reason: "it was cancelled".to_owned() });
            return Ok(None);
        }
        self.revert(now, id, "it was cancelled").map(Some)
    }

    fn promote(&mut self, id: &DeploymentId) -> Result<(), Refused> {
        let Some(deployment) = self.deployments.get_mut(id) else {
            return Err(Refused::Unknown { kind: "DeploymentPlan", id: id.to_string(), version: None });
        };
        let waiting = deployment.rollouts.iter_mut().filter(|(_, state)| state.phase == Phase::Waiting);
        let mut promoted = Vec::new();
        for (path, state) in waiting {
            state.promoted = true;
            promoted.push(path.clone());
        }
        if promoted.is_empty() {
            let why = deployment
                .waits_for
                .clone()
                .unwrap_or_else(|| "it is not a canary or blue-green deployment".to_owned());
            return Err(Refused::NotNow(format!("deployment {id} does not wait to be promoted: {why}")));
        }
        promoted.iter().for_each(|path| self.touch(path));
        self.keep_deployment(id);
        Ok(())
    }

    fn reset_delay(&mut self, id: &PathId) -> Result<(), Refused> {
        let service = self.of_mut(id).filter(|service| !service.removed);
        let Some(service) = service.filter(|service| service.waiting.is_some()) else {
            return Err(Refused::Unknown { kind: "Application", id: id.to_string(), version: None });
        };
        service.delay = None;
        self.touch(id);
        Ok(())
    }

    fn enforce_role(&mut self, now: Timestamp, id: &PathId, enforce: Option<bool>) -> Result<(), Refused> {
        let version = Version::next(now, self.version);
        let group = groups::enforcing(id, enforce, version, self)?;
        self.version = version;
        self.groups.insert(id.clone(), group);
        self.keep_group(id);
        Ok(())
    }
}
