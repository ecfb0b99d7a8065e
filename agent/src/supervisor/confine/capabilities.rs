//! What of root's power a task can hold.
//!
//! The default set is Docker's without MKNOD, NET_RAW and AUDIT_WRITE: every mount of a container refuses devices,
//! the network is the host's own or empty, and the audit log is the host's. In a user namespace none of the three
//! works at all, so that the set is the same with and without one.
//!
//! Source: capabilities(7); user_namespaces(7).

use std::io;

use lonja_model::privileges::{Capability, CapabilitySet};

use super::kernel;

/// What tasks can hold that ask for nothing.
pub(crate) const DEFAULT: CapabilitySet = CapabilitySet::of(&[
    Capability::CHOWN,
    Capability::DAC_OVERRIDE,
    Capability::FOWNER,
    Capability::FSETID,
    Capability::KILL,
    Capability::SETGID,
    Capability::SETUID,
    Capability::SETPCAP,
    Capability::NET_BIND_SERVICE,
    Capability::SYS_CHROOT,
    Capability::SETFCAP,
]);

/// Numbers that a kernel may know: a set has 64 bits.
const NUMBERS: std::ops::Range<u8> = 0..64;

/// Shrinks the bounding set, also by capabilities that are newer than our names for them.
pub(super) fn bound(bounding: CapabilitySet) -> io::Result<()> {
    for number in NUMBERS {
        let kept = Capability::from_number(number).is_some_and(|capability| bounding.contains(capability));
        if kept {
            continue;
        }
        if !kernel::drop_bounding(number)? {
            // Numbers have no gaps.
            break;
        }
    }
    Ok(())
}

/// Holds exactly these from now on; `handed_on`: also in programs that are not root's.
pub(super) fn hold(set: CapabilitySet, handed_on: bool) -> io::Result<()> {
    let inheritable = if handed_on { set } else { CapabilitySet::EMPTY };
    kernel::clear_ambient()?;
    kernel::set_capabilities(set, set, inheritable)?;
    if handed_on {
        set.iter().try_for_each(|capability| kernel::raise_ambient(capability.number()))?;
    }
    Ok(())
}

/// What this process could hold at most.
pub(crate) fn own() -> CapabilitySet {
    kernel::permitted().unwrap_or_default()
}
