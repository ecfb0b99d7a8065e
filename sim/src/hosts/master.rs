//! The master's host: its registry on a disk, its links and streams on the network.

use lonja_master_core::{Config, Effects, Event, LinkId, Master, Outbound, StreamId};
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::registry::Registry;
use lonja_model::{Timestamp, scheduler};

use crate::disk::Disk;
use crate::hosts::{Core, Process};
use crate::invariants::Broken;
use crate::network::{ConnectionId, End, Payload};
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
        let registry = self.master.disk.committed().clone();
        let (core, effects) = Master::start(self.now, Config::default(), registry, "sim");
        self.master.process = Some(Process::starting(life, core, effects));
    }

    /// The master's batch becomes durable.
    pub(crate) fn commit_master(&mut self, effects: &mut Effects) {
        let forgetful = self.forgets(Mutant::MasterForgets, self.master.disk.commits());
        let mut batch = std::mem::take(&mut effects.persist);
        if self.mutant == Mutant::MasterForgetsEpochs {
            batch.retain(
                |op| !matches!(op, lonja_model::registry::RegistryOp::Epoch(epoch) if epoch.number > 1),
            );
        }
        self.master.disk.commit(batch, forgetful);
    }

    /// Does what the master wants, all that it rests on being durable.
    pub(crate) fn act_master(&mut self, effects: Effects) -> Result<(), Broken> {
        for out in effects.send {
            match out {
                Outbound::Agent(LinkId(link), message) => {
                    let id = ConnectionId(link);
                    if let Some(Node::Agent(index)) = self.network.client(id) {
                        self.oracle.master_tells_agent(index, &message, self.master.disk.committed())?;
                        self.repeat_run(id, &message);
                        self.send(id, End::Client, Payload::ToAgent(message));
                    }
                }
                Outbound::Framework(StreamId(stream), event) => {
                    let id = ConnectionId(stream);
                    if let Some(Node::Framework(index)) = self.network.client(id) {
                        self.oracle.master_tells_framework(index, &event, self.master.disk.committed())?;
                        self.activity.count_event(&event);
                        self.send(id, End::Client, Payload::ToFramework(Box::new(event)));
                    }
                }
                Outbound::Answer(StreamId(stream), call, answer) => {
                    self.send(ConnectionId(stream), End::Client, Payload::Answer(call, answer));
                }
                Outbound::CloseLink(LinkId(id)) | Outbound::CloseStream(StreamId(id)) => {
                    self.master_closes(ConnectionId(id));
                }
                Outbound::Operator(_, result) => {
                    let activity = &mut self.activity;
                    *(if result.is_ok() {
                        &mut activity.commands
                    } else {
                        &mut activity.refused_commands
                    }) += 1;
                }
            }
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
        let Some(process) = self.master.process.as_mut() else { return };
        match client {
            Node::Agent(_) => process.take(Event::LinkClosed { link: LinkId(id.0) }),
            Node::Framework(_) => process.take(Event::StreamClosed { stream: StreamId(id.0) }),
            Node::Master => {}
        }
    }

    /// Something arrives at the master.
    pub(crate) fn arrive_at_master(&mut self, client: Node, id: ConnectionId, payload: Payload) {
        let Some(process) = self.master.process.as_mut() else { return };
        match payload {
            Payload::FromAgent(message) => process.take(Event::Agent { link: LinkId(id.0), message }),
            Payload::Call(call, what) => {
                let stream = StreamId(id.0);
                process.take(Event::Call { stream, id: call, framework: None, call: *what });
            }
            Payload::Closed => self.master_hears_of_end(client, id),
            Payload::Opened | Payload::ToAgent(_) | Payload::ToFramework(_) | Payload::Answer(..) => {
                unreachable!("{} is for clients", words::payload(&payload))
            }
        }
    }
}
