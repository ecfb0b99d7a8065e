//! Maintenance, draining, and agents that never return.

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::ids::AgentId;
use lonja_model::maintenance::{
    Drain, Duty, Machine, MachineId, MachineMode, Machines, Unavailability, Window,
};

use crate::convert::ids::{
    agent_id_from_wire, duration_from_wire, duration_to_wire, time_from_wire, time_to_wire,
};
use crate::convert::refusal::{At, Fault, Refusal, at_most, text};
use crate::mesos;
use crate::mesos::maintenance::{Schedule, Window as WireWindow};
use crate::mesos::master::call;
use crate::wire::google::protobuf;

/// Machines in one call, over all windows.
const MACHINES_PER_CALL: usize = 100_000;

/// Windows of one schedule.
const WINDOWS: usize = 10_000;

/// The longest hostname, as DNS has it, in bytes.
const HOSTNAME_BYTES: usize = 255;

/// UPDATE_MAINTENANCE_SCHEDULE: all windows.
///
/// Errors: a machine without a name, a time that is none, or too many of either.
pub fn schedule_from_wire(wire: call::UpdateMaintenanceSchedule) -> Result<Vec<Window>, Refusal> {
    const WINDOWS_FIELD: &str = "update_maintenance_schedule.schedule.windows";
    let windows = wire.schedule.windows;
    at_most(windows.len(), WINDOWS, WINDOWS_FIELD)?;
    at_most(windows.iter().map(|window| window.machine_ids.len()).sum(), MACHINES_PER_CALL, WINDOWS_FIELD)?;
    let window = |(index, wire): (usize, WireWindow)| {
        let machine = |(index, wire)| machine_from_wire(wire).at_index("machine_ids", index);
        let machines = wire.machine_ids.into_iter().enumerate().map(machine).collect::<Result<_, _>>();
        let machines = machines.at_index(WINDOWS_FIELD, index)?;
        let unavailability = unavailability_from_wire(wire.unavailability).at("unavailability");
        Ok(Window { machines, unavailability: unavailability.at_index(WINDOWS_FIELD, index)? })
    };
    windows.into_iter().enumerate().map(window).collect()
}

/// START_MAINTENANCE and STOP_MAINTENANCE, by the name of their message.
pub fn machines_from_wire(wire: Vec<mesos::MachineId>, call: &str) -> Result<Vec<MachineId>, Refusal> {
    let field = format!("{call}.machines");
    at_most(wire.len(), MACHINES_PER_CALL, &field)?;
    wire.into_iter()
        .enumerate()
        .map(|(index, wire)| machine_from_wire(wire).at_index(&field, index))
        .collect()
}

fn machine_from_wire(wire: mesos::MachineId) -> Result<MachineId, Refusal> {
    let hostname = text(wire.hostname.unwrap_or_default(), HOSTNAME_BYTES).at("hostname")?;
    if hostname.is_empty() {
        let reason =
            "is missing; name the machine as its agents give their hostname, an address is not enough";
        return Err(Fault::Invalid(reason.to_owned())).at("hostname");
    }
    let ip = wire.ip.map(|ip| text(ip, HOSTNAME_BYTES).at("ip")).transpose()?;
    Ok(MachineId { ip, ..MachineId::named(&hostname) })
}

/// A machine's name, as the wire has it.
pub fn machine_to_wire(machine: &MachineId) -> mesos::MachineId {
    mesos::MachineId { hostname: Some(machine.hostname.clone()), ip: machine.ip.clone() }
}

/// From when, and for how long. Errors: a time before 1970, or a negative length.
pub fn unavailability_from_wire(wire: mesos::Unavailability) -> Result<Unavailability, Refusal> {
    Ok(Unavailability {
        start: time_from_wire(wire.start).at("start")?,
        duration: wire.duration.map(duration_from_wire).transpose().at("duration")?,
    })
}

/// From when, and for how long, as the wire has it.
pub fn unavailability_to_wire(unavailability: &Unavailability) -> mesos::Unavailability {
    mesos::Unavailability {
        start: time_to_wire(unavailability.start),
        duration: unavailability.duration.map(duration_to_wire),
    }
}

/// The schedule: machines that are out of use at the same time in one window.
pub fn schedule_to_wire(machines: &Machines) -> Schedule {
    let mut windows: BTreeMap<Unavailability, Vec<mesos::MachineId>> = BTreeMap::new();
    for (id, machine) in machines {
        windows.entry(machine.unavailability).or_default().push(machine_to_wire(id));
    }
    let window = |(unavailability, machine_ids): (Unavailability, _)| WireWindow {
        machine_ids,
        unavailability: unavailability_to_wire(&unavailability),
    };
    Schedule { windows: windows.into_iter().map(window).collect() }
}

/// One machine and where it stands; `None`: up.
pub fn machine_info_to_wire(id: &MachineId, machine: Option<&Machine>) -> mesos::MachineInfo {
    use mesos::machine_info::Mode;
    let mode = match machine.map(|machine| machine.mode) {
        None => Mode::Up,
        Some(MachineMode::Scheduled) => Mode::Draining,
        Some(MachineMode::Down) => Mode::Down,
    };
    mesos::MachineInfo {
        id: machine_to_wire(id),
        mode: Some(mode.into()),
        unavailability: machine.map(|machine| unavailability_to_wire(&machine.unavailability)),
    }
}

/// DRAIN_AGENT. Errors: an id that is none, or a grace period below zero.
pub fn drain_from_wire(wire: call::DrainAgent) -> Result<(AgentId, Drain), Refusal> {
    let mark_gone = wire.mark_gone();
    let agent = agent_id_from_wire(wire.agent_id).at("drain_agent.agent_id")?;
    let grace = wire.max_grace_period.map(|grace| {
        let (seconds, nanos) = (u64::try_from(grace.seconds).ok(), u32::try_from(grace.nanos).ok());
        let length = seconds.zip(nanos.filter(|nanos| *nanos < 1_000_000_000));
        let reason =
            "is no length of time; give seconds and nanoseconds from 0 up, these below 1,000,000,000";
        length
            .map(|(seconds, nanos)| Duration::new(seconds, nanos))
            .ok_or_else(|| Fault::Invalid(reason.to_owned()))
    });
    let max_grace = grace.transpose().at("drain_agent.max_grace_period")?;
    Ok((agent, Drain { max_grace, mark_gone }))
}

/// A length of time as Google's well-known type; longer than it can be is cut.
pub fn grace_to_wire(grace: Duration) -> protobuf::Duration {
    protobuf::Duration {
        seconds: i64::try_from(grace.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(grace.subsec_nanos()).unwrap_or_default(),
    }
}

/// How an agent is drained; `None`: it is not.
pub fn duty_to_wire(duty: &Duty) -> Option<mesos::DrainInfo> {
    use mesos::DrainState;
    let (state, drain) = match duty {
        Duty::Active | Duty::Deactivated => return None,
        Duty::Draining(drain) => (DrainState::Draining, drain),
        Duty::Drained(drain) => (DrainState::Drained, drain),
    };
    let config = mesos::DrainConfig {
        max_grace_period: drain.max_grace.map(duration_to_wire),
        mark_gone: Some(drain.mark_gone),
    };
    Some(mesos::DrainInfo { state: state.into(), config })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(hosts: &[&str], start: i64) -> WireWindow {
        let machine = |host: &&str| mesos::MachineId { hostname: Some((*host).to_owned()), ip: None };
        let start = mesos::TimeInfo { nanoseconds: start };
        WireWindow {
            machine_ids: hosts.iter().map(machine).collect(),
            unavailability: mesos::Unavailability { start, duration: None },
        }
    }

    fn schedule(windows: Vec<WireWindow>) -> Result<Vec<Window>, String> {
        let wire = call::UpdateMaintenanceSchedule { schedule: Schedule { windows } };
        schedule_from_wire(wire).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn machines_are_named_in_lower_case() {
        assert_eq!(schedule(vec![window(&["Host1"], 7)]).unwrap()[0].machines, [MachineId::named("host1")]);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        let field = "update_maintenance_schedule.schedule.windows[1].";
        let refusal = schedule(vec![window(&["a"], 7), window(&["b", ""], 7)]).unwrap_err();
        assert!(refusal.starts_with(&format!("{field}machine_ids[1].hostname: ")), "{refusal}");
        let refusal = schedule(vec![window(&["a"], 7), window(&["b"], -7)]).unwrap_err();
        assert!(refusal.starts_with(&format!("{field}unavailability.start.nanoseconds: ")), "{refusal}");
        let many = vec![window(&["a"], 7); WINDOWS + 1];
        assert!(schedule(many).unwrap_err().contains("at most 10000"));
    }

    #[test]
    fn a_grace_period_is_not_negative() {
        let drain = |seconds, nanos| {
            let agent_id = mesos::AgentId { value: "a".to_owned() };
            let max_grace_period = Some(protobuf::Duration { seconds, nanos });
            drain_from_wire(call::DrainAgent { agent_id, max_grace_period, mark_gone: None })
        };
        assert_eq!(drain(1, 5).unwrap().1.max_grace, Some(Duration::new(1, 5)));
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, i32::MAX)] {
            let refusal = drain(seconds, nanos).unwrap_err().to_string();
            assert!(refusal.starts_with("drain_agent.max_grace_period: "), "{refusal}");
        }
    }
}
