//! After the faults end, everything settles.
//!
//! Every job has come to its end and every task to a terminal state that its framework knows (INV-18),
//! no container is without a record (INV-26), every agent is back, and all resources are free or offered
//! again (INV-4).

use lonja_master_core::agents::Presence;
use lonja_model::registry::FrameworkStanding;

use crate::world::World;

/// What is not settled yet, in words; `None`: everything is.
pub(crate) fn unsettled(world: &World) -> Option<String> {
    frameworks(world).or_else(|| agents(world)).or_else(|| master(world)).or_else(|| untold(world))
}

fn frameworks(world: &World) -> Option<String> {
    world.frameworks.iter().enumerate().find_map(|(index, host)| {
        let notes = host.disk.committed();
        let down = host.process.is_none() && !notes.gone;
        if down { Some(format!("framework {index} is down")) } else { notes.waits_for(&host.plan) }
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

/// INV-19: every update has reached its framework, unless that is no more.
fn untold(world: &World) -> Option<String> {
    let registry = world.master.disk.committed();
    let lives = |framework| {
        registry.frameworks.get(framework).is_none_or(|known| known.standing != FrameworkStanding::Removed)
    };
    let task = world.oracle.untold().find(|task| lives(&task.0))?;
    Some(format!("an update of task {} of {} never reached it", task.1, task.0))
}
