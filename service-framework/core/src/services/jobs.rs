//! Jobs, as far as they touch tasks.
//!
//! A run that is to be launched is an instance of the job, under a name that follows from the run's, so that it is found again
//! after a restart. [`Rules`] says when runs begin and what their ends mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lonja_model::{TaskState, Timestamp};

use super::{Services, Timer};
use crate::command::Refused;
use crate::definition::{App, RunSpec};
use crate::instance::{Condition, Goal, Instance, InstanceId};
use crate::job::{Job, JobRun, JobRunId, RunState};
use crate::jobs::{News, Outcome, Rules, Runs};
use crate::kept::{Kept, KeptJob};
use crate::path_id::PathId;
use crate::planning;
use crate::service::Service;
use crate::validate::Fault;

/// What belongs to a job beside its definition.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) rules: Rules,
}

impl Services {
    /// Jobs of an earlier run of the daemon go on.
    pub(super) fn resume_jobs(&mut self, now: Timestamp) {
        let jobs: Vec<PathId> = self.jobs.keys().cloned().collect();
        for id in jobs {
            if let Some(((_, runs), work)) = self.jobs.get_mut(&id).zip(self.work.get_mut(&id)) {
                work.rules.resume(runs, now);
            }
            self.reconcile_runs(now, &id);
            self.touch(&id);
        }
    }

    /// Each instance belongs to a run that is under way, and each run that has a task to an instance. What an earlier program
    /// kept may say otherwise.
    fn reconcile_runs(&mut self, now: Timestamp, id: &PathId) {
        let instances = self.runs.get(id).into_iter().flat_map(|service| service.instances.keys());
        let is_stray =
            |one: &&InstanceId| !self.run_of(one).is_some_and(|(id, run)| self.is_under_way(&id, &run));
        let strays: Vec<InstanceId> = instances.filter(is_stray).cloned().collect();
        strays.iter().for_each(|instance| self.decommission(now, instance));
        let has_none = |run: &&JobRun| {
            run.state == RunState::Running
                && !self.instance(&run_instance(id, &run.id)).is_some_and(Instance::is_active)
        };
        let runs = self.jobs.get(id).into_iter().flat_map(|(_, runs)| runs.values());
        let lost: Vec<JobRunId> = runs.filter(has_none).map(|run| run.id.clone()).collect();
        for run in lost {
            self.run_ended(now, id, &run, Outcome::Failed("nothing is known of its task".to_owned()));
        }
    }

    /// What belongs to the jobs of an earlier run of the daemon, once their runs are there.
    pub(super) fn take_work(&mut self, seen_to: &BTreeMap<PathId, Timestamp>) {
        for (id, (job, runs)) in &self.jobs {
            // It was accepted with this schedule.
            if let Ok(rules) = Rules::restore(job, runs, seen_to.get(id).copied()) {
                self.work.insert(id.clone(), Work { rules });
            }
        }
    }

    /// What a job's runs are made by.
    pub(super) fn run_service(job: &Job) -> Service {
        let run = App { id: job.id.clone(), instances: 1, ..App::clone(&job.run) };
        Service::new(RunSpec::App(Arc::new(run)))
    }

    pub(super) fn put_job(&mut self, now: Timestamp, job: Job, create: bool) -> Result<(), Refused> {
        let id = job.id.clone();
        let is_known = self.jobs.contains_key(&id);
        if create && is_known {
            return Err(Refused::Exists { kind: "job", id });
        }
        if !is_known {
            planning::check_job_name(&id, self)?;
        }
        let wrong = |fault: Fault| Refused::Invalid(vec![fault]);
        match self.work.get_mut(&id) {
            Some(work) => work.rules.replace(&job, now).map_err(wrong)?,
            None => {
                let rules = Rules::new(&job, now).map_err(wrong)?;
                self.work.insert(id.clone(), Work { rules });
            }
        }
        let service = Self::run_service(&job);
        match self.runs.get_mut(&id) {
            // Those that wait are launched by the new definition.
            Some(there) => {
                there.spec = service.spec.clone();
                for one in there.instances.values_mut().filter(|one| !one.is_active()) {
                    one.spec = service.spec.clone();
                }
            }
            None => drop(self.runs.insert(id.clone(), service)),
        }
        let runs = self.jobs.remove(&id).map_or_else(Runs::new, |(_, runs)| runs);
        self.jobs.insert(id.clone(), (job, runs));
        self.keep_job(&id);
        self.touch(&id);
        Ok(())
    }

    pub(super) fn remove_job(&mut self, now: Timestamp, id: &PathId) -> Result<(), Refused> {
        let Some((_, runs)) = self.jobs.remove(id) else { return Err(unknown(id)) };
        self.work.remove(id);
        self.forget(format!("job{id}"));
        for run in runs.keys() {
            self.forget(format!("run{id}/{run}"));
        }
        let instances: Vec<InstanceId> =
            self.runs.get(id).into_iter().flat_map(|service| service.instances.keys().cloned()).collect();
        instances.iter().for_each(|instance| self.decommission(now, instance));
        self.touch(id);
        Ok(())
    }

    pub(super) fn run_job(&mut self, now: Timestamp, id: &PathId) -> Result<JobRunId, Refused> {
        let Some(((job, runs), work)) = self.jobs.get_mut(id).zip(self.work.get_mut(id)) else {
            return Err(unknown(id));
        };
        let (run, news) = work.rules.run_now(job, runs, now)?;
        self.follow(now, id, news);
        self.touch(id);
        Ok(run)
    }

    pub(super) fn stop_run(&mut self, now: Timestamp, id: &PathId, run: &JobRunId) -> Result<(), Refused> {
        let Some((job, runs)) = self.jobs.get_mut(id) else { return Err(unknown(id)) };
        let news = Rules::stop(job, runs, run, now)?;
        self.follow(now, id, news);
        self.touch(id);
        Ok(())
    }

    /// Sees to what is due, and has those that are to be launched wait for offers.
    pub(super) fn drive_job(&mut self, now: Timestamp, id: &PathId) {
        let Some((job, runs)) = self.jobs.get_mut(id) else {
            // It was removed.
            if self.runs.get(id).is_some_and(|service| service.instances.is_empty()) {
                self.runs.remove(id);
                self.hungry.remove(id);
            }
            return;
        };
        let Some(work) = self.work.get_mut(id) else { return };
        let news = work.rules.due(job, runs, now);
        let wanted: Vec<JobRunId> = Rules::wanted(job, runs, now).map(|(run, _)| run.clone()).collect();
        if let Some(deadline) = work.rules.next_deadline(job, runs) {
            self.timers.at(deadline, Timer::Job(id.clone()));
        }
        self.follow(now, id, news);
        let Some(spec) = self.runs.get(id).map(|service| service.spec.clone()) else { return };
        let wanted: BTreeSet<InstanceId> = wanted.iter().map(|run| run_instance(id, run)).collect();
        self.set_aside(now, id, &wanted);
        for instance in wanted {
            self.want_run(now, id, instance, &spec);
        }
    }

    /// What waits for offers is what is to be launched, and nothing else: the job may have changed.
    fn set_aside(&mut self, now: Timestamp, id: &PathId, wanted: &BTreeSet<InstanceId>) {
        let waits = |one: &&mut Instance| one.condition == Condition::Scheduled && one.goal == Goal::Running;
        let instances = self.runs.get_mut(id).into_iter().flat_map(|service| service.instances.values_mut());
        let mut aside = Vec::new();
        for one in instances.filter(waits).filter(|one| !wanted.contains(&one.id)) {
            one.goal = Goal::Stopped;
            aside.push((one.id.clone(), one.incarnation));
        }
        for (instance, incarnation) in aside {
            if incarnation == 0 {
                self.forget_instance(now, &instance);
            } else {
                self.keep_instance(&instance);
            }
        }
    }

    /// The task of a run is to be launched, for the first time or again.
    fn want_run(&mut self, now: Timestamp, id: &PathId, instance: InstanceId, spec: &RunSpec) {
        let Some(one) = self.instance_mut(&instance) else {
            return self.make_named_instance(now, id, instance, spec, false);
        };
        if one.goal == Goal::Stopped && !one.is_active() {
            (one.goal, one.spec) = (Goal::Running, spec.clone());
            self.set_condition(now, &instance, Condition::Scheduled);
            self.keep_instance(&instance);
        }
    }

    fn is_under_way(&self, id: &PathId, run: &JobRunId) -> bool {
        let run = self.jobs.get(id).and_then(|(_, runs)| runs.get(run));
        run.is_some_and(|run| matches!(run.state, RunState::Waiting | RunState::Running))
    }

    /// What has come of something.
    fn follow(&mut self, now: Timestamp, id: &PathId, news: News) {
        if news.time_came {
            self.keep_job(id);
        }
        for run in news.changed {
            self.keep_run(id, &run);
        }
        for run in news.forgotten {
            self.forget(format!("run{id}/{run}"));
        }
        for run in news.kill {
            let instance = run_instance(id, &run);
            if self.instance(&instance).is_some_and(Instance::is_active) {
                self.decommission(now, &instance);
            } else {
                self.forget_instance(now, &instance);
                self.run_ended(now, id, &run, Outcome::NotLaunched);
            }
        }
    }

    /// With how far its calendar was seen to.
    fn keep_job(&mut self, id: &PathId) {
        let Some((job, _)) = self.jobs.get(id) else { return };
        let seen_to = self.work.get(id).and_then(|work| work.rules.seen_to());
        self.keep(format!("job{id}"), &Kept::Job(KeptJob { job: job.clone(), seen_to }));
    }

    fn keep_run(&mut self, id: &PathId, run: &JobRunId) {
        if let Some(kept) = self.jobs.get(id).and_then(|(_, runs)| runs.get(run)).cloned() {
            self.keep(format!("run{id}/{run}"), &Kept::Run(kept));
        }
    }

    /// The task of an instance was launched, if that is one of a job.
    pub(super) fn run_launched(&mut self, now: Timestamp, instance: &InstanceId) {
        let Some((id, run)) = self.run_of(instance) else { return };
        let Some((_, runs)) = self.jobs.get_mut(&id) else { return };
        let news = Rules::launched(runs, &run, now);
        self.follow(now, &id, news);
    }

    /// The task of a job's instance has ended. False: it is none of a job.
    pub(super) fn run_instance_ended(
        &mut self,
        now: Timestamp,
        instance: &InstanceId,
        state: TaskState,
        message: &str,
    ) -> bool {
        let Some(owner) = self.owners.get(instance).filter(|owner| self.runs.contains_key(*owner)).cloned()
        else {
            return false;
        };
        if let Some((id, run)) = self.run_of(instance) {
            let outcome = if state == TaskState::Finished {
                Outcome::Succeeded
            } else if state == TaskState::Dropped {
                Outcome::NotLaunched
            } else {
                Outcome::Failed(format!("{}: {message}", state.name()))
            };
            self.run_ended(now, &id, &run, outcome);
        }
        self.killing.remove(instance);
        self.doomed.remove(instance);
        self.set_condition(now, instance, Condition::of(state));
        let tried_again = self.run_of(instance).is_some_and(|(id, run)| self.is_under_way(&id, &run));
        match self.instance_mut(instance).filter(|_| tried_again) {
            // It is kept, and with it how often it was launched: no task has the id of another.
            Some(one) => {
                (one.goal, one.place) = (Goal::Stopped, None);
                one.tasks.clear();
                self.keep_instance(instance);
            }
            None => self.forget_instance(now, instance),
        }
        self.touch(&owner);
        true
    }

    fn run_ended(&mut self, now: Timestamp, id: &PathId, run: &JobRunId, outcome: Outcome) {
        let Some((job, runs)) = self.jobs.get_mut(id) else { return };
        let news = Rules::ended(job, runs, run, outcome, now);
        self.follow(now, id, news);
        self.touch(id);
    }

    fn run_of(&self, instance: &InstanceId) -> Option<(PathId, JobRunId)> {
        let owner = self.owners.get(instance)?;
        let (_, runs) = self.jobs.get(owner)?;
        let run = runs.keys().find(|run| run_instance(owner, run) == *instance)?;
        Some((owner.clone(), run.clone()))
    }

    /// A run that was kept, under the key `run/JOB/RUN`.
    pub(super) fn take_run(&mut self, key: &str, run: JobRun) {
        let Some((job, _)) = key.strip_prefix("run").and_then(|rest| rest.rsplit_once('/')) else { return };
        let Ok(job) = PathId::absolute(job) else { return };
        if let Some((_, runs)) = self.jobs.get_mut(&job) {
            runs.insert(run.id.clone(), run);
        }
    }
}

fn unknown(id: &PathId) -> Refused {
    Refused::Unknown { kind: "Job", id: id.to_string(), version: None }
}

/// The instance of a run: its name follows from the run's.
fn run_instance(job: &PathId, run: &JobRunId) -> InstanceId {
    // FNV-1a of 128 bits; a name, no secret. Source: Fowler, Noll and Vo.
    let bits = run.as_str().bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    InstanceId::new(job, bits)
}
