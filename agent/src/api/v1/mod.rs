//! Mesos' v1 API over HTTP, the agent's part.
//!
//! Doors that decode and encode. What they have in common: forms of messages ([`media`]), bodies within bounds
//! ([`bodies`]), and refusals as Mesos words them ([`refusal`]).

pub(crate) mod bodies;
pub(crate) mod executor;
pub(crate) mod media;
pub(crate) mod operator;
pub(crate) mod refusal;
