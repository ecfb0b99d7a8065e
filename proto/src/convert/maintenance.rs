//! When machines are out of use, and how agents are drained.
//!
//! A machine is known by its host name, in lower case; an address may stand beside it.
//!
//! Source: Mesos v1 `maintenance.Schedule`, `maintenance.ClusterStatus`, `MachineInfo`, `DrainInfo`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lonja_model::ids::FrameworkId;
use lonja_model::maintenance::{
    Drain, Duty, Machine, MachineId, MachineMode, Machines, Unavailability, Window,
};
use lonja_model::time::Timestamp;

use super::ids::{
    duration_from_wire, duration_to_wire, framework_id_from_wire, framework_id_to_wire, time_from_wire,
    time_to_wire,
};
use super::refusal::{At, Fault, Refusal, at_most, known, required, text};
use crate::limits;
use crate::mesos::allocator::{InverseOfferStatus, inverse_offer_status::Status};
use crate::mesos::maintenance::{self, cluster_status::DrainingMachine};
use crate::mesos::{self, machine_info};

/// From when and for how long something cannot be used. Errors: the start is before 1970, or the length negative.
pub fn unavailability_from_wire(wire: mesos::Unavailability) -> Result<Unavailability, Refusal> {
    Ok(Unavailability {
        start: time_from_wire(wire.start).at("start")?,
        duration: wire.duration.map(duration_from_wire).transpose().at("duration")?,
    })
}

/// The unavailability's form on the wire.
pub fn unavailability_to_wire(unavailability: &Unavailability) -> mesos::Unavailability {
    mesos::Unavailability {
        start: time_to_wire(unavailability.start),
        duration: unavailability.duration.map(duration_to_wire),
    }
}

/// A machine's name. Errors: the host name is missing, too long, or has white space or control characters; the
/// address is none.
pub fn machine_id_from_wire(wire: mesos::MachineId) -> Result<MachineId, Refusal> {
    let hostname = wire.hostname.unwrap_or_default().to_lowercase();
    if hostname.is_empty() {
        let reason = "is missing; a machine is known by the host name that its agents give, so set it";
        return Err(Fault::Invalid(reason.to_owned())).at("hostname");
    }
    let hostname = text(hostname, limits::HOSTNAME_BYTES).at("hostname")?;
    if hostname.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let reason = format!("{hostname:?} has white space or control characters; give the name of a host");
        return Err(Fault::Invalid(reason)).at("hostname");
    }
    if wire.ip.as_ref().is_some_and(|ip| ip.len() > limits::HOSTNAME_BYTES || ip.parse::<IpAddr>().is_err()) {
        return Err(Fault::Invalid("is no address; give one such as 10.0.0.7, or leave it out".to_owned()))
            .at("ip");
    }
    Ok(MachineId { hostname, ip: wire.ip })
}

/// The machine's name as the wire has it.
pub fn machine_id_to_wire(id: &MachineId) -> mesos::MachineId {
    mesos::MachineId { hostname: Some(id.hostname.clone()), ip: id.ip.clone() }
}

/// Machines to begin or to end the maintenance of. Errors: there are none or too many; one is not well formed, or
/// stands twice.
pub fn machines_from_wire(wire: Vec<mesos::MachineId>) -> Result<Vec<MachineId>, Refusal> {
    at_most(wire.len(), limits::MACHINES, "")?;
    distinct(wire, &mut BTreeSet::new())
}

fn distinct(wire: Vec<mesos::MachineId>, seen: &mut BTreeSet<MachineId>) -> Result<Vec<MachineId>, Refusal> {
    if wire.is_empty() {
        return Err(Fault::Invalid("is empty; name the machines".to_owned()).into());
    }
    let mut machines = Vec::with_capacity(wire.len());
    for (index, wire) in wire.into_iter().enumerate() {
        let id = machine_id_from_wire(wire).at_index("", index)?;
        if !seen.insert(id.clone()) {
            let reason = format!("names {id} for the second time; name each machine once");
            return Err(Fault::Invalid(reason)).at_index("", index);
        }
        machines.push(id);
    }
    Ok(machines)
}

/// A whole schedule. Errors: there are too many windows or machines; a window has no machines; a machine is not well
/// formed, or stands twice; a time is before 1970 or negative.
pub fn schedule_from_wire(wire: maintenance::Schedule) -> Result<Vec<Window>, Refusal> {
    at_most(wire.windows.len(), limits::MACHINES, "windows")?;
    let count = wire.windows.iter().map(|window| window.machine_ids.len()).sum();
    at_most(count, limits::MACHINES, "windows")?;
    let mut seen = BTreeSet::new();
    let mut window = |wire: maintenance::Window| -> Result<Window, Refusal> {
        Ok(Window {
            machines: distinct(wire.machine_ids, &mut seen).at("machine_ids")?,
            unavailability: unavailability_from_wire(wire.unavailability).at("unavailability")?,
        })
    };
    let windows = wire.windows.into_iter().enumerate();
    windows.map(|(index, wire)| window(wire).at_index("windows", index)).collect()
}

/// A schedule as the wire has it.
pub fn schedule_to_wire(windows: &[Window]) -> maintenance::Schedule {
    let window = |window: &Window| maintenance::Window {
        machine_ids: window.machines.iter().map(machine_id_to_wire).collect(),
        unavailability: unavailability_to_wire(&window.unavailability),
    };
    maintenance::Schedule { windows: windows.iter().map(window).collect() }
}

/// The schedule that these machines are in: one window for all machines of equal times, the earliest first.
pub fn windows_of(machines: &Machines) -> Vec<Window> {
    let mut windows: BTreeMap<Unavailability, Vec<MachineId>> = BTreeMap::new();
    for (id, machine) in machines {
        windows.entry(machine.unavailability).or_default().push(id.clone());
    }
    let window = |(unavailability, machines)| Window { machines, unavailability };
    windows.into_iter().map(window).collect()
}

/// A machine of the schedule. Errors: the name is not well formed; the mode or the times are missing or none; it is
/// up, and so in no schedule.
pub fn machine_from_wire(wire: mesos::MachineInfo) -> Result<(MachineId, Machine), Refusal> {
    let id = machine_id_from_wire(wire.id).at("id")?;
    let mode = match known(required(wire.mode).at("mode")?, "MachineInfo.Mode").at("mode")? {
        machine_info::Mode::Draining => MachineMode::Scheduled,
        machine_info::Mode::Down => MachineMode::Down,
        machine_info::Mode::Up => {
            let reason = "is UP, which no machine of the schedule is; leave the machine out";
            return Err(Fault::Invalid(reason.to_owned())).at("mode");
        }
    };
    let unavailability = required(wire.unavailability).and_then(unavailability_from_wire);
    Ok((id, Machine { mode, unavailability: unavailability.at("unavailability")? }))
}

/// A machine of the schedule as the wire has it.
pub fn machine_to_wire(id: &MachineId, machine: &Machine) -> mesos::MachineInfo {
    let mode = match machine.mode {
        MachineMode::Scheduled => machine_info::Mode::Draining,
        MachineMode::Down => machine_info::Mode::Down,
    };
    mesos::MachineInfo {
        id: machine_id_to_wire(id),
        mode: Some(mode.into()),
        unavailability: Some(unavailability_to_wire(&machine.unavailability)),
    }
}

/// What a framework says to the wish that it leave a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who was asked.
    pub framework: FrameworkId,
    /// Whether it will; `None`: it has not said yet.
    pub accepted: Option<bool>,
    /// When it said so; without an answer: when it was asked.
    pub at: Timestamp,
}

/// Where the machines of the schedule stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Those that are announced, with the answers of those who use their agents.
    pub scheduled: Vec<(MachineId, Vec<Answer>)>,
    /// Those that are down.
    pub down: Vec<MachineId>,
}

/// Where the machines of the schedule stand. Errors: there are too many; a machine or an answer is not well formed.
pub fn cluster_status_from_wire(wire: maintenance::ClusterStatus) -> Result<ClusterStatus, Refusal> {
    at_most(wire.draining_machines.len(), limits::MACHINES, "draining_machines")?;
    at_most(wire.down_machines.len(), limits::MACHINES, "down_machines")?;
    let answers = wire.draining_machines.iter().map(|machine| machine.statuses.len()).sum();
    at_most(answers, limits::INVERSE_OFFER_ANSWERS, "draining_machines")?;
    let scheduled = |(index, wire): (usize, DrainingMachine)| {
        let answer = |(index, wire)| answer_from_wire(wire).at_index("statuses", index);
        let id = machine_id_from_wire(wire.id).at("id").at_index("draining_machines", index)?;
        let answers = wire.statuses.into_iter().enumerate().map(answer).collect::<Result<_, _>>();
        Ok((id, answers.at_index("draining_machines", index)?))
    };
    let down = |(index, wire)| machine_id_from_wire(wire).at_index("down_machines", index);
    Ok(ClusterStatus {
        scheduled: wire
            .draining_machines
            .into_iter()
            .enumerate()
            .map(scheduled)
            .collect::<Result<_, Refusal>>()?,
        down: wire.down_machines.into_iter().enumerate().map(down).collect::<Result<_, _>>()?,
    })
}

/// Where the machines of the schedule stand, as the wire has it.
pub fn cluster_status_to_wire(status: &ClusterStatus) -> maintenance::ClusterStatus {
    let scheduled = |(id, answers): &(MachineId, Vec<Answer>)| DrainingMachine {
        id: machine_id_to_wire(id),
        statuses: answers.iter().map(answer_to_wire).collect(),
    };
    maintenance::ClusterStatus {
        draining_machines: status.scheduled.iter().map(scheduled).collect(),
        down_machines: status.down.iter().map(machine_id_to_wire).collect(),
    }
}

fn answer_from_wire(wire: InverseOfferStatus) -> Result<Answer, Refusal> {
    Ok(Answer {
        framework: framework_id_from_wire(wire.framework_id).at("framework_id")?,
        accepted: match known(wire.status, "InverseOfferStatus.Status").at("status")? {
            Status::Unknown => None,
            Status::Accept => Some(true),
            Status::Decline => Some(false),
        },
        at: time_from_wire(wire.timestamp).at("timestamp")?,
    })
}

fn answer_to_wire(answer: &Answer) -> InverseOfferStatus {
    let status = match answer.accepted {
        None => Status::Unknown,
        Some(true) => Status::Accept,
        Some(false) => Status::Decline,
    };
    InverseOfferStatus {
        status: status.into(),
        framework_id: framework_id_to_wire(&answer.framework),
        timestamp: time_to_wire(answer.at),
    }
}

/// How an agent is drained. Errors: the grace period is negative.
pub fn drain_from_wire(wire: mesos::DrainConfig) -> Result<Drain, Refusal> {
    Ok(Drain {
        mark_gone: wire.mark_gone(),
        max_grace: wire.max_grace_period.map(duration_from_wire).transpose().at("max_grace_period")?,
    })
}

/// How an agent is drained, as the wire has it.
pub fn drain_to_wire(drain: &Drain) -> mesos::DrainConfig {
    mesos::DrainConfig {
        max_grace_period: drain.max_grace.map(duration_to_wire),
        mark_gone: Some(drain.mark_gone),
    }
}

/// What operators see of an agent's duty: whether it is deactivated, which it also is while it is drained, and how
/// it is drained.
pub fn duty_to_wire(duty: &Duty) -> (bool, Option<mesos::DrainInfo>) {
    let info = |state: mesos::DrainState, drain: &Drain| mesos::DrainInfo {
        state: state.into(),
        config: drain_to_wire(drain),
    };
    match duty {
        Duty::Active => (false, None),
        Duty::Deactivated => (true, None),
        Duty::Draining(drain) => (true, Some(info(mesos::DrainState::Draining, drain))),
        Duty::Drained(drain) => (true, Some(info(mesos::DrainState::Drained, drain))),
    }
}

/// An agent's duty as operators see it. Errors: the state is missing or none; the grace period is negative.
pub fn duty_from_wire(deactivated: bool, wire: Option<mesos::DrainInfo>) -> Result<Duty, Refusal> {
    let Some(wire) = wire else {
        return Ok(if deactivated { Duty::Deactivated } else { Duty::Active });
    };
    let drain = drain_from_wire(wire.config).at("config")?;
    match known(wire.state, "DrainState").at("state")? {
        mesos::DrainState::Unknown => Err(Fault::Missing).at("state"),
        mesos::DrainState::Draining => Ok(Duty::Draining(drain)),
        mesos::DrainState::Drained => Ok(Duty::Drained(drain)),
    }
}
