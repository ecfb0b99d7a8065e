//! A framework's host: its notes on a disk, its stream on the network.
//!
//! Of a guest it is written down what it launched and what it was told.

use std::time::Duration;

use lonja_model::operation::Operation;
use lonja_model::scheduler::{self, Call};
use lonja_model::task::Reason;
use lonja_model::{FrameworkId, TaskId, TaskState, Timestamp};
use lonja_sdk_core::{Event, Outcome};

use crate::disk::Disk;
use crate::faults::{Ending, Kill};
use crate::hosts::Process;
use crate::hosts::account::Account;
use crate::hosts::resident::{Fall, Resident, Speaker, Wishes};
use crate::invariants::Broken;
use crate::network::{ConnectionId, End, Payload};
use crate::notes::Notebook;
use crate::oracle::is_final;
use crate::steps::{self, Step};
use crate::witness;
use crate::words;
use crate::world::{Node, World};

/// A scheduler that panicked, and may, is started again after so long.
const RESTARTS_AFTER: Duration = Duration::from_secs(1);

/// The machine that one framework runs on.
pub(crate) struct FrameworkHost {
    pub(crate) resident: Resident,
    born: Timestamp,
    pub(crate) disk: Disk<Notebook>,
    pub(crate) process: Option<Process<Speaker>>,
    pub(crate) link: Option<ConnectionId>,
    /// The id that the master gave over the present link.
    pub(crate) speaks_as: Option<FrameworkId>,
    /// Offers that a mutant's network is going to repeat.
    pub(crate) stale_offers: Option<scheduler::Event>,
    /// What a guest did and was told.
    pub(crate) account: Account,
    /// It has left of its own accord, and does nothing more in this life.
    pub(crate) left: bool,
}

impl FrameworkHost {
    pub(crate) fn new(born: Timestamp, resident: Resident) -> Self {
        Self {
            resident,
            born,
            disk: Disk::default(),
            process: None,
            link: None,
            speaks_as: None,
            stale_offers: None,
            account: Account::default(),
            left: false,
        }
    }

    /// Will it never do anything again, unless somebody starts it anew?
    pub(crate) fn is_over(&self) -> bool {
        self.disk.committed().gone || self.left
    }

    /// What is still waited for, in words; `None`: all that was wanted is there. Nothing is known of what guests want.
    pub(crate) fn waits_for(&self) -> Option<String> {
        match &self.resident {
            Resident::Batch(plan) => self.disk.committed().waits_for(plan),
            Resident::Guest(_) => None,
        }
    }

    /// Did it ever launch this task, or ask about it?
    fn knows(&self, task: &TaskId) -> bool {
        match &self.resident {
            Resident::Batch(plan) => self.disk.committed().launched(plan, task.as_str()),
            Resident::Guest(_) => self.account.knows(task),
        }
    }

    /// Tasks that it takes for unreachable.
    pub(crate) fn unreachable(&self) -> Vec<TaskId> {
        let alive = match self.process.as_ref().map(|process| &process.core) {
            Some(Speaker::Guest(life)) => life.live_tasks(),
            Some(Speaker::Batch(_)) => {
                let unfinished = self.disk.committed().unfinished();
                unfinished.map(|(task, attempt)| (task.clone(), attempt.state)).collect()
            }
            None => Vec::new(),
        };
        let unreachable = |(task, state)| (state == TaskState::Unreachable).then_some(task);
        alive.into_iter().filter_map(unreachable).collect()
    }
}

impl World {
    /// A framework starts on what is durable.
    pub(crate) fn start_framework(&mut self, index: usize, life: u64) -> Result<(), Broken> {
        let seed = self.random.next();
        let now = self.local(Node::Framework(index));
        let host = &mut self.frameworks[index];
        let notes = host.disk.found();
        if notes.gone {
            return Ok(());
        }
        host.left = false;
        match host.resident.start(now, self.now.since(host.born), notes, seed) {
            Ok(core) => {
                host.process = Some(Process::starting(life, core, Wishes::default()));
                Ok(())
            }
            Err(fall) => self.falls(index, fall),
        }
    }

    /// A framework's notes become durable, or may have.
    pub(crate) fn commit_framework(&mut self, index: usize, effects: &mut Wishes, ending: Ending) {
        let batch = std::mem::take(&mut effects.persist);
        let disk = &mut self.frameworks[index].disk;
        ending.carry_out(disk, batch, self.mutant.betrayal(Node::Framework(index), disk.commits()));
    }

    /// Does what a framework wants, all that it rests on being durable.
    pub(crate) fn act_framework(&mut self, index: usize, wishes: Wishes) -> Result<(), Broken> {
        let node = Node::Framework(index);
        if let Some(fall) = wishes.fall {
            return self.falls(index, fall);
        }
        if let Some(tell) = wishes.told {
            tell();
        }
        let effects = wishes.effects;
        if effects.connect {
            self.dial_soon(node);
        }
        if let Some(link) = self.frameworks[index].link {
            let mut left = effects.send.len();
            for (id, call) in effects.send {
                left -= 1;
                self.framework_calls(index, link, &call)?;
                let step = steps::framework_sent(&call);
                self.send(link, End::Master, Payload::Call(id, Box::new(call)));
                if self.dies_at(node, step)? || (left > 0 && self.dies_at(node, Step::FrameworkSentInPart)?) {
                    return Ok(());
                }
            }
        }
        if effects.disconnect {
            self.hang_up(node);
            self.frameworks[index].speaks_as = None;
        }
        match effects.finished {
            Some(Outcome::EndedByMaster { .. }) if self.partitions.is_robbed(index) => {
                let down = self.random.millis(100, 10_000);
                self.die(Kill::now(node, down), true)
            }
            Some(Outcome::EndedByMaster { why }) if !self.frameworks[index].disk.committed().gone => {
                Err(Broken::new("liveness", format!("framework {index} was ended by the master: {why}")))
            }
            Some(Outcome::Left { .. }) => {
                self.frameworks[index].left = true;
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A guest did wrong. A panic may be tolerated: whoever looks after its process starts it again.
    fn falls(&mut self, index: usize, fall: Fall) -> Result<(), Broken> {
        let name = self.frameworks[index].resident.name();
        match fall {
            Fall::Panicked(why) if self.survives_panics => {
                let words = || format!("scheduler {name} panics: {why}");
                self.journal.note(self.now, "panics", [Node::Framework(index).number(), 0], words);
                self.die(Kill::now(Node::Framework(index), RESTARTS_AFTER), false)
            }
            Fall::Panicked(why) => Err(Broken::new("scheduler", format!("{name} panics: {why}"))),
            Fall::Impossible(why) => {
                Err(Broken::new("scheduler", format!("{name} makes an impossible plan: {why}")))
            }
            Fall::Broke(why) => Err(Broken::new("scheduler", format!("{name} breaks its promise: {why}"))),
        }
    }

    /// What a framework asks is written down.
    fn framework_calls(&mut self, index: usize, link: ConnectionId, call: &Call) -> Result<(), Broken> {
        match call {
            Call::Acknowledge { update, .. } => self.oracle.acknowledges(*update),
            Call::Accept { offers, operations, .. } => {
                self.witness.accepted(offers, link)?;
                self.oracle.accepts(operations)?;
                let Some(framework) = self.frameworks[index].speaks_as.clone() else { return Ok(()) };
                self.pods.wanted(&framework, operations);
                self.partitions.streams.accepts(&framework, offers, operations);
                self.guest_launches(index, operations)?;
            }
            Call::Kill { task, .. } => {
                if let Some(framework) = self.frameworks[index].speaks_as.clone() {
                    self.partitions.wants_killed(&(framework, task.clone()));
                }
            }
            Call::Reconcile { tasks } => {
                let host = &mut self.frameworks[index];
                if let Resident::Guest(_) = host.resident {
                    tasks.iter().for_each(|(task, _)| host.account.asks(task));
                }
            }
            Call::Teardown => {
                if let Some(framework) = self.frameworks[index].speaks_as.clone() {
                    self.witness.leaves(&framework);
                    self.partitions.wants_no_more(&framework);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A guest launches tasks: each under an id of its own, and none in an executor that nobody plays.
    fn guest_launches(&mut self, index: usize, operations: &[Operation]) -> Result<(), Broken> {
        let host = &mut self.frameworks[index];
        if let Resident::Batch(_) = host.resident {
            return Ok(());
        }
        for operation in operations {
            for task in operation.tasks() {
                host.account.launches(task, host.resident.name())?;
            }
        }
        Ok(())
    }

    /// A framework's connection is over.
    pub(crate) fn framework_hears_of_end(&mut self, index: usize, id: ConnectionId, why: &str) {
        let host = &mut self.frameworks[index];
        if host.link != Some(id) {
            return;
        }
        host.link = None;
        host.speaks_as = None;
        if let Some(process) = host.process.as_mut() {
            process.take(Event::Disconnected { why: why.to_owned() });
        }
    }

    /// Something arrives at a framework.
    pub(crate) fn arrive_at_framework(
        &mut self,
        index: usize,
        id: ConnectionId,
        payload: Payload,
    ) -> Result<(), Broken> {
        if self.frameworks[index].process.is_none() {
            return Ok(());
        }
        let step = match &payload {
            Payload::ToFramework(event) => steps::framework_hears(event),
            Payload::Answer(..) => Step::FrameworkHearsAnswer,
            _ => Step::FrameworkHearsClosed,
        };
        if !matches!(payload, Payload::Opened) && self.dies_at(Node::Framework(index), step)? {
            return Ok(());
        }
        if let Payload::ToFramework(event) = &payload {
            self.framework_hears(index, event)?;
        }
        let host = &mut self.frameworks[index];
        let Some(process) = host.process.as_mut() else { return Ok(()) };
        match payload {
            Payload::Opened => process.take(Event::Connected),
            Payload::ToFramework(event) => process.take(Event::Received(*event)),
            Payload::Answer(id, result) => process.take(Event::Answered { id, result }),
            Payload::Closed => self.framework_hears_of_end(index, id, "closed"),
            Payload::FromAgent(_)
            | Payload::ToAgent(_)
            | Payload::Call(..)
            | Payload::KeepAlive
            | Payload::Alive => {
                unreachable!("{} is not for frameworks", words::payload(&payload))
            }
        }
        Ok(())
    }

    /// What a framework is told is compared with what is so. INV-24: of its own tasks only; INV-17: an end
    /// that is told has come.
    fn framework_hears(&mut self, index: usize, event: &scheduler::Event) -> Result<(), Broken> {
        let host = &mut self.frameworks[index];
        match event {
            scheduler::Event::Subscribed { framework, .. } => {
                host.speaks_as = Some(framework.clone());
                host.account.is_called(framework);
            }
            scheduler::Event::Update(status) => {
                let Some(framework) = host.speaks_as.clone() else {
                    let what = format!("framework {index} is told of {} before it subscribed", status.task);
                    return Err(Broken::new("INV-24", what));
                };
                if !host.knows(&status.task) {
                    let what = format!("framework {framework} is told of {}, not its own", status.task);
                    return Err(Broken::new("INV-24", what));
                }
                if let Resident::Guest(_) = host.resident {
                    host.account.is_told(self.now, status);
                }
                let task = (framework, status.task.clone());
                let before = self.oracle.told_before(&task, status.state);
                self.activity.count_update(before, status.state);
                let truth = self.agents.iter().find_map(|agent| agent.kernel.truth(&task));
                if status.update.is_some() {
                    witness::end_is_true(&task, truth, status)?;
                }
                witness::answer_is_true(&task, truth, self.oracle.end_was_told(&task), status)?;
                if is_final(status.state)
                    && let Some(agent) = self.agents.iter().position(|agent| agent.kernel.has_live(&task))
                {
                    let what = format!(
                        "framework {} is told that {} is {}, and it runs on agent {agent}",
                        task.0, task.1, status.state
                    );
                    return Err(Broken::new("INV-17", what));
                }
                // A KILL or RECONCILE that comes once more, late, is answered as if the task had never been there. The
                // library knows better; the oracle need not.
                let answers_again = self.network.repeats > 0 && status.reason == Some(Reason::Reconciliation);
                if !answers_again {
                    self.oracle.delivered(task, status)?;
                }
            }
            scheduler::Event::OperationUpdate(status) => {
                self.activity.operations += 1;
                let agents = self.agents.iter().map(|agent| agent.disk.committed());
                crate::volumes::is_durable(status, self.oracle.unwanted(), agents.chain(&self.lost))?;
            }
            scheduler::Event::Offers(_)
            | scheduler::Event::Heartbeat
            | scheduler::Event::Rescind(_)
            | scheduler::Event::InverseOffers(_)
            | scheduler::Event::RescindInverse(_)
            | scheduler::Event::Message { .. }
            | scheduler::Event::Failure { .. }
            | scheduler::Event::Error(_) => {}
        }
        Ok(())
    }
}
