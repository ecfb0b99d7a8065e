//! A batch scheduler: it brings the jobs of its [`Plan`] to their ends.
//!
//! It is an ordinary [`Scheduler`] of the SDK. It notes durably what it is about to launch before the launch
//! is sent, and what it was told before that is acknowledged; so a kill at any moment loses nothing. After a
//! restart it hands the tasks it remembers to the library, which asks where they stand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::framework::Capability;
use lonja_model::operation::Conversion;
use lonja_model::resources::{
    Disk, Metadata, Persistence, Reservation, ReservationKind, Resource, Scalar, Value,
};
use lonja_model::scheduler::MasterInfo;
use lonja_model::{
    AgentId, FrameworkId, FrameworkInfo, Offer, OperationId, Resources, TaskId, TaskInfo, TaskState,
    TaskStatus, Timestamp,
};
use lonja_sdk_core::{Effects, Event, Framework, Options, Outcome, Plan, Scheduler, Step};

use crate::disk::Durable;
use crate::hosts::Core;
use crate::workload::{self, Goal};

/// The size of each volume. Agents have disk for all that a run can make.
const VOLUME_MIB: u64 = 1;

/// How often kills are repeated.
const KILL_AGAIN: Duration = Duration::from_secs(20);

/// What a framework remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notebook {
    /// Grows with each change.
    version: u64,
    id: Option<FrameworkId>,
    jobs: BTreeMap<usize, Standing>,
    pub(crate) tasks: BTreeMap<TaskId, Attempt>,
    /// It has asked to be torn down, or is about to.
    leaving: bool,
    /// It is torn down and does nothing more.
    pub(crate) gone: bool,
}

/// Where one job stands.
#[derive(Clone, Debug, Default)]
struct Standing {
    failures: usize,
    current: Option<TaskId>,
    done: bool,
}

/// One task.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    job: usize,
    agent: AgentId,
    state: TaskState,
}

impl Durable for Notebook {
    type Op = Box<Notebook>;
    fn take(&mut self, op: Box<Notebook>) {
        *self = *op;
    }
}

impl Notebook {
    fn all_jobs_done(&self, plan: &workload::Plan) -> bool {
        (0..plan.jobs.len()).all(|job| self.jobs.get(&job).is_some_and(|standing| standing.done))
    }

    fn unfinished(&self) -> impl Iterator<Item = (&TaskId, &Attempt)> {
        self.tasks.iter().filter(|(_, attempt)| !attempt.state.is_terminal())
    }

    /// What is still waited for, in words; `None`: all that was wanted is there.
    pub(crate) fn waits_for(&self, plan: &workload::Plan) -> Option<String> {
        let open = |job: &usize| !self.jobs.get(job).is_some_and(|standing| standing.done);
        let open: Vec<_> = (0..plan.jobs.len()).filter(open).collect();
        let tasks: Vec<_> = self
            .unfinished()
            .map(|(id, attempt)| format!("{id} {} on {}", attempt.state, attempt.agent))
            .collect();
        let done = open.is_empty() && if plan.tears_down { self.gone } else { tasks.is_empty() };
        (!done).then(|| format!("{} waits for jobs {open:?} and tasks {tasks:?}", plan.name))
    }
}

/// The SDK's framework with a batch scheduler in it.
pub(crate) struct Client {
    framework: Framework<Batch>,
    durable: u64,
}

/// What a framework wants done, in field order.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) persist: Option<Box<Notebook>>,
    pub(crate) effects: Effects,
}

impl Core for Client {
    type Event = Event;
    type Effects = Wishes;
    const BATCHES: bool = false;

    fn handle(&mut self, now: Timestamp, event: Event) -> Wishes {
        let effects = self.framework.handle(now, event);
        let mut notes = self.framework.scheduler().notes.clone();
        match &effects.finished {
            Some(Outcome::TornDown) => notes.gone = true,
            Some(Outcome::EndedByMaster { .. }) => notes.gone = notes.leaving,
            Some(Outcome::Left { .. }) | None => {}
        }
        let changed = notes.version != self.durable || notes.gone;
        self.durable = notes.version;
        Wishes { persist: changed.then(|| Box::new(notes)), effects }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.framework.next_deadline()
    }

    fn tick() -> Event {
        Event::Tick
    }

    fn append(all: &mut Wishes, later: Wishes) {
        *all = later;
    }

    fn must_commit(wishes: &Wishes) -> bool {
        wishes.persist.is_some()
    }
}

impl Client {
    /// The framework that carries out `plan` and remembers `notes`; its first ever start was at `born`.
    pub(crate) fn new(
        now: Timestamp,
        born: Timestamp,
        plan: workload::Plan,
        notes: Notebook,
        seed: u64,
    ) -> Self {
        let options =
            Options { info: describe(&plan), id: notes.id.clone(), constraints: Default::default(), seed };
        let durable = notes.version;
        Self { framework: Framework::new(now, options, Batch::new(now, born, plan, notes)), durable }
    }

    /// The library's own promises.
    pub(crate) fn check(&self) -> Result<(), String> {
        lonja_sdk_core::invariants::check(&self.framework)
    }
}

fn describe(plan: &workload::Plan) -> FrameworkInfo {
    let mut capabilities = BTreeSet::from([Capability::PartitionAware, Capability::MultiRole]);
    if plan.knows_killing {
        capabilities.insert(Capability::TaskKillingState);
    }
    FrameworkInfo {
        user: "nobody".to_owned(),
        name: plan.name.clone(),
        failover_timeout: Duration::from_secs(24 * 3600),
        checkpoint: true,
        hostname: None,
        principal: None,
        webui_url: None,
        capabilities,
        labels: Default::default(),
        roles: BTreeSet::from([plan.role()]),
        minimum_offers: BTreeMap::new(),
    }
}

/// The scheduler.
struct Batch {
    plan: workload::Plan,
    now: Timestamp,
    born: Timestamp,
    notes: Notebook,
    /// When a task that is to be killed will be.
    kill_at: BTreeMap<TaskId, Timestamp>,
}

impl Scheduler for Batch {
    fn offers(&mut self, now: Timestamp, offers: &[Offer]) -> Plan {
        self.now = now;
        let mut plan = Plan::new();
        for offer in offers {
            let steps = self.place(now, offer);
            if !steps.is_empty() {
                plan = plan.accept([offer], steps);
            }
        }
        plan
    }

    fn update(&mut self, now: Timestamp, status: &TaskStatus) -> Plan {
        self.now = now;
        let told = status.state;
        let Some(attempt) = self.notes.tasks.get_mut(&status.task) else { return Plan::new() };
        if !attempt.state.may_become(told) || attempt.state == told {
            return Plan::new();
        }
        attempt.state = told;
        self.notes.version += 1;
        let job = attempt.job;
        let goal = self.plan.jobs[job].goal;
        let standing = self.notes.jobs.entry(job).or_default();
        if told.is_terminal() && standing.current.as_ref() == Some(&status.task) {
            standing.current = None;
            standing.failures += usize::from(told == TaskState::Failed);
        }
        standing.done |= reaches(goal, told);
        match goal {
            _ if told.is_terminal() => {
                self.kill_at.remove(&status.task);
            }
            Goal::Kill { after } if told == TaskState::Running => {
                self.kill_at.entry(status.task.clone()).or_insert(now + after);
            }
            Goal::Kill { .. } | Goal::Finish | Goal::Linger => {}
        }
        self.leave_if_done()
    }

    fn wants_offers(&self) -> bool {
        let wanted = |job| self.is_open(job) && self.wanted_at(job) <= self.now;
        !self.notes.leaving && (0..self.plan.jobs.len()).any(wanted)
    }

    fn subscribed(&mut self, now: Timestamp, framework: &FrameworkId, _master: &MasterInfo) -> Plan {
        self.now = now;
        if self.notes.id.as_ref() != Some(framework) {
            self.notes.id = Some(framework.clone());
            self.notes.version += 1;
        }
        if self.notes.leaving {
            return Plan::new().tear_down();
        }
        let tasks = self.notes.unfinished().map(|(id, attempt)| (id.clone(), attempt.agent.clone()));
        Plan::new().remember(tasks)
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        if self.notes.leaving {
            return None;
        }
        let jobs = (0..self.plan.jobs.len()).filter(|job| self.is_open(*job));
        let wanted = jobs.map(|job| self.wanted_at(job)).filter(|at| *at > self.now).min();
        lonja_model::time::earliest(wanted, self.kill_at.values().min().copied())
    }

    fn tick(&mut self, now: Timestamp) -> Plan {
        self.now = now;
        let due = self.kill_at.iter().filter(|(_, at)| **at <= now);
        let due: Vec<TaskId> = due.map(|(task, _)| task.clone()).collect();
        due.into_iter().fold(Plan::new(), |plan, task| {
            self.kill_at.insert(task.clone(), now + KILL_AGAIN);
            plan.kill(task, None)
        })
    }
}

impl Batch {
    fn new(now: Timestamp, born: Timestamp, plan: workload::Plan, notes: Notebook) -> Self {
        let mut kill_at = BTreeMap::new();
        for (id, attempt) in notes.unfinished() {
            if let Goal::Kill { after } = plan.jobs[attempt.job].goal {
                kill_at.insert(id.clone(), now + after);
            }
        }
        Self { plan, now, born, notes, kill_at }
    }

    fn leave_if_done(&mut self) -> Plan {
        if !self.plan.tears_down || self.notes.leaving || !self.notes.all_jobs_done(&self.plan) {
            return Plan::new();
        }
        self.notes.leaving = true;
        self.notes.version += 1;
        Plan::new().tear_down()
    }

    fn wanted_at(&self, job: usize) -> Timestamp {
        self.born + self.plan.jobs[job].not_before
    }

    /// Is a task to be launched for this job, now or later?
    fn is_open(&self, job: usize) -> bool {
        let standing = self.notes.jobs.get(&job);
        standing.is_none_or(|standing| !standing.done && standing.current.is_none())
    }

    /// What to do with one offer: tasks to launch, each of which is noted, some on a volume of their own.
    fn place(&mut self, now: Timestamp, offer: &Offer) -> Vec<Step> {
        let mut left = offer.resources.clone();
        let mut steps = Vec::new();
        for job in 0..self.plan.jobs.len() {
            if !self.is_open(job) || self.wanted_at(job) > now {
                continue;
            }
            let Some(needs) = needs(&left, &self.plan.jobs[job].needs, self.plan.jobs[job].wants_port) else {
                continue;
            };
            let Some(rest) = left.checked_sub(&needs) else { continue };
            let volume = if self.plan.jobs[job].wants_volume {
                let Some(volume) = self.volume(job, offer) else { continue };
                let Some(rest) = rest.checked_sub(volume.reserve.before()) else { continue };
                left = rest;
                Some(volume)
            } else {
                left = rest;
                None
            };
            steps.extend(self.launch(job, offer, needs, volume));
        }
        steps
    }

    /// A small volume for the job's next task.
    fn volume(&self, job: usize, offer: &Offer) -> Option<NewVolume> {
        let id = self.next_id(job);
        let layer = Reservation {
            kind: ReservationKind::Dynamic,
            role: offer.role.clone(),
            principal: None,
            labels: Default::default(),
        };
        let disk = |disk| {
            let metadata = Metadata { reservations: vec![layer.clone()], disk, ..Metadata::default() };
            let size = Value::Scalar(Scalar::from_units(VOLUME_MIB)?);
            Resources::of([Resource::with_metadata("disk", size, metadata).ok()?]).ok()
        };
        let persistence = Persistence { id: id.to_string(), principal: None };
        let stored = Disk {
            persistence: Some(persistence),
            container_path: Some("data".to_owned()),
            read_only: false,
            source: None,
        };
        let named = |verb: &str| OperationId::new(format!("{id}-{verb}")).ok();
        Some(NewVolume {
            reserve: Conversion::reserve(disk(None)?, None).ok()?,
            reserve_id: named("reserve")?,
            create: Conversion::create(disk(Some(stored))?).ok()?,
            create_id: named("create")?,
        })
    }

    fn launch(
        &mut self,
        job: usize,
        offer: &Offer,
        needs: Resources,
        volume: Option<NewVolume>,
    ) -> Vec<Step> {
        let Some(volume) = volume else { return vec![Step::Launch(vec![self.task(job, offer, needs)])] };
        let resources = needs.checked_add(volume.create.after()).expect("no task needs disk besides");
        let task = self.task(job, offer, resources);
        vec![
            Step::Convert { id: Some(volume.reserve_id), conversion: volume.reserve },
            Step::Convert { id: Some(volume.create_id), conversion: volume.create },
            Step::Launch(vec![task]),
        ]
    }

    /// The id of the job's next task.
    fn next_id(&self, job: usize) -> TaskId {
        let number = self.notes.tasks.values().filter(|attempt| attempt.job == job).count();
        TaskId::new(format!("{}-j{job}-{number}", self.plan.name)).expect("letters and digits")
    }

    fn task(&mut self, job: usize, offer: &Offer, resources: Resources) -> TaskInfo {
        let id = self.next_id(job);
        let attempt = Attempt { job, agent: offer.agent.clone(), state: TaskState::Staging };
        self.notes.tasks.insert(id.clone(), attempt);
        let standing = self.notes.jobs.entry(job).or_default();
        standing.current = Some(id.clone());
        self.notes.version += 1;
        TaskInfo {
            name: id.to_string(),
            id,
            agent: offer.agent.clone(),
            resources,
            limits: BTreeMap::new(),
            command: self.plan.jobs[job].script(standing.failures).command(),
            container: Default::default(),
            kill_grace: None,
            max_completion_time: None,
            labels: Default::default(),
            discovery: None,
        }
    }
}

/// What makes a volume.
struct NewVolume {
    reserve: Conversion,
    reserve_id: OperationId,
    create: Conversion,
    create_id: OperationId,
}

fn reaches(goal: Goal, state: TaskState) -> bool {
    match goal {
        Goal::Finish => state == TaskState::Finished,
        Goal::Kill { .. } => state == TaskState::Killed,
        Goal::Linger => state == TaskState::Running,
    }
}

/// What a task takes of `left`, with a port of its own if it wants one.
fn needs(left: &Resources, needs: &Resources, wants_port: bool) -> Option<Resources> {
    if !wants_port {
        return Some(needs.clone());
    }
    let port = left.ranges("ports").iter().next()?.0;
    let port = Resources::parse(&format!("ports:[{port}-{port}]")).ok()?;
    needs.checked_add(&port).ok()
}
