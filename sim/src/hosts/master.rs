//! The master's host: its registry on a disk, its links and streams on the network.

use std::collections::BTreeSet;

use lonja_master_core::{Config, Effects, Event, LinkId, Master, Outbound, RequestId, StreamId};
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::registry::Registry;
use lonja_model::scheduler::Call;
use lonja_model::task::Source;
use lonja_model::{AgentId, TaskState, Timestamp, scheduler};

use crate::disk::Disk;
use crate::faults::Ending;
use crate::hosts::{Core, Process};
use crate::invariants::Broken;
use crate::network::{ConnectionId, End, Payload};
use crate::steps::{self, Step};
use crate::world::{Node, World};
use crate::{Mutant, words};

impl Core for Master {
    type Event = Event;
    type Effects = Effects;

    fn handle(&mut self, now: Timestamp, event: Event) -> Effects {
        Master::handle(self, now, event)
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        Master::next_deadline(self)
    }

    fn tick() -> Event {
        Event::Tick
    }

    fn append(all: &mut Effects, later: Effects) {
        all.append(later);
    }

    fn must_commit(effects: &Effects) -> bool {
        !effects.persist.is_empty()
    }

    fn is_keep_alive(event: &Event) -> bool {
        matches!(event, Event::Tick | Event::Agent { message: FromAgent::Pong { .. }, .. })
    }

    fn only_keeps_alive(effects: &Effects) -> bool {
        effects.send.iter().all(|out| match out {
            Outbound::Agent(_, message) => matches!(message, ToAgent::Ping { .. }),
            Outbound::Framework(_, event) => matches!(event, scheduler::Event::Heartbeat),
            _ => false,
        })
    }
}

/// The machine that masters run on.
pub(crate) struct MasterHost {
    pub(crate) disk: Disk<Registry>,
    pub(crate) process: Option<Process<Master>>,
}

impl MasterHost {
    pub(crate) fn new() -> Self {
        Self { disk: Disk::default(), process: None }
    }
}

impl World {
    /// A master starts on what is durable.
    pub(crate) fn start_master(&mut self, life: u64) {
        let registry = self.master.disk.found();
        let mut config = Config::default();
        if self.mutant == Mutant::MasterHasNoBrake {
            config.removal_brake_percent = 100;
        }
        let (core, effects) = Master::start(self.local(Node::Master), config, registry, "sim");
        self.master.process = Some(Process::starting(life, core, effects));
    }

    /// The master's batch becomes durable, or may have.
    pub(crate) fn commit_master(&mut self, effects: &mut Effects, ending: Ending) -> Result<(), Broken> {
        let mut batch = std::mem::take(&mut effects.persist);
        if ending.holds() {
            self.witness.master_commits(&batch)?;
        }
        self.mutant.master_writes(&mut batch);
        let disk = &mut self.master.disk;
        ending.carry_out(disk, batch, self.mutant.betrayal(Node::Master, disk.commits()));
        Ok(())
    }

    /// A mutant's master tells nobody whom it declares unreachable.
    pub(crate) fn keep_silence(&mut self) {
        let effects = self.master.process.as_mut().and_then(|process| process.committing.as_mut());
        if let (Mutant::MasterKeepsSilence, Some(effects)) = (self.mutant, effects) {
            effects.send.retain(|out| match out {
                Outbound::Framework(_, scheduler::Event::Update(status)) => {
                    status.state != TaskState::Unreachable
                }
                _ => true,
            });
        }
    }

    /// Does what the master wants, all that it rests on being durable.
    pub(crate) fn act_master(&mut self, effects: Effects) -> Result<(), Broken> {
        // Who is sent away in the same breath is told what was true before.
        let leaves = |out: &Outbound| match out {
            Outbound::CloseStream(StreamId(id)) => Some(ConnectionId(*id)),
            _ => None,
        };
        let leaving: BTreeSet<ConnectionId> = effects.send.iter().filter_map(leaves).collect();
        let subscribes =
            |out: &Outbound| matches!(out, Outbound::Framework(_, scheduler::Event::Subscribed { .. }));
        let open: BTreeSet<ConnectionId> = if effects.send.iter().any(subscribes) {
            let all = self.network.of(Node::Master).into_iter();
            all.filter(|id| !self.network.has_left(*id, End::Master)).collect()
        } else {
            BTreeSet::new()
        };
        let mut left = effects.send.len();
        for out in effects.send {
            left -= 1;
            if self.mutant == Mutant::MasterKeepsOldStreams && refuses_old_stream(&out) {
                continue;
            }
            let step = match out {
                Outbound::Agent(LinkId(link), message) => {
                    let id = ConnectionId(link);
                    if let ToAgent::Registered { agent, .. } = &message {
                        let now = self.local(Node::Master);
                        self.partitions.silence.welcomes(agent, id, now);
                    }
                    self.tell_agent(id, message)?
                }
                Outbound::Framework(StreamId(stream), event) => {
                    let id = ConnectionId(stream);
                    if let scheduler::Event::Subscribed { framework, .. } = &event
                        && let Some(old) = self.partitions.streams.of(framework)
                        && let Some(Node::Framework(index)) = self.network.client(id)
                    {
                        self.partitions.takes_over(index, old, id);
                    }
                    self.partitions.streams.says(id, &event, |id| open.contains(&id))?;
                    self.tell_framework(id, event, leaving.contains(&id))?
                }
                Outbound::Answer(StreamId(stream), call, answer) => {
                    self.partitions.streams.answers(ConnectionId(stream), &answer)?;
                    self.send(ConnectionId(stream), End::Client, Payload::Answer(call, answer));
                    Some(Step::MasterSentAnswer)
                }
                Outbound::CloseLink(LinkId(id)) | Outbound::CloseStream(StreamId(id)) => {
                    self.master_closes(ConnectionId(id));
                    None
                }
                Outbound::Operator(RequestId(request), result) => {
                    self.ledger.answered(request, result.is_ok());
                    let activity = &mut self.activity;
                    *(if result.is_ok() {
                        &mut activity.commands
                    } else {
                        &mut activity.refused_commands
                    }) += 1;
                    Some(Step::MasterSentOperatorAnswer)
                }
            };
            let Some(step) = step else { continue };
            if self.dies_at(Node::Master, step)?
                || (left > 0 && self.dies_at(Node::Master, Step::MasterSentInPart)?)
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Says something to an agent, if its end of the link is still known.
    fn tell_agent(&mut self, id: ConnectionId, mut message: ToAgent) -> Result<Option<Step>, Broken> {
        let Some(Node::Agent(index)) = self.network.client(id) else { return Ok(None) };
        if self.network.has_left(id, End::Master) {
            return Ok(None);
        }
        self.mutant.master_tells_agent(&mut message, self.oracle.first_agent());
        self.judge_word_to_agent(id, index, &message)?;
        let times = if self.mutant.master_says_twice(&message) { 2 } else { 1 };
        for _ in 0..times {
            let just_gone = |agent: &AgentId| self.witness.is_just_gone(agent);
            self.oracle.master_tells_agent(index, &message, self.master.disk.committed(), just_gone)?;
            self.witness.master_tells_agent(&message)?;
        }
        self.ledger.master_tells_agent(id, &self.agents[index].total, &message);
        self.repeat_run(id, &message);
        let step = steps::master_sent(&message);
        if !(self.mutant == Mutant::NetworkLosesRun && step == Step::MasterSentRun && self.random.chance(20))
        {
            self.send(id, End::Client, Payload::ToAgent(message));
        }
        Ok(Some(step))
    }

    /// Says something to a framework, if its end of the stream is still known. `leaving`: its stream is closed in the same
    /// breath.
    fn tell_framework(
        &mut self,
        id: ConnectionId,
        mut event: scheduler::Event,
        leaving: bool,
    ) -> Result<Option<Step>, Broken> {
        let Some(Node::Framework(index)) = self.network.client(id) else { return Ok(None) };
        if self.network.has_left(id, End::Master) {
            return Ok(None);
        }
        self.mutant.master_tells_framework(&mut event, self.oracle.first_framework());
        if !leaving {
            self.oracle.master_tells_framework(index, &event, self.master.disk.committed())?;
        }
        match &event {
            scheduler::Event::Subscribed { framework, .. } => self.ledger.subscribed(id, framework),
            scheduler::Event::Offers(offers) => {
                for offer in offers {
                    self.witness.offered(&offer.id, &offer.agent, id)?;
                    self.ledger.offered(offer)?;
                }
            }
            scheduler::Event::Rescind(offer) => {
                self.ledger.end_offers(std::slice::from_ref(offer));
                self.witness.ended(std::slice::from_ref(offer));
            }
            scheduler::Event::Update(status) if status.source == Source::Master => {
                if let Some(framework) = self.frameworks[index].speaks_as.clone() {
                    self.ledger.master_tells_end(&(framework, status.task.clone()), status.state);
                }
            }
            _ => {}
        }
        self.activity.count_event(&event);
        let step = steps::master_told(&event);
        let again = if self.mutant == Mutant::NetworkRepeatsOffers {
            let stale = &mut self.frameworks[index].stale_offers;
            match &event {
                scheduler::Event::Offers(_) => {
                    *stale = Some(event.clone());
                    None
                }
                scheduler::Event::Subscribed { .. } => stale.take(),
                _ => None,
            }
        } else {
            None
        };
        for event in std::iter::once(event).chain(again) {
            self.send(id, End::Client, Payload::ToFramework(Box::new(event)));
        }
        Ok(Some(step))
    }

    /// What the master says to an agent, as far as silence and offers go.
    fn judge_word_to_agent(
        &mut self,
        id: ConnectionId,
        index: usize,
        message: &ToAgent,
    ) -> Result<(), Broken> {
        match message {
            ToAgent::Refused { .. } => self.partitions.refuses(index, self.now),
            ToAgent::Run { framework, tasks, .. } | ToAgent::RunInExecutor { framework, tasks, .. } => {
                self.partitions.streams.runs(framework, tasks.iter().map(|task| &task.id))?;
            }
            ToAgent::Ping { sequence } if self.mutant == Mutant::MasterHearsGhosts => {
                let message = FromAgent::Pong { sequence: *sequence };
                if let Some(process) = self.master.process.as_mut() {
                    process.take(Event::Agent { link: LinkId(id.0), message });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The master closes a connection; it hears of that at once, the client in order.
    fn master_closes(&mut self, id: ConnectionId) {
        let Some(client) = self.network.client(id) else { return };
        if self.network.leave(id, End::Master) {
            self.send(id, End::Client, Payload::Closed);
        }
        self.master_hears_of_end(client, id);
    }

    fn master_hears_of_end(&mut self, client: Node, id: ConnectionId) {
        self.ledger.closed(id);
        let Some(process) = self.master.process.as_mut() else { return };
        match client {
            Node::Agent(_) => process.take(Event::LinkClosed { link: LinkId(id.0) }),
            Node::Framework(_) => process.take(Event::StreamClosed { stream: StreamId(id.0) }),
            Node::Master => {}
        }
    }

    /// Something arrives at the master.
    pub(crate) fn arrive_at_master(
        &mut self,
        client: Node,
        id: ConnectionId,
        payload: Payload,
    ) -> Result<(), Broken> {
        if self.master.process.is_none() {
            return Ok(());
        }
        let step = match &payload {
            Payload::FromAgent(message) => steps::master_hears_agent(message),
            Payload::Call(_, call) => steps::master_hears_call(call),
            _ => Step::MasterHearsClosed,
        };
        if self.dies_at(Node::Master, step)? {
            return Ok(());
        }
        match payload {
            Payload::FromAgent(FromAgent::Pong { .. }) if self.mutant == Mutant::MasterMissesPongs => {}
            Payload::FromAgent(mut message) => {
                self.ledger.agent_says(id, &message);
                self.mutant.master_hears_agent(&mut message);
                let Some(process) = self.master.process.as_mut() else { return Ok(()) };
                process.take(Event::Agent { link: LinkId(id.0), message });
            }
            Payload::Call(call, mut what) => {
                match &*what {
                    Call::Accept { offers, .. } | Call::Decline { offers, .. } => {
                        self.ledger.end_offers(offers);
                        self.witness.ended(offers);
                    }
                    _ => {}
                }
                self.mutant.master_hears_call(&mut what);
                let stream = StreamId(id.0);
                let Some(process) = self.master.process.as_mut() else { return Ok(()) };
                process.take(Event::Call { stream, id: call, framework: None, call: *what });
            }
            Payload::Closed => self.master_hears_of_end(client, id),
            Payload::Opened
            | Payload::ToAgent(_)
            | Payload::ToFramework(_)
            | Payload::Answer(..)
            | Payload::KeepAlive
            | Payload::Alive => {
                unreachable!("{} is for clients", words::payload(&payload))
            }
        }
        Ok(())
    }
}

/// Is this how the master sends the older of two streams away?
fn refuses_old_stream(out: &Outbound) -> bool {
    match out {
        Outbound::Framework(_, scheduler::Event::Error(why)) => why.contains("failed over"),
        Outbound::CloseStream(_) => true,
        _ => false,
    }
}
