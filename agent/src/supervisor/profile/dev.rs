//! A container's `/dev`: six devices of the host's, terminals and shared memory of its own.
//!
//! Source: OCI runtime specification, default devices.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::super::report::Failure;
use super::mounting::{attach, file, file_system, folder, link, refuse, show};
use super::root::Builder;

/// The only devices that can be opened, each by a mount of its own: all other mounts refuse devices.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Where programs expect their streams and terminals.
const LINKS: [(&str, &str); 5] = [
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
    ("dev/ptmx", "pts/ptmx"),
];

/// The group of terminals, by custom of all distributions.
const TTY: u32 = 5;

/// Terminals that one container may have.
const TERMINALS: &str = "1024";

pub(super) fn build(builder: &Builder<'_>) -> Result<(), Failure> {
    let root = builder.root();
    folder(root, "dev", 0o755)?;
    for device in DEVICES {
        let path = format!("dev/{device}");
        file(root, &path)?;
        show(&format!("/{path}"), root, &path, libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC)
            .map_err(|error| refuse(format_args!("the device '/{path}'"), &error))?;
    }
    for (path, target) in LINKS {
        link(root, path, target)?;
    }
    folder(root, "dev/pts", 0o755)?;
    terminals(builder, root).map_err(|error| refuse("terminals at '/dev/pts'", &error))?;
    folder(root, "dev/shm", 0o1777)?;
    folder(root, "dev/mqueue", 0o1777)?;
    if builder.own_queues() {
        queues(root).map_err(|error| refuse("message queues at '/dev/mqueue'", &error))?;
    }
    Ok(())
}

/// Those of this process's namespace.
pub(super) fn queues(root: &OwnedFd) -> Result<(), Errno> {
    let queues = file_system("mqueue", &[], quiet())?;
    attach(&queues, std::os::fd::AsFd::as_fd(root), "dev/mqueue")
}

fn quiet() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC
}

fn terminals(builder: &Builder<'_>, root: &OwnedFd) -> Result<(), Errno> {
    let group = builder.outside(TTY).map(|group| group.to_string());
    let mut options = vec![("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("max", TERMINALS)];
    if let Some(group) = &group {
        options.push(("gid", group));
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let terminals = file_system("devpts", &options, attributes)?;
    attach(&terminals, std::os::fd::AsFd::as_fd(root), "dev/pts")
}
