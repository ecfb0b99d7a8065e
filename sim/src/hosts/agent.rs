//! An agent's host: its checkpoint on a disk, its containers in a kernel, its link on the network.

use std::collections::BTreeSet;

use lonja_agent_core::{Agent, Config, Effects, Entropy, Event, LaunchFailure, VolumeOrder};
use lonja_model::checkpoint::Checkpoint;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::{AgentInfo, ContainerId, Resources, Timestamp};

use crate::Mutant;
use crate::disk::Disk;
use crate::hosts::kernel::{Kernel, Launched, TaskKey};
use crate::hosts::{Core, Process};
use crate::invariants::Broken;
use crate::network::{ConnectionId, End, Payload};
use crate::random::Random;
use crate::volumes::{self, Volume};
use crate::words;
use crate::world::{Happening, Node, World};

impl Core for Agent {
    type Event = Event;
    type Effects = Effects;

    fn handle(&mut self, now: Timestamp, event: Event) -> Effects {
        Agent::handle(self, now, event)
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        Agent::next_deadline(self)
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
        matches!(event, Event::Tick | Event::Received(ToAgent::Ping { .. }))
    }

    fn only_keeps_alive(effects: &Effects) -> bool {
        let pongs = effects.send.iter().all(|message| matches!(message, FromAgent::Pong { .. }));
        let Effects { launch, kill, forget, volumes, reconnect, .. } = effects;
        pongs && launch.is_empty() && kill.is_empty() && forget.is_empty() && volumes.is_empty() && !reconnect
    }
}

/// The machine that one agent runs on.
pub(crate) struct AgentHost {
    pub(crate) total: Resources,
    config: Config,
    pub(crate) disk: Disk<Checkpoint>,
    pub(crate) kernel: Kernel,
    /// The folders of volumes, finished or not.
    folders: BTreeSet<Volume>,
    pub(crate) process: Option<Process<Agent>>,
    pub(crate) link: Option<ConnectionId>,
}

/// The machine's name.
pub(crate) fn hostname(index: usize) -> String {
    format!("host-{index}")
}

impl AgentHost {
    pub(crate) fn new(random: &mut Random, index: usize) -> Self {
        let (cpus, mem) = (2 + random.below(3), 1024 * (1 + random.below(2)));
        let total = Resources::parse(&format!("cpus:{cpus};mem:{mem};disk:10000;ports:[31000-31003]"));
        let total = total.expect("numbers are amounts");
        let info = AgentInfo {
            hostname: hostname(index),
            port: 5051,
            resources: total.clone(),
            attributes: Default::default(),
            domain: None,
            id: None,
        };
        let config = Config::new(info, "0.1.0", format!("instance-{index}"));
        let (disk, kernel) = (Disk::default(), Kernel::default());
        Self { total, config, disk, kernel, folders: BTreeSet::new(), process: None, link: None }
    }
}

impl World {
    /// An agent starts on what is durable and what runs.
    pub(crate) fn start_agent(&mut self, index: usize, life: u64) {
        let entropy = Entropy(self.random.next(), self.random.next());
        let host = &mut self.agents[index];
        let mut core = Agent::new(host.config.clone(), entropy);
        let checkpoint = host.disk.committed().clone();
        let containers = host.kernel.found();
        let effects = core.handle(self.now, Event::Recovered { checkpoint, containers });
        host.process = Some(Process::starting(life, core, effects));
    }

    /// The agent's batch becomes durable.
    pub(crate) fn commit_agent(&mut self, index: usize, effects: &mut Effects) -> Result<(), Broken> {
        let forgetful = self.forgets(Mutant::AgentForgets, self.agents[index].disk.commits());
        let disk = &mut self.agents[index].disk;
        let batch = std::mem::take(&mut effects.persist);
        self.oracle.agent_commits(disk.committed(), &batch, self.master.disk.committed())?;
        disk.commit(batch, forgetful);
        Ok(())
    }

    /// Does what an agent wants, all that it rests on being durable.
    pub(crate) fn act_agent(&mut self, index: usize, effects: Effects) -> Result<(), Broken> {
        if let Some(reason) = effects.shutdown {
            return Err(Broken::new("liveness", format!("agent {index} gives up: {reason}")));
        }
        self.order_volumes(index, &effects.volumes)?;
        let host = &mut self.agents[index];
        for launch in &effects.launch {
            let task: TaskKey = (launch.framework.clone(), launch.task.id.clone());
            self.oracle.launches(&task, host.disk.committed())?;
            let takes = host.kernel.launch(&mut self.random, launch)?;
            self.activity.launches += 1;
            let container = launch.container.clone();
            self.queue.at(self.now + takes, Happening::Launched { agent: index, container });
        }
        for kill in &effects.kill {
            host.kernel.kill(&mut self.random, self.now, kill)?;
            if let Some(at) = host.kernel.ends(&kill.container) {
                let container = kill.container.clone();
                self.queue.at(at, Happening::Ended { agent: index, container });
            }
        }
        if self.mutant != Mutant::AgentKeepsContainers {
            effects.forget.iter().try_for_each(|container| host.kernel.forget(container))?;
        }
        if let Some(link) = host.link {
            for message in effects.send {
                self.send(link, End::Master, Payload::FromAgent(message));
            }
        }
        if effects.reconnect {
            self.hang_up(Node::Agent(index));
            self.dial_soon(Node::Agent(index));
        }
        Ok(())
    }

    /// The agent wants folders made or removed. INV-8: each volume of its durable total has its folder.
    fn order_volumes(&mut self, index: usize, orders: &[VolumeOrder]) -> Result<(), Broken> {
        for order in orders {
            let host = &mut self.agents[index];
            match order {
                VolumeOrder::Make { number, volumes: made } => {
                    // A disk that is full makes nothing.
                    let works = !self.random.chance(5);
                    if works {
                        host.folders.extend(volumes::all(made)?);
                    }
                    let takes = self.random.millis(0, 20);
                    let life = self.life(Node::Agent(index)).unwrap_or(0);
                    let made = Happening::VolumesMade { agent: index, life, number: *number, works };
                    self.queue.at(self.now + takes, made);
                }
                VolumeOrder::Remove(gone) => {
                    let gone = volumes::all(gone)?;
                    host.folders.retain(|folder| !gone.contains(folder));
                }
                VolumeOrder::Sweep { keep } => {
                    let keep = volumes::all(keep)?;
                    host.folders.retain(|folder| keep.contains(folder));
                }
            }
        }
        let host = &self.agents[index];
        let durable = host.disk.committed().total.as_ref().map(volumes::all).transpose()?.unwrap_or_default();
        match durable.difference(&host.folders).next() {
            Some((_, id)) => Err(Broken::new("INV-8", format!("volume {id} of agent {index} has no folder"))),
            None => Ok(()),
        }
    }

    /// Folders of volumes are there, or could not be made.
    pub(crate) fn volumes_made(&mut self, index: usize, life: u64, number: u64, works: bool) {
        if self.life(Node::Agent(index)) != Some(life) {
            return;
        }
        let result = if works { Ok(()) } else { Err("no space left on device".to_owned()) };
        if let Some(process) = self.agents[index].process.as_mut() {
            process.take(Event::VolumesMade { number, result });
        }
    }

    /// Something arrives at an agent.
    pub(crate) fn arrive_at_agent(&mut self, index: usize, id: ConnectionId, payload: Payload) {
        let host = &mut self.agents[index];
        let Some(process) = host.process.as_mut() else { return };
        match payload {
            Payload::Opened => process.take(Event::LinkUp),
            Payload::ToAgent(message) => process.take(Event::Received(message)),
            Payload::Closed => {
                if host.link == Some(id) {
                    host.link = None;
                    process.take(Event::LinkDown);
                    self.dial_soon(Node::Agent(index));
                }
            }
            Payload::FromAgent(_) | Payload::ToFramework(_) | Payload::Call(..) | Payload::Answer(..) => {
                unreachable!("{} is not for agents", words::payload(&payload))
            }
        }
    }

    /// The time for a launch has passed.
    pub(crate) fn launched(&mut self, index: usize, container: ContainerId) {
        let host = &mut self.agents[index];
        match host.kernel.launched(self.now, &container) {
            Launched::Moot => {}
            Launched::Running { pid } => {
                self.will_end(index, &container);
                if let Some(process) = self.agents[index].process.as_mut() {
                    process.take(Event::ContainerStarted { container, pid });
                }
            }
            Launched::Failed => {
                if let Some(process) = host.process.as_mut() {
                    let message = "no such command".to_owned();
                    let reason = LaunchFailure::Command;
                    process.take(Event::ContainerFailed { container, reason, message });
                }
            }
        }
    }

    /// Sets the time for a container's end.
    fn will_end(&mut self, index: usize, container: &ContainerId) {
        if let Some(at) = self.agents[index].kernel.ends(container) {
            let container = container.clone();
            self.queue.at(at, Happening::Ended { agent: index, container });
        }
    }

    /// The time for a container's end may have come.
    pub(crate) fn ended(&mut self, index: usize, container: ContainerId) {
        let host = &mut self.agents[index];
        let Some(exit) = host.kernel.end(self.now, &container) else { return };
        if self.mutant == Mutant::AgentMissesExits {
            return;
        }
        if let Some(process) = host.process.as_mut() {
            process.take(Event::ContainerExited { container, exit });
        }
    }

    /// An agent's containers when it dies.
    pub(crate) fn orphan_containers(&mut self, index: usize) {
        for container in self.agents[index].kernel.agent_died(&mut self.random, self.now) {
            self.will_end(index, &container);
        }
    }
}
