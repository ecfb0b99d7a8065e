//! The scheduler of `lonja run`: so many of one task, wherever they fit.

use lonja_sdk::model::resources::{Quantities, Scalar};
use lonja_sdk::model::scheduler::MasterInfo;
use lonja_sdk::placement::fit;
use lonja_sdk::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long an offer that does not fit stays away; what changes on its agent comes through anyway.
const REFUSE: Duration = Duration::from_secs(2);

/// What those outside are told.
#[derive(Debug)]
pub(crate) enum News {
    /// Nothing that would fit is free.
    Waiting { why: String },
    /// A task runs; its output can be read there.
    Running { framework: String, task: String, host: String, port: u16 },
    /// A task has ended. `streamed`: its output is being read already.
    Ended {
        status: Box<TaskStatus>,
        framework: String,
        streamed: bool,
        host: Option<String>,
        port: Option<u16>,
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
    wait_until: Option<Timestamp>,
}

impl RunScheduler {
    pub(crate) fn new(
        task: Task,
        instances: u32,
        cancelled: Arc<AtomicBool>,
        news: mpsc::UnboundedSender<News>,
    ) -> Self {
        Self {
            task,
            pending: (0..instances).collect(),
            news,
            framework: String::new(),
            places: BTreeMap::new(),
            running: BTreeSet::new(),
            ended: BTreeSet::new(),
            cancelled,
            said_waiting: false,
            wait_until: None,
        }
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
        let mut plan = Plan::new().refuse_rest(REFUSE);
        if !self.wants_offers() {
            return plan;
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
        plan
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        let place = self.places.get(&status.task).cloned();
        if status.state == TaskState::Running && self.running.insert(status.task.clone()) {
            if let Some((host, port)) = place {
                let (framework, task) = (self.framework.clone(), status.task.to_string());
                self.tell(News::Running { framework, task, host, port });
            }
        } else if status.state.is_terminal() && self.ended.insert(status.task.clone()) {
            let streamed = self.running.contains(&status.task);
            let (host, port) = place.unzip();
            let (status, framework) = (Box::new(status.clone()), self.framework.clone());
            // What never started has no output.
            let started = status.container.is_some() || streamed;
            let (host, port) = if started { (host, port) } else { (None, None) };
            self.tell(News::Ended { status, framework, streamed, host, port });
        }
        Plan::new()
    }

    fn wants_offers(&self) -> bool {
        !self.pending.is_empty() && !self.cancelled.load(Ordering::Relaxed)
    }

    fn needs(&self) -> Vec<Quantities> {
        if self.wants_offers() { vec![self.task.need().quantities()] } else { Vec::new() }
    }

    fn refused(&mut self, _now: Timestamp, problem: &Problem) -> Plan {
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
            let need = self.task.need();
            let why = format!(
                "waiting for {} cpus and {} MiB of memory to be free on one agent ...",
                need.cpus, need.mem
            );
            self.tell(News::Waiting { why });
        }
        Plan::new()
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
