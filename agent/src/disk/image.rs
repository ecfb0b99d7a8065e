//! A file system of its own for each sandbox, in a file.
//!
//! The loop device frees itself when nobody uses it, and a mount that is attached nowhere ends with its descriptor: so
//! whoever dies half-way leaves nothing behind but the file.
//!
//! Source: loop(4), fsopen(2), `mke2fs(8)`.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
};

use super::kernel;

/// The smallest image that mke2fs can do something with, in bytes.
pub(super) const SMALLEST: u64 = 1 << 20;

/// Where mke2fs is looked for: daemons do not always have the system's folders in their `PATH`.
const PLACES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/usr/local/sbin"];

/// The program that makes the file systems. Errors: what is missing, and what to do.
pub(super) fn find_maker() -> Result<PathBuf, String> {
    let found = PLACES.iter().map(|place| Path::new(place).join("mkfs.ext4")).find(|path| path.exists());
    found.ok_or_else(|| "mkfs.ext4 is missing: install e2fsprogs".to_owned())
}

/// Makes an image of this size, empty. It takes only what is written. `owner` gets the root folder.
pub(super) fn make(maker: &Path, image: &Path, bytes: u64, owner: (u32, u32)) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(image)?;
    file.set_len(bytes.max(SMALLEST))?;
    // A sandbox ends with its host's boot, so a journal would only take room; nothing is kept back for root.
    let made = Command::new(maker)
        .args(["-q", "-F", "-m", "0", "-O", "^has_journal", "-E"])
        .arg(format!("lazy_itable_init=1,nodiscard,root_owner={}:{}", owner.0, owner.1))
        .arg(image)
        .env_clear()
        .env("MKE2FS_CONFIG", "/dev/null")
        .stdin(Stdio::null())
        .output()?;
    if made.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&made.stderr);
    Err(io::Error::other(format!("{} failed: {}", maker.display(), said.trim())))
}

/// Mounts the image nowhere: the mount is there for as long as the descriptor is, or until it is attached.
pub(super) fn mount(image: &Path, read_only: bool) -> io::Result<OwnedFd> {
    // Held open until it is mounted, so that it cannot become another file's.
    let (_device, source) = match used_by(image)? {
        // The same file system again, not another reader of the same file.
        Some(device) => device,
        None => loop_device(image)?,
    };
    let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", source)?;
    // All mounts of a file system are alike in whether it can be written; each by itself may be for reading only.
    fsconfig_create(&context)?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    if read_only {
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Empties a fresh file system of what mke2fs puts there, and sets the mode of its root.
pub(super) fn tidy(mounted: &OwnedFd, mode: u32) -> io::Result<()> {
    match rustix::fs::unlinkat(mounted, "lost+found", AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let root = rustix::fs::openat(mounted, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::fs::fchmod(&root, Mode::from_raw_mode(mode))?)
}

/// Attaches a mount to a folder.
pub(super) fn attach(mounted: &OwnedFd, folder: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(mounted, "", CWD, folder, flags)?)
}

/// Whether something is mounted on the folder.
pub(super) fn is_mounted(folder: &Path) -> io::Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match rustix::fs::statx(CWD, folder, flags, StatxFlags::TYPE) {
        Ok(stat) => Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Takes off whatever is mounted on the folder. Who reads files of it reads on.
pub(super) fn detach(folder: &Path) -> io::Result<()> {
    while is_mounted(folder)? {
        unmount(folder, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
    }
    Ok(())
}

/// The loop device that shows the image already, if there is one.
fn used_by(image: &Path) -> io::Result<Option<(OwnedFd, String)>> {
    let devices = match fs::read_dir("/sys/block") {
        Ok(devices) => devices,
        Err(_) => return Ok(None),
    };
    for device in devices.flatten() {
        let name = device.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("loop") {
            continue;
        }
        let shows_image = || {
            let file = fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
            Path::new(file.trim_end_matches('\n')) == image
        };
        let path = format!("/dev/{name}");
        if shows_image()
            && let Ok(device) = kernel::open_device(&path)
            // It may have freed itself before it was opened, and afterwards it cannot.
            && shows_image()
        {
            return Ok(Some((device, path)));
        }
    }
    Ok(None)
}

/// Shows the image as a block device, for as long as somebody uses it.
fn loop_device(image: &Path) -> io::Result<(OwnedFd, String)> {
    let file = fs::OpenOptions::new().read(true).write(true).open(image)?;
    let loop_control = kernel::open_device("/dev/loop-control")?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let number = kernel::free_loop_device(loop_control.as_fd())?;
        let path = format!("/dev/loop{number}");
        let device = kernel::open_device(&path)?;
        match kernel::configure_loop(device.as_fd(), file.as_fd()) {
            Ok(()) => return Ok((device, path)),
            // Somebody else was faster, and the next one is free for certain only when we have it.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && attempts < 64 => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether this process may use loop devices.
pub(super) fn probe() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("loop devices need root".to_owned());
    }
    kernel::open_device("/dev/loop-control")
        .map(|_| ())
        .map_err(|error| format!("/dev/loop-control: {error}"))
}
