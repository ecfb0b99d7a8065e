//! Whose tasks they are: a scheduler that is told of each task when it is wanted.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use lonja_model::offer::InverseOffer;
use lonja_model::operation::OperationStatus;
use lonja_model::resources::Quantities;
use lonja_model::scheduler::MasterInfo;
use lonja_model::{AgentId, ExecutorId, FrameworkId, Offer, OfferId, TaskId, TaskStatus, Timestamp};
use lonja_sdk_core::{
    Change, Plan, Problem, Scheduler, Task,
    placement::{Ask, Placer},
};

/// A scheduler that the laboratory gives work to.
///
/// What stands for a user's own way to learn of work (a queue, an API, a file) is one method; all else is the
/// [`Scheduler`] as it goes live.
pub trait Client: Scheduler {
    /// A task is wanted from now on. It is to be launched with this id and with what it asks for; how long it then
    /// runs is the laboratory's business.
    ///
    /// No plan can be returned here, as in production where news comes from outside: a scheduler that wants to act on
    /// it at once says so by [`Scheduler::next_deadline`], and acts in [`Scheduler::tick`].
    fn arrive(&mut self, now: Timestamp, id: TaskId, ask: &Ask);

    /// What it did wrong since this was last asked, in words: a run ends with the first mistake.
    fn mistake(&mut self) -> Option<String> {
        None
    }
}

impl Client for Placer {
    fn arrive(&mut self, _now: Timestamp, id: TaskId, ask: &Ask) {
        // What it runs is of no account, so all tasks share it.
        static TASK: LazyLock<Arc<Task>> =
            LazyLock::new(|| Arc::new(Task::shell("true").expect("that is a command")));
        self.submit(id, ask, TASK.clone());
    }

    fn mistake(&mut self) -> Option<String> {
        self.take_mistakes().first().map(ToString::to_string)
    }
}

/// A scheduler that its owner gets back.
pub(super) trait Plain: Scheduler {
    fn as_scheduler(&self) -> &dyn Scheduler;
    fn as_scheduler_mut(&mut self) -> &mut dyn Scheduler;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<S: Scheduler + 'static> Plain for S {
    fn as_scheduler(&self) -> &dyn Scheduler {
        self
    }

    fn as_scheduler_mut(&mut self) -> &mut dyn Scheduler {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Who sits on a framework's seat.
pub(super) enum Seated {
    /// One that is told of each task of the workload.
    Client(Box<dyn Client>),
    /// One that knows by itself what it wants.
    Plain(Box<dyn Plain>),
}

impl Seated {
    fn scheduler(&self) -> &dyn Scheduler {
        match self {
            Self::Client(client) => &**client,
            Self::Plain(plain) => plain.as_scheduler(),
        }
    }

    fn scheduler_mut(&mut self) -> &mut dyn Scheduler {
        match self {
            Self::Client(client) => &mut **client,
            Self::Plain(plain) => plain.as_scheduler_mut(),
        }
    }
}

/// A scheduler, and whether it has the word: a panic is then its own and not the cluster's.
pub(super) struct Hosted {
    pub(super) seated: Seated,
    pub(super) has_the_word: Arc<AtomicBool>,
}

impl Hosted {
    fn ask<T>(&mut self, question: impl FnOnce(&mut dyn Scheduler) -> T) -> T {
        self.has_the_word.store(true, Ordering::Relaxed);
        let answer = question(self.seated.scheduler_mut());
        self.has_the_word.store(false, Ordering::Relaxed);
        answer
    }

    fn look<T>(&self, question: impl FnOnce(&dyn Scheduler) -> T) -> T {
        self.has_the_word.store(true, Ordering::Relaxed);
        let answer = question(self.seated.scheduler());
        self.has_the_word.store(false, Ordering::Relaxed);
        answer
    }

    /// A task of the workload is wanted.
    pub(super) fn arrive(&mut self, now: Timestamp, id: TaskId, ask: &Ask) {
        if let Seated::Client(client) = &mut self.seated {
            self.has_the_word.store(true, Ordering::Relaxed);
            client.arrive(now, id, ask);
            self.has_the_word.store(false, Ordering::Relaxed);
        }
    }

    /// What it did wrong.
    pub(super) fn mistake(&mut self) -> Option<String> {
        let Seated::Client(client) = &mut self.seated else { return None };
        self.has_the_word.store(true, Ordering::Relaxed);
        let mistake = client.mistake();
        self.has_the_word.store(false, Ordering::Relaxed);
        mistake
    }
}

impl Scheduler for Hosted {
    fn offers(&mut self, now: Timestamp, offers: &[Offer]) -> Plan {
        self.ask(|client| client.offers(now, offers))
    }

    fn update(&mut self, now: Timestamp, status: &TaskStatus) -> Plan {
        self.ask(|client| client.update(now, status))
    }

    fn wants_offers(&self) -> bool {
        self.look(|client| client.wants_offers())
    }

    fn needs(&self) -> Vec<Quantities> {
        self.look(|client| client.needs())
    }

    fn operation(&mut self, now: Timestamp, status: &OperationStatus) -> Plan {
        self.ask(|client| client.operation(now, status))
    }

    fn asked_to_leave(&mut self, now: Timestamp, offer: &InverseOffer) -> Plan {
        self.ask(|client| client.asked_to_leave(now, offer))
    }

    fn may_stay(&mut self, now: Timestamp, offer: &OfferId) {
        self.ask(|client| client.may_stay(now, offer));
    }

    fn subscribed(&mut self, now: Timestamp, framework: &FrameworkId, master: &MasterInfo) -> Plan {
        self.ask(|client| client.subscribed(now, framework, master))
    }

    fn disconnected(&mut self, now: Timestamp) {
        self.ask(|client| client.disconnected(now));
    }

    fn rescinded(&mut self, now: Timestamp, offer: &OfferId) {
        self.ask(|client| client.rescinded(now, offer));
    }

    fn agent_lost(&mut self, now: Timestamp, agent: &AgentId) -> Plan {
        self.ask(|client| client.agent_lost(now, agent))
    }

    fn executor_lost(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        executor: &ExecutorId,
        status: Option<i32>,
    ) -> Plan {
        self.ask(|client| client.executor_lost(now, agent, executor, status))
    }

    fn changes(&mut self) -> Vec<Change> {
        self.ask(|client| client.changes())
    }

    fn message(&mut self, now: Timestamp, agent: &AgentId, executor: &ExecutorId, data: &[u8]) -> Plan {
        self.ask(|client| client.message(now, agent, executor, data))
    }

    fn refused(&mut self, now: Timestamp, problem: &Problem) -> Plan {
        self.ask(|client| client.refused(now, problem))
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.look(|client| client.next_deadline())
    }

    fn tick(&mut self, now: Timestamp) -> Plan {
        self.ask(|client| client.tick(now))
    }
}
