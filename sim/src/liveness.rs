//! After the faults end, everything settles.
//!
//! Every job has come to its end and every task to a terminal state that its framework knows (INV-18),
//! no container is without a record (INV-26), every agent is back, and all resources are free or offered
//! again (INV-4).

use std::collections::BTreeMap;

use lonja_master_core::agents::Presence;
use lonja_model::registry::FrameworkStanding;
use lonja_model::{TaskId, TaskState};

use crate::hosts::resident::Speaker;
use crate::world::{Node, World};

/// What is not settled yet, in words; `None`: everything is.
pub(crate) fn unsettled(world: &World) -> Option<String> {
    frameworks(world).or_else(|| agents(world)).or_else(|| master(world)).or_else(|| untold(world))
}

fn frameworks(world: &World) -> Option<String> {
    world.frameworks.iter().enumerate().find_map(|(index, host)| {
        let down = host.process.is_none() && !host.is_over();
        if down { Some(format!("framework {index} is down")) } else { host.waits_for() }
    })
}

fn agents(world: &World) -> Option<String> {
    world.agents.iter().enumerate().find_map(|(index, host)| {
        let Some(process) = &host.process else { return Some(format!("agent {index} is down")) };
        if !process.core.is_registered() {
            return Some(format!("agent {index} is not registered"));
        }
        if let Some(task) = process.core.tasks().next() {
            return Some(format!("agent {index} still knows {} {}", task.id(), task.state()));
        }
        if !host.disk.committed().tasks.is_empty() {
            return Some(format!("the checkpoint of agent {index} still holds tasks"));
        }
        (host.kernel.len() > 0).then(|| format!("agent {index} has {} containers left", host.kernel.len()))
    })
}

fn master(world: &World) -> Option<String> {
    let Some(process) = &world.master.process else { return Some("the master is down".to_owned()) };
    let snapshot = process.core.snapshot();
    if let Some(task) = snapshot.tasks.first() {
        return Some(format!("the master still knows task {} {}", task.id(), task.state));
    }
    let mut connected = 0;
    for agent in &snapshot.agents {
        match agent.presence {
            Presence::Connected(_) => connected += 1,
            // A name that its agent never learned.
            Presence::Unreachable { .. } | Presence::Gone { .. } => continue,
            Presence::Disconnected | Presence::Recovered => {
                return Some(format!("the master waits for agent {}", agent.id));
            }
        }
        let back = agent.free.checked_add(&agent.offered);
        if !agent.allocated.is_empty() || back.as_ref() != Ok(&agent.total) {
            return Some(format!("agent {}: {} is still allocated", agent.id, agent.allocated));
        }
    }
    (connected != world.agents.len()).then(|| format!("{connected} agents are connected"))
}

/// What is under way in a cluster of guests, in words; `None`: nothing is. Who is held down or cut off is not waited
/// for.
pub(crate) fn unquiet(world: &World) -> Option<String> {
    if world.now < world.calm_at {
        return Some("faults are drawn until later".to_owned());
    }
    let away = |node: Node| world.held.contains(&node) || world.network.weather.is_troubled(node);
    if away(Node::Master) {
        return None;
    }
    let Some(master) = &world.master.process else { return Some("the master is down".to_owned()) };
    let all_here = (0..world.agents.len()).all(|index| !away(Node::Agent(index)));
    for (index, host) in world.agents.iter().enumerate().filter(|(index, _)| !away(Node::Agent(*index))) {
        let Some(process) = &host.process else { return Some(format!("agent {index} is down")) };
        if !process.core.is_registered() {
            return Some(format!("agent {index} is not registered"));
        }
    }
    let snapshot = master.core.snapshot();
    for (index, host) in world.frameworks.iter().enumerate() {
        if away(Node::Framework(index)) || host.is_over() {
            continue;
        }
        let Some(Speaker::Guest(life)) = host.process.as_ref().map(|process| &process.core) else {
            return Some(format!("framework {index} is down"));
        };
        let Some(id) = &host.speaks_as else { return Some(format!("framework {index} is not subscribed")) };
        let theirs: BTreeMap<&TaskId, TaskState> = snapshot
            .tasks
            .iter()
            .filter(|task| task.framework == *id)
            .map(|task| (&task.info.id, task.state))
            .collect();
        let mine: BTreeMap<TaskId, TaskState> = life.live_tasks().into_iter().collect();
        if let Some((task, state)) = theirs.iter().find(|(task, state)| mine.get(**task) != Some(*state)) {
            return Some(format!("task {task} of framework {index} is {state}, which it does not know"));
        }
        if let Some(task) = mine.keys().find(|task| !theirs.contains_key(task)) {
            return Some(format!("framework {index} waits for {task}, of which the master knows nothing"));
        }
        let moves =
            |state: TaskState| state != TaskState::Running && (all_here || state != TaskState::Unreachable);
        if let Some((task, state)) = theirs.iter().find(|(_, state)| moves(**state)) {
            return Some(format!("task {task} of framework {index} is {state}"));
        }
        if !all_here {
            continue;
        }
        let stray = world.agents.iter().flat_map(|agent| agent.kernel.running());
        if let Some(task) = stray.filter(|task| task.0 == *id).find(|task| !theirs.contains_key(&task.1)) {
            return Some(format!("task {} runs, of which the master knows nothing", task.1));
        }
    }
    if all_here { untold(world) } else { None }
}

/// INV-19: every update has reached its framework, unless that is no more.
fn untold(world: &World) -> Option<String> {
    let registry = world.master.disk.committed();
    let lives = |framework| {
        registry.frameworks.get(framework).is_none_or(|known| known.standing != FrameworkStanding::Removed)
    };
    let task = world.oracle.untold().find(|task| lives(&task.0))?;
    Some(format!("an update of task {} of {} never reached it", task.1, task.0))
}
