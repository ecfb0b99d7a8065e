//! An agent's host: its checkpoint on a disk, its containers in a kernel, its link on the network.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_agent_core::{
    Agent, Config, Effects, Entropy, Event, KillContainer, LaunchContainer, Recovery, VolumeOrder,
};
use lonja_model::attributes::Attributes;
use lonja_model::checkpoint::Checkpoint;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::{AgentInfo, ContainerId, Resources, TaskState, Timestamp};

use crate::Mutant;
use crate::disk::{Disk, Health};
use crate::faults::Ending;
use crate::health::HealthWatch;
use crate::hosts::kernel::{Kernel, Launched, TaskKey};
use crate::hosts::{Core, Process};
use crate::invariants::Broken;
use crate::network::{ConnectionId, End, Payload};
use crate::random::Random;
use crate::steps::{self, Step};
use crate::volumes::{self, Volume};
use crate::witness::KillWatch;
use crate::words;
use crate::workload::Script;
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
        let Effects { launch, kill, checks, forget, volumes, reconnect, .. } = effects;
        pongs
            && launch.is_empty()
            && kill.is_empty()
            && checks.is_empty()
            && forget.is_empty()
            && volumes.is_empty()
            && !reconnect
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
    /// The first commit of this life is not carried out yet.
    pub(crate) recovering: bool,
    pub(crate) kill_watch: KillWatch,
    pub(crate) health_watch: HealthWatch,
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
        Self::with(index, total, Default::default())
    }

    /// A machine that has this and says this of itself.
    pub(crate) fn with(index: usize, total: Resources, attributes: Attributes) -> Self {
        let info = AgentInfo {
            hostname: hostname(index),
            port: 5051,
            resources: total.clone(),
            attributes,
            domain: None,
            id: None,
        };
        let config = Config::new(info, "0.1.0", format!("instance-{index}"));
        let (disk, kernel) = (Disk::default(), Kernel::default());
        Self {
            total,
            config,
            disk,
            kernel,
            folders: BTreeSet::new(),
            process: None,
            link: None,
            recovering: false,
            kill_watch: KillWatch::default(),
            health_watch: HealthWatch::default(),
        }
    }
}

impl World {
    /// An agent starts on what is durable and what runs.
    pub(crate) fn start_agent(&mut self, index: usize, life: u64) {
        let entropy = Entropy(self.random.next(), self.random.next());
        let now = self.local(Node::Agent(index));
        let host = &mut self.agents[index];
        let mut core = Agent::new(host.config.clone(), entropy);
        let checkpoint = host.disk.found();
        let mut containers = host.kernel.found(self.now, now);
        self.mutant.kernel_finds(&mut containers, |container| {
            let of = checkpoint.tasks.values().find(|record| record.container == *container);
            of.is_some_and(|record| record.state == TaskState::Starting)
        });
        let starts = containers.iter().filter_map(|(container, fate)| match fate {
            Recovery::Running { since: Some(since), .. } => Some((container.clone(), *since)),
            Recovery::Running { since: None, .. } | Recovery::Exited(_) | Recovery::NeverStarted => None,
        });
        host.health_watch.restarted(starts.collect());
        self.mutant.kernel_misdates(&mut containers);
        let effects = core.handle(now, Event::Recovered { checkpoint, containers });
        host.recovering = true;
        host.kill_watch.restarted(self.now);
        host.process = Some(Process::starting(life, core, effects));
    }

    /// The agent's batch becomes durable, or may have.
    pub(crate) fn commit_agent(
        &mut self,
        index: usize,
        effects: &mut Effects,
        ending: Ending,
    ) -> Result<(), Broken> {
        let host = &mut self.agents[index];
        let batch = std::mem::take(&mut effects.persist);
        if ending.holds() {
            self.oracle.agent_commits(host.disk.committed(), &batch, self.master.disk.committed())?;
            host.kill_watch.committed(self.now, &batch);
        }
        let betrayal = self.mutant.betrayal(Node::Agent(index), host.disk.commits());
        ending.carry_out(&mut host.disk, batch, betrayal);
        Ok(())
    }

    /// Does what an agent wants, all that it rests on being durable. A kill aimed at one of its steps leaves the rest
    /// undone.
    pub(crate) fn act_agent(&mut self, index: usize, mut effects: Effects) -> Result<(), Broken> {
        if let Some(reason) = effects.shutdown {
            return self.gives_up(index, &reason);
        }
        let node = Node::Agent(index);
        if effects.new_link && self.mutant == Mutant::AgentPanicsInSilence {
            let kill = |container: &ContainerId| KillContainer {
                container: container.clone(),
                grace: Duration::ZERO,
            };
            let undisturbed = self.agents[index].kernel.undisturbed();
            effects.kill.extend(undisturbed.map(|(container, _)| kill(container)));
        }
        let Effects { volumes, launch, kill, checks, forget, send, reconnect, .. } = effects;
        if self.order_volumes(index, volumes)? || self.order_launches(index, launch)? {
            return Ok(());
        }
        if self.order_kills(index, &kill)? || self.order_looks(index, checks)? {
            return Ok(());
        }
        if self.order_removals(index, &forget)? {
            return Ok(());
        }
        if let Some(link) = self.agents[index].link {
            let mut left = send.len();
            for message in send {
                left -= 1;
                let step = steps::agent_sent(&message);
                self.send(link, End::Master, Payload::FromAgent(message));
                if self.dies_at(node, step)? || (left > 0 && self.dies_at(node, Step::AgentSentInPart)?) {
                    return Ok(());
                }
            }
        }
        if reconnect {
            self.hang_up(node);
            self.dial_soon(node);
            let _dead = self.dies_at(node, Step::AgentReconnects)?;
        }
        Ok(())
    }

    /// True: the agent was killed meanwhile. So with the next ones.
    fn order_launches(&mut self, index: usize, launches: Vec<LaunchContainer>) -> Result<bool, Broken> {
        self.pods.launched(&launches)?;
        for mut launch in launches {
            self.mutant.agent_launches(&mut launch);
            let host = &mut self.agents[index];
            let task: TaskKey = (launch.framework.clone(), launch.task.id.clone());
            self.oracle.launches(&task, host.disk.committed())?;
            let script = match &mut self.rule {
                Some(rule) => rule(&launch.task).script(),
                None => Script::read(&launch.task.command),
            };
            let takes = host.kernel.launch(&mut self.random, &launch, script, self.smooth)?;
            self.activity.launches += 1;
            self.queue
                .at(self.now + takes, Happening::Launched { agent: index, container: launch.container });
            if self.dies_at(Node::Agent(index), Step::AgentOrderedLaunch)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn order_kills(&mut self, index: usize, kills: &[KillContainer]) -> Result<bool, Broken> {
        self.judge_kills(index, kills)?;
        if self.mutant == Mutant::AgentDropsKills {
            return Ok(false);
        }
        for kill in kills {
            let host = &mut self.agents[index];
            host.kernel.kill(&mut self.random, self.now, kill)?;
            let recovering = host.recovering;
            self.will_end(index, &kill.container);
            let step = if recovering { Step::AgentRecoveryOrderedKill } else { Step::AgentOrderedKill };
            if self.dies_at(Node::Agent(index), step)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn order_removals(&mut self, index: usize, forget: &[ContainerId]) -> Result<bool, Broken> {
        if self.mutant == Mutant::AgentKeepsContainers {
            return Ok(false);
        }
        for container in forget {
            let fails = self.random.chance(2) && !self.smooth;
            let host = &mut self.agents[index];
            host.kernel.forget(container, fails)?;
            let step = if host.recovering { Step::AgentRecoveryForgot } else { Step::AgentForgot };
            if self.dies_at(Node::Agent(index), step)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The agent wants folders made or removed. INV-8: each volume of its durable total has its folder.
    fn order_volumes(&mut self, index: usize, orders: Vec<VolumeOrder>) -> Result<bool, Broken> {
        let node = Node::Agent(index);
        for mut order in orders {
            self.mutant.agent_orders(&mut order);
            let step = steps::agent_ordered(&order);
            // A disk that is full makes nothing; now and then something else is in the way.
            let works = self.can_write(node) && !self.mishap(2);
            let host = &mut self.agents[index];
            match &order {
                VolumeOrder::Make { number, volumes: made } => {
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
            if self.dies_at(node, step)? {
                return Ok(true);
            }
        }
        let host = &self.agents[index];
        let durable = host.disk.committed().total.as_ref().map(volumes::all).transpose()?.unwrap_or_default();
        match durable.difference(&host.folders).next() {
            Some((_, id)) => Err(Broken::new("INV-8", format!("volume {id} of agent {index} has no folder"))),
            None => Ok(false),
        }
    }

    /// Folders of volumes are there, or could not be made.
    pub(crate) fn volumes_made(
        &mut self,
        index: usize,
        life: u64,
        number: u64,
        works: bool,
    ) -> Result<(), Broken> {
        let node = Node::Agent(index);
        if self.life(node) != Some(life) || self.dies_at(node, Step::AgentVolumesAnswered)? {
            return Ok(());
        }
        let result = if works { Ok(()) } else { Err("no space left on device".to_owned()) };
        if let Some(process) = self.agents[index].process.as_mut() {
            process.take(Event::VolumesMade { number, result });
        }
        Ok(())
    }

    /// Something arrives at an agent.
    pub(crate) fn arrive_at_agent(
        &mut self,
        index: usize,
        id: ConnectionId,
        payload: Payload,
    ) -> Result<(), Broken> {
        let step = match &payload {
            Payload::ToAgent(message) => steps::agent_hears(message),
            Payload::Opened => Step::AgentHearsOpened,
            _ => Step::AgentHearsClosed,
        };
        if self.agents[index].process.is_none() || self.dies_at(Node::Agent(index), step)? {
            return Ok(());
        }
        let host = &mut self.agents[index];
        let Some(process) = host.process.as_mut() else { return Ok(()) };
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
            Payload::FromAgent(_)
            | Payload::ToFramework(_)
            | Payload::Call(..)
            | Payload::Answer(..)
            | Payload::KeepAlive
            | Payload::Alive => {
                unreachable!("{} is not for agents", words::payload(&payload))
            }
        }
        Ok(())
    }

    /// The time for a launch has passed.
    pub(crate) fn launched(&mut self, index: usize, container: ContainerId) -> Result<(), Broken> {
        let node = Node::Agent(index);
        // A sandbox needs a disk that takes it.
        let surroundings = self.can_write(node) && !self.mishap(1);
        let launched = self.agents[index].kernel.launched(self.now, &container, surroundings);
        let (step, event) = match launched {
            Launched::Moot => return Ok(()),
            Launched::Running { pid } => {
                self.will_end(index, &container);
                let local = self.local(node);
                self.agents[index].health_watch.started(&container, local);
                (Step::AgentLaunched, Event::ContainerStarted { container, pid })
            }
            Launched::Failed(reason) => {
                let message = "no such command, or nowhere to run it".to_owned();
                (Step::AgentLaunchFailed, Event::ContainerFailed { container, reason, message })
            }
        };
        if self.agents[index].process.is_some() && !self.dies_at(node, step)? {
            self.agents[index].process.iter_mut().for_each(|process| process.take(event.clone()));
        }
        Ok(())
    }

    /// Something goes wrong by chance, unless nothing is to.
    fn mishap(&mut self, percent: u64) -> bool {
        self.random.chance(percent) && !self.smooth
    }

    fn can_write(&self, node: Node) -> bool {
        !matches!(self.health(node), Health::Full | Health::Fails)
    }

    /// Sets the time for a container's end.
    fn will_end(&mut self, index: usize, container: &ContainerId) {
        if let Some(at) = self.agents[index].kernel.ends(container) {
            let container = container.clone();
            self.queue.at(at, Happening::Ended { agent: index, container });
        }
    }

    /// The time for a container's end may have come.
    pub(crate) fn ended(&mut self, index: usize, container: ContainerId) -> Result<(), Broken> {
        let Some(exit) = self.agents[index].kernel.end(self.now, &container) else { return Ok(()) };
        if self.mutant == Mutant::AgentMissesExits || self.agents[index].process.is_none() {
            return Ok(());
        }
        if !self.dies_at(Node::Agent(index), Step::AgentExited)?
            && let Some(process) = self.agents[index].process.as_mut()
        {
            process.take(Event::ContainerExited { container, exit });
        }
        Ok(())
    }

    /// An agent's containers when it dies.
    pub(crate) fn orphan_containers(&mut self, index: usize) {
        for container in self.agents[index].kernel.agent_died(&mut self.random, self.now) {
            self.will_end(index, &container);
        }
    }
}
