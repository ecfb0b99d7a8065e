//! The named steps at which a process may be killed, and how often each was passed and killed at.
//!
//! A kill is aimed at a step: it waits until its victim passes there, once the kill's time has come, and takes effect
//! between what the step names and what follows. Steps are named by what was heard, what is about to be made durable, and
//! what was done last; what a batch still had to send or do is lost. A message that is heard at a step of its own was
//! received and not handled.
//!
//! Source: named failpoints, as in etcd (gofail) and TiKV (fail-rs); here the points lie in the hosts, so that
//! production code carries none.

use lonja_agent_core::VolumeOrder;
use lonja_model::TaskState;
use lonja_model::checkpoint::CheckpointOp;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::registry::RegistryOp;
use lonja_model::scheduler::{Call, Event};
use lonja_sdk_core::Record;

use crate::notes::Note;
use crate::random::Random;

macro_rules! steps {
    ($($name:ident: $words:literal),* $(,)?) => {
        /// A place in the life of a process where a kill can be aimed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Step { $($name),* }

        /// All of them with their names, in the order of [`Step`].
        pub(crate) const STEPS: &[(Step, &str)] = &[$((Step::$name, $words)),*];
    };
}

steps! {
    MasterStarted: "master: the registry is read, nothing is written",
    MasterHearsRegister: "master: received Register",
    MasterHearsReregister: "master: received Reregister",
    MasterHearsUpdate: "master: received Update",
    MasterHearsOperationUpdate: "master: received OperationUpdate",
    MasterHearsExecutorEnded: "master: received ExecutorEnded",
    MasterHearsPong: "master: received Pong",
    MasterHearsSubscribe: "master: received Subscribe",
    MasterHearsAccept: "master: received Accept",
    MasterHearsDecline: "master: received Decline",
    MasterHearsAcknowledge: "master: received Acknowledge",
    MasterHearsKill: "master: received Kill",
    MasterHearsReconcile: "master: received Reconcile",
    MasterHearsTeardown: "master: received Teardown",
    MasterHearsOtherCall: "master: received another call",
    MasterHearsOperator: "master: received an operator's command",
    MasterHearsClosed: "master: heard that a connection is closed",
    MasterWritesEpoch: "master: before the commit of its epoch",
    MasterWritesAgent: "master: before the commit of an agent",
    MasterWritesFramework: "master: before the commit of a framework",
    MasterWritesWeight: "master: before the commit of a weight",
    MasterWritesQuota: "master: before the commit of a quota",
    MasterWritesMachine: "master: before the commit of a machine",
    MasterCommitted: "master: the commit holds, nothing is sent",
    MasterSentRegistered: "master: sent Registered",
    MasterSentRun: "master: sent Run",
    MasterSentRunInExecutor: "master: sent RunInExecutor",
    MasterSentKill: "master: sent Kill",
    MasterSentAcknowledge: "master: sent Acknowledge",
    MasterSentApply: "master: sent Apply",
    MasterSentAcknowledgeOperation: "master: sent AcknowledgeOperation",
    MasterSentShutdownFramework: "master: sent ShutdownFramework",
    MasterSentResendUpdates: "master: sent ResendUpdates",
    MasterSentPing: "master: sent Ping",
    MasterSentRefused: "master: sent Refused",
    MasterSentSubscribed: "master: sent Subscribed",
    MasterSentOffers: "master: sent Offers",
    MasterSentRescind: "master: sent Rescind",
    MasterSentUpdate: "master: sent Update",
    MasterSentOperationUpdate: "master: sent OperationUpdate",
    MasterSentInverseOffers: "master: sent InverseOffers",
    MasterSentFailure: "master: sent Failure",
    MasterSentOtherEvent: "master: sent another event",
    MasterSentAnswer: "master: sent the answer to a call",
    MasterSentOperatorAnswer: "master: sent the answer to an operator",
    MasterSentInPart: "master: sent a part of a batch",
    AgentStarted: "agent: the checkpoint is read and containers are found, nothing is written",
    AgentHearsRegistered: "agent: received Registered",
    AgentHearsRun: "agent: received Run",
    AgentHearsRunInExecutor: "agent: received RunInExecutor",
    AgentHearsKill: "agent: received Kill",
    AgentHearsAcknowledge: "agent: received Acknowledge",
    AgentHearsApply: "agent: received Apply",
    AgentHearsAcknowledgeOperation: "agent: received AcknowledgeOperation",
    AgentHearsShutdownFramework: "agent: received ShutdownFramework",
    AgentHearsResendUpdates: "agent: received ResendUpdates",
    AgentHearsPing: "agent: received Ping",
    AgentHearsOther: "agent: received another message",
    AgentHearsOpened: "agent: connected",
    AgentHearsClosed: "agent: heard that its connection is closed",
    AgentLaunched: "agent: a container is launched, nobody is told",
    AgentLaunchFailed: "agent: a launch has failed, nobody is told",
    AgentExited: "agent: a container has ended, nobody is told",
    AgentLooked: "agent: a look at a task has ended, nobody is told",
    AgentVolumesAnswered: "agent: folders are made or not, nobody is told",
    AgentWritesIdentity: "agent: before the checkpoint of its identity",
    AgentWritesFramework: "agent: before the checkpoint of a framework",
    AgentWritesStarting: "agent: before the checkpoint of a task that starts",
    AgentWritesRunning: "agent: before the checkpoint of a task that runs",
    AgentWritesKilling: "agent: before the checkpoint of a kill",
    AgentWritesEnd: "agent: before the checkpoint of a task's end",
    AgentWritesForgotten: "agent: before the checkpoint forgets a task",
    AgentWritesTotal: "agent: before the checkpoint of its total",
    AgentWritesOperation: "agent: before the checkpoint of an operation",
    AgentWritesExecutor: "agent: before the commit of an executor",
    AgentCommitted: "agent: the checkpoint holds, nothing is done",
    AgentRecovered: "agent: the first checkpoint of its life holds, nothing is done",
    AgentMadeVolumes: "agent: ordered folders",
    AgentRemovedVolumes: "agent: removed folders",
    AgentSwept: "agent: swept folders",
    AgentOrderedLaunch: "agent: ordered a launch",
    AgentOrderedLook: "agent: ordered a look at a task",
    AgentOrderedKill: "agent: ordered a kill",
    AgentRecoveryOrderedKill: "agent: ordered a kill in recovery",
    AgentForgot: "agent: removed a container",
    AgentRecoveryForgot: "agent: removed a container in recovery",
    AgentSentRegister: "agent: sent Register",
    AgentSentReregister: "agent: sent Reregister",
    AgentSentStarting: "agent: sent Update STARTING",
    AgentSentRunning: "agent: sent Update RUNNING",
    AgentSentKilling: "agent: sent Update KILLING",
    AgentSentEnd: "agent: sent Update of an end",
    AgentSentOperationUpdate: "agent: sent OperationUpdate",
    AgentSentExecutorEnded: "agent: sent ExecutorEnded",
    AgentSentPong: "agent: sent Pong",
    AgentSentInPart: "agent: sent a part of a batch",
    AgentReconnects: "agent: dropped its connection",
    FrameworkStarted: "framework: the notes are read",
    FrameworkHearsSubscribed: "framework: received Subscribed",
    FrameworkHearsOffers: "framework: received Offers",
    FrameworkHearsRescind: "framework: received Rescind",
    FrameworkHearsUpdate: "framework: received Update",
    FrameworkHearsOperationUpdate: "framework: received OperationUpdate",
    FrameworkHearsOther: "framework: received another event",
    FrameworkHearsAnswer: "framework: received an answer",
    FrameworkHearsClosed: "framework: heard that its stream is closed",
    FrameworkWritesId: "framework: before its id is noted",
    FrameworkWritesTask: "framework: before a task is noted",
    FrameworkWritesEnd: "framework: before an end is noted",
    FrameworkWritesLeaving: "framework: before it notes that it leaves",
    FrameworkCommitted: "framework: the notes hold, nothing is sent",
    FrameworkSentSubscribe: "framework: sent Subscribe",
    FrameworkSentAccept: "framework: sent Accept",
    FrameworkSentDecline: "framework: sent Decline",
    FrameworkSentAcknowledge: "framework: sent Acknowledge",
    FrameworkSentKill: "framework: sent Kill",
    FrameworkSentReconcile: "framework: sent Reconcile",
    FrameworkSentTeardown: "framework: sent Teardown",
    FrameworkSentOther: "framework: sent another call",
    FrameworkSentInPart: "framework: sent a part of a batch",
}

/// What kind of process has a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Master,
    Agent,
    Framework,
}

impl Step {
    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        STEPS[self.index()].1
    }

    /// Who passes there.
    pub(crate) fn whose(self) -> Whose {
        if self < Self::AgentStarted {
            Whose::Master
        } else if self < Self::FrameworkStarted {
            Whose::Agent
        } else {
            Whose::Framework
        }
    }

    /// Any step.
    pub(crate) fn draw(random: &mut Random) -> Self {
        STEPS[random.index(STEPS.len())].0
    }

    /// A step that every life begins with, for kills that come again in recovery.
    pub(crate) fn draw_early(random: &mut Random, whose: Whose) -> Self {
        let of: &[Self] = match whose {
            Whose::Master => &[Self::MasterStarted, Self::MasterWritesEpoch, Self::MasterCommitted],
            Whose::Agent => &[
                Self::AgentStarted,
                Self::AgentRecovered,
                Self::AgentSwept,
                Self::AgentHearsOpened,
                Self::AgentSentReregister,
            ],
            Whose::Framework => &[Self::FrameworkStarted, Self::FrameworkSentSubscribe],
        };
        of[random.index(of.len())]
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// How often each step was passed, and how often a process was killed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepCounts(Vec<Passed>);

/// One step's share of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// How often a process came to the step.
    pub passed: u64,
    /// How often it was killed there.
    pub killed: u64,
}

impl Default for StepCounts {
    fn default() -> Self {
        Self(vec![Passed::default(); STEPS.len()])
    }
}

impl StepCounts {
    /// Each named step, in a fixed order: its name, and what came of it.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Passed)> + '_ {
        STEPS.iter().zip(&self.0).map(|((_, name), passed)| (*name, *passed))
    }

    /// The names of the steps at which nobody was ever killed.
    pub fn never_killed_at(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.iter().filter(|(_, passed)| passed.killed == 0).map(|(name, _)| name)
    }

    pub(crate) fn pass(&mut self, step: Step) {
        self.0[step.index()].passed += 1;
    }

    pub(crate) fn kill(&mut self, step: Step) {
        self.0[step.index()].killed += 1;
    }
}

impl std::ops::AddAssign<&StepCounts> for StepCounts {
    fn add_assign(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.passed += theirs.passed;
            mine.killed += theirs.killed;
        }
    }
}

/// The step of an agent's message at the master.
pub(crate) fn master_hears_agent(message: &FromAgent) -> Step {
    match message {
        FromAgent::Register { .. } => Step::MasterHearsRegister,
        FromAgent::Reregister { .. } => Step::MasterHearsReregister,
        FromAgent::Update { .. } => Step::MasterHearsUpdate,
        FromAgent::OperationUpdate { .. } => Step::MasterHearsOperationUpdate,
        FromAgent::ExecutorEnded { .. } => Step::MasterHearsExecutorEnded,
        FromAgent::Pong { .. } | FromAgent::Message { .. } => Step::MasterHearsPong,
    }
}

/// The step of a framework's call at the master.
pub(crate) fn master_hears_call(call: &Call) -> Step {
    match call {
        Call::Subscribe { .. } => Step::MasterHearsSubscribe,
        Call::Accept { .. } => Step::MasterHearsAccept,
        Call::Decline { .. } => Step::MasterHearsDecline,
        Call::Acknowledge { .. } => Step::MasterHearsAcknowledge,
        Call::Kill { .. } => Step::MasterHearsKill,
        Call::Reconcile { .. } => Step::MasterHearsReconcile,
        Call::Teardown => Step::MasterHearsTeardown,
        _ => Step::MasterHearsOtherCall,
    }
}

/// The step before the master's commit of `op`.
pub(crate) fn master_writes(op: &RegistryOp) -> Step {
    match op {
        RegistryOp::Epoch(_) => Step::MasterWritesEpoch,
        RegistryOp::Agent(..) => Step::MasterWritesAgent,
        RegistryOp::Framework(..) => Step::MasterWritesFramework,
        RegistryOp::Weight(..) => Step::MasterWritesWeight,
        RegistryOp::Quota(..) => Step::MasterWritesQuota,
        RegistryOp::Machine(..) => Step::MasterWritesMachine,
    }
}

/// The step after the master has sent `message`; heard at the agent it is [`agent_hears`].
pub(crate) fn master_sent(message: &ToAgent) -> Step {
    match message {
        ToAgent::Registered { .. } => Step::MasterSentRegistered,
        ToAgent::Refused { .. } => Step::MasterSentRefused,
        ToAgent::Run { .. } => Step::MasterSentRun,
        ToAgent::RunInExecutor { .. } => Step::MasterSentRunInExecutor,
        ToAgent::Kill { .. } => Step::MasterSentKill,
        ToAgent::Acknowledge { .. } => Step::MasterSentAcknowledge,
        ToAgent::Apply { .. } => Step::MasterSentApply,
        ToAgent::AcknowledgeOperation { .. } => Step::MasterSentAcknowledgeOperation,
        ToAgent::ShutdownFramework { .. } => Step::MasterSentShutdownFramework,
        ToAgent::ResendUpdates { .. } => Step::MasterSentResendUpdates,
        ToAgent::Ping { .. } | ToAgent::Message { .. } | ToAgent::ShutdownExecutor { .. } => {
            Step::MasterSentPing
        }
    }
}

/// The step after the master has sent `event`.
pub(crate) fn master_told(event: &Event) -> Step {
    match event {
        Event::Subscribed { .. } => Step::MasterSentSubscribed,
        Event::Offers(_) => Step::MasterSentOffers,
        Event::Rescind(_) => Step::MasterSentRescind,
        Event::Update(_) => Step::MasterSentUpdate,
        Event::OperationUpdate(_) => Step::MasterSentOperationUpdate,
        Event::InverseOffers(_) | Event::RescindInverse(_) => Step::MasterSentInverseOffers,
        Event::Failure { .. } => Step::MasterSentFailure,
        Event::Heartbeat | Event::Message { .. } | Event::Error(_) => Step::MasterSentOtherEvent,
    }
}

/// The step of a message at the agent.
pub(crate) fn agent_hears(message: &ToAgent) -> Step {
    match message {
        ToAgent::Registered { .. } => Step::AgentHearsRegistered,
        ToAgent::Run { .. } => Step::AgentHearsRun,
        ToAgent::RunInExecutor { .. } => Step::AgentHearsRunInExecutor,
        ToAgent::Kill { .. } => Step::AgentHearsKill,
        ToAgent::Acknowledge { .. } => Step::AgentHearsAcknowledge,
        ToAgent::Apply { .. } => Step::AgentHearsApply,
        ToAgent::AcknowledgeOperation { .. } => Step::AgentHearsAcknowledgeOperation,
        ToAgent::ShutdownFramework { .. } => Step::AgentHearsShutdownFramework,
        ToAgent::ResendUpdates { .. } => Step::AgentHearsResendUpdates,
        ToAgent::Ping { .. } => Step::AgentHearsPing,
        ToAgent::Refused { .. } | ToAgent::Message { .. } | ToAgent::ShutdownExecutor { .. } => {
            Step::AgentHearsOther
        }
    }
}

/// The step before the agent's commit of `op`.
pub(crate) fn agent_writes(op: &CheckpointOp) -> Step {
    match op {
        CheckpointOp::Identity(_) => Step::AgentWritesIdentity,
        CheckpointOp::Framework(..) => Step::AgentWritesFramework,
        CheckpointOp::Task(_, _, None) => Step::AgentWritesForgotten,
        CheckpointOp::Task(_, _, Some(record)) if record.state.is_terminal() => Step::AgentWritesEnd,
        CheckpointOp::Task(_, _, Some(record)) if record.killing.is_some() => Step::AgentWritesKilling,
        CheckpointOp::Task(_, _, Some(record)) if record.state == TaskState::Running => {
            Step::AgentWritesRunning
        }
        CheckpointOp::Task(_, _, Some(_)) => Step::AgentWritesStarting,
        CheckpointOp::Total(_) => Step::AgentWritesTotal,
        CheckpointOp::Operation(..) => Step::AgentWritesOperation,
        CheckpointOp::Executor(..) => Step::AgentWritesExecutor,
    }
}

/// The step after the agent has given an order about volumes.
pub(crate) fn agent_ordered(order: &VolumeOrder) -> Step {
    match order {
        VolumeOrder::Make { .. } => Step::AgentMadeVolumes,
        VolumeOrder::Remove(_) => Step::AgentRemovedVolumes,
        VolumeOrder::Sweep { .. } => Step::AgentSwept,
    }
}

/// The step after the agent has sent `message`.
pub(crate) fn agent_sent(message: &FromAgent) -> Step {
    match message {
        FromAgent::Register { .. } => Step::AgentSentRegister,
        FromAgent::Reregister { .. } => Step::AgentSentReregister,
        FromAgent::OperationUpdate { .. } => Step::AgentSentOperationUpdate,
        FromAgent::ExecutorEnded { .. } => Step::AgentSentExecutorEnded,
        FromAgent::Pong { .. } | FromAgent::Message { .. } => Step::AgentSentPong,
        FromAgent::Update { status, .. } => match status.state {
            TaskState::Staging | TaskState::Starting => Step::AgentSentStarting,
            TaskState::Running => Step::AgentSentRunning,
            TaskState::Killing => Step::AgentSentKilling,
            _ => Step::AgentSentEnd,
        },
    }
}

/// The step of an event at the framework.
pub(crate) fn framework_hears(event: &Event) -> Step {
    match event {
        Event::Subscribed { .. } => Step::FrameworkHearsSubscribed,
        Event::Offers(_) => Step::FrameworkHearsOffers,
        Event::Rescind(_) => Step::FrameworkHearsRescind,
        Event::Update(_) => Step::FrameworkHearsUpdate,
        Event::OperationUpdate(_) => Step::FrameworkHearsOperationUpdate,
        _ => Step::FrameworkHearsOther,
    }
}

/// The step before the framework's commit of `note`; `None`: it goes with another.
pub(crate) fn framework_writes(note: &Note) -> Option<Step> {
    match note {
        Note::Id(_) => Some(Step::FrameworkWritesId),
        Note::Task(..) => Some(Step::FrameworkWritesTask),
        Note::Ended(_) => Some(Step::FrameworkWritesEnd),
        Note::Leaving | Note::Gone => Some(Step::FrameworkWritesLeaving),
        Note::Change(Record::Framework(_)) => Some(Step::FrameworkWritesId),
        Note::Change(Record::Launched { .. } | Record::Killing { .. }) => Some(Step::FrameworkWritesTask),
        Note::Change(Record::Ended { .. }) => Some(Step::FrameworkWritesEnd),
        Note::Change(Record::Put { .. }) => Some(Step::FrameworkWritesTask),
        Note::Change(Record::Remove { .. }) => Some(Step::FrameworkWritesEnd),
        Note::Job(..) | Note::Change(_) => None,
    }
}

/// The step after the framework has sent `call`.
pub(crate) fn framework_sent(call: &Call) -> Step {
    match call {
        Call::Subscribe { .. } => Step::FrameworkSentSubscribe,
        Call::Accept { .. } => Step::FrameworkSentAccept,
        Call::Decline { .. } => Step::FrameworkSentDecline,
        Call::Acknowledge { .. } => Step::FrameworkSentAcknowledge,
        Call::Kill { .. } => Step::FrameworkSentKill,
        Call::Reconcile { .. } => Step::FrameworkSentReconcile,
        Call::Teardown => Step::FrameworkSentTeardown,
        _ => Step::FrameworkSentOther,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_step_has_a_name_of_its_own_and_there_are_enough() {
        let names: BTreeSet<_> = STEPS.iter().map(|(_, name)| *name).collect();
        assert_eq!(names.len(), STEPS.len());
        assert!(STEPS.iter().enumerate().all(|(index, (step, _))| step.index() == index));
        let of = |whose| STEPS.iter().filter(|(step, _)| step.whose() == whose).count();
        assert!(of(Whose::Master) >= 20 && of(Whose::Agent) >= 30 && of(Whose::Framework) >= 10);
        for (step, name) in STEPS {
            let whose = match step.whose() {
                Whose::Master => "master: ",
                Whose::Agent => "agent: ",
                Whose::Framework => "framework: ",
            };
            assert!(name.starts_with(whose), "{name}");
        }
    }
}
