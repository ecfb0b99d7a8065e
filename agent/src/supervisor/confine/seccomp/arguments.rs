//! Calls of which only some uses are allowed, told apart by their arguments.
//!
//! Arguments that the kernel takes as 32 bits are compared as 32 bits: what stands in the upper half of a register
//! must not make a call look like another one.
//!
//! Source: clone(2), socket(2), ioctl(2), personality(2), seccomp(2).

use std::collections::BTreeMap;

use lonja_model::privileges::{Capability, CapabilitySet};
use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

/// What seccompiler says of a rule that cannot be.
type Outcome<T> = Result<T, seccompiler::BackendError>;

/// New namespaces, each of which opens parts of the kernel that expect a host's root.
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// Ways of running that programs ask for: the usual one, 32-bit names, and asking which it is. None of those that
/// make addresses guessable.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Netlink families that need no power of the network's owner.
const NETLINK: [i32; 5] = [
    libc::NETLINK_ROUTE,
    libc::NETLINK_SOCK_DIAG,
    libc::NETLINK_AUDIT,
    libc::NETLINK_KOBJECT_UEVENT,
    libc::NETLINK_GENERIC,
];

/// The calls with their allowed uses: one rule that fits is enough.
pub(super) fn rules(hardened: bool, bounding: CapabilitySet) -> Outcome<BTreeMap<i64, Vec<SeccompRule>>> {
    let mut rules = BTreeMap::new();
    if !bounding.contains(Capability::SYS_ADMIN) {
        rules.insert(libc::SYS_clone, vec![rule(vec![masked(0, NAMESPACES, 0)?])?]);
    } else {
        rules.insert(libc::SYS_clone, Vec::new());
    }
    rules.insert(libc::SYS_socket, sockets(hardened, bounding)?);
    // Characters put into a terminal are commands of whoever sits there.
    let terminal = vec![differs(1, libc::TIOCSTI)?, differs(1, TIOCLINUX)?];
    rules.insert(libc::SYS_ioctl, vec![rule(terminal)?]);
    let personalities = PERSONALITIES.iter().map(|value| rule(vec![equal(0, *value)?]));
    rules.insert(libc::SYS_personality, personalities.collect::<Result<_, _>>()?);
    if hardened {
        // A filter may be added, a listener that decides for others may not.
        rules.insert(
            libc::SYS_seccomp,
            vec![rule(vec![masked(1, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER, 0)?])?],
        );
    }
    Ok(rules)
}

/// Selecting, pasting and more on a console. Source: ioctl_console(2).
const TIOCLINUX: libc::Ioctl = 0x541c;

fn sockets(hardened: bool, bounding: CapabilitySet) -> Outcome<Vec<SeccompRule>> {
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
    let mut allowed: Vec<_> = families.iter().map(|family| rule(vec![is(0, *family)?])).collect();
    if bounding.contains(Capability::NET_RAW) {
        allowed.push(rule(vec![is(0, libc::AF_PACKET)?]));
    }
    if bounding.contains(Capability::NET_ADMIN) {
        allowed.push(rule(vec![is(0, libc::AF_NETLINK)?]));
    } else {
        let netlink = if hardened { NETLINK.get(..1).unwrap_or_default() } else { &NETLINK };
        allowed.extend(netlink.iter().map(|kind| rule(vec![is(0, libc::AF_NETLINK)?, is(2, *kind)?])));
    }
    allowed.into_iter().collect()
}

fn rule(conditions: Vec<SeccompCondition>) -> Outcome<SeccompRule> {
    SeccompRule::new(conditions)
}

fn equal(argument: u8, value: u64) -> Outcome<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn is(argument: u8, value: i32) -> Outcome<SeccompCondition> {
    equal(argument, u64::from(value.cast_unsigned()))
}

fn differs(argument: u8, value: libc::Ioctl) -> Outcome<SeccompCondition> {
    let value = u64::from(value as u32);
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
}

/// The bits of `mask` are those of `value`; the kernel takes these arguments whole.
fn masked(argument: u8, mask: u64, value: u64) -> Outcome<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value)
}
