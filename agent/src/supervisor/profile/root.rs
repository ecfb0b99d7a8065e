//! A root file system built for one task: the host's programs and libraries to read, everything else its own.
//!
//! Built in two steps. [`build`] makes all that needs no task and leaves the host's root for good; it can be done ahead
//! of time. [`Root::furnish`] adds the sandbox, volumes and names, and closes what is to be closed.
//!
//! Invariants
//! - After [`build`] no mount of the host is left in the container's mount namespace but those shown in it.
//! - Everything of the host's is read-only but the sandbox and volumes, and everything refuses set-user-id programs.
//!
//! Source: pivot_root(2), `pivot_root(".", ".")`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsPickFlags, MountAttrFlags, MountPropagationFlags, UnmountFlags, fsconfig_reconfigure,
    fsconfig_set_string, fspick, mount_change, unmount,
};

use super::super::report::{Failure, FailureReason};
use super::super::sources;
use super::super::spec::{ContainerSpec, Volume};
use super::super::sys::{self, MountChange};
use super::super::task::plain;
use super::super::user::TaskUser;
use super::etc::Names;
use super::mounting::{NO_POWER, READ_ONLY, attach, copy, errno, file_system, folder, link, refuse, show};
use super::{Mould, Part, dev, etc, kernel_files, places};

/// Where a host keeps programs and libraries: folders are shown, links made again.
const SYSTEM: [&str; 9] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu"];

/// Empty folders that programs expect, with their modes.
const FOLDERS: [(&str, u32); 13] = [
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
];

/// What can be written also where the root cannot.
const WRITABLE: [&str; 3] = ["tmp", "var/tmp", "dev/shm"];

/// Files and folders that a container may have in its root, beside its memory limit.
const INODES: &str = "1048576";

/// Whose root is built, and where.
pub(super) struct Builder<'a> {
    root: OwnedFd,
    mould: &'a Mould,
    /// The host's id of user 0 inside; `None` where users of others cannot be named.
    first: Option<u32>,
}

impl Builder<'_> {
    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// The host's id of an id inside.
    pub(super) fn outside(&self, inside: u32) -> Option<u32> {
        self.first.map(|first| first + inside)
    }

    pub(super) fn own_queues(&self) -> bool {
        self.mould.isolation.has(Part::Ipc)
    }

    pub(super) fn shows_sys(&self) -> bool {
        !self.mould.rootless()
    }

    pub(super) fn hides_processes(&self) -> bool {
        self.mould.rootless()
    }
}

/// Makes a mount namespace of the container's own, into which the host's mounts come and none goes out.
pub(in super::super) fn detach_mounts() -> Result<(), Failure> {
    sys::new_mount_namespace().map_err(|error| {
        let message = format!("cannot make the container's mount namespace: {}", plain(&error));
        Failure::new(FailureReason::Namespace, message)
    })?;
    // Slave rather than private: what the host unmounts later goes here too, so that a container never
    // keeps a disk busy. Nothing flows the other way.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).map_err(|error| {
        let message = format!("cannot detach the container's mounts from the host's: {error}");
        Failure::new(FailureReason::Namespace, message)
    })
}

/// A container's root, which is this process's root.
pub(in super::super) struct Root(OwnedFd);

/// Builds the root in this mount namespace and makes it the only one there is. `first`: the host's id of user 0
/// inside, if this process may name other users.
pub(in super::super) fn build(mould: &Mould, first: Option<u32>) -> Result<Root, Failure> {
    let owner = first.filter(|_| !mould.rootless()).unwrap_or(0).to_string();
    let mut options = vec![("mode", "0755"), ("nr_inodes", INODES)];
    if first.is_some() {
        options.extend([("uid", owner.as_str()), ("gid", owner.as_str())]);
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let root = file_system("tmpfs", &options, attributes).map_err(|error| refuse("a tmpfs", &error))?;
    // Over something that no part of the root is taken from. Nobody else sees this mount namespace.
    attach(&root, CWD, "/tmp").map_err(|error| refuse("attach it at '/tmp'", &error))?;
    let builder = Builder { root, mould, first };
    system(&builder)?;
    folders(&builder)?;
    etc::build(&builder)?;
    dev::build(&builder)?;
    kernel_files::build(&builder)?;
    for path in WRITABLE.iter().filter(|_| mould.rootless()) {
        keep_writable(&builder, path).map_err(|error| refuse(format_args!("'/{path}'"), &error))?;
    }
    pivot(&builder.root).map_err(|error| refuse("leave the host's", &error))?;
    Ok(Root(builder.root))
}

fn system(builder: &Builder<'_>) -> Result<(), Failure> {
    for name in SYSTEM {
        let source = format!("/{name}");
        let Ok(found) = std::fs::symlink_metadata(&source) else {
            continue;
        };
        if found.is_symlink() {
            let target = std::fs::read_link(&source).unwrap_or_default();
            link(builder.root(), name, &target.to_string_lossy())?;
        } else if found.is_dir() {
            folder(builder.root(), name, 0o755)?;
            show(&source, builder.root(), name, READ_ONLY)
                .map_err(|error| refuse(format_args!("'{source}'"), &error))?;
        }
    }
    Ok(())
}

fn folders(builder: &Builder<'_>) -> Result<(), Failure> {
    for (path, mode) in FOLDERS {
        folder(builder.root(), path, mode)?;
        if let Some(owner) = builder.outside(0).filter(|_| !builder.mould.rootless()) {
            let owner = (rustix::fs::Uid::from_raw(owner), rustix::fs::Gid::from_raw(owner));
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(builder.root(), path, Some(owner.0), Some(owner.1), flags)
                .map_err(|error| refuse(format_args!("give '/{path}' to root inside"), &error))?;
        }
    }
    Ok(())
}

/// Makes a mount of its own of a folder.
fn keep_writable(builder: &Builder<'_>, path: &str) -> Result<(), rustix::io::Errno> {
    let same = copy(builder.root().as_fd(), path, false)?;
    let change = MountChange { set: NO_POWER, ..MountChange::default() };
    sys::change_mount(same.as_fd(), &change).map_err(|error| errno(&error))?;
    attach(&same, builder.root().as_fd(), path)
}

/// Makes `root` the root, and drops what was it before.
fn pivot(root: &OwnedFd) -> Result<(), rustix::io::Errno> {
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    // Now the old root lies upon the new one.
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

/// What the root is furnished with.
pub(in super::super) struct Furniture<'a> {
    pub(in super::super) spec: &'a ContainerSpec,
    pub(in super::super) names: &'a Names,
    /// Whom the task runs as, by ids inside.
    pub(in super::super) user: Option<&'a TaskUser>,
    /// Who makes mount points in folders of the container's, by ids of the host.
    pub(in super::super) makers: &'a [(u32, u32)],
    /// The sandbox, then each volume, as [`super::trees`] opened them.
    pub(in super::super) trees: Vec<OwnedFd>,
}

impl Root {
    /// Puts in what the task has of its own.
    pub(in super::super) fn furnish(&self, mould: &Mould, furniture: Furniture<'_>) -> Result<(), Failure> {
        let Furniture { spec, names, user, makers, trees } = furniture;
        if let Some(bytes) = spec.limits.memory_bytes {
            self.resize(bytes).map_err(|error| refuse("size it", &error))?;
        }
        let hostname = nix::unistd::gethostname().unwrap_or_default();
        let named = user.map(|user| (spec.user.as_deref().unwrap_or_default(), user.uid, user.gid));
        etc::furnish(&self.0, names, &hostname.to_string_lossy(), named, &spec.sandbox.to_string_lossy())?;
        let mut trees = trees.into_iter();
        let sandbox = trees.next().ok_or_else(|| refuse("the sandbox", &"it did not come"))?;
        let mut volumes: Vec<_> = spec.volumes.iter().zip(trees.by_ref()).collect();
        // Memory in the place of a folder that the sandbox is in goes below it.
        for (volume, tree) in volumes.extract_if(.., |(volume, _)| spec.is_below_sandbox(volume)) {
            self.attach_volume(volume, &sandbox, &tree, makers)?;
        }
        let place = places::reach(&self.0, &spec.sandbox, true, &[]).and_then(|place| {
            attach(&sandbox, place.as_fd(), "")?;
            Ok(place)
        });
        place.map_err(|error| {
            let message = format!("cannot show the sandbox '{}': {error}", spec.sandbox.display());
            Failure::new(FailureReason::Sandbox, message)
        })?;
        for (volume, tree) in volumes {
            self.attach_volume(volume, &sandbox, &tree, makers)?;
        }
        for ((_, path), node) in spec.limits.nodes().zip(trees) {
            let place = places::reach(&self.0, path, false, &[]);
            place
                .and_then(|place| attach(&node, place.as_fd(), ""))
                .map_err(|error| refuse(format_args!("the device '{}'", path.display()), &error))?;
        }
        if mould.rootless() {
            let change = MountChange { set: libc::MOUNT_ATTR_RDONLY, ..MountChange::default() };
            sys::change_mount(self.0.as_fd(), &change)
                .map_err(|error| refuse("make it read-only", &error))?;
        }
        Ok(())
    }

    /// Shows the message queues of the namespace that this process has entered since.
    pub(in super::super) fn renew_queues(&self, mould: &Mould) -> Result<(), Failure> {
        if !mould.has(Part::Ipc) {
            return Ok(());
        }
        unmount("/dev/mqueue", UnmountFlags::DETACH)
            .and_then(|()| dev::queues(&self.0))
            .map_err(|error| refuse("message queues at '/dev/mqueue'", &error))
    }

    /// What is written to the root counts as the container's memory, and there is no more of it than of that.
    fn resize(&self, bytes: u64) -> Result<(), rustix::io::Errno> {
        let context = fspick(&self.0, "", FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH)?;
        fsconfig_set_string(&context, "size", bytes.to_string())?;
        fsconfig_reconfigure(&context)
    }

    fn attach_volume(
        &self,
        volume: &Volume,
        sandbox: &OwnedFd,
        tree: &OwnedFd,
        makers: &[(u32, u32)],
    ) -> Result<(), Failure> {
        let path = &volume.container_path;
        let top = if path.is_absolute() { &self.0 } else { sandbox };
        let refuse = |error| places::refuse_volume(volume, "take the file for", path, &error);
        let alone = sources::alone(&volume.source, tree, Path::new("/run")).map_err(refuse)?;
        let tree = alone.as_ref().unwrap_or(tree);
        places::reach(top, path, places::is_directory(tree), makers)
            .and_then(|place| attach(tree, place.as_fd(), ""))
            .map_err(|error| places::refuse_volume(volume, "container path", path, &error))
    }
}

/// The folder that the host keeps at this path, to be opened below.
pub(super) fn open_folder(path: &Path) -> Result<OwnedFd, rustix::io::Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}
