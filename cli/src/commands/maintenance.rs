//! `lonja maintenance`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use lonja_proto::mesos;
use lonja_proto::mesos::allocator::InverseOfferStatus;
use lonja_proto::mesos::allocator::inverse_offer_status::Status as Said;
use lonja_proto::mesos::maintenance::{Schedule, Window};
use lonja_proto::mesos::master::Call;
use lonja_proto::mesos::master::call::{self, Type};
use serde_json::json;

use super::sharing::removed;
use crate::args::{Family, Maintenance, MaintenanceCommand};
use crate::client::Client;
use crate::output::{Listing, Row};

/// Lists the schedule, changes it, or takes machines out of use and back.
pub(crate) async fn run(maintenance: &Maintenance) -> anyhow::Result<ExitCode> {
    let family = &maintenance.family;
    let Some(command) = &maintenance.command else { return list(family).await };
    if matches!(command, MaintenanceCommand::List) {
        return list(family).await;
    }
    let mut client = Client::connect_within(&family.master, family.wait).await?;
    let named = match command {
        MaintenanceCommand::List => return Ok(ExitCode::SUCCESS),
        MaintenanceCommand::Schedule { start, duration, machines } => {
            let mut windows = without(schedule(&mut client).await?, machines);
            windows.push(Window {
                machine_ids: machines.iter().map(|name| machine(name)).collect(),
                unavailability: unavailability(*start, *duration),
            });
            replace(&mut client, windows).await?;
            machines
        }
        MaintenanceCommand::Clear { machines } => {
            let before = schedule(&mut client).await?;
            if let Some(unknown) = machines.iter().find(|name| !stands_in(&before, name)) {
                bail!("machine {unknown} is not in the schedule; `lonja maintenance` lists those that are");
            }
            replace(&mut client, without(before, machines)).await?;
            removed(family, "maintenance", &format!("{} no longer scheduled", machines.join(", ")));
            return Ok(ExitCode::SUCCESS);
        }
        MaintenanceCommand::Start { machines } => {
            let machine_ids = machines.iter().map(|name| machine(name)).collect();
            let start_maintenance = Some(call::StartMaintenance { machines: machine_ids });
            client.call(Type::StartMaintenance, Call { start_maintenance, ..Call::default() }).await?;
            machines
        }
        MaintenanceCommand::Stop { machines } => {
            let machine_ids = machines.iter().map(|name| machine(name)).collect();
            let stop_maintenance = Some(call::StopMaintenance { machines: machine_ids });
            client.call(Type::StopMaintenance, Call { stop_maintenance, ..Call::default() }).await?;
            removed(family, "maintenance", &format!("{} back in use", machines.join(", ")));
            return Ok(ExitCode::SUCCESS);
        }
    };
    print(family, &mut client, |name| named.iter().any(|named| named.eq_ignore_ascii_case(name))).await
}

async fn list(family: &Family) -> anyhow::Result<ExitCode> {
    print(family, &mut Client::connect(&family.master).await?, |_| true).await
}

async fn schedule(client: &mut Client) -> anyhow::Result<Vec<Window>> {
    let answer = client.ask(Type::GetMaintenanceSchedule).await?;
    Ok(answer.get_maintenance_schedule.context("the master's answer holds no schedule")?.schedule.windows)
}

async fn replace(client: &mut Client, windows: Vec<Window>) -> anyhow::Result<()> {
    let schedule = Schedule { windows };
    let update_maintenance_schedule = Some(call::UpdateMaintenanceSchedule { schedule });
    let call = Call { update_maintenance_schedule, ..Call::default() };
    client.call(Type::UpdateMaintenanceSchedule, call).await?;
    Ok(())
}

fn machine(name: &str) -> mesos::MachineId {
    mesos::MachineId { hostname: Some(name.to_owned()), ip: None }
}

fn is_named(machine: &mesos::MachineId, name: &str) -> bool {
    machine.hostname().eq_ignore_ascii_case(name)
}

fn stands_in(windows: &[Window], name: &str) -> bool {
    windows.iter().flat_map(|window| &window.machine_ids).any(|machine| is_named(machine, name))
}

/// The windows without these machines; windows that are left empty go.
fn without(mut windows: Vec<Window>, machines: &[String]) -> Vec<Window> {
    for window in &mut windows {
        window.machine_ids.retain(|machine| !machines.iter().any(|name| is_named(machine, name)));
    }
    windows.retain(|window| !window.machine_ids.is_empty());
    windows
}

fn unavailability(start: SystemTime, duration: Option<Duration>) -> mesos::Unavailability {
    let nanoseconds = |length: Duration| i64::try_from(length.as_nanos()).unwrap_or(i64::MAX);
    mesos::Unavailability {
        start: mesos::TimeInfo {
            nanoseconds: nanoseconds(start.duration_since(UNIX_EPOCH).unwrap_or_default()),
        },
        duration: duration.map(|duration| mesos::DurationInfo { nanoseconds: nanoseconds(duration) }),
    }
}

async fn print(
    family: &Family,
    client: &mut Client,
    shown: impl Fn(&str) -> bool,
) -> anyhow::Result<ExitCode> {
    let windows = schedule(client).await?;
    let answer = client.ask(Type::GetMaintenanceStatus).await?;
    let status = answer.get_maintenance_status.context("the master's answer holds no maintenance")?.status;
    let down: Vec<&str> = status.down_machines.iter().map(mesos::MachineId::hostname).collect();
    let said: BTreeMap<&str, &[InverseOfferStatus]> = status
        .draining_machines
        .iter()
        .map(|machine| (machine.id.hostname(), &machine.statuses[..]))
        .collect();
    let mut rows = Vec::new();
    for window in &windows {
        for machine in window.machine_ids.iter().filter(|machine| shown(machine.hostname())) {
            let name = machine.hostname();
            let mode = if down.contains(&name) { "down" } else { "scheduled" };
            rows.push(row(name, mode, &window.unavailability, said.get(name).copied().unwrap_or_default()));
        }
    }
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    let columns = vec!["machine", "mode", "from", "for", "frameworks asked", "will leave", "will not"];
    Listing { what: "maintenance", columns, wide_from: 7, rows }.print(family.output, family.quiet);
    Ok(ExitCode::SUCCESS)
}

fn row(name: &str, mode: &str, when: &mesos::Unavailability, said: &[InverseOfferStatus]) -> Row {
    let from = UNIX_EPOCH + Duration::from_nanos(u64::try_from(when.start.nanoseconds).unwrap_or_default());
    let length = when.duration.as_ref();
    let length =
        length.map(|length| Duration::from_nanos(u64::try_from(length.nanoseconds).unwrap_or_default()));
    let count = |wanted: Said| said.iter().filter(|status| status.status() == wanted).count().to_string();
    let answer = |status: &InverseOfferStatus| {
        let answer = match status.status() {
            Said::Unknown => "unanswered",
            Said::Accept => "accepted",
            Said::Decline => "declined",
        };
        json!({
            "framework_id": status.framework_id.value,
            "answer": answer,
            "time": status.timestamp.nanoseconds as f64 / 1e9,
        })
    };
    Row {
        id: name.to_owned(),
        cells: vec![
            name.to_owned(),
            mode.to_owned(),
            humantime::format_rfc3339_seconds(from).to_string(),
            length.map_or_else(|| "-".to_owned(), |length| humantime::format_duration(length).to_string()),
            said.len().to_string(),
            count(Said::Accept),
            count(Said::Decline),
        ],
        object: json!({
            "machine": name,
            "mode": mode,
            "start": when.start.nanoseconds as f64 / 1e9,
            "duration_seconds": length.map(|length| length.as_secs_f64()),
            "answers": said.iter().map(answer).collect::<Vec<_>>(),
        }),
    }
}
