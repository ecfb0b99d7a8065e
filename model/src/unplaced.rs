//! Why a task was not placed, as its framework tells the master.
//!
//! Counts and words only: for people, never for decisions. Bounded, since it comes from outside.

use crate::AgentId;

/// Tasks that one framework can tell of at once.
pub const MAX_UNPLACED: usize = 100;

/// Reasons told of one task; what is beyond is left out, the least frequent first.
pub const MAX_REASONS: usize = 16;

/// The longest text of any field, in bytes.
pub const MAX_WORDS_BYTES: usize = 256;

/// One task that its framework wants to run and has no place for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unplaced {
    /// The task, by the id it will have or by a name of the framework's own.
    pub task: String,
    /// How many offers were looked at.
    pub offers: u64,
    /// Why not, with how many offers each reason stood against; the most frequent first. An offer counts for the first
    /// reason that was found.
    pub reasons: Vec<(String, u64)>,
    /// The offer that was nearest to being taken.
    pub nearest: Option<NearMiss>,
}

/// An offer that would nearly have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// Of which agent.
    pub agent: AgentId,
    /// Its host's name.
    pub hostname: String,
    /// What stood in the way, such as `mem: wants 2048, 1536 free`.
    pub why: String,
}
