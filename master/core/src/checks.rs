//! Can a task be looked at as it asks to be?
//!
//! Source: Mesos v1 rules for `HealthCheck` and `CheckInfo`; what of them is a matter of form, the doors have seen to.

use lonja_model::TaskInfo;
use lonja_model::check::{CheckKind, Family, Probe, Scheme};
use lonja_model::container::Program;

/// Errors: which check of the task cannot be, and what to do.
pub(crate) fn valid(info: &TaskInfo) -> Result<(), String> {
    let id = &info.id;
    let health = info.health_check.as_ref().map(|check| (CheckKind::Health, &check.probe));
    let general = info.check.as_ref().map(|check| (CheckKind::General, &check.probe));
    for (kind, probe) in health.into_iter().chain(general) {
        let refuse = |fault: &str| Err(format!("the {kind} of task {id}: {fault}"));
        if let Some(fault) = probe.fault() {
            return refuse(&fault);
        }
        match probe {
            Probe::Command(command) if is_empty(&command.program) => {
                return refuse("its command is empty; name a program, or leave the check out");
            }
            _ if kind == CheckKind::General && !fits_the_wire(probe) => {
                return refuse("https, IPv6 and expected statuses are for health checks only");
            }
            Probe::Command(_) | Probe::Http(_) | Probe::Tcp { .. } => {}
        }
    }
    Ok(())
}

/// Is there nothing to run?
pub(crate) fn is_empty(program: &Program) -> bool {
    match program {
        Program::Shell(line) => line.trim().is_empty(),
        Program::Exec { path, .. } => path.is_empty(),
    }
}

/// Can the wire say all of it in a check that only reports?
fn fits_the_wire(probe: &Probe) -> bool {
    match probe {
        Probe::Command(_) => true,
        Probe::Http(http) => {
            http.scheme == Scheme::Http && http.family == Family::IPv4 && http.statuses.is_empty()
        }
        Probe::Tcp { family, .. } => *family == Family::IPv4,
    }
}
