//! All services: the scheduler.
//!
//! Whatever happens, it goes the same way. An event changes what is known ([`status`], [`health`], [`commands`]) and marks
//! the services it touched; [`settle`](Services::settle) then brings each of them nearer to what is wanted of it
//! ([`counting`], [`rollout`], [`deploying`]), until nothing is left to do. What is to be launched waits for offers
//! ([`launching`]). So each step follows from what is, and not from what was planned: a daemon that begins anew in the
//! middle goes on by looking.

mod backoff;
mod commands;
mod counting;
mod deploying;
mod health;
mod jobs;
mod keeping;
mod killing;
mod launching;
mod lifecycle;
mod orphans;
mod restoring;
mod rollout;
mod scaling;
mod status;
mod timers;
mod tree;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use lonja_model::resources::Quantities;
use lonja_model::scheduler::MasterInfo;
use lonja_model::{FrameworkId, Offer, OfferId, TaskStatus, Timestamp};
use lonja_sdk_core::{Change as StoredChange, Interactive, Plan, Problem, Scheduler, State};

use crate::autoscale::Autoscaler;
use crate::command::Command;
use crate::config::Config;
use crate::definition::Version;
use crate::deployment::{Deployment, DeploymentId, EndedDeployment};
use crate::draws::Draws;
use crate::event::{Event, What};
use crate::groups::Group;
use crate::instance::InstanceId;
use crate::job::{Job, JobRun, JobRunId};
use crate::jobs::LeftOut;
use crate::kept::Codec;
use crate::matching::Patterns;
use crate::path_id::PathId;
use crate::service::Service;
pub(crate) use backoff::Delay;
use jobs::Work;
use keeping::Parts;
use orphans::Orphans;
use timers::{Timer, Timers};

/// Deployments that have ended and are remembered.
const MAX_ENDED: usize = 256;

/// All services: a scheduler that keeps what is wanted running.
pub struct Services {
    config: Config,
    codec: Arc<dyn Codec>,
    draws: Draws,
    framework: Option<FrameworkId>,
    /// Where the master is, if it says so: what names no region or zone stays there.
    region: Option<String>,
    services: BTreeMap<PathId, Service>,
    /// When the runs of each job begin and end.
    work: BTreeMap<PathId, Work>,
    scalers: BTreeMap<PathId, Autoscaler>,
    /// The runs of each job, as instances.
    runs: BTreeMap<PathId, Service>,
    groups: BTreeMap<PathId, Group>,
    deployments: BTreeMap<DeploymentId, Deployment>,
    ended: VecDeque<EndedDeployment>,
    jobs: BTreeMap<PathId, (Job, BTreeMap<JobRunId, JobRun>)>,
    /// Of which service each instance is.
    owners: BTreeMap<InstanceId, PathId>,
    /// How many apps and pods are wanted.
    wanted: usize,
    /// How many services use each service port.
    service_ports: BTreeMap<u16, u32>,
    /// Services to be looked at before this event is done.
    dirty: BTreeSet<PathId>,
    /// Deployments, the same.
    moving: BTreeSet<DeploymentId>,
    /// Services with instances that wait for offers and may be launched.
    hungry: BTreeSet<PathId>,
    /// Kills that were asked for and wait for their turn.
    kill_queue: VecDeque<InstanceId>,
    /// What is in the queue, and what is under way.
    doomed: BTreeSet<InstanceId>,
    /// Kills that are under way.
    killing: BTreeSet<InstanceId>,
    /// Data that nobody wants any more.
    orphans: Orphans,
    /// Launches of the last decision: the offers used together, and whose they are.
    planned: Vec<(Vec<OfferId>, Vec<InstanceId>)>,
    /// Expressions of constraints that were read before.
    patterns: Patterns,
    timers: Timers,
    /// The last that was given to a change.
    version: Version,
    /// Something began to wait while other things waited: what was declined for those may do for it.
    revive: bool,
    revived: Timestamp,
    plan: Plan,
    events: Vec<Event>,
    /// What is to be written, by key.
    changes: BTreeMap<String, StoredChange>,
    parts: Parts,
    /// Those of which something is written down.
    kept_instances: BTreeSet<InstanceId>,
}

impl Services {
    /// What the operator decided.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The framework's id, once it is subscribed.
    pub fn framework(&self) -> Option<&FrameworkId> {
        self.framework.as_ref()
    }

    /// All apps and pods by name, also those that are to go and have instances left ([`Service::is_removed`]).
    pub fn services(&self) -> &BTreeMap<PathId, Service> {
        &self.services
    }

    /// One app or pod that is wanted.
    pub fn service(&self, id: &PathId) -> Option<&Service> {
        self.services.get(id).filter(|service| !service.removed)
    }

    /// All groups by name, the root included.
    pub fn groups(&self) -> &BTreeMap<PathId, Group> {
        &self.groups
    }

    /// The deployments that run.
    pub fn deployments(&self) -> &BTreeMap<DeploymentId, Deployment> {
        &self.deployments
    }

    /// The last that have ended, the latest last.
    pub fn ended_deployments(&self) -> &VecDeque<EndedDeployment> {
        &self.ended
    }

    /// All jobs by name, each with the runs that are remembered.
    pub fn jobs(&self) -> &BTreeMap<PathId, (Job, BTreeMap<JobRunId, JobRun>)> {
        &self.jobs
    }

    /// The runs of each job that have a task or wait for one, as instances; of a job that was removed, until the last has ended.
    pub fn runs(&self) -> &BTreeMap<PathId, Service> {
        &self.runs
    }

    /// Of the times of a job's calendar that nothing was run for the last, as far as this daemon knows.
    pub fn left_out(&self, job: &PathId) -> Option<&LeftOut> {
        self.work.get(job)?.rules.left_out()
    }

    /// Whose instance this is.
    pub fn owner(&self, instance: &InstanceId) -> Option<&PathId> {
        self.owners.get(instance)
    }

    /// The app, pod or job of this name, also one that is to go.
    fn of(&self, id: &PathId) -> Option<&Service> {
        self.services.get(id).or_else(|| self.runs.get(id))
    }

    fn of_mut(&mut self, id: &PathId) -> Option<&mut Service> {
        self.services.get_mut(id).or_else(|| self.runs.get_mut(id))
    }

    fn tell(&mut self, now: Timestamp, what: What) {
        self.events.push(Event { at: now, what });
    }

    fn touch(&mut self, id: &PathId) {
        if !self.dirty.contains(id) {
            self.dirty.insert(id.clone());
        }
    }

    /// Brings all that was touched nearer to what is wanted, until nothing is left to do; returns what the SDK is to do.
    fn settle(&mut self, now: Timestamp) -> Plan {
        // Each look brings something nearer to its end, so that there are few; whoever errs in that does not hang the daemon.
        let within = 1_000 + 100 * (self.services.len() + self.runs.len() + self.deployments.len());
        for look in 0..=within {
            debug_assert!(look < within, "{:?} and {:?} do not come to rest", self.dirty, self.moving);
            if let Some(id) = self.dirty.pop_first() {
                self.drive(now, &id);
            } else if let Some(id) = self.moving.pop_first() {
                self.advance(now, &id);
            } else {
                break;
            }
        }
        self.kill_some(now);
        self.revive_if_due(now);
        std::mem::take(&mut self.plan)
    }

    fn drive(&mut self, now: Timestamp, id: &PathId) {
        if self.runs.contains_key(id) {
            self.drive_job(now, id);
            return self.refresh_waiting(now, id);
        }
        self.note_serving(now, id);
        self.follow_orders(now, id);
        self.refresh_waiting(now, id);
        self.refresh_reaching(now, id);
        self.check_failures(now, id);
        if let Some(deployment) = self.services.get(id).and_then(|service| service.deployment.clone()) {
            self.moving.insert(deployment);
        } else if self.services.get(id).is_some_and(|service| service.removed && service.instances.is_empty())
        {
            self.forget_service(id);
        }
    }
}

impl Scheduler for Services {
    fn offers(&mut self, now: Timestamp, offers: &[Offer]) -> Plan {
        self.launch(now, offers);
        self.settle(now)
    }

    fn update(&mut self, now: Timestamp, status: &TaskStatus) -> Plan {
        self.hear(now, status);
        self.settle(now)
    }

    fn wants_offers(&self) -> bool {
        !self.hungry.is_empty() || self.orphans.are_sought()
    }

    fn needs(&self) -> Vec<Quantities> {
        if self.orphans.are_sought() { Vec::new() } else { self.sizes() }
    }

    fn subscribed(&mut self, now: Timestamp, framework: &FrameworkId, master: &MasterInfo) -> Plan {
        let region = master.domain.as_ref().map(|domain| domain.region.clone());
        let master = format!("{}:{}", master.hostname, master.port);
        let what = match self.framework.replace(framework.clone()) {
            None => What::SchedulerRegistered { framework: framework.clone(), master },
            Some(_) => What::SchedulerReregistered { master },
        };
        self.tell(now, what);
        self.region = region;
        self.orphans.subscribed(now);
        self.settle(now)
    }

    fn disconnected(&mut self, now: Timestamp) {
        self.tell(now, What::SchedulerDisconnected);
    }

    fn refused(&mut self, now: Timestamp, problem: &Problem) -> Plan {
        self.undo(now, problem);
        self.settle(now)
    }

    fn changes(&mut self) -> Vec<StoredChange> {
        self.due_changes()
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        // What was too much for one event goes with the next.
        if self.has_changes() { Some(Timestamp::ZERO) } else { self.timers.next() }
    }

    fn tick(&mut self, now: Timestamp) -> Plan {
        while let Some(timer) = self.timers.pop(now) {
            self.look_at(now, timer);
        }
        self.settle(now)
    }
}

impl Services {
    fn look_at(&mut self, now: Timestamp, timer: Timer) {
        match timer {
            Timer::Launch(id) => self.touch(&id),
            Timer::Deployment(id) => {
                self.check_deadline(now, &id);
                let affected =
                    self.deployments.get(&id).map(|one| one.plan.affected().cloned().collect::<Vec<_>>());
                affected.into_iter().flatten().for_each(|id| self.touch(&id));
            }
            Timer::Resumed(id) => {
                if let Some(deployment) = self.deployments.get_mut(&id) {
                    deployment.progressed = now;
                }
                self.check_deadline(now, &id);
            }
            Timer::Unreachable(instance) => self.still_unreachable(now, &instance),
            Timer::Overdue(instance) => self.overdue(now, &instance),
            Timer::Drained(instance) => self.drained(now, &instance),
            Timer::Revive => self.revive = true,
            Timer::Job(id) => self.touch(&id),
            Timer::Began => self.resume_jobs(now),
        }
    }
}

impl Interactive for Services {
    type Command = Command;
    type Event = Event;

    fn command(&mut self, now: Timestamp, command: Command) -> Plan {
        self.obey(now, command);
        self.settle(now)
    }

    fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

/// Restores the services; see `restoring`.
impl Services {
    /// As an earlier run left them; from an empty state, the beginning. Names are drawn from `seed` and from how often
    /// the daemon has begun. Errors: what is kept cannot be read; in words.
    pub fn restore(config: Config, codec: Arc<dyn Codec>, seed: u64, state: &State) -> Result<Self, String> {
        restoring::restore(config, codec, seed, state)
    }
}
