//! Deliberate mistakes in the world around the cores, for tests that prove that they are noticed (INV-M3).
//!
//! Each is a mistake of a disk, the network, a kernel, or of a daemon's outermost layer: what a daemon with that mistake
//! inside would show to the world. The cores stay as they are.

use std::time::Duration;

use lonja_agent_core::{ContainerExit, LaunchContainer, Recovery, VolumeOrder, WaitStatus};
use lonja_master_core::OperatorCommand;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::registry::{AgentStanding, RegistryOp};
use lonja_model::scheduler::{Call, Event};
use lonja_model::task::Reason;
use lonja_model::{AgentId, ContainerId, FrameworkId, Resources, TaskId, TaskState, UpdateId};

use crate::disk::Betrayal;
use crate::world::Node;

macro_rules! mutants {
    ($($(#[$doc:meta])* $name:ident breaks $($promise:literal)|+),* $(,)?) => {
        /// A deliberate mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(not(test), expect(dead_code, reason = "only tests plant mistakes"))]
        pub(crate) enum Mutant {
            None,
            $($(#[$doc])* $name),*
        }

        /// Every mistake, with the promises of which it breaks one: by their numbers in `docs/invariants.md`, or by the
        /// first words of what liveness says.
        #[cfg(test)]
        pub(crate) const MUTANTS: &[(Mutant, &[&str])] = &[$((Mutant::$name, &[$($promise),+])),*];
    };
}

mutants! {
    /// The disk of each agent loses commits that it called durable.
    AgentForgets breaks "INV-20" | "INV-11",
    /// The disk of the master does.
    MasterForgets breaks "INV-10" | "INV-11",
    /// The disk of the master keeps nothing but the first epoch.
    MasterForgetsEpochs breaks "INV-3" | "INV-9",
    /// The disk of each framework loses commits.
    FrameworkForgets breaks "INV-24" | "INV-11",
    /// All disks call durable what they hold in memory alone, as those who look at the medium see at once.
    DisksDoNotSync breaks "INV-10" | "INV-11" | "INV-20" | "INV-24",
    /// A batch that a kill interrupts is there by half.
    StoresTear breaks "INV-30",
    /// The master speaks before its commit holds.
    MasterSpeaksFirst breaks "INV-10",
    /// The disk of the master forgets which agents are gone.
    MasterForgetsTheGone breaks "INV-13",
    /// What is left of containers is never removed.
    AgentKeepsContainers breaks "liveness: agent" | "INV-26",
    /// Agents are not told when a container ends while they are up.
    AgentMissesExits breaks "liveness: f",
    /// Each RUN arrives again, minutes later.
    NetworkRepeatsRun breaks "INV-15",
    /// Some messages come later than what was said after them over the same connection.
    NetworkOvertakes breaks "INV-19" | "INV-24" | "INV-10" | "liveness" | "INV-39",
    /// No PONG reaches the master.
    MasterMissesPongs breaks "INV-33",
    /// The master takes each PING for answered.
    MasterHearsGhosts breaks "INV-33",
    /// The master tells no framework of tasks that are unreachable.
    MasterKeepsSilence breaks "INV-33",
    /// The master declares agents unreachable though most of them are silent together.
    MasterHasNoBrake breaks "INV-35",
    /// The master tells no stream that another has taken over, and closes none.
    MasterKeepsOldStreams breaks "INV-14",
    /// An agent kills its tasks when it loses its link.
    AgentPanicsInSilence breaks "INV-33",
    /// An agent that has lost its link stays away.
    AgentStaysAway breaks "INV-33",
    /// Some RUNs never arrive, and nobody hears of it.
    NetworkLosesRun breaks "liveness: f",
    /// Offers arrive again over the next connection.
    NetworkRepeatsOffers breaks "INV-39",
    /// The master sends some tasks to their agent twice.
    MasterRunsTwice breaks "INV-16",
    /// The master gives all agents one name.
    MasterNamesAllAlike breaks "INV-9",
    /// The master gives all frameworks one name.
    MasterSubscribesAllAlike breaks "INV-14",
    /// The master makes up the ids of updates.
    MasterInventsUpdates breaks "INV-19",
    /// The master tells that a task has finished that runs.
    MasterTellsEndsEarly breaks "INV-17" | "INV-27",
    /// The master answers RECONCILE with RUNNING for whatever it is asked.
    MasterAnswersAtRandom breaks "INV-22",
    /// The master tells frameworks of one another's tasks.
    MasterMixesUpTasks breaks "INV-24",
    /// The master takes agents for twice as large as they are.
    MasterMishearsTotals breaks "INV-1",
    /// The master takes a task that runs for one that has ended.
    MasterMishearsEnds breaks "INV-4",
    /// The master takes no notice of limits.
    MasterMishearsQuotas breaks "INV-5",
    /// The master waits for frameworks for a second.
    MasterMishearsTimeouts breaks "INV-37",
    /// Containers are larger than was asked for.
    AgentLaunchesLarger breaks "INV-2",
    /// The last task of each group is lost on its way to the agent.
    NetworkTearsGroups breaks "groups" | "liveness: f",
    /// The agent sweeps all volumes away when it starts.
    AgentSweepsVolumes breaks "INV-8",
    /// The agent asks no container to end.
    AgentDropsKills breaks "INV-23",
    /// Every look at a task shows that it is sick.
    AgentSeesGhosts breaks "health",
    /// Every look at a task shows that it is well.
    AgentLooksAway breaks "liveness: f",
    /// A restarted agent is told that what runs has run for ever.
    KernelMisdates breaks "time" | "health",
    /// How a container ended in the agent's absence is remembered as a success.
    KernelBeautifiesExits breaks "INV-27",
    /// After a power loss every container is taken for running.
    KernelAdoptsStrangers breaks "INV-28",
    /// A restarted agent does not find what runs.
    KernelHidesContainers breaks "INV-26" | "INV-29",
    /// A restarted agent is told of launches that came out whole that they never began.
    KernelLaunchesLate breaks "INV-29" | "INV-26",
}

impl Mutant {
    /// How the disk of `node` betrays commit number `commit`.
    pub(crate) fn betrayal(self, node: Node, commit: u64) -> Betrayal {
        let forgets = commit % 5 == 3;
        match (self, node) {
            (Self::AgentForgets, Node::Agent(_))
            | (Self::MasterForgets, Node::Master)
            | (Self::FrameworkForgets, Node::Framework(_))
                if forgets =>
            {
                Betrayal::Forgets
            }
            (Self::DisksDoNotSync, _) => Betrayal::Unsynced,
            (Self::StoresTear, _) => Betrayal::Tears,
            _ => Betrayal::None,
        }
    }

    /// What of a batch reaches the disk of the master.
    pub(crate) fn master_writes(self, batch: &mut Vec<RegistryOp>) {
        match self {
            Self::MasterForgetsEpochs => {
                batch.retain(|op| !matches!(op, RegistryOp::Epoch(epoch) if epoch.number > 1));
            }
            Self::MasterForgetsTheGone => batch.retain(|op| match op {
                RegistryOp::Agent(_, Some(record)) => !matches!(record.standing, AgentStanding::Gone { .. }),
                _ => true,
            }),
            _ => {}
        }
    }

    /// What the master says to an agent. `first`: the first agent that was ever admitted.
    pub(crate) fn master_tells_agent(self, message: &mut ToAgent, first: Option<&AgentId>) {
        if let (Self::NetworkTearsGroups, ToAgent::RunInExecutor { tasks, .. }) = (self, &mut *message)
            && tasks.len() > 1
        {
            tasks.truncate(tasks.len() - 1);
        }
        if let (Self::MasterNamesAllAlike, ToAgent::Registered { agent, .. }, Some(first)) =
            (self, message, first)
        {
            *agent = first.clone();
        }
    }

    /// Is this said twice?
    pub(crate) fn master_says_twice(self, message: &ToAgent) -> bool {
        self == Self::MasterRunsTwice && matches!(message, ToAgent::Run { .. })
    }

    /// What the master says to a framework.
    pub(crate) fn master_tells_framework(self, event: &mut Event, first: Option<&FrameworkId>) {
        match (self, event) {
            (Self::MasterSubscribesAllAlike, Event::Subscribed { framework, .. }) => {
                if let Some(first) = first {
                    *framework = first.clone();
                }
            }
            (Self::MasterInventsUpdates, Event::Update(status)) => {
                status.update = status.update.map(|update| UpdateId(update.0.map(|byte| byte ^ 1)));
            }
            (Self::MasterTellsEndsEarly, Event::Update(status)) if status.state == TaskState::Running => {
                status.state = TaskState::Finished;
            }
            (Self::MasterAnswersAtRandom, Event::Update(status))
                if status.reason == Some(Reason::Reconciliation) =>
            {
                status.state = TaskState::Running;
            }
            (Self::MasterMixesUpTasks, Event::Update(status)) => {
                let (name, rest) = status.task.as_str().split_at(1);
                let other = rest.replacen(['0', '1'], "7", 1);
                if let Ok(other) = TaskId::new(format!("{name}{other}")) {
                    status.task = other;
                }
            }
            _ => {}
        }
    }

    /// What the master hears an agent say.
    pub(crate) fn master_hears_agent(self, message: &mut FromAgent) {
        match (self, message) {
            (Self::MasterMishearsTotals, FromAgent::Register { info, .. }) => {
                info.resources = double(&info.resources);
            }
            (Self::MasterMishearsEnds, FromAgent::Update { status, latest, .. })
                if status.state == TaskState::Running =>
            {
                *latest = TaskState::Finished;
            }
            _ => {}
        }
    }

    /// What the master hears a framework ask.
    pub(crate) fn master_hears_call(self, call: &mut Call) {
        if let (Self::MasterMishearsTimeouts, Call::Subscribe { info, .. }) = (self, call) {
            info.failover_timeout = Duration::from_secs(1);
        }
    }

    /// What the master hears an operator ask.
    pub(crate) fn master_hears_operator(self, command: &mut OperatorCommand) {
        if let (Self::MasterMishearsQuotas, OperatorCommand::UpdateQuotas { quotas, .. }) = (self, command) {
            for (_, quota) in quotas {
                if let Some(quota) = quota {
                    quota.limits = Default::default();
                }
            }
        }
    }

    /// What an agent orders to be launched.
    pub(crate) fn agent_launches(self, launch: &mut LaunchContainer) {
        if self == Self::AgentLaunchesLarger {
            launch.task.resources = double(&launch.task.resources);
        }
    }

    /// What an agent orders about volumes.
    pub(crate) fn agent_orders(self, order: &mut VolumeOrder) {
        if let (Self::AgentSweepsVolumes, VolumeOrder::Sweep { keep }) = (self, order) {
            *keep = Resources::new();
        }
    }

    /// Since when a restarted agent is told that its containers run.
    pub(crate) fn kernel_misdates(self, found: &mut [(ContainerId, Recovery)]) {
        for (_, fate) in found {
            if let (Self::KernelMisdates, Recovery::Running { since, .. }) = (self, fate) {
                *since = Some(lonja_model::Timestamp::ZERO);
            }
        }
    }

    /// What a restarted agent is told of its containers. `starting`: those that its checkpoint knows as on their way.
    pub(crate) fn kernel_finds(
        self,
        found: &mut Vec<(ContainerId, Recovery)>,
        starting: impl Fn(&ContainerId) -> bool,
    ) {
        for (container, fate) in found.iter_mut() {
            match (self, &fate) {
                (Self::KernelBeautifiesExits, Recovery::Exited(_)) => {
                    *fate = Recovery::Exited(ContainerExit::new(WaitStatus::Exited(0)));
                }
                (Self::KernelAdoptsStrangers, Recovery::Exited(exit))
                    if matches!(exit.status, WaitStatus::Unknown { .. }) =>
                {
                    *fate = Recovery::Running { pid: 1, since: None };
                }
                (Self::KernelLaunchesLate, Recovery::Running { .. }) if starting(container) => {
                    *fate = Recovery::NeverStarted;
                }
                _ => {}
            }
        }
        if self == Self::KernelHidesContainers {
            found.retain(|(_, fate)| !matches!(fate, Recovery::Running { .. }));
        }
    }
}

/// Twice as much, where there is a quantity at all.
fn double(resources: &Resources) -> Resources {
    let scalars = resources.filter(|resource| resource.name() != "ports");
    resources.checked_add(&scalars).unwrap_or_else(|_| resources.clone())
}
