//! The maintenance schedule: machines that are to be switched off, and those that are.
//!
//! A machine that is not in the schedule is up. One that is was *scheduled* by an operator: its agents are offered
//! with their unavailability, and all who use them are [asked to leave](crate::inverse_offers). When an operator
//! starts its maintenance it is *down*: its agents are [drained](crate::draining), each task with its own grace
//! period. When an operator stops it, it is up again, out of the schedule, and all its agents are active,
//! whatever their duty was before: whoever says that a machine is up wants it used.
//!
//! Time does nothing by itself, as in Mesos: a window that begins or ends changes nothing until an operator says so.
//! The times are for those who decide about placing tasks.
//!
//! Invariants
//! - Each machine is in one window; a machine that is down stays in the schedule until it is stopped.
//! - An agent that is connected from a machine that is down is draining or drained.
//! - A command is checked as a whole before anything of it is done.
//!
//! Where this differs from Mesos: there START throws the agents out at once, their tasks are lost, and what a drain
//! is knows nothing of machines. Here a machine that goes down drains its agents, so that tasks end by their grace
//! period, with a reason, and an operator sees when the last one has ended. An agent of such a machine is let
//! in as long as it brings tasks that must be ended, and turned away when it has none: a machine that
//! was switched off and comes up for a test does not take work. And machines are known by hostname alone, not by
//! hostname and address, for an address changes more easily than a name.
//!
//! Source: Mesos v1 operator API, UPDATE_MAINTENANCE_SCHEDULE, START_MAINTENANCE, STOP_MAINTENANCE.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::maintenance::{
    Drain, Duty, Machine, MachineId, MachineMode, Machines, Unavailability, Window,
};
use lonja_model::registry::RegistryOp;
use lonja_model::scheduler::{CallResult, Refusal, RefusalCode};
use lonja_model::{AgentId, Timestamp};

use crate::agents::Presence;
use crate::effects::{ClusterEvent, Effects};
use crate::operator::MaintenanceCommand;
use crate::{State, departures, draining, inverse_offers, offers, registry};

/// The longest hostname, as DNS has it.
const LONGEST_HOSTNAME: usize = 255;

/// Carries out one command, or refuses it whole.
pub(crate) fn command(
    state: &mut State,
    effects: &mut Effects,
    now: Timestamp,
    command: MaintenanceCommand,
) -> CallResult {
    match command {
        MaintenanceCommand::Drain { agent, drain } => draining::drain(state, effects, now, &agent, drain),
        MaintenanceCommand::Deactivate { agent } => draining::deactivate(state, effects, now, &agent),
        MaintenanceCommand::Reactivate { agent } => draining::reactivate(state, effects, now, &agent),
        MaintenanceCommand::MarkGone { agent } => departures::mark_gone(state, effects, now, &agent),
        MaintenanceCommand::Schedule { windows } => schedule(state, effects, now, windows),
        MaintenanceCommand::Start { machines } => start(state, effects, now, machines),
        MaintenanceCommand::Stop { machines } => stop(state, effects, now, machines),
    }
}

/// Where the machine of that name stands, unless it is up.
fn machine<'s>(state: &'s State, hostname: &str) -> Option<(&'s MachineId, &'s Machine)> {
    if state.registry.machines.is_empty() {
        return None;
    }
    state.registry.machines.get_key_value(&MachineId::named(hostname))
}

/// Where the machine of an agent stands, unless it is up.
pub(crate) fn machine_of<'s>(state: &'s State, agent: &AgentId) -> Option<(&'s MachineId, &'s Machine)> {
    machine(state, &state.agents.get(agent)?.info.hostname)
}

/// The agent's machine, if that is down.
pub(crate) fn down<'s>(state: &'s State, agent: &AgentId) -> Option<&'s MachineId> {
    machine_of(state, agent).filter(|(_, machine)| machine.mode == MachineMode::Down).map(|(id, _)| id)
}

/// When agents on that host will not be usable, if that is announced.
pub(crate) fn unavailability(state: &State, hostname: &str) -> Option<Unavailability> {
    machine(state, hostname).map(|(_, machine)| machine.unavailability)
}

/// Why no agent without tasks is let in from that host, if none is.
pub(crate) fn keeps_out(state: &State, hostname: &str) -> Option<String> {
    let (id, _) = machine(state, hostname).filter(|(_, machine)| machine.mode == MachineMode::Down)?;
    Some(format!("machine {id} is down for maintenance; `lonja maintenance stop {id}` takes it back"))
}

/// UPDATE_MAINTENANCE_SCHEDULE: replaces the whole schedule.
fn schedule(state: &mut State, effects: &mut Effects, now: Timestamp, windows: Vec<Window>) -> CallResult {
    let mut wanted = plan(state, windows)?;
    let left_out: Vec<String> = state
        .registry
        .machines
        .iter()
        .filter(|(id, machine)| machine.mode == MachineMode::Down && !wanted.contains_key(*id))
        .map(|(id, _)| id.to_string())
        .collect();
    if !left_out.is_empty() {
        let names = left_out.join(", ");
        let message = format!(
            "the schedule leaves out machines that are down: {names}; nothing was changed: keep them, or \
             `lonja maintenance stop` them first"
        );
        return Err(Refusal::new(RefusalCode::Conflict, message));
    }
    let on_machines = agents_by_machine(state);
    not_being_drained(state, &wanted, &on_machines)?;
    let before = state.registry.machines.clone();
    for (id, machine) in &mut wanted {
        machine.mode = before.get(id).map_or(MachineMode::Scheduled, |known| known.mode);
    }
    for id in before.keys().filter(|id| !wanted.contains_key(*id)) {
        put(state, effects, id.clone(), None);
        announce(state, effects, now, on_machines.get(id));
    }
    for (id, machine) in wanted {
        let known = before.get_key_value(&id);
        let is_announced = known.is_some_and(|(_, known)| *known == machine);
        if !is_announced || known.is_some_and(|(known, _)| known.ip != id.ip) {
            put(state, effects, id.clone(), Some(machine));
        }
        if !is_announced {
            announce(state, effects, now, on_machines.get(&id));
        }
    }
    Ok(())
}

/// The machines of a schedule, each as if it were new. Errors: what is wrong with it in itself.
fn plan(state: &State, windows: Vec<Window>) -> Result<Machines, Refusal> {
    let invalid = |window: usize, message: String| {
        let field = Some(format!("schedule.windows[{window}]"));
        Err(Refusal { field, ..Refusal::new(RefusalCode::InvalidArgument, message) })
    };
    let mut wanted = Machines::new();
    for (index, window) in windows.into_iter().enumerate() {
        if window.machines.is_empty() {
            return invalid(index, format!("window {index} of the schedule has no machines"));
        }
        for id in window.machines {
            let id = MachineId { hostname: id.hostname.to_lowercase(), ..id };
            if id.hostname.is_empty() || id.hostname.len() > LONGEST_HOSTNAME {
                let message = format!(
                    "window {index} of the schedule has a machine whose hostname has {} bytes; 1 to \
                     {LONGEST_HOSTNAME} are possible",
                    id.hostname.len()
                );
                return invalid(index, message);
            }
            let machine = Machine { mode: MachineMode::Scheduled, unavailability: window.unavailability };
            if wanted.insert(id.clone(), machine).is_some() {
                return invalid(index, format!("machine {id} is in the schedule twice"));
            }
            if wanted.len() > state.config.max_agents {
                let most = state.config.max_agents;
                return invalid(
                    index,
                    format!("the schedule has more than {most} machines; see --max-agents"),
                );
            }
        }
    }
    Ok(wanted)
}

/// Two ways out of the cluster for one agent would undo each other: who drains an agent does not schedule its machine.
fn not_being_drained(
    state: &State,
    wanted: &Machines,
    on_machines: &BTreeMap<MachineId, Vec<AgentId>>,
) -> CallResult {
    for id in wanted.keys().filter(|id| !state.registry.machines.contains_key(*id)) {
        let mut agents = on_machines.get(id).into_iter().flatten();
        let drained = agents.find(|agent| {
            state.agents.get(agent).is_some_and(|agent| agent.is_present())
                && registry::duty(state, agent).drain().is_some()
        });
        if let Some(agent) = drained {
            let message = format!(
                "machine {id} cannot be scheduled while its agent {agent} is drained; reactivate the agent first. \
                 Nothing was changed"
            );
            return Err(Refusal::new(RefusalCode::Conflict, message));
        }
    }
    Ok(())
}

/// START_MAINTENANCE: scheduled machines go down.
fn start(state: &mut State, effects: &mut Effects, now: Timestamp, machines: Vec<MachineId>) -> CallResult {
    let machines = each_once(machines)?;
    let scheduled = |machine: Option<&Machine>| machine.is_some_and(|m| m.mode == MachineMode::Scheduled);
    let others: Vec<String> = machines
        .iter()
        .filter(|id| !scheduled(state.registry.machines.get(*id)))
        .map(|id| match state.registry.machines.get(id) {
            Some(_) => format!("{id} (down already)"),
            None => format!("{id} (not in the schedule)"),
        })
        .collect();
    if !others.is_empty() {
        let message = format!(
            "only scheduled machines can go down; nothing was changed because of {}; \
             `lonja maintenance schedule` puts machines into the schedule",
            others.join(", ")
        );
        return Err(Refusal::new(RefusalCode::Conflict, message));
    }
    let on_machines = agents_by_machine(state);
    for id in machines {
        let Some((id, machine)) = state.registry.machines.get_key_value(&id) else { continue };
        let (id, machine) = (id.clone(), Machine { mode: MachineMode::Down, ..machine.clone() });
        put(state, effects, id.clone(), Some(machine));
        for agent in on_machines.get(&id).into_iter().flatten() {
            if registry::duty(state, agent).drain().is_none() {
                draining::begin(state, effects, now, agent, Drain::default());
            }
        }
    }
    Ok(())
}

/// STOP_MAINTENANCE: machines that are down are up again, and their agents active.
fn stop(state: &mut State, effects: &mut Effects, now: Timestamp, machines: Vec<MachineId>) -> CallResult {
    let machines = each_once(machines)?;
    let down = |machine: Option<&Machine>| machine.is_some_and(|m| m.mode == MachineMode::Down);
    let others: Vec<String> = machines
        .iter()
        .filter(|id| !down(state.registry.machines.get(*id)))
        .map(|id| match state.registry.machines.get(id) {
            Some(_) => format!("{id} (only scheduled)"),
            None => format!("{id} (up)"),
        })
        .collect();
    if !others.is_empty() {
        let message = format!(
            "only machines that are down can come up; nothing was changed because of {}",
            others.join(", ")
        );
        return Err(Refusal::new(RefusalCode::Conflict, message));
    }
    let on_machines = agents_by_machine(state);
    for id in machines {
        put(state, effects, id.clone(), None);
        for agent in on_machines.get(&id).into_iter().flatten() {
            draining::set_duty(state, effects, now, agent, Duty::Active);
        }
    }
    Ok(())
}

/// The named machines. Errors: there are none, or one stands twice.
fn each_once(machines: Vec<MachineId>) -> Result<BTreeSet<MachineId>, Refusal> {
    let invalid = |message: String| {
        let field = Some("machines".to_owned());
        Err(Refusal { field, ..Refusal::new(RefusalCode::InvalidArgument, message) })
    };
    if machines.is_empty() {
        return invalid("name at least one machine".to_owned());
    }
    let mut once = BTreeSet::new();
    for id in machines {
        let id = MachineId { hostname: id.hostname.to_lowercase(), ..id };
        if once.contains(&id) {
            return invalid(format!("machine {id} is named twice"));
        }
        once.insert(id);
    }
    Ok(once)
}

fn put(state: &mut State, effects: &mut Effects, id: MachineId, machine: Option<Machine>) {
    registry::change(state, effects, RegistryOp::Machine(id.clone(), machine.clone()));
    effects.publish.push(ClusterEvent::MachineUpdated(id, machine));
}

/// What is announced of these agents is another: they are offered anew, and everyone is asked anew.
fn announce(state: &mut State, effects: &mut Effects, now: Timestamp, agents: Option<&Vec<AgentId>>) {
    for agent in agents.into_iter().flatten() {
        offers::rescind_on(state, effects, now, agent);
        inverse_offers::begin_anew(state, agent);
    }
}

/// The agents that are not gone, by their machines. O(agents).
fn agents_by_machine(state: &State) -> BTreeMap<MachineId, Vec<AgentId>> {
    let mut machines: BTreeMap<MachineId, Vec<AgentId>> = BTreeMap::new();
    for (id, agent) in state.agents.iter() {
        if !matches!(agent.presence, Presence::Gone { .. }) {
            machines.entry(MachineId::named(&agent.info.hostname)).or_default().push(id.clone());
        }
    }
    machines
}
