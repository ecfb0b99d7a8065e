//! No offers right after a restart, while quotas could not be kept.
//!
//! A master that has just started knows its quotas but not yet what roles hold: agents tell of that as they come back.
//! To offer meanwhile could give one role what is guaranteed to another. So with quotas in the registry nothing is
//! allocated until most of the agents that are known are back, or given up, or a time has passed. Without quotas
//! there is nothing to wait for.
//!
//! Source: Mesos, `allocator_agent_recovery_factor` and `allocator_recovery_timeout`.

use lonja_model::Timestamp;

use crate::State;
use crate::deadlines::Timer;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Agents that were known at the start of the master.
    pub known: usize,
    /// Those of them that are still awaited.
    pub awaited: usize,
    /// When offers begin, however few are back.
    pub until: Timestamp,
}

/// Begins to wait, if that is needed. Agents and quotas have been recovered before.
pub(crate) fn begin(state: &mut State, now: Timestamp) {
    let known = state.agents.recovered();
    if state.registry.quotas.is_empty() || known == 0 || state.config.recovery_pause.is_zero() {
        return;
    }
    let until = now + state.config.recovery_pause;
    state.pause = Some(Pause { known, awaited: known, until });
    state.deadlines.set(Timer::RecoveryPause, until);
}

/// Is allocation to wait still? Ends the pause once enough agents are back. O(1).
pub(crate) fn holds(state: &mut State) -> bool {
    let awaited = state.agents.recovered();
    let Some(pause) = &mut state.pause else { return false };
    pause.awaited = awaited;
    let percent = usize::try_from(state.config.recovery_quorum_percent.min(100)).unwrap_or(100);
    if state.registry.quotas.is_empty() || awaited * 100 <= pause.known * (100 - percent) {
        end(state);
        return false;
    }
    true
}

/// Offers begin.
pub(crate) fn end(state: &mut State) {
    state.pause = None;
    state.deadlines.cancel(Timer::RecoveryPause);
}
