//! What always holds of operations that are known.

use lonja_model::operation::OperationState;

use crate::State;
use crate::agents::Presence;

/// INV-10, INV-18: each operation waits for somebody who can still speak: its agent, or its framework.
pub(super) fn each_is_awaited(state: &State) -> Result<(), String> {
    for known in state.operations.iter() {
        let (uuid, agent) = (known.uuid(), &known.agent);
        let presence = state.agents.get(agent).map(|agent| agent.presence);
        let expected = matches!(presence, Some(Presence::Connected(_) | Presence::Disconnected));
        let asked = known.operation.id.is_some()
            && known.operation.framework.as_ref().is_some_and(|owner| state.frameworks.get(owner).is_some());
        let fault = match known.status.state {
            OperationState::Pending if !expected => "is pending on an agent that is not expected",
            OperationState::Pending if known.hold.is_none() => "is pending and holds nothing back",
            OperationState::Pending => continue,
            _ if known.hold.is_some() => "has its outcome and still holds something back",
            _ if known.waiting.is_some() => "has its outcome, and an operator was not told",
            _ if !asked => "has its outcome, and nobody asked for it",
            OperationState::Unreachable if presence.is_some_and(|presence| presence.is_there()) => {
                "is unreachable on an agent that is there"
            }
            OperationState::Unreachable => continue,
            OperationState::Finished
            | OperationState::Failed
            | OperationState::Error
            | OperationState::Dropped
                if known.awaiting().is_some() =>
            {
                continue;
            }
            OperationState::Finished
            | OperationState::Failed
            | OperationState::Error
            | OperationState::Dropped
            | OperationState::GoneByOperator
            | OperationState::Recovering
            | OperationState::Unknown => "waits for nobody",
        };
        return Err(format!("INV-10: operation {uuid} on agent {agent} {fault}: {:?}", known.status.state));
    }
    Ok(())
}

/// Every operation is found by its agent and by its framework, and only there.
pub(super) fn indices_agree(state: &State) -> Result<(), String> {
    let mut on_agents = 0;
    for (id, _) in state.agents.iter() {
        on_agents += state.operations.on_agent(id).filter(|known| known.agent == *id).count();
        if state.operations.count_on_agent(id) != state.operations.on_agent(id).count() {
            return Err(format!("INV-10: agent {id} lists an operation that is not known"));
        }
    }
    if on_agents != state.operations.len() {
        return Err(format!("INV-10: {on_agents} operations on agents, {} known", state.operations.len()));
    }
    for known in state.operations.iter() {
        let Some(framework) = &known.operation.framework else { continue };
        if !state.operations.of_framework(framework).any(|other| other.uuid() == known.uuid()) {
            return Err(format!("INV-10: operation {} is not listed with its framework", known.uuid()));
        }
    }
    Ok(())
}
