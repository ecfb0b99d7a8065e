//! Capabilities and limits of each process.
//!
//! Source: Mesos v1 `LinuxInfo`, `CapabilityInfo`, `RLimitInfo`.

use lonja_model::privileges::{Capability, CapabilitySet, Privileges, Rlimit, RlimitKind};

use super::refusal::{At, Fault, Refusal, at_most, known, unsupported};
use crate::mesos::{self, capability_info, r_limit_info};

/// More entries than there are kinds cannot all be meant.
const MOST: usize = 64;

/// What a container asks of the kernel.
///
/// Errors: a capability or limit that there is not; a limit twice, with one bound only, or with the soft one above the
/// hard; settings of `linux_info` that are not supported yet.
pub(super) fn privileges_from_wire(
    linux: Option<mesos::LinuxInfo>,
    rlimits: Option<mesos::RLimitInfo>,
) -> Result<Privileges, Refusal> {
    let (bounding, effective) = linux_from_wire(linux.unwrap_or_default()).at("linux_info")?;
    let rlimits = rlimits_from_wire(rlimits.unwrap_or_default().rlimits).at("rlimit_info")?;
    Ok(Privileges { bounding, effective, rlimits })
}

#[expect(deprecated, reason = "the old field is still sent")]
fn linux_from_wire(
    linux: mesos::LinuxInfo,
) -> Result<(Option<CapabilitySet>, Option<CapabilitySet>), Refusal> {
    unsupported(linux.share_pid_namespace == Some(true), "share_pid_namespace", "sharing process ids")?;
    unsupported(linux.seccomp.is_some(), "seccomp", "a system call filter of one's own")?;
    unsupported(linux.ipc_mode.is_some(), "ipc_mode", "sharing memory")?;
    unsupported(linux.shm_size.is_some(), "shm_size", "a size for shared memory")?;
    if linux.capability_info.is_some() && linux.effective_capabilities.is_some() {
        let reason = "says the same as effective_capabilities; leave one of them out";
        return Err(Fault::Invalid(reason.to_owned())).at("capability_info");
    }
    let bounding = set_from_wire(linux.bounding_capabilities).at("bounding_capabilities")?;
    let effective = match linux.capability_info {
        Some(old) => set_from_wire(Some(old)).at("capability_info")?,
        None => set_from_wire(linux.effective_capabilities).at("effective_capabilities")?,
    };
    Ok((bounding, effective))
}

fn set_from_wire(wire: Option<mesos::CapabilityInfo>) -> Result<Option<CapabilitySet>, Refusal> {
    let Some(wire) = wire else { return Ok(None) };
    at_most(wire.capabilities.len(), MOST, "capabilities")?;
    let one = |(index, number): (usize, i32)| -> Result<Capability, Refusal> {
        let kind: capability_info::Capability =
            known(number, "CapabilityInfo.Capability").at_index("capabilities", index)?;
        let number = u8::try_from(kind as i32 - 1000).ok();
        let refusal = || Fault::Invalid("UNKNOWN is no capability; leave it out".to_owned());
        number.and_then(Capability::from_number).ok_or_else(refusal).at_index("capabilities", index)
    };
    wire.capabilities.into_iter().enumerate().map(one).collect::<Result<_, _>>().map(Some)
}

fn rlimits_from_wire(wire: Vec<mesos::r_limit_info::RLimit>) -> Result<Vec<Rlimit>, Refusal> {
    at_most(wire.len(), MOST, "rlimits")?;
    let mut limits: Vec<Rlimit> = Vec::with_capacity(wire.len());
    for (index, wire) in wire.into_iter().enumerate() {
        let limit = rlimit_from_wire(&wire).at_index("rlimits", index)?;
        if limits.iter().any(|other| other.kind() == limit.kind()) {
            let reason = format!("{} is there twice; keep one", limit.kind());
            return Err(Fault::Invalid(reason)).at_index("rlimits", index);
        }
        limits.push(limit);
    }
    Ok(limits)
}

fn rlimit_from_wire(wire: &mesos::r_limit_info::RLimit) -> Result<Rlimit, Refusal> {
    let kind: r_limit_info::r_limit::Type =
        known(wire.r#type.unwrap_or_default(), "RLimitInfo.RLimit.Type").at("type")?;
    let refusal = || Fault::Invalid("UNKNOWN is no limit; name one of setrlimit(2)".to_owned());
    let kind = RlimitKind::from_wire(kind as i32).ok_or_else(refusal).at("type")?;
    if wire.hard.is_some() != wire.soft.is_some() {
        let reason = "has one of soft and hard; give both, or neither for no limit";
        return Err(Fault::Invalid(reason.to_owned()).into());
    }
    Rlimit::new(kind, wire.soft, wire.hard).map_err(|error| Fault::Invalid(error.to_string()).into())
}

/// The form on the wire of capabilities; none asked for: nothing.
pub(super) fn linux_to_wire(privileges: &Privileges) -> Option<mesos::LinuxInfo> {
    if privileges.bounding.is_none() && privileges.effective.is_none() {
        return None;
    }
    let set = |set: CapabilitySet| mesos::CapabilityInfo {
        capabilities: set.iter().map(|capability| i32::from(capability.number()) + 1000).collect(),
    };
    Some(mesos::LinuxInfo {
        bounding_capabilities: privileges.bounding.map(set),
        effective_capabilities: privileges.effective.map(set),
        ..Default::default()
    })
}

/// The form on the wire of limits; none asked for: nothing. No limit at all is said by neither bound.
pub(super) fn rlimits_to_wire(privileges: &Privileges) -> Option<mesos::RLimitInfo> {
    let one = |limit: &Rlimit| {
        let unlimited = limit.soft().is_none() && limit.hard().is_none();
        let bound = |bound: Option<u64>| (!unlimited).then(|| bound.unwrap_or(u64::MAX));
        mesos::r_limit_info::RLimit {
            r#type: Some(limit.kind().wire()),
            hard: bound(limit.hard()),
            soft: bound(limit.soft()),
        }
    };
    let rlimits: Vec<_> = privileges.rlimits.iter().map(one).collect();
    (!rlimits.is_empty()).then_some(mesos::RLimitInfo { rlimits })
}
