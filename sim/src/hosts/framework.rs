//! A framework's host: its notes on a disk, its stream on the network.

use lonja_model::scheduler::{self, Call};
use lonja_model::task::Reason;
use lonja_model::{FrameworkId, Timestamp};
use lonja_sdk_core::{Event, Outcome};

use crate::batch::{Client, Wishes};
use crate::disk::Disk;
use crate::faults::{Ending, Kill};
use crate::hosts::Process;
use crate::invariants::Broken;
use crate::network::{ConnectionId, End, Payload};
use crate::notes::Notebook;
use crate::oracle::is_final;
use crate::steps::{self, Step};
use crate::witness;
use crate::words;
use crate::workload::Plan;
use crate::world::{Node, World};

/// The machine that one framework runs on.
pub(crate) struct FrameworkHost {
    pub(crate) plan: Plan,
    born: Timestamp,
    pub(crate) disk: Disk<Notebook>,
    pub(crate) process: Option<Process<Client>>,
    pub(crate) link: Option<ConnectionId>,
    /// The id that the master gave over the present link.
    pub(crate) speaks_as: Option<FrameworkId>,
    /// Offers that a mutant's network is going to repeat.
    pub(crate) stale_offers: Option<scheduler::Event>,
}

impl FrameworkHost {
    pub(crate) fn new(born: Timestamp, plan: Plan) -> Self {
        Self {
            plan,
            born,
            disk: Disk::default(),
            process: None,
            link: None,
            speaks_as: None,
            stale_offers: None,
        }
    }
}

impl World {
    /// A framework starts on what is durable.
    pub(crate) fn start_framework(&mut self, index: usize, life: u64) {
        let seed = self.random.next();
        let now = self.local(Node::Framework(index));
        let host = &mut self.frameworks[index];
        let notes = host.disk.found();
        if notes.gone {
            return;
        }
        let core = Client::new(now, now - self.now.since(host.born), host.plan.clone(), notes, seed);
        host.process = Some(Process::starting(life, core, Wishes::default()));
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
            Some(_) | None => Ok(()),
        }
    }

    /// What a framework asks is written down.
    fn framework_calls(&mut self, index: usize, link: ConnectionId, call: &Call) -> Result<(), Broken> {
        match call {
            Call::Acknowledge { update, .. } => self.oracle.acknowledges(*update),
            Call::Accept { offers, operations, .. } => {
                self.witness.accepted(offers, link)?;
                self.oracle.accepts(operations)?;
                self.pods.wanted(operations);
                self.partitions.streams.accepts(offers, operations);
            }
            Call::Kill { task, .. } => self.partitions.wants_killed(task),
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
            scheduler::Event::Subscribed { framework, .. } => host.speaks_as = Some(framework.clone()),
            scheduler::Event::Update(status) => {
                let Some(framework) = host.speaks_as.clone() else {
                    let what = format!("framework {index} is told of {} before it subscribed", status.task);
                    return Err(Broken::new("INV-24", what));
                };
                if !host.disk.committed().launched(&host.plan, status.task.as_str()) {
                    let what = format!("framework {framework} is told of {}, not its own", status.task);
                    return Err(Broken::new("INV-24", what));
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
