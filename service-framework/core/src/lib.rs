//! Long-running services: what is wanted against what runs. Pure.
//!
//! It will hold apps and groups, the goal and condition of each instance, the matching of offers to
//! instances with the reasons for a mismatch, constraints, deployments and their steps, launches with
//! back-off, and what to do about bad health: a scheduler of the SDK and a state machine like every other
//! core (`docs/design.md`, D2), so that the simulator runs it unchanged.
//!
//! It will import `lonja-model` and `lonja-sdk-core` and nothing else of ours. At present it is empty, and
//! nothing uses it.
