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
            containers(world, index)?;
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

/// INV-28: each process that the agent takes for a task's is one of that task's container. INV-26: nothing runs that
/// the agent does not know. INV-23: see [`KillWatch`](crate::witness::KillWatch).
fn containers(world: &World, index: usize) -> Result<(), Broken> {
    let host = &world.agents[index];
    let Some(process) = host.process.as_ref().filter(|process| process.committing.is_none()) else {
        return Ok(());
    };
    for task in process.core.tasks() {
        let Some(pid) = task.pid() else { continue };
        if !host.kernel.is_pid_of(pid, task.container()) {
            let what =
                format!("agent {index} takes process {pid} for task {} of {}", task.id(), task.framework());
            return Err(Broken::new("INV-28", what));
        }
    }
    for (container, (framework, task)) in host.kernel.undisturbed() {
        let known = process.core.task(framework, task).is_some_and(|known| known.container() == container);
        if !known {
            let what = format!(
                "container {container} of task {task} runs on agent {index}, which has no record of it"
            );
            return Err(Broken::new("INV-26", what));
        }
    }
    host.kill_watch.check(world.now, |task| host.kernel.running_since(task))
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
    // An agent that has lost its disk knows nothing of the volumes that its old containers stand on.
    if total.contains(&in_use) || total.quantities().contains(&in_use.quantities()) {
        return Ok(());
    }
    Err(Broken::new("INV-2", format!("agent {index} has {total}, its containers use {in_use}")))
}
