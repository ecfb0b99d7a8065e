//! A batch framework: it brings the jobs of its [`Plan`] to their ends.
//!
//! It notes durably what it is about to launch before it says so, and what it was told before it
//! acknowledges it; so a kill at any moment loses nothing. After a restart it asks where its tasks stand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::framework::Capability;
use lonja_model::offer::Filters;
use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::scheduler::{self, Call, CallResult};
use lonja_model::{
    AgentId, FrameworkId, FrameworkInfo, Offer, OfferId, Resources, Role, TaskId, TaskInfo, TaskState,
    TaskStatus, Timestamp,
};

use crate::disk::Durable;
use crate::hosts::Core;
use crate::random::Random;
use crate::workload::{Goal, Plan};

/// How often it asks where its tasks stand, and repeats kills.
const ASK_AGAIN: Duration = Duration::from_secs(20);

/// What a framework remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notebook {
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
    pub(crate) state: TaskState,
}

impl Durable for Notebook {
    type Op = Box<Notebook>;
    fn take(&mut self, op: Box<Notebook>) {
        *self = *op;
    }
}

/// What happens to a framework.
pub(crate) enum Event {
    Opened,
    Closed,
    Received(scheduler::Event),
    Answered(u64, CallResult),
    Tick,
}

/// What it wants done, in field order.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) persist: Option<Box<Notebook>>,
    pub(crate) send: Vec<(u64, Call)>,
}

/// The framework. Its `Core` is the same as that of the daemons.
pub(crate) struct Batch {
    plan: Plan,
    random: Random,
    born: Timestamp,
    pub(crate) notes: Notebook,
    changed: bool,
    subscribed: bool,
    suppressed: bool,
    calls: u64,
    teardown: Option<u64>,
    hand: BTreeMap<OfferId, Offer>,
    decide_at: Option<Timestamp>,
    ask_at: Option<Timestamp>,
    /// When a task that is to be killed will be.
    kill_at: BTreeMap<TaskId, Timestamp>,
    send: Vec<(u64, Call)>,
}

impl Core for Batch {
    type Event = Event;
    type Effects = Effects;

    fn handle(&mut self, now: Timestamp, event: Event) -> Effects {
        match event {
            Event::Opened => self.subscribe(),
            Event::Closed => self.disconnected(),
            Event::Received(event) => self.received(now, event),
            Event::Answered(call, answer) => self.answered(call, &answer),
            Event::Tick => {}
        }
        self.due(now);
        let persist = std::mem::take(&mut self.changed).then(|| Box::new(self.notes.clone()));
        Effects { persist, send: std::mem::take(&mut self.send) }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        if !self.subscribed {
            return None;
        }
        let times = [self.decide_at, self.ask_at, self.kill_at.values().min().copied(), self.next_wanted()];
        times.into_iter().flatten().min()
    }

    fn tick() -> Event {
        Event::Tick
    }

    fn append(all: &mut Effects, later: Effects) {
        all.persist = later.persist.or(all.persist.take());
        all.send.extend(later.send);
    }

    fn must_commit(effects: &Effects) -> bool {
        effects.persist.is_some()
    }
}

impl Batch {
    /// The framework that carries out `plan` and remembers `notes`; its first ever start was at `born`.
    pub(crate) fn new(now: Timestamp, born: Timestamp, plan: Plan, notes: Notebook, random: Random) -> Self {
        let mut kill_at = BTreeMap::new();
        for (id, attempt) in notes.tasks.iter().filter(|(_, attempt)| !attempt.state.is_terminal()) {
            if let Goal::Kill { after } = plan.jobs[attempt.job].goal {
                kill_at.insert(id.clone(), now + after);
            }
        }
        Self {
            plan,
            random,
            born,
            notes,
            changed: false,
            subscribed: false,
            suppressed: false,
            calls: 0,
            teardown: None,
            hand: BTreeMap::new(),
            decide_at: None,
            ask_at: None,
            kill_at,
            send: Vec::new(),
        }
    }

    /// Has it all that it wanted?
    pub(crate) fn is_done(&self) -> bool {
        let all = self.all_jobs_done();
        if self.plan.tears_down { all && self.notes.gone } else { all && self.unfinished().is_empty() }
    }

    /// What it still waits for, in words.
    pub(crate) fn waits_for(&self) -> String {
        let open: Vec<_> =
            (0..self.plan.jobs.len()).filter(|job| !self.standing(*job).is_some_and(|s| s.done)).collect();
        let tasks: Vec<_> =
            self.notes.tasks.iter().filter(|(_, attempt)| !attempt.state.is_terminal()).collect();
        format!("{} waits for jobs {open:?} and tasks {tasks:?}", self.plan.name)
    }

    fn all_jobs_done(&self) -> bool {
        (0..self.plan.jobs.len()).all(|job| self.standing(job).is_some_and(|standing| standing.done))
    }

    fn standing(&self, job: usize) -> Option<&Standing> {
        self.notes.jobs.get(&job)
    }

    fn unfinished(&self) -> Vec<(TaskId, Option<AgentId>)> {
        let tasks = self.notes.tasks.iter();
        tasks
            .filter(|(_, attempt)| !attempt.state.is_terminal())
            .map(|(id, attempt)| (id.clone(), Some(attempt.agent.clone())))
            .collect()
    }

    fn call(&mut self, call: Call) -> u64 {
        self.calls += 1;
        self.send.push((self.calls, call));
        self.calls
    }

    fn subscribe(&mut self) {
        let mut capabilities = BTreeSet::from([Capability::PartitionAware, Capability::MultiRole]);
        if self.plan.knows_killing {
            capabilities.insert(Capability::TaskKillingState);
        }
        let info = FrameworkInfo {
            user: "nobody".to_owned(),
            name: self.plan.name.clone(),
            failover_timeout: Duration::from_secs(24 * 3600),
            checkpoint: true,
            hostname: None,
            principal: None,
            webui_url: None,
            capabilities,
            labels: Default::default(),
            roles: BTreeSet::from([Role::new(&self.plan.role).expect("a plan's role is a role")]),
            minimum_offers: BTreeMap::new(),
        };
        self.suppressed = false;
        let framework = self.notes.id.clone();
        self.call(Call::Subscribe { framework, info: Box::new(info), suppressed: BTreeSet::new() });
    }

    fn disconnected(&mut self) {
        self.subscribed = false;
        self.hand.clear();
        self.decide_at = None;
        self.teardown = None;
    }

    fn received(&mut self, now: Timestamp, event: scheduler::Event) {
        match event {
            scheduler::Event::Subscribed { framework, .. } => {
                self.subscribed = true;
                if self.notes.id.as_ref() != Some(&framework) {
                    self.notes.id = Some(framework);
                    self.changed = true;
                }
                if self.notes.leaving {
                    self.teardown = Some(self.call(Call::Teardown));
                }
                self.ask_at = Some(now);
            }
            scheduler::Event::Offers(offers) => {
                self.hand.extend(offers.into_iter().map(|offer| (offer.id.clone(), offer)));
                let thinks = self.random.between(Duration::ZERO, self.plan.thinks);
                self.decide_at = Some(self.decide_at.unwrap_or(now + thinks));
            }
            scheduler::Event::Rescind(offer) => {
                self.hand.remove(&offer);
            }
            scheduler::Event::Update(status) => self.update(now, &status),
            scheduler::Event::Error(reason) => {
                if self.notes.leaving && reason.contains("removed") {
                    self.left();
                }
            }
            scheduler::Event::Heartbeat
            | scheduler::Event::Message { .. }
            | scheduler::Event::Failure { .. } => {}
        }
    }

    fn answered(&mut self, call: u64, answer: &CallResult) {
        if self.teardown == Some(call) && answer.is_ok() {
            self.left();
        }
    }

    /// It is torn down.
    fn left(&mut self) {
        self.notes.gone = true;
        self.changed = true;
        self.disconnected();
        self.kill_at.clear();
    }

    fn update(&mut self, now: Timestamp, status: &TaskStatus) {
        let told = status.state;
        let failed = told == TaskState::Failed;
        if let Some(attempt) = self.notes.tasks.get_mut(&status.task)
            && attempt.state.may_become(told)
            && attempt.state != told
        {
            attempt.state = told;
            self.changed = true;
            let goal = self.plan.jobs[attempt.job].goal;
            let (job, reached) = (attempt.job, reaches(goal, told));
            let standing = self.notes.jobs.entry(job).or_default();
            if told.is_terminal() && standing.current.as_ref() == Some(&status.task) {
                standing.current = None;
                standing.failures += usize::from(failed);
            }
            standing.done |= reached;
            self.after_update(now, status, goal);
        }
        if let (Some(update), Some(agent)) = (status.update, status.agent.clone()) {
            self.call(Call::Acknowledge { agent, task: status.task.clone(), update });
        }
    }

    fn after_update(&mut self, now: Timestamp, status: &TaskStatus, goal: Goal) {
        match (goal, status.state) {
            (_, state) if state.is_terminal() => {
                self.kill_at.remove(&status.task);
            }
            (Goal::Kill { after }, TaskState::Running) => {
                self.kill_at.entry(status.task.clone()).or_insert(now + after);
            }
            _ => {}
        }
        if self.all_jobs_done() && self.plan.tears_down && !self.notes.leaving {
            self.notes.leaving = true;
            self.teardown = Some(self.call(Call::Teardown));
        }
    }

    /// Does whatever its time has come for.
    fn due(&mut self, now: Timestamp) {
        if !self.subscribed {
            return;
        }
        if self.notes.leaving {
            self.ask_at = None;
            self.decide_at = None;
            self.kill_at.clear();
            return;
        }
        if self.suppressed && self.next_wanted().is_some_and(|at| at <= now) {
            self.suppressed = false;
            self.call(Call::Revive { roles: BTreeSet::new() });
        }
        if self.decide_at.is_some_and(|at| at <= now) {
            self.decide_at = None;
            self.decide(now);
        }
        if self.ask_at.is_some_and(|at| at <= now) {
            self.ask_at = Some(now + ASK_AGAIN);
            let tasks = self.unfinished();
            if !tasks.is_empty() {
                self.call(Call::Reconcile { tasks });
            }
        }
        let due: Vec<TaskId> =
            self.kill_at.iter().filter(|(_, at)| **at <= now).map(|(task, _)| task.clone()).collect();
        for task in due {
            let agent = self.notes.tasks.get(&task).map(|attempt| attempt.agent.clone());
            self.kill_at.insert(task.clone(), now + ASK_AGAIN);
            self.call(Call::Kill { task, agent, grace: None });
        }
    }

    /// When the next job that waits for its time has to be offered for; only while suppressed.
    fn next_wanted(&self) -> Option<Timestamp> {
        if !self.suppressed {
            return None;
        }
        let jobs = self.plan.jobs.iter().enumerate();
        if self.notes.leaving {
            return None;
        }
        jobs.filter(|(job, _)| self.is_open(*job)).map(|(_, job)| self.born + job.not_before).min()
    }

    /// Is a task to be launched for this job, now or later?
    fn is_open(&self, job: usize) -> bool {
        self.standing(job).is_none_or(|standing| !standing.done && standing.current.is_none())
    }

    /// Answers every offer in hand.
    fn decide(&mut self, now: Timestamp) {
        for (id, offer) in std::mem::take(&mut self.hand) {
            let tasks = self.place(now, &offer);
            let offers = vec![id];
            if tasks.is_empty() {
                self.call(Call::Decline { offers, filters: Filters::DEFAULT });
            } else {
                let tasks = tasks.into_iter().map(|task| LaunchTask::Valid(Box::new(task))).collect();
                let operations = vec![Operation::Launch(tasks)];
                self.call(Call::Accept { offers, operations, filters: Filters::DEFAULT });
            }
        }
        let wanted = |job: usize| self.is_open(job) && self.born + self.plan.jobs[job].not_before <= now;
        if !(0..self.plan.jobs.len()).any(wanted) && !self.suppressed {
            self.suppressed = true;
            self.call(Call::Suppress { roles: BTreeSet::new() });
        }
    }

    /// The tasks to launch on one offer; each is noted.
    fn place(&mut self, now: Timestamp, offer: &Offer) -> Vec<TaskInfo> {
        let mut left = offer.resources.clone();
        let mut tasks = Vec::new();
        for job in 0..self.plan.jobs.len() {
            if !self.is_open(job) || self.born + self.plan.jobs[job].not_before > now {
                continue;
            }
            let Some(needs) = needs(&left, &self.plan.jobs[job].needs, self.plan.jobs[job].wants_port) else {
                continue;
            };
            let Some(rest) = left.checked_sub(&needs) else { continue };
            left = rest;
            tasks.push(self.task(job, offer, needs));
        }
        tasks
    }

    fn task(&mut self, job: usize, offer: &Offer, resources: Resources) -> TaskInfo {
        let number = self.notes.tasks.values().filter(|attempt| attempt.job == job).count();
        let id = TaskId::new(format!("{}-j{job}-{number}", self.plan.name)).expect("letters and digits");
        let attempt = Attempt { job, agent: offer.agent.clone(), state: TaskState::Staging };
        self.notes.tasks.insert(id.clone(), attempt);
        let standing = self.notes.jobs.entry(job).or_default();
        standing.current = Some(id.clone());
        self.changed = true;
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
