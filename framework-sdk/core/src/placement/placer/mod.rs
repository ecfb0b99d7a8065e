//! A scheduler made of a scorer: tasks go in, each goes to the best place there is.
//!
//! Tasks are placed in the order of their arrival. One that fits nowhere waits and delays no other. Of the machines
//! whose offers are in hand the one is taken that the [`Scorer`] likes best; offers of one agent are used together.
//!
//! Offers in hand are what a scorer can choose from, so a scheduler that gives back at once what it does not need
//! chooses badly, and one that keeps everything starves the others. [`Options`] says how much is kept and for how
//! long: [`Options::exclusive`] for who has a cluster to itself, [`Options::shared`] for who has not.
//!
//! Invariants
//! - A task is launched once; one that was dropped before it ran ([`TaskState::Dropped`]) waits again, behind all others.
//! - No launch goes over its offers: a place that the scorer names and that cannot be is a [`Mistake`].
//! - More offers than [`Options::most_machines`] allows, but for those being used, are held by nobody.

mod machines;
mod queue;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lonja_model::resources::DeviceId;
use lonja_model::scheduler::MasterInfo;
use lonja_model::time::earliest;
use lonja_model::{AgentId, FrameworkId, Offer, OfferId, TaskId, TaskInfo, TaskState, TaskStatus, Timestamp};

use crate::placement::{Ask, Cluster, Gpus, Picker, Place, Room, Scorer, fit_on};
use crate::{MAX_TASKS, Plan, PlanError, Problem, Scheduler, Task};
use machines::Machines;
use queue::{Job, Queue};

/// Forgetting all refusals makes the master offer everything anew, so it is not done more often than this.
const LEAST_BETWEEN_REVIVALS: Duration = Duration::from_secs(1);

const FOREVER: Timestamp = Timestamp::from_nanos(u64::MAX);

/// How a [`Placer`] deals with offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long offers that are not needed now are held for tasks to come; zero: they are given back at once. Longer
    /// than [`MAX_HOLD`](crate::MAX_HOLD) only if the framework may
    /// ([`Framework::with_max_hold`](crate::Framework::with_max_hold)).
    pub hold: Duration,
    /// Of so many machines, at most, offers are held that are not needed now.
    pub most_machines: usize,
    /// How long what is given back stays away. A machine with more free than was refused comes again all the same, and
    /// a task of a new kind that fits nowhere has all refusals forgotten; so this may be long.
    pub refuse: Duration,
    /// How long after the last launch offers are still wanted though nothing waits.
    pub stay: Duration,
}

impl Options {
    /// For a framework that has a cluster to itself: everything is held for as long as may be.
    pub const fn exclusive() -> Self {
        let (hold, stay) = (Duration::MAX, Duration::MAX);
        Self { hold, most_machines: usize::MAX, refuse: Duration::ZERO, stay }
    }

    /// For a framework among others: offers of so many machines are held, each for at most 300 seconds, so that
    /// tasks start without waiting for an offer; the rest is given back at once, and who has launched nothing for that
    /// long wants nothing. Of a cluster of M machines and N frameworks, M / 4N leave the others three quarters.
    pub const fn shared(machines: usize) -> Self {
        let (hold, stay) = (crate::MAX_HOLD, crate::MAX_HOLD);
        Self { hold, most_machines: machines, refuse: Duration::from_secs(3600), stay }
    }
}

/// Places tasks where a scorer likes them best. See the module.
pub struct Placer {
    options: Options,
    picker: Picker<u32>,
    queue: Queue,
    machines: Machines,
    running: BTreeMap<TaskId, Running>,
    /// What there is of each ask: all that is expected, or all that came so far.
    workload: BTreeMap<Ask, u64>,
    arrived: u64,
    knowledge: Knowledge,
    /// There are tasks of which no place was looked for yet.
    untried: bool,
    /// Until then offers are wanted though nothing waits.
    stays_until: Timestamp,
    /// Were offers wanted when it was last called? If not, the library revives.
    wanted: bool,
    revive_at: Option<Timestamp>,
    revived: Option<Timestamp>,
    /// Launches that the last plan wanted, by their first offer.
    planned: Vec<(OfferId, Vec<TaskId>)>,
    mistakes: Vec<Mistake>,
}

/// What the scorer has been told of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knowledge {
    /// It is told from time to time what was seen.
    Learning { next_at: u64 },
    /// It was told beforehand.
    Expecting,
}

/// A task that was launched and has not ended.
struct Running {
    machine: u32,
    ask: Arc<Ask>,
    job: Job,
    /// It was heard of in any state but one that says it never ran.
    began: bool,
}

/// A launch that could not be: the scorer named a place that is none, or an id was in use. The task is given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task {task}: {why}")]
pub struct Mistake {
    /// Which task.
    pub task: TaskId,
    /// What is wrong.
    pub why: String,
}

impl Placer {
    /// Nothing waits, and nothing is in hand. The scorer learns what machines and tasks are like as it goes.
    pub fn new(scorer: Box<dyn Scorer>, options: Options) -> Self {
        Self {
            options,
            picker: Picker::new(scorer),
            queue: Queue::default(),
            machines: Machines::default(),
            running: BTreeMap::new(),
            workload: BTreeMap::new(),
            arrived: 0,
            knowledge: Knowledge::Learning { next_at: 1 },
            untried: false,
            stays_until: if options.stay == Duration::MAX { FOREVER } else { Timestamp::ZERO },
            wanted: false,
            revive_at: None,
            revived: None,
            planned: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    /// Tells the scorer beforehand what the cluster and its workload are like; what is seen later changes that only
    /// where a machine is larger than any expected.
    #[must_use]
    pub fn expecting(mut self, cluster: &Cluster) -> Self {
        self.knowledge = Knowledge::Expecting;
        self.machines.largest = cluster.largest;
        self.workload = cluster.workload.iter().cloned().collect();
        self.picker.learn(cluster);
        self
    }

    /// The policy's name.
    pub fn name(&self) -> &str {
        self.picker.name()
    }

    /// A task waits from now on: `ask` is what it asks for (what `task` says of its needs is not looked at). It is
    /// placed when the scheduler is next called, and its deadline says that this may be at once. Ids are not in use by
    /// tasks that wait or run.
    pub fn submit(&mut self, id: TaskId, ask: &Ask, task: Arc<Task>) {
        self.queue.push(ask, Job { id, task });
        self.untried = true;
        self.arrived += 1;
        if self.knowledge != Knowledge::Expecting {
            *self.workload.entry(ask.clone()).or_default() += 1;
        }
    }

    /// How many tasks wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How many tasks were launched and have not ended.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Of how many machines offers are in hand.
    pub fn machines_in_hand(&self) -> usize {
        self.machines.in_hand()
    }

    /// Launches that could not be, since this was last asked; at most 1,000 are remembered.
    pub fn take_mistakes(&mut self) -> Vec<Mistake> {
        std::mem::take(&mut self.mistakes)
    }

    fn mistake(&mut self, task: TaskId, why: String) {
        if self.mistakes.len() < 1_000 {
            self.mistakes.push(Mistake { task, why });
        }
    }

    /// Places what can be placed, and revives if that is due.
    fn place(&mut self, now: Timestamp) -> Plan {
        while let Some(offer) = self.machines.next_expired(now) {
            self.end_offer(&offer);
        }
        self.teach();
        self.untried = false;
        let mut launches: BTreeMap<u32, Vec<TaskInfo>> = BTreeMap::new();
        while let Some(ask) = self.queue.next_ask() {
            let Some((number, place)) = self.picker.pick(&ask) else {
                self.queue.shut(&ask);
                continue;
            };
            self.launch(&ask, number, &place, &mut launches);
        }
        let plan = Plan::new().refuse_rest(self.options.refuse).refuse_leftovers(Duration::ZERO);
        if !launches.is_empty() {
            self.stays_until = self.stays_until.max(now + self.options.stay);
        }
        let plan = self.send_off(plan, launches);
        self.revive(now, plan)
    }

    /// Has all refusals forgotten if a new kind of task fits nowhere: what was refused for others may do for it.
    fn revive(&mut self, now: Timestamp, plan: Plan) -> Plan {
        let was_wanted = self.wanted;
        self.wanted = self.wants_offers_at(now);
        if !self.wanted {
            self.stays_until = Timestamp::ZERO;
        }
        if self.queue.take_hopeless() && self.options.refuse > Duration::ZERO {
            // Who wanted none is revived by the library.
            let soonest = self.revived.map_or(now, |at| (at + LEAST_BETWEEN_REVIVALS).max(now));
            if was_wanted {
                self.revive_at.get_or_insert(soonest);
            } else {
                self.revived = Some(now);
            }
        }
        if self.revive_at.is_none_or(|at| at > now) {
            return plan;
        }
        self.revive_at = None;
        self.revived = Some(now);
        if self.queue.len() > 0 { plan.revive() } else { plan }
    }

    fn wants_offers_at(&self, now: Timestamp) -> bool {
        self.queue.len() > 0 || now < self.stays_until
    }

    /// Puts the next task that asks so on a machine, or gives it up if that cannot be.
    fn launch(
        &mut self,
        ask: &Arc<Ask>,
        number: u32,
        place: &Place,
        launches: &mut BTreeMap<u32, Vec<TaskInfo>>,
    ) {
        let (Some(room), Some(machine)) = (self.picker.get(&number), self.machines.get(number)) else {
            unreachable!("what was picked is in hand");
        };
        let chosen = devices(room, ask, place).and_then(|chosen| {
            let taken = fit_on(&machine.free, &ask.need, &chosen).filter(|taken| !taken.is_empty());
            taken.ok_or_else(|| format!("{} does not hold it on GPUs {chosen:?}", machine.free))
        });
        let taken = match chosen {
            Ok(taken) => taken,
            Err(why) => {
                if let Some(job) = self.queue.pop(ask) {
                    self.mistake(job.id, format!("policy {} chose an impossible place: {why}", self.name()));
                }
                return;
            }
        };
        let Some(job) = self.queue.pop(ask) else { return };
        let tasks = launches.entry(number).or_default();
        tasks.push(job.task.with_resources(&machine.agent, job.id.clone(), taken.clone()));
        let is_full = tasks.len() >= MAX_TASKS;
        self.machines.use_up(number, &taken, ask);
        self.running.insert(job.id.clone(), Running { machine: number, ask: ask.clone(), job, began: false });
        if is_full {
            self.picker.remove(&number);
        } else {
            self.picker.take(&number, ask, &place.devices);
        }
    }

    fn send_off(&mut self, mut plan: Plan, launches: BTreeMap<u32, Vec<TaskInfo>>) -> Plan {
        self.planned.clear();
        for (number, tasks) in launches {
            let offers = self.machines.take_offers(number);
            self.picker.remove(&number);
            if let Some(first) = offers.first() {
                self.planned.push((first.id.clone(), tasks.iter().map(|task| task.id.clone()).collect()));
            }
            plan = plan.launch_on(&offers, tasks);
        }
        plan
    }

    /// Says which of the offers that have just come are held; the others are given back.
    fn keep(&mut self, mut plan: Plan, offers: &[Offer]) -> Plan {
        for offer in offers {
            if !self.machines.has(&offer.id) {
                continue;
            }
            if self.options.hold > Duration::ZERO && self.machines.in_hand() <= self.options.most_machines {
                plan = plan.hold(offer, self.options.hold);
            } else {
                self.end_offer(&offer.id);
            }
        }
        plan
    }

    fn end_offer(&mut self, offer: &OfferId) {
        if let Some(number) = self.machines.end(offer) {
            self.refresh(number);
        }
    }

    /// What is free on a machine has changed.
    fn refresh(&mut self, number: u32) {
        match self.machines.get(number).and_then(machines::Machine::room) {
            Some(room) => {
                self.queue.open_what_fits(&room);
                self.picker.insert(number, room);
            }
            None => {
                self.picker.remove(&number);
            }
        }
    }

    /// Tells the scorer what is known, if that has changed by much: scores are worked out anew then.
    fn teach(&mut self) {
        let is_larger = self.machines.take_growth();
        let has_doubled = match self.knowledge {
            Knowledge::Learning { next_at } => self.arrived >= next_at,
            Knowledge::Expecting => false,
        };
        if !is_larger && !has_doubled {
            return;
        }
        if has_doubled {
            self.knowledge = Knowledge::Learning { next_at: self.arrived.saturating_mul(2) };
        }
        let workload = self.workload.iter().map(|(ask, count)| (ask.clone(), *count)).collect();
        self.picker.learn(&Cluster { largest: self.machines.largest, workload });
    }

    /// A launch never reached the master: its tasks wait again, but for one that is to blame.
    fn undo(&mut self, error: &PlanError) {
        let (offer, to_blame) = match error {
            PlanError::OfferGone(offer) | PlanError::OffersDiffer(offer, _) => (Some(offer), None),
            PlanError::Exceeds { task, .. }
            | PlanError::TaskIdInUse(task)
            | PlanError::NoResources(task)
            | PlanError::WrongAgent { task, .. } => (None, Some(task)),
            PlanError::NoOffer
            | PlanError::ExecutorExceeds { .. }
            | PlanError::NothingToConvert { .. }
            | PlanError::OperationIdInUse(_)
            | PlanError::TooManyTasks(_)
            | PlanError::MessageTooLarge(_)
            | PlanError::MessageLost(_)
            | PlanError::UnknownTask(_) => (None, None),
        };
        let is_it = |(first, tasks): &(OfferId, Vec<TaskId>)| {
            offer == Some(first) || to_blame.is_some_and(|task| tasks.contains(task))
        };
        let Some(index) = self.planned.iter().position(is_it) else { return };
        for task in self.planned.swap_remove(index).1 {
            if to_blame == Some(&task) {
                self.mistake(task.clone(), error.to_string());
                self.ended(&task);
            } else {
                self.wait_again(&task);
            }
        }
    }

    fn ended(&mut self, task: &TaskId) -> Option<Running> {
        let running = self.running.remove(task)?;
        self.machines.task_ended(running.machine, &running.ask);
        if self.picker.get(&running.machine).is_some() {
            self.refresh(running.machine);
        }
        Some(running)
    }

    fn wait_again(&mut self, task: &TaskId) {
        if let Some(Running { ask, job, .. }) = self.ended(task) {
            self.queue.push(&ask, job);
            self.untried = true;
        }
    }

    fn drop_offers(&mut self) {
        for number in self.machines.with_offers() {
            self.machines.take_offers(number);
            self.picker.remove(&number);
        }
    }
}

/// The names of the devices of a place. Errors: there is no such device, or not as many as asked for.
fn devices(room: &Room, ask: &Ask, place: &Place) -> Result<Vec<DeviceId>, String> {
    if ask.need.gpus == Gpus::None {
        return Ok(Vec::new());
    }
    let distinct: BTreeSet<&usize> = place.devices.iter().collect();
    if distinct.len() != ask.need.gpus.devices() || place.devices.len() != distinct.len() {
        return Err(format!(
            "{} devices are asked for, it names {:?}",
            ask.need.gpus.devices(),
            place.devices
        ));
    }
    let name = |index: &usize| room.devices.get(*index).map(|(device, _)| device.clone());
    let named: Option<Vec<DeviceId>> = place.devices.iter().map(name).collect();
    named.ok_or_else(|| format!("there are {} devices, it names {:?}", room.devices.len(), place.devices))
}

impl Scheduler for Placer {
    fn offers(&mut self, now: Timestamp, offers: &[Offer]) -> Plan {
        let until = now + self.options.hold;
        let mut changed = BTreeSet::new();
        for offer in offers {
            // Until then it is surely in hand, however short it is to be held.
            changed.insert(self.machines.put(offer, until.max(now + Duration::from_nanos(1))));
        }
        changed.into_iter().for_each(|number| self.refresh(number));
        let plan = self.place(now);
        self.keep(plan, offers)
    }

    fn update(&mut self, now: Timestamp, status: &TaskStatus) -> Plan {
        let task = &status.task;
        if status.state.is_terminal() {
            let began = self.running.get(task).is_some_and(|running| running.began);
            if status.state == TaskState::Dropped && !began {
                self.wait_again(task);
                return self.place(now);
            }
            self.ended(task);
        } else if let Some(running) = self.running.get_mut(task) {
            running.began |= status.state != TaskState::Staging;
        }
        Plan::new()
    }

    fn wants_offers(&self) -> bool {
        self.queue.len() > 0 || self.stays_until > Timestamp::ZERO
    }

    fn subscribed(&mut self, _now: Timestamp, _framework: &FrameworkId, _master: &MasterInfo) -> Plan {
        self.drop_offers();
        Plan::new()
    }

    fn disconnected(&mut self, _now: Timestamp) {
        self.drop_offers();
    }

    fn rescinded(&mut self, _now: Timestamp, offer: &OfferId) {
        self.end_offer(offer);
    }

    fn agent_lost(&mut self, _now: Timestamp, agent: &AgentId) -> Plan {
        for number in self.machines.forget_agent(agent) {
            self.picker.remove(&number);
        }
        Plan::new()
    }

    fn refused(&mut self, now: Timestamp, problem: &Problem) -> Plan {
        match problem {
            Problem::Plan(error) => {
                self.undo(error);
                self.place(now)
            }
            // Tasks of a refused launch are told of by updates.
            Problem::Refused { .. } => Plan::new(),
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        if self.untried {
            return Some(Timestamp::ZERO);
        }
        let ends = self.stays_until > Timestamp::ZERO && self.stays_until < FOREVER && self.queue.len() == 0;
        let stays_until = ends.then_some(self.stays_until);
        earliest(self.revive_at, stays_until)
    }

    fn tick(&mut self, now: Timestamp) -> Plan {
        self.place(now)
    }
}
