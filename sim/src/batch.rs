//! A batch scheduler: it brings the jobs of its [`Plan`] to their ends.
//!
//! It is an ordinary [`Scheduler`] of the SDK. It notes durably what it is about to launch before the launch
//! is sent, and what it was told before that is acknowledged; so a kill at any moment loses nothing. After a
//! restart it hands the tasks it remembers to the library, which asks where they stand.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use lonja_model::executor::ExecutorInfo;
use lonja_model::framework::Capability;
use lonja_model::operation::Conversion;
use lonja_model::resources::{
    Disk, Metadata, Persistence, Reservation, ReservationKind, Resource, Scalar, Value,
};
use lonja_model::scheduler::MasterInfo;
use lonja_model::{
    ExecutorId, FrameworkId, FrameworkInfo, Offer, OperationId, Resources, TaskId, TaskInfo, TaskState,
    TaskStatus, Timestamp,
};
use lonja_sdk_core::{Event, Framework, Options, Outcome, Plan, Scheduler, Step};

use crate::disk::Durable;
use crate::hosts::resident::Wishes;
use crate::notes::{self, Attempt, Note, Notebook};
use crate::workload::{self, Goal, Script};

/// The size of each volume. Agents have disk for all that a run can make.
const VOLUME_MIB: u64 = 1;

/// How often kills are repeated.
const KILL_AGAIN: Duration = Duration::from_secs(20);

/// The SDK's framework with a batch scheduler in it.
pub(crate) struct Client {
    framework: Framework<Batch>,
    gone: bool,
}

impl Client {
    /// Takes in one event.
    pub(crate) fn handle(&mut self, now: Timestamp, event: Event) -> Wishes {
        let effects = self.framework.handle(now, event);
        let scheduler = self.framework.scheduler_mut();
        let mut persist = std::mem::take(&mut scheduler.changes);
        let gone = match &effects.finished {
            Some(Outcome::TornDown) => true,
            Some(Outcome::EndedByMaster { .. }) => scheduler.notes.leaving,
            Some(Outcome::Left { .. }) | None => false,
        };
        if gone && !self.gone {
            self.gone = true;
            persist.push(Note::Gone);
        }
        Wishes { persist, effects, ..Wishes::default() }
    }

    /// When it wants to be woken.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.framework.next_deadline()
    }

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
        let gone = notes.gone;
        Self { framework: Framework::new(now, options, Batch::new(now, born, plan, notes)), gone }
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
    notes: Notebook,
    /// What has changed in them and is not durable yet.
    changes: Vec<Note>,
    /// Jobs that want a task, with the time from which on.
    open: BTreeSet<(Timestamp, usize)>,
    born: Timestamp,
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
        let Some(attempt) = self.notes.task(&status.task) else { return Plan::new() };
        if !attempt.state.may_become(told) || attempt.state == told {
            return Plan::new();
        }
        let job = attempt.job;
        let goal = self.plan.jobs[job].goal;
        let mut standing = self.notes.job(job);
        if told.is_terminal() {
            self.kill_at.remove(&status.task);
            if standing.current.as_ref() == Some(&status.task) {
                standing.current = None;
                let for_its_health = told == TaskState::Killed && status.healthy == Some(false);
                standing.failures += usize::from(told == TaskState::Failed || for_its_health);
            }
            self.note(Note::Ended(status.task.clone()));
        } else {
            let attempt = Attempt { state: told, ..attempt.clone() };
            self.note(Note::Task(status.task.clone(), attempt));
            if let (Goal::Kill { after }, TaskState::Running) = (goal, told) {
                self.kill_at.entry(status.task.clone()).or_insert(now + after);
            }
        }
        standing.done |= reaches(goal, told);
        self.note(Note::Job(job, standing));
        self.leave_if_done()
    }

    fn wants_offers(&self) -> bool {
        !self.notes.leaving && self.open.first().is_some_and(|(at, _)| *at <= self.now)
    }

    fn subscribed(&mut self, now: Timestamp, framework: &FrameworkId, _master: &MasterInfo) -> Plan {
        self.now = now;
        if self.notes.id.as_ref() != Some(framework) {
            self.note(Note::Id(framework.clone()));
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
        let later = (Bound::Excluded((self.now, usize::MAX)), Bound::Unbounded);
        let wanted = self.open.range(later).next().map(|(at, _)| *at);
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
        let open = (0..plan.jobs.len()).filter(|job| notes.is_open(*job));
        let open = open.map(|job| (born + plan.jobs[job].not_before, job)).collect();
        Self { plan, now, notes, changes: Vec::new(), open, born, kill_at }
    }

    /// Takes in a change, which is to be made durable.
    fn note(&mut self, note: Note) {
        self.notes.take(note.clone());
        if let Note::Job(job, _) = &note {
            let wanted = (self.born + self.plan.jobs[*job].not_before, *job);
            if self.notes.is_open(*job) {
                self.open.insert(wanted);
            } else {
                self.open.remove(&wanted);
            }
        }
        self.changes.push(note);
    }

    fn leave_if_done(&mut self) -> Plan {
        if !self.plan.tears_down || self.notes.leaving || !self.notes.all_jobs_done(&self.plan) {
            return Plan::new();
        }
        self.note(Note::Leaving);
        Plan::new().tear_down()
    }

    /// What to do with one offer: volumes that nobody needs any more go, then come tasks to launch, each of which is
    /// noted, some on a volume of their own.
    fn place(&mut self, now: Timestamp, offer: &Offer) -> Vec<Step> {
        let mut left = offer.resources.clone();
        let mut steps = self.clear(&mut left);
        let due: Vec<usize> =
            self.open.iter().take_while(|(at, _)| *at <= now).map(|(_, job)| *job).collect();
        for job in due {
            let Some(needs) = needs(&left, &self.plan.jobs[job].needs, self.plan.jobs[job].wants_port) else {
                continue;
            };
            let Some(mut rest) = left.checked_sub(&needs) else { continue };
            if self.plan.jobs[job].companion.is_some() {
                let Some(less) = rest.checked_sub(&company()) else { continue };
                rest = less;
            }
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

    /// Destroys the volumes in `left` on which a task of its own has ended, and gives their space back.
    fn clear(&self, left: &mut Resources) -> Vec<Step> {
        let over = |resource: &&Resource| {
            let persistence = resource.metadata().disk.as_ref().and_then(|disk| disk.persistence.as_ref());
            persistence.is_some_and(|persistence| {
                let ended = TaskId::new(&persistence.id).is_ok_and(|task| self.notes.task(&task).is_none());
                ended && self.notes.launched(&self.plan, &persistence.id)
            })
        };
        let mut steps = Vec::new();
        for volume in left.clone().iter().filter(over) {
            let step = |conversion: Conversion| Step::Convert { id: None, conversion };
            let Ok(destroy) = Resources::of([volume.clone()]).map(Conversion::destroy) else { continue };
            let Ok(destroy) = destroy else { continue };
            let Ok(unreserve) = Conversion::unreserve(destroy.after().clone()) else { continue };
            let Some(rest) = left.checked_sub(destroy.before()) else { continue };
            *left = rest;
            steps.extend([step(destroy), step(unreserve)]);
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
        let companion = self.plan.jobs[job].companion.clone();
        let companion = companion.map(|script| (self.next_id(job), script));
        let Some(volume) = volume else {
            let task = self.task(job, offer, needs);
            return vec![start(job, task, companion)];
        };
        let resources = needs.checked_add(volume.create.after()).expect("no task needs disk besides");
        let task = self.task(job, offer, resources);
        vec![
            Step::Convert { id: Some(volume.reserve_id), conversion: volume.reserve },
            Step::Convert { id: Some(volume.create_id), conversion: volume.create },
            start(job, task, companion),
        ]
    }

    /// The id of the job's next task.
    fn next_id(&self, job: usize) -> TaskId {
        let id = notes::write_id(&self.plan.name, job, self.notes.job(job).attempts);
        TaskId::new(id).expect("letters and digits")
    }

    fn task(&mut self, job: usize, offer: &Offer, resources: Resources) -> TaskInfo {
        let id = self.next_id(job);
        let attempt = Attempt { job, agent: offer.agent.clone(), state: TaskState::Staging };
        self.note(Note::Task(id.clone(), attempt));
        let mut standing = self.notes.job(job);
        let script = self.plan.jobs[job].script(standing.failures);
        let (command, max_completion_time) = (script.command(), script.longest());
        let care = self.plan.jobs[job].care.clone();
        standing.current = Some(id.clone());
        standing.attempts += 1;
        self.note(Note::Job(job, standing));
        TaskInfo {
            name: id.to_string(),
            id,
            agent: offer.agent.clone(),
            resources,
            limits: BTreeMap::new(),
            command,
            container: Default::default(),
            kill_grace: None,
            max_completion_time,
            labels: Default::default(),
            discovery: None,
            executor: None,
            data: Vec::new(),
            health_check: care.health.map(Box::new),
            check: care.check.map(Box::new),
        }
    }
}

/// What a companion and an executor need together at most.
fn company() -> Resources {
    companion_needs().checked_add(&executor_needs()).expect("scalars add up")
}

fn companion_needs() -> Resources {
    Resources::parse("cpus:0.05;mem:4").expect("numbers are an amount")
}

fn executor_needs() -> Resources {
    Resources::parse("cpus:0.1;mem:8").expect("numbers are an amount")
}

/// Starts a task, alone or with its companion: in an executor of their own, or in one that other groups share.
fn start(job: usize, task: TaskInfo, companion: Option<(TaskId, Script)>) -> Step {
    let Some((id, script)) = companion else { return Step::Launch(vec![task]) };
    let executor = if job.is_multiple_of(2) { "pod".to_owned() } else { format!("{id}-pod") };
    let executor = ExecutorInfo {
        resources: executor_needs(),
        ..ExecutorInfo::builtin(ExecutorId::new(executor).expect("letters and digits"))
    };
    let id = TaskId::new(format!("{id}{}", notes::COMPANION)).expect("letters and digits");
    let side = TaskInfo {
        name: id.to_string(),
        id,
        resources: companion_needs(),
        command: script.command(),
        ..task.clone()
    };
    Step::LaunchGroup { executor: Box::new(executor), tasks: vec![task, side] }
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
