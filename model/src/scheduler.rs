//! What a framework and the master say to each other.
//!
//! Three doors carry these values (gRPC, HTTP, channels in one process); none adds a rule of its own.
//!
//! Source: Mesos v1 scheduler API, `Call` and `Event`; [`Call::Unplaced`] is ours.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::agent::Domain;
use crate::constraints::OfferConstraints;
use crate::framework::FrameworkInfo;
use crate::ids::{AgentId, ExecutorId, FrameworkId, OfferId, OperationId, TaskId, UpdateId};
use crate::offer::{Filters, InverseOffer, Offer, ResourceRequest};
use crate::operation::{Operation, OperationStatus};
use crate::role::Role;
use crate::task::TaskStatus;
use crate::unplaced::Unplaced;

/// What a framework asks of the master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Open the subscription that every other call needs.
    Subscribe {
        /// Its id, if it has subscribed before.
        framework: Option<FrameworkId>,
        /// What it is.
        info: Box<FrameworkInfo>,
        /// Roles it wants no offers for as yet; replaces what was suppressed before.
        suppressed: BTreeSet<Role>,
        /// Of which agents it wants offers; replaces what was asked before.
        constraints: OfferConstraints,
    },
    /// It is another from now on; all or nothing.
    UpdateFramework {
        /// What it is.
        info: Box<FrameworkInfo>,
        /// Replaces what was suppressed before.
        suppressed: BTreeSet<Role>,
        /// Replaces what was asked before.
        constraints: OfferConstraints,
    },
    /// Kill all its tasks and forget it.
    Teardown,
    /// Use offers of one agent and one role.
    Accept {
        /// Each ends here, whatever the operations come to.
        offers: Vec<OfferId>,
        /// In order.
        operations: Vec<Operation>,
        /// For what is left over.
        filters: Filters,
    },
    /// Give offers back.
    Decline {
        /// Ids that are no longer outstanding are ignored.
        offers: Vec<OfferId>,
        /// How long they stay away.
        filters: Filters,
    },
    /// Promise to leave the agents of these inverse offers.
    AcceptInverseOffers {
        /// Ids that are no longer outstanding are ignored.
        offers: Vec<OfferId>,
        /// How long until it is asked again.
        filters: Filters,
    },
    /// Say that it will not leave in time.
    DeclineInverseOffers {
        /// Ids that are no longer outstanding are ignored.
        offers: Vec<OfferId>,
        /// How long until it is asked again.
        filters: Filters,
    },
    /// Say what offers are of use: replaces what was asked before; none: any offer is.
    Request {
        /// Alternatives.
        requests: Vec<ResourceRequest>,
    },
    /// Drop all filters of these roles and lift their suppression; no roles: all of them.
    Revive {
        /// Roles it has subscribed with.
        roles: BTreeSet<Role>,
    },
    /// No more offers for these roles until revived; no roles: all of them.
    Suppress {
        /// Roles it has subscribed with.
        roles: BTreeSet<Role>,
    },
    /// End one task. An unknown task is answered by reconciliation.
    Kill {
        /// Which.
        task: TaskId,
        /// Where it is thought to run.
        agent: Option<AgentId>,
        /// Overrides the task's own grace period.
        grace: Option<Duration>,
    },
    /// A status update has been dealt with and need not be sent again.
    Acknowledge {
        /// The agent that made it.
        agent: AgentId,
        /// The task it is about.
        task: TaskId,
        /// Which update.
        update: UpdateId,
    },
    /// Say where these tasks stand; no tasks: all that are known and not terminal.
    Reconcile {
        /// Each with the agent it is thought to run on.
        tasks: Vec<(TaskId, Option<AgentId>)>,
    },
    /// The status of an operation has been dealt with and need not be sent again.
    AcknowledgeOperation {
        /// Where it was carried out, if it was.
        agent: Option<AgentId>,
        /// The framework's name for it.
        operation: OperationId,
        /// Which update.
        update: UpdateId,
    },
    /// Say where these operations stand; none: all that are known and have an id.
    ReconcileOperations {
        /// Each with the agent it is thought to concern.
        operations: Vec<(OperationId, Option<AgentId>)>,
    },
    /// Bytes for an executor, delivered at most once.
    Message {
        /// Where the executor runs.
        agent: AgentId,
        /// Which executor.
        executor: ExecutorId,
        /// Lonja does not look inside.
        data: Vec<u8>,
    },
    /// End a custom executor: it is asked, and killed after its grace period.
    ShutdownExecutor {
        /// Where the executor runs.
        agent: AgentId,
        /// Which executor.
        executor: ExecutorId,
    },
    /// Tell of the tasks that have no place as yet, for people who ask: replaces what was told before; none: nothing
    /// waits. Within the bounds of [`crate::unplaced`]. Ours: Mesos has no such call.
    Unplaced {
        /// Each task once.
        tasks: Vec<Unplaced>,
    },
}

/// What the master tells a framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The subscription stands.
    Subscribed {
        /// The framework's id from now on.
        framework: FrameworkId,
        /// A [`Event::Heartbeat`] comes at least this often.
        heartbeat: Duration,
        /// The master that says so.
        master: MasterInfo,
    },
    /// The master is there.
    Heartbeat,
    /// Resources to use.
    Offers(Vec<Offer>),
    /// An offer has ended by no doing of the framework.
    Rescind(OfferId),
    /// Agents to leave.
    InverseOffers(Vec<InverseOffer>),
    /// An inverse offer has lost its ground.
    RescindInverse(OfferId),
    /// An operation stands elsewhere than before, or the answer to a question about it.
    OperationUpdate(Box<OperationStatus>),
    /// A task stands elsewhere than before, or the answer to a question about it.
    Update(Box<TaskStatus>),
    /// Bytes from an executor.
    Message {
        /// Where it runs.
        agent: AgentId,
        /// Which executor.
        executor: ExecutorId,
        /// Lonja does not look inside.
        data: Vec<u8>,
    },
    /// An agent is lost, or an executor on it has ended.
    Failure {
        /// The agent.
        agent: AgentId,
        /// The executor; `None`: the whole agent.
        executor: Option<ExecutorId>,
        /// As `wait(2)` has it.
        status: Option<i32>,
    },
    /// The subscription ends here, for this reason.
    Error(String),
}

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterInfo {
    /// Differs from start to start.
    pub id: String,
    /// Where it is reached by name.
    pub hostname: String,
    /// Its port.
    pub port: u16,
    /// Its version, three whole numbers parted by dots.
    pub version: String,
    /// Where it is, if it says so.
    pub domain: Option<Domain>,
}

/// The answer to one call.
pub type CallResult = Result<(), Refusal>;

/// Why a call was refused: what, where and what to do (`docs/design.md`, D9). Nothing was changed by it,
/// save where the call says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people.
    pub message: String,
    /// The path of the field at fault, if it was one; such as `accept.offer_ids[1]`.
    pub field: Option<String>,
}

impl Refusal {
    /// A refusal that is not about one field.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }
}

/// What kind of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// The call is wrong in itself; to repeat it is no use.
    InvalidArgument,
    /// Subscribe first.
    NotSubscribed,
    /// What it names is not there, or no longer.
    NotFound,
    /// What it asks is ruled out by how things stand.
    Conflict,
    /// Too many calls; wait and repeat.
    RateLimited,
    /// This master does not lead, or is not ready yet; try again, or another.
    NotLeader,
    /// Not served yet.
    Unsupported,
}
