//! What the shell must do.

use std::sync::Arc;

use lonja_model::link::ToAgent;
use lonja_model::maintenance::{Machine, MachineId};
use lonja_model::operation::OperationRecord;
use lonja_model::quota::Quota;
use lonja_model::registry::RegistryOp;
use lonja_model::resources::Scalar;
use lonja_model::scheduler::{CallResult, Event};
use lonja_model::{AgentId, FrameworkId, Role, TaskState, TaskStatus};

use crate::snapshot::{AgentView, FrameworkView};
use crate::tasks::Task;

/// One agent's stream, named by the shell; never named again in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// One framework's stream, named by the shell; never named again in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// One operator's request, named by the shell; never named again in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What the shell must do, in field order: nothing is sent before what it rests on is durable.
#[must_use]
#[derive(Debug, Default)]
pub struct Effects {
    /// To be committed first. If that fails, this master steps down and sends nothing.
    pub persist: Vec<RegistryOp>,
    /// In order for each receiver.
    pub send: Vec<Outbound>,
    /// For those who watch the cluster.
    pub publish: Vec<ClusterEvent>,
}

/// One message on its way out.
#[derive(Clone, Debug)]
pub enum Outbound {
    /// To an agent.
    Agent(LinkId, ToAgent),
    /// Close an agent's link once all before is sent.
    CloseLink(LinkId),
    /// To a framework.
    Framework(StreamId, Event),
    /// The answer to a framework's call, by the call's number.
    Answer(StreamId, u64, CallResult),
    /// Close a framework's stream once all before is sent.
    CloseStream(StreamId),
    /// The answer to an operator.
    Operator(RequestId, CallResult),
}

/// A change that those who watch the cluster are told of.
#[derive(Clone, Debug)]
pub enum ClusterEvent {
    /// An agent is in the cluster.
    AgentAdded(Arc<AgentView>),
    /// An agent is out of it: unreachable or gone.
    AgentRemoved(AgentId),
    /// A framework has subscribed for the first time.
    FrameworkAdded(Arc<FrameworkView>),
    /// A framework has subscribed again, or lost its connection.
    FrameworkUpdated(Arc<FrameworkView>),
    /// A framework is no more.
    FrameworkRemoved(Arc<FrameworkView>),
    /// A task is known.
    TaskAdded(Arc<Task>),
    /// A task stands elsewhere than before.
    TaskUpdated {
        /// Whose.
        framework: FrameworkId,
        /// Where it stands by now.
        state: TaskState,
        /// What is said of it.
        status: Box<TaskStatus>,
    },
    /// What an agent has, or whether it takes on work, has changed.
    AgentUpdated(Arc<AgentView>),
    /// A role's weight is another.
    WeightUpdated(Role, Scalar),
    /// A role's quota is another; `None`: it has none.
    QuotaUpdated(Role, Option<Quota>),
    /// A machine's place in the maintenance schedule is another; `None`: it is up.
    MachineUpdated(MachineId, Option<Machine>),
    /// An operation stands elsewhere than before.
    OperationUpdated(Arc<OperationRecord>),
    /// Many changes that one step made, in their order: who watches may fall behind by so many steps, not changes.
    Several(Arc<[ClusterEvent]>),
    /// Something an operator should look at. Rare.
    Alert(String),
}

impl Effects {
    /// Adds what `later` wants behind what `self` wants.
    pub fn append(&mut self, mut later: Self) {
        self.persist.append(&mut later.persist);
        self.send.append(&mut later.send);
        self.publish.append(&mut later.publish);
    }

    /// Is there nothing to do?
    pub fn is_empty(&self) -> bool {
        self.persist.is_empty() && self.send.is_empty() && self.publish.is_empty()
    }

    pub(crate) fn agent(&mut self, link: LinkId, message: ToAgent) {
        self.send.push(Outbound::Agent(link, message));
    }

    pub(crate) fn framework(&mut self, stream: StreamId, event: Event) {
        self.send.push(Outbound::Framework(stream, event));
    }
}
