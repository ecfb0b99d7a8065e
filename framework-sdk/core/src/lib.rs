//! A framework's side of the protocol, and the trait that a scheduler implements: pure.
//!
//! You write a [`Scheduler`]: offers and news in, a [`Plan`] out. The library does the rest: it subscribes,
//! comes back after a lost connection, acknowledges each update after you have seen it, asks where tasks
//! stand when it may have missed something, declines what you do not use, and asks for no offers while
//! you want none.
//!
//! [`Framework`] is that library as a deterministic state machine. The SDK's driver runs it over gRPC, the
//! simulator in virtual time; your scheduler cannot tell them apart (`docs/design.md`, D11).
//!
//! Invariants (each a function in [`invariants`])
//! - An offer is answered at most once, and none is kept that the scheduler does not hold on purpose.
//! - An update is acknowledged only after the scheduler has seen it, and is shown to it once.
//! - No plan is sent that goes over its offers, or that launches an id of a task still alive.
//!
//! Source: Mesos v1 scheduler API.

pub mod plan;
pub mod state;
pub mod task;
mod watching;

pub mod placement;

mod interactive;

mod framework;
mod received;

mod carry_out;
mod check;

mod acknowledgements;
mod calls;
mod counts;
mod draws;
mod offers;
mod reconciliation;
mod subscription;
mod unplaced;

pub mod invariants;

pub mod executor;

#[cfg(test)]
mod tests;

use lonja_model::offer::InverseOffer;
use lonja_model::operation::OperationStatus;
use lonja_model::resources::Quantities;
use lonja_model::scheduler::{MasterInfo, Refusal};
use lonja_model::{AgentId, ExecutorId, FrameworkId, Offer, OfferId, TaskStatus, Timestamp};

pub use check::MAX_TASKS;
pub use counts::Counts;
pub use framework::{Command, Effects, Event, Framework, Options, Outcome};
pub use interactive::Interactive;
pub use offers::MAX_HOLD;
pub use placement::Gpus;
pub use plan::{Plan, PlanError, Step};
pub use state::{Change, Record, State};
pub use task::{ExecutorTask, InvalidTask, Task, TaskBuilder, TaskGroup};

/// Your placement logic. Every method is called by one owner, in order, and must not block: it decides and
/// returns. `now` is the only clock.
pub trait Scheduler: Send {
    /// Resources to use. What the plan does not use is declined for the plan's refusal time.
    fn offers(&mut self, now: Timestamp, offers: &[Offer]) -> Plan;

    /// News of a task, at least once for each update. It is acknowledged after this has returned and what
    /// [`Scheduler::changes`] then says is durable.
    fn update(&mut self, now: Timestamp, status: &TaskStatus) -> Plan;

    /// Does it want offers now? Asked after every event; while it says no, the master sends none.
    fn wants_offers(&self) -> bool {
        true
    }

    /// What offers are of use now, as alternatives: one that holds at least this much. None: any is. Asked after
    /// every event and told to the master when it changes, which then makes no smaller offers, and where several
    /// wait for one agent gives each a part of that size.
    fn needs(&self) -> Vec<Quantities> {
        Vec::new()
    }

    /// News of an operation that was given an id, at least once for each update. It is acknowledged when this returns.
    fn operation(&mut self, now: Timestamp, status: &OperationStatus) -> Plan {
        let _ = (now, status);
        Plan::new()
    }

    /// The master asks for an agent back before its maintenance: answer by [`Plan::accept_inverse`] or
    /// [`Plan::decline_inverse`], or not at all. It may be asked again.
    fn asked_to_leave(&mut self, now: Timestamp, offer: &InverseOffer) -> Plan {
        let _ = (now, offer);
        Plan::new()
    }

    /// An agent need no longer be left ([`Scheduler::asked_to_leave`]).
    fn may_stay(&mut self, now: Timestamp, offer: &OfferId) {
        let _ = (now, offer);
    }

    /// The subscription stands, for the first time or again. Offers of an earlier one are void.
    fn subscribed(&mut self, now: Timestamp, framework: &FrameworkId, master: &MasterInfo) -> Plan {
        let _ = (now, framework, master);
        Plan::new()
    }

    /// The connection is lost. Tasks run on; the library comes back by itself.
    fn disconnected(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// An offer that this scheduler holds ([`Plan::hold`]) was taken back by the master.
    fn rescinded(&mut self, now: Timestamp, offer: &OfferId) {
        let _ = (now, offer);
    }

    /// An agent is lost. Its tasks are told of by updates of their own.
    fn agent_lost(&mut self, now: Timestamp, agent: &AgentId) -> Plan {
        let _ = (now, agent);
        Plan::new()
    }

    /// An executor of this framework has ended, with this wait status if it is known. Its tasks are told of by updates
    /// of their own.
    fn executor_lost(
        &mut self,
        now: Timestamp,
        agent: &AgentId,
        executor: &ExecutorId,
        status: Option<i32>,
    ) -> Plan {
        let _ = (now, agent, executor, status);
        Plan::new()
    }

    /// Bytes from an executor of this framework; they come at most once.
    fn message(&mut self, now: Timestamp, agent: &AgentId, executor: &ExecutorId, data: &[u8]) -> Plan {
        let _ = (now, agent, executor, data);
        Plan::new()
    }

    /// Something this scheduler wanted was not done: its plan was impossible, or the master refused a call.
    /// Tasks of a launch that the master refused also get an update; those of an impossible plan were never
    /// launched and get none. Should the plan returned here be impossible too, this is called once more and
    /// what it then returns is dropped.
    fn refused(&mut self, now: Timestamp, problem: &Problem) -> Plan {
        let _ = (now, problem);
        Plan::new()
    }

    /// What has changed since it was last asked in what this scheduler must not forget. Asked after every event; made
    /// durable before anything is sent that the event has led to, be it a launch or an acknowledgement. A scheduler
    /// started anew is given all of it as a [`State`]. A driver takes [`state::MAX_CHANGES`] of them for one event, of
    /// [`state::MAX_CHANGES_BYTES`] together.
    fn changes(&mut self) -> Vec<Change> {
        Vec::new()
    }

    /// When it wants [`Scheduler::tick`], should nothing happen before.
    fn next_deadline(&self) -> Option<Timestamp> {
        None
    }

    /// Its deadline has come.
    fn tick(&mut self, now: Timestamp) -> Plan {
        let _ = now;
        Plan::new()
    }
}

/// Why something a scheduler wanted was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The plan could not have been carried out, so it was not sent.
    #[error("impossible plan: {0}")]
    Plan(#[from] PlanError),
    /// The master refused a call.
    #[error("the master refused {call}: {refusal}")]
    Refused {
        /// The call's name, such as `ACCEPT`.
        call: &'static str,
        /// Why.
        refusal: Refusal,
    },
}

impl Problem {
    /// What kind it is, in a word that stays: the plan's mistake, or the name of the call that was refused.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Plan(error) => error.kind(),
            Self::Refused { call, .. } => call,
        }
    }
}
