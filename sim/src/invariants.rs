//! What holds across the whole cluster after every step.
//!
//! The cores' own promises are asked of the cores; here stand those that only the world can see. What
//! must hold over time is in [`oracle`](crate::oracle), what must come true in the end in
//! [`liveness`](crate::liveness).

use std::fmt;

use lonja_agent_core::invariants;

use crate::world::{Node, World};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Which, by its number in `docs/invariants.md`.
    pub(crate) invariant: String,
    what: String,
}

impl Broken {
    pub(crate) fn new(invariant: &str, what: impl Into<String>) -> Self {
        Self { invariant: invariant.to_owned(), what: what.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// Everything that a step of `node` may have broken.
pub(crate) fn check(world: &World, node: Node) -> Result<(), Broken> {
    match node {
        Node::Master => master(world),
        Node::Agent(index) => {
            agent(world, index)?;
            machine(world, index)
        }
        Node::Framework(index) => framework(world, index),
    }
}

/// The master's own promises: INV-1, 3, 9, 10, 14, 24, 33, 37, 39.
fn master(world: &World) -> Result<(), Broken> {
    let Some(process) = &world.master.process else { return Ok(()) };
    process.core.check_invariants().map_err(|broken| match broken.split_once(": ") {
        Some((invariant, what)) => Broken::new(invariant, what),
        None => Broken::new("master", broken),
    })
}

/// An agent's own promises: INV-2, 15, 19, 23, 26; and INV-20: what it knows is what is durable.
fn agent(world: &World, index: usize) -> Result<(), Broken> {
    let host = &world.agents[index];
    let Some(process) = &host.process else { return Ok(()) };
    let wrong = |invariant: &str, error: invariants::Violation| {
        Err(Broken::new(invariant, format!("agent {index}: {error}")))
    };
    if let Err(error) = invariants::check(&process.core) {
        return wrong("agent", error);
    }
    if process.committing.is_none()
        && let Err(error) = invariants::checkpoint_is_complete(&process.core, host.disk.committed())
    {
        return wrong("INV-20", error);
    }
    Ok(())
}

/// The SDK's own promises: INV-3, 18.
fn framework(world: &World, index: usize) -> Result<(), Broken> {
    let Some(process) = &world.frameworks[index].process else { return Ok(()) };
    process.core.check().map_err(|broken| match broken.split_once(": ") {
        Some((invariant, what)) => Broken::new(invariant, what),
        None => Broken::new("framework", broken),
    })
}

/// INV-2 on the machine itself: its live containers need no more than it has.
fn machine(world: &World, index: usize) -> Result<(), Broken> {
    let host = &world.agents[index];
    let in_use = host.kernel.in_use()?;
    let total = host.disk.committed().total.as_ref().unwrap_or(&host.total);
    if total.contains(&in_use) {
        return Ok(());
    }
    Err(Broken::new("INV-2", format!("agent {index} has {total}, its containers use {in_use}")))
}
