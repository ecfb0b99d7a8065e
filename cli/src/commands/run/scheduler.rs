//! The scheduler of `lonja run`: so many of one task, wherever they fit.

use lonja_sdk::model::MasterInfo;
use lonja_sdk::model::resources::{Quantities, Scalar};
use lonja_sdk::model::unplaced::MAX_UNPLACED;
use lonja_sdk::placement::fit;
use lonja_sdk::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

use super::group::{self, Beside};

/// How long an offer that does not fit stays away; what changes on its agent comes through anyway.
const REFUSE: Duration = Duration::from_secs(2);

/// What those outside are told.
#[derive(Debug)]
pub(crate) enum News {
    /// Nothing that would fit is free.
    Waiting { why: String },
    /// A task runs; its output can be read there. `beside`: what it is called, if it is not the command itself.
    Running { framework: String, task: String, host: String, port: u16, beside: Option<String> },
    /// A task has ended. `streamed`: its output is being read already. `counts`: its end is not just that of another.
    Ended {
        status: Box<TaskStatus>,
        framework: String,
        streamed: bool,
        host: Option<String>,
        port: Option<u16>,
        beside: Option<String>,
        counts: bool,
    },
    /// Something was not done.
    Refused { why: String },
}

/// The id of the instance of this number.
pub(crate) fn task_id(index: u32) -> anyhow::Result<TaskId> {
    Ok(TaskId::new(format!("{}-{index}", prefix()))?)
}

/// Differs from run to run, so that a person can name a task without its framework.
fn prefix() -> &'static str {
    static PREFIX: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    PREFIX.get_or_init(|| format!("run-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]))
}

/// Places instances of one task until all have run.
pub(crate) struct RunScheduler {
    task: Task,
    /// In one group with the only instance, if there are any.
    beside: Vec<Beside>,
    /// Numbers of instances that wait for a place.
    pending: BTreeSet<u32>,
    news: mpsc::UnboundedSender<News>,
    framework: String,
    /// Where each instance was placed.
    places: BTreeMap<TaskId, (String, u16)>,
    running: BTreeSet<TaskId>,
    /// Ends that were told: an end may come twice, as the master's answer and as the agent's update.
    ended: BTreeSet<TaskId>,
    /// Somebody has asked that nothing more be launched.
    cancelled: Arc<AtomicBool>,
    said_waiting: bool,
    /// Offers have come.
    looked: bool,
    wait_until: Option<Timestamp>,
}

impl RunScheduler {
    pub(crate) fn new(
        task: Task,
        beside: Vec<Beside>,
        instances: u32,
        cancelled: Arc<AtomicBool>,
        news: mpsc::UnboundedSender<News>,
    ) -> Self {
        Self {
            task,
            beside,
            pending: (0..instances).collect(),
            news,
            framework: String::new(),
            places: BTreeMap::new(),
            running: BTreeSet::new(),
            ended: BTreeSet::new(),
            cancelled,
            said_waiting: false,
            looked: false,
            wait_until: None,
        }
    }

    /// The whole group on one offer. `None`: it does not fit.
    fn group_on(&mut self, offer: &Offer) -> Option<Plan> {
        let id = task_id(0).ok()?;
        let mut left = offer.resources.clone();
        let mut tasks = Vec::with_capacity(1 + self.beside.len());
        let ids = self.beside.iter().map(|Beside { name, .. }| group::task_id(prefix(), name).ok());
        let wanted = std::iter::once((Some(id.clone()), &self.task))
            .chain(ids.zip(self.beside.iter().map(|beside| &beside.task)));
        for (id, task) in wanted {
            let taken = fit(&left, task.need())?;
            left = left.checked_sub(&taken)?;
            tasks.push(task.with_resources(&offer.agent, id?, taken));
        }
        let executor = group::executor(prefix())?;
        self.pending.clear();
        for task in &tasks {
            self.places.insert(task.id.clone(), (offer.hostname.clone(), offer.port));
        }
        Some(Plan::new().refuse_rest(REFUSE).launch_group(offer, executor, tasks))
    }

    /// What the task of this id is called, if it is not the command itself.
    fn called(&self, task: &TaskId) -> Option<String> {
        let its = |beside: &&Beside| group::task_id(prefix(), &beside.name).is_ok_and(|id| id == *task);
        self.beside.iter().find(its).map(|beside| beside.name.clone())
    }

    /// The command itself has ended, so those beside it have nothing to do.
    fn end_those_beside(&self) -> Plan {
        let ids = self.beside.iter().filter_map(|beside| group::task_id(prefix(), &beside.name).ok());
        ids.filter(|id| !self.ended.contains(id)).fold(Plan::new(), |plan, id| plan.kill(id, None))
    }

    /// For `lonja explain`: why those that wait are not on these offers. With others beside it, there is one that waits.
    fn why_not(&self, offers: &[Offer]) -> Vec<Unplaced> {
        let need = group::need(&self.task, &self.beside);
        let word = need.why_not_on("", offers);
        let ids = self.pending.iter().take(MAX_UNPLACED).filter_map(|index| task_id(*index).ok());
        ids.map(|id| Unplaced { task: id.to_string(), ..word.clone() }).collect()
    }

    fn tell(&self, news: News) {
        // Nobody listens any more: the run is ending.
        let _ending = self.news.send(news);
    }
}

impl Scheduler for RunScheduler {
    fn subscribed(&mut self, now: Timestamp, framework: &FrameworkId, _master: &MasterInfo) -> Plan {
        self.framework = framework.to_string();
        if self.wants_offers() && !self.said_waiting {
            self.wait_until = Some(now + Duration::from_secs(1));
        }
        Plan::new()
    }

    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        self.looked = true;
        let mut plan = Plan::new().refuse_rest(REFUSE);
        if !self.wants_offers() {
            return plan;
        }
        if !self.beside.is_empty() {
            let placed = offers.iter().find_map(|offer| self.group_on(offer));
            return placed.unwrap_or_else(|| plan.unplaced(self.why_not(offers)));
        }
        for offer in offers {
            let mut left = offer.resources.clone();
            let mut tasks = Vec::new();
            while let Some(index) = self.pending.first().copied() {
                let Some(taken) = fit(&left, self.task.need()) else { break };
                let (Some(rest), Ok(id)) = (left.checked_sub(&taken), task_id(index)) else { break };
                left = rest;
                self.pending.pop_first();
                self.places.insert(id.clone(), (offer.hostname.clone(), offer.port));
                tasks.push(self.task.with_resources(&offer.agent, id, taken));
            }
            if !tasks.is_empty() {
                plan = plan.launch(offer, tasks);
            }
        }
        if self.pending.is_empty() {
            self.wait_until = None;
        }
        plan.unplaced(self.why_not(offers))
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        let place = self.places.get(&status.task).cloned();
        if status.state == TaskState::Running && self.running.insert(status.task.clone()) {
            if let Some((host, port)) = place {
                let (framework, task) = (self.framework.clone(), status.task.to_string());
                let beside = self.called(&status.task);
                self.tell(News::Running { framework, task, host, port, beside });
            }
        } else if status.state.is_terminal() && self.ended.insert(status.task.clone()) {
            let streamed = self.running.contains(&status.task);
            let (host, port) = place.unzip();
            let (status, framework) = (Box::new(status.clone()), self.framework.clone());
            // What never started has no output.
            let started = status.container.is_some() || streamed;
            let (host, port) = if started { (host, port) } else { (None, None) };
            let beside = self.called(&status.task);
            let first_is_over = task_id(0).is_ok_and(|first| self.ended.contains(&first));
            let counts = beside.is_none() || !first_is_over;
            let is_first = beside.is_none();
            self.tell(News::Ended { status, framework, streamed, host, port, beside, counts });
            if is_first {
                return self.end_those_beside();
            }
        }
        Plan::new()
    }

    fn wants_offers(&self) -> bool {
        !self.pending.is_empty() && !self.cancelled.load(Ordering::Relaxed)
    }

    fn needs(&self) -> Vec<Quantities> {
        if self.wants_offers() {
            vec![group::need(&self.task, &self.beside).quantities()]
        } else {
            Vec::new()
        }
    }

    fn refused(&mut self, _now: Timestamp, problem: &Problem) -> Plan {
        let is_own = matches!(problem, Problem::Plan(_));
        if is_own && self.cancelled.load(Ordering::Relaxed) {
            // Whoever cancels asks for the end of all, those that wait as well.
            return Plan::new();
        }
        self.tell(News::Refused { why: problem.to_string() });
        Plan::new()
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.wait_until
    }

    fn tick(&mut self, _now: Timestamp) -> Plan {
        self.wait_until = None;
        if !self.said_waiting && self.wants_offers() {
            self.said_waiting = true;
            let need = group::need(&self.task, &self.beside);
            let why = format!(
                "waiting for {} cpus and {} MiB of memory to be free on one agent{} ...",
                need.cpus,
                need.mem,
                self.pending
                    .first()
                    .and_then(|first| task_id(*first).ok())
                    .map(|first| format!(" (why: lonja explain {first})"))
                    .unwrap_or_default()
            );
            self.tell(News::Waiting { why });
        }
        // No offer may come for long: of the master's view `lonja explain` knows by the framework.
        if self.looked { Plan::new() } else { Plan::new().unplaced(self.why_not(&[])) }
    }
}

/// What `total` lacks for `need`, in words.
pub(crate) fn missing(total: &Resources, need: &Need) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, wanted) in [("cpus", need.cpus), ("mem", need.mem), ("disk", need.disk)] {
        let held: Scalar = total.scalar(name);
        if held < wanted {
            missing.push(format!("{name}: has {held}, needs {wanted}"));
        }
    }
    let ports = total.ranges("ports").count();
    if ports < need.ports as u64 {
        missing.push(format!("ports: has {ports}, needs {}", need.ports));
    }
    missing
}
