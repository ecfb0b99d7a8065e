//! The system calls of confinement that no safe wrapper covers.
#![allow(unsafe_code)]

use std::io;

use lonja_model::privileges::CapabilitySet;

/// `_LINUX_CAPABILITY_VERSION_3`: two words of 32 bits a set.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Word {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn prctl(option: i32, second: libc::c_ulong, third: libc::c_ulong) -> io::Result<libc::c_long> {
    let none: libc::c_ulong = 0;
    // SAFETY: only options without pointers are used here; the unused arguments are zero, as the kernel demands.
    check(libc::c_long::from(unsafe { libc::prctl(option, second, third, none, none) }))
}

/// Takes a capability out of the bounding set, if it is there. `false`: the kernel does not know it.
pub(super) fn drop_bounding(number: u8) -> io::Result<bool> {
    match prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        // Without the power to take it out it may still not be there.
        Err(error) => {
            if bounding_holds(number) == Some(false) {
                Ok(true)
            } else {
                Err(error)
            }
        }
        Ok(_) => Ok(true),
    }
}

/// Whether the bounding set holds it; `None`: the kernel does not know it.
fn bounding_holds(number: u8) -> Option<bool> {
    prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number), 0).ok().map(|holds| holds == 1)
}

/// Sets this process's capabilities.
pub(super) fn set_capabilities(
    effective: CapabilitySet,
    permitted: CapabilitySet,
    inheritable: CapabilitySet,
) -> io::Result<()> {
    let header = Header { version: VERSION, pid: 0 };
    let half = |set: CapabilitySet, index: u32| u32::try_from((set.bits() >> (32 * index)) & 0xffff_ffff);
    let mut words = [Word::default(); 2];
    for (word, index) in words.iter_mut().zip(0..) {
        *word = Word {
            effective: half(effective, index).unwrap_or_default(),
            permitted: half(permitted, index).unwrap_or_default(),
            inheritable: half(inheritable, index).unwrap_or_default(),
        };
    }
    // SAFETY: header and data have the layout of version 3 and are only read.
    check(unsafe { libc::syscall(libc::SYS_capset, &header, words.as_ptr()) }).map(|_| ())
}

/// This process's permitted capabilities.
pub(super) fn permitted() -> io::Result<CapabilitySet> {
    let header = Header { version: VERSION, pid: 0 };
    let mut words = [Word::default(); 2];
    // SAFETY: header and data have the layout of version 3; the data outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capget, &header, words.as_mut_ptr()) })?;
    let [low, high] = words;
    Ok(CapabilitySet::from_bits(u64::from(low.permitted) | u64::from(high.permitted) << 32))
}

/// Keeps permitted capabilities over the next change of user.
pub(super) fn keep_capabilities() -> io::Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, 1, 0).map(|_| ())
}

/// Drops every ambient capability.
pub(super) fn clear_ambient() -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0).map(|_| ())
}

/// Hands a capability on to programs of any user.
pub(super) fn raise_ambient(number: u8) -> io::Result<()> {
    let raise = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;
    prctl(libc::PR_CAP_AMBIENT, raise, libc::c_ulong::from(number)).map(|_| ())
}

/// Being user 0 gives no capabilities any more, for good.
pub(super) fn make_root_powerless() -> io::Result<()> {
    /// SECBIT_NOROOT and SECBIT_NO_SETUID_FIXUP, KEEP_CAPS off, NO_CAP_AMBIENT_RAISE, each locked.
    const POWERLESS: libc::c_ulong = 0b1110_1111;
    prctl(libc::PR_SET_SECUREBITS, POWERLESS, 0).map(|_| ())
}

/// Programs gain nothing any more by being executed.
pub(super) fn no_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(|_| ())
}

/// Sets a limit of a process (0: this one), and returns what it was, as soft and hard.
pub(super) fn set_limit(pid: i32, resource: u8, limit: Option<(u64, u64)>) -> io::Result<(u64, u64)> {
    let new = limit.map(|(soft, hard)| libc::rlimit64 { rlim_cur: soft, rlim_max: hard });
    let new_pointer = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `new` is null or valid and only read; `old` outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            pid,
            u32::from(resource),
            new_pointer,
            std::ptr::from_mut(&mut old),
        )
    };
    check(result).map(|_| (old.rlim_cur, old.rlim_max))
}
