//! Calls that come one by one.
//!
//! Over a door with a stream each way a connection is admitted once, and what comes over it belongs to it. Over HTTP each
//! call stands alone: it names its executor, and whether that may say this now is judged here, call by call, and
//! answered before anything is taken in.
//!
//! Source: Mesos agent, `Http::executor`, `Slave::statusUpdate`; `validation::executor::call::validate`.

use lonja_model::execution::Call;
use lonja_model::{ContainerId, ExecutorId, FrameworkId};

use super::talk::well_formed;
use crate::Agent;
use crate::company::ExecutorPlace;

/// Who says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The framework that it says it belongs to.
    pub framework: FrameworkId,
    /// The executor that it says it is.
    pub executor: ExecutorId,
    /// The container that it proved to be in; `None`: it proved nothing, and who lets it in answers for that.
    pub container: Option<ContainerId>,
}

/// Where a call goes that may be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The executor's container.
    pub container: ContainerId,
    /// The connection over which it is subscribed.
    pub connection: Option<u64>,
}

/// Why a call may not be said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallRefusal {
    /// The agent has nothing of that framework.
    #[error("Framework cannot be found")]
    NoFramework,
    /// The framework has no such executor of its own here.
    #[error("Executor cannot be found")]
    NoExecutor,
    /// It proved to be in another container than the executor that it says it is.
    #[error("the token is not that of executor {0}")]
    Another(ExecutorId),
    /// The executor has shown its token before, and whoever speaks for it has to.
    #[error("executor {0} has shown its token before: it has to be shown with every call")]
    Unproved(ExecutorId),
    /// Nothing but SUBSCRIBE may be said without a subscription.
    #[error("Executor is not subscribed")]
    NotSubscribed,
    /// An executor may not say this of any task.
    #[error("{0}")]
    Invalid(String),
}

impl Agent {
    /// The executor in this container, if there is one, has shown that it is in there.
    pub fn note_proof(&mut self, container: &ContainerId) {
        let key = self.book.company.in_container(container).cloned();
        if let Some(executor) = key.and_then(|key| self.book.company.volatile(&key)) {
            executor.has_proved = true;
        }
    }

    /// May `caller` say this now? What may be said is then an [`crate::Event::ExecutorCalled`].
    pub fn admit(&mut self, caller: &Caller, call: &Call) -> Result<Admitted, CallRefusal> {
        let key = (caller.framework.clone(), caller.executor.clone());
        check(&key, call).map_err(CallRefusal::Invalid)?;
        if !self.book.frameworks().contains_key(&caller.framework) {
            return Err(CallRefusal::NoFramework);
        }
        let executor = self.book.company.get(&key).filter(|known| known.record.info.is_custom());
        let executor = executor.filter(|known| {
            matches!(known.place, ExecutorPlace::Launching { .. } | ExecutorPlace::Running { .. })
        });
        let executor = executor.ok_or(CallRefusal::NoExecutor)?;
        let container = executor.record.container.clone();
        let connection = executor.place.connection();
        match &caller.container {
            Some(proved) if *proved != container => return Err(CallRefusal::Another(key.1)),
            None if executor.has_proved => return Err(CallRefusal::Unproved(key.1)),
            Some(_) => self.note_proof(&container),
            None => {}
        }
        match call {
            Call::Subscribe { .. } => {}
            Call::Update(_) | Call::Message(_) | Call::Heartbeat if connection.is_some() => {}
            Call::Update(_) | Call::Message(_) | Call::Heartbeat => return Err(CallRefusal::NotSubscribed),
        }
        Ok(Admitted { container, connection })
    }
}

/// What holds of a call whatever the agent knows. Errors: what is wrong, with the field.
fn check(key: &(FrameworkId, ExecutorId), call: &Call) -> Result<(), String> {
    match call {
        Call::Subscribe { unacknowledged_updates, .. } => {
            for status in unacknowledged_updates {
                well_formed(key, status).map_err(|why| format!("subscribe.unacknowledged_{why}"))?;
            }
            Ok(())
        }
        Call::Update(status) => well_formed(key, status).map(|_| ()),
        Call::Message(_) | Call::Heartbeat => Ok(()),
    }
}
