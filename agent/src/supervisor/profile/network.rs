//! A network with a loopback and nothing else.

use super::super::report::{Failure, FailureReason};
use super::super::sys;
use super::super::task::plain;

/// Brings the loopback up in this process's network namespace, which is new.
pub(in super::super) fn bring_up() -> Result<(), Failure> {
    sys::loopback_up().map_err(|error| {
        let message = format!("cannot bring up the container's loopback: {}", plain(&error));
        Failure::new(FailureReason::Namespace, message)
    })?;
    // The network is the host's root's to rule, so root inside could not have low ports by its capability; and nobody
    // else is there. A kernel without the setting, or an agent without the power, leaves it as it is. Source: ip-sysctl.
    let _unset = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    Ok(())
}
