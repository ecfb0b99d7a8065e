//! A container's `/proc` and `/sys`: its own where the kernel can, and never a way to change or spy on the host.
//!
//! Source: Docker's default masked and read-only paths.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::super::report::Failure;
use super::super::sys::{self, MountChange};
use super::mounting::{READ_ONLY, attach, copy, errno, file_system, folder, look, refuse};
use super::root::Builder;

/// What tells of the whole host. Files read as empty, folders have nothing in them.
const MASKED_IN_PROC: [&str; 13] = [
    "acpi",
    "asound",
    "interrupts",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "sysrq-trigger",
    "timer_list",
    "timer_stats",
];

/// What changes the whole host.
const READ_ONLY_IN_PROC: [&str; 4] = ["bus", "fs", "irq", "sys"];

/// As in `/proc`.
const MASKED_IN_SYS: [&str; 2] = ["firmware", "devices/virtual/powercap"];

/// Where other file systems are mounted in the host's `/sys`.
const MOUNTED_IN_SYS: [&str; 6] =
    ["kernel/debug", "kernel/tracing", "kernel/security", "fs/bpf", "fs/cgroup", "fs/pstore"];

/// An empty folder while the root is built.
const NOTHING: &str = ".nothing";

pub(super) fn build(builder: &Builder<'_>) -> Result<(), Failure> {
    let root = builder.root();
    folder(root, NOTHING, 0o755)?;
    let built = proc(builder).and_then(|()| if builder.shows_sys() { sys(builder) } else { Ok(()) });
    // Mounted it stays, and nothing can ever be put into it.
    rustix::fs::unlinkat(root, NOTHING, rustix::fs::AtFlags::REMOVEDIR)
        .map_err(|error| refuse("remove a folder", &error))?;
    built
}

fn proc(builder: &Builder<'_>) -> Result<(), Failure> {
    let root = builder.root();
    folder(root, "proc", 0o555)?;
    let hidden: &[(&str, &str)] = if builder.hides_processes() { &[("hidepid", "invisible")] } else { &[] };
    // Made by this very call, so that it is proc and nothing else; and of the container's own process ids.
    let proc = file_system("proc", hidden, quiet()).map_err(|error| refuse("'/proc'", &error))?;
    attach(&proc, root.as_fd(), "proc").map_err(|error| refuse("'/proc'", &error))?;
    for path in READ_ONLY_IN_PROC {
        keep_read_only(proc.as_fd(), path).map_err(|error| refuse(format_args!("'/proc/{path}'"), &error))?;
    }
    mask(root, proc.as_fd(), "/proc", &MASKED_IN_PROC)
}

fn sys(builder: &Builder<'_>) -> Result<(), Failure> {
    let root = builder.root();
    folder(root, "sys", 0o555)?;
    let refuse = |error: Errno| refuse("'/sys'", &error);
    let (sys, own) = match file_system("sysfs", &[], quiet() | MountAttrFlags::MOUNT_ATTR_RDONLY) {
        Ok(sys) => (sys, true),
        // Without power over the network it shows: the host's.
        Err(Errno::PERM) => (copy(CWD, "/sys", true).map_err(refuse)?, false),
        Err(error) => return Err(refuse(error)),
    };
    let set = READ_ONLY | libc::MOUNT_ATTR_NOEXEC;
    sys::change_mount(sys.as_fd(), &MountChange { set, whole: true, ..MountChange::default() })
        .and_then(|()| Ok(attach(&sys, root.as_fd(), "sys")?))
        .map_err(|error| refuse(errno(&error)))?;
    mask(root, sys.as_fd(), "/sys", &MASKED_IN_SYS)?;
    if !own {
        mask(root, sys.as_fd(), "/sys", &MOUNTED_IN_SYS)?;
    }
    mask_throttling(root, sys.as_fd())
}

/// How hot processors were tells what runs on them. Source: Docker, since the powercap side channel.
fn mask_throttling(root: &OwnedFd, sys: BorrowedFd<'_>) -> Result<(), Failure> {
    let path = |cpu| format!("devices/system/cpu/cpu{cpu}/thermal_throttle");
    // Where the first has none, no processor has.
    if look(sys, &path(0)).is_err() {
        return Ok(());
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let paths: Vec<String> = (0..cpus).map(path).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    mask(root, sys, "/sys", &paths)
}

fn quiet() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC
}

fn keep_read_only(place: BorrowedFd<'_>, path: &str) -> Result<(), Errno> {
    let target = match look(place, path) {
        Err(Errno::NOENT) => return Ok(()),
        target => target?,
    };
    let same = copy(target.as_fd(), "", true)?;
    let change = MountChange { set: libc::MOUNT_ATTR_RDONLY, whole: true, ..MountChange::default() };
    sys::change_mount(same.as_fd(), &change).map_err(|error| errno(&error))?;
    attach(&same, target.as_fd(), "")
}

/// Covers each path that exists.
fn mask(root: &OwnedFd, place: BorrowedFd<'_>, name: &str, paths: &[&str]) -> Result<(), Failure> {
    for path in paths {
        cover(root, place, path).map_err(|error| refuse(format_args!("mask '{name}/{path}'"), &error))?;
    }
    Ok(())
}

fn cover(root: &OwnedFd, place: BorrowedFd<'_>, path: &str) -> Result<(), Errno> {
    let target = match look(place, path) {
        Err(Errno::NOENT) => return Ok(()),
        target => target?,
    };
    let is_folder = FileType::from_raw_mode(rustix::fs::fstat(&target)?.st_mode) == FileType::Directory;
    let cover = if is_folder {
        let nothing = copy(root.as_fd(), NOTHING, false)?;
        let change = MountChange { set: READ_ONLY, ..MountChange::default() };
        sys::change_mount(nothing.as_fd(), &change).map_err(|error| errno(&error))?;
        nothing
    } else {
        // What is written to it is nowhere, and it reads as empty.
        copy(root.as_fd(), "dev/null", false)?
    };
    attach(&cover, target.as_fd(), "")
}
