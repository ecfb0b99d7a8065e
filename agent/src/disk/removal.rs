//! Removing a folder that strangers have filled.
//!
//! Every folder in it is emptied where it is; the folders in that one that are not empty are brought up to the top
//! first. So depth costs nothing, and two descriptors are enough.
//!
//! Invariants
//! - Nothing outside goes: no link is followed, and what is mounted inside is taken off, never entered.
//! - Neither modes nor the attributes of chattr(1) stand in the way.
//!
//! Source: openat2(2), unlinkat(2), ioctl_iflags(2).

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, IFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

/// Subvolumes inside each other that are emptied one after the other; folders cannot be brought up out of them.
const MOST_TOPS: usize = 256;

/// What the kernel calls attributes that keep a file as it is.
const KEEPING: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);

/// Removes what is at `path` with all that is in it. Missing is fine. Blocks.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match rustix::fs::open(parent, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    let name = CString::new(name.as_bytes())?;
    let mut removal = Removal::default();
    match removal.take(&parent, &name) {
        Ok(Taken::Gone) => Ok(()),
        Ok(Taken::Folder(folder)) => {
            removal.empty(folder)?;
            match removal.remove_folder(&parent, &name) {
                Err(Errno::NOENT) => Ok(()),
                other => Ok(other?),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// What became of an entry.
enum Taken {
    /// It is no more.
    Gone,
    /// It is a folder with something in it, and this opens it.
    Folder(OwnedFd),
}

#[derive(Default)]
struct Removal {
    /// Names the folders that are brought up.
    brought_up: u64,
    /// Folders that are being emptied to their last, one inside the other.
    tops: usize,
}

impl Removal {
    /// Empties a folder, however deep what is in it may be.
    fn empty(&mut self, top: OwnedFd) -> Result<(), Errno> {
        self.tops += 1;
        if self.tops > MOST_TOPS {
            return Err(Errno::MFILE);
        }
        allow(&top);
        // Whoever adds to it while we remove would keep us for ever.
        let mut rounds = 0;
        loop {
            let names = names(&top)?;
            if names.is_empty() {
                break;
            }
            rounds += 1;
            if rounds > 1_000_000 {
                return Err(Errno::NOTEMPTY);
            }
            for name in names {
                if let Taken::Folder(folder) = self.take(&top, &name)? {
                    self.empty_onto(&folder, &top)?;
                    self.remove_folder(&top, &name)?;
                }
            }
        }
        self.tops -= 1;
        Ok(())
    }

    /// Empties a folder; folders in it that are not empty themselves go to `top`.
    fn empty_onto(&mut self, folder: &OwnedFd, top: &OwnedFd) -> Result<(), Errno> {
        allow(folder);
        loop {
            let names = names(folder)?;
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                let Taken::Folder(inner) = self.take(folder, &name)? else { continue };
                // Also to move it its own attributes must allow: its `..` changes.
                allow(&inner);
                match self.bring_up(folder, &name, top) {
                    Ok(()) => {}
                    // Of another subvolume or project: it is emptied by itself.
                    Err(Errno::XDEV) => {
                        self.empty(inner)?;
                        self.remove_folder(folder, &name)?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    fn bring_up(&mut self, folder: &OwnedFd, name: &CStr, top: &OwnedFd) -> Result<(), Errno> {
        loop {
            self.brought_up += 1;
            let new_name = format!(".removed-{}", self.brought_up);
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(folder, name, top, new_name.as_str(), flags) {
                Err(Errno::EXIST) => {}
                other => return other,
            }
        }
    }

    /// Removes an entry that is no folder, or an empty one; opens any other folder.
    fn take(&self, folder: &OwnedFd, name: &CStr) -> Result<Taken, Errno> {
        let mut allowed = false;
        loop {
            match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => return Ok(Taken::Gone),
                Err(Errno::BUSY) => take_off(folder, name)?,
                Err(Errno::PERM | Errno::ACCESS) if !allowed => {
                    allowed = true;
                    allow(folder);
                    if let Ok(file) = open(folder, name, OFlags::empty()) {
                        allow(&file);
                    }
                }
                Err(Errno::ISDIR | Errno::PERM) => break,
                Err(error) => return Err(error),
            }
        }
        match self.remove_folder(folder, name) {
            Ok(()) | Err(Errno::NOENT) => Ok(Taken::Gone),
            // Some file systems say the one, some the other.
            Err(Errno::NOTEMPTY | Errno::EXIST) => self.open_folder(folder, name).map(Taken::Folder),
            Err(error) => Err(error),
        }
    }

    fn remove_folder(&self, folder: &OwnedFd, name: &CStr) -> Result<(), Errno> {
        let mut allowed = false;
        loop {
            match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
                Err(Errno::BUSY) => take_off(folder, name)?,
                Err(Errno::PERM | Errno::ACCESS) if !allowed => {
                    allowed = true;
                    allow(folder);
                    allow(&self.open_folder(folder, name)?);
                }
                other => return other,
            }
        }
    }

    fn open_folder(&self, folder: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match open(folder, name, OFlags::DIRECTORY) {
                Err(Errno::XDEV) if attempts < 1_000 => take_off(folder, name)?,
                // Its owner shut everybody out, and an agent without root is everybody.
                Err(Errno::ACCESS) if attempts < 1_000 => {
                    let handle = open(folder, name, OFlags::DIRECTORY | OFlags::PATH)?;
                    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
                    rustix::fs::chmod(path, Mode::RWXU)?;
                }
                Err(Errno::AGAIN) if attempts < 1_000 => {}
                other => return other,
            }
        }
    }
}

/// Opens an entry without following it or waiting for it. `XDEV`: something is mounted there.
fn open(folder: &OwnedFd, name: &CStr, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | more;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = rustix::fs::openat2(folder, name, flags, Mode::empty(), resolve)?;
    // `NO_XDEV` would refuse btrfs subvolumes as well, which are removed like folders.
    let wanted = rustix::fs::StatxFlags::TYPE;
    let stat = rustix::fs::statx(&opened, c"", AtFlags::EMPTY_PATH, wanted)?;
    let is_mount = stat.stx_attributes.contains(rustix::fs::StatxAttributes::MOUNT_ROOT);
    if is_mount { Err(Errno::XDEV) } else { Ok(opened) }
}

/// Takes attributes off that forbid removal; what has none is left alone.
fn allow(file: &OwnedFd) {
    // Where the file system knows no attributes, none forbid.
    let Ok(flags) = rustix::fs::ioctl_getflags(file) else { return };
    if flags.intersects(KEEPING) {
        // What still forbids shows when it is removed.
        let _still_kept = rustix::fs::ioctl_setflags(file, flags - KEEPING);
    }
}

/// Takes off what is mounted there.
fn take_off(folder: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
}

/// Some of the names in a folder, from its beginning.
fn names(folder: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes() != b"." && name.to_bytes() != b".." {
            names.push(name.to_owned());
        }
        if names.len() == 10_000 {
            break;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn is_root() -> bool {
        nix::unistd::geteuid().is_root()
    }

    #[test]
    fn nothing_that_a_task_leaves_behind_stays_and_nothing_outside_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (sandbox, outside) = (dir.path().join("sandbox"), dir.path().join("outside"));
        fs::create_dir_all(sandbox.join("shut/inner/more")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "kept").unwrap();
        symlink(&outside, sandbox.join("link")).unwrap();
        symlink(&outside, sandbox.join("shut/inner/link")).unwrap();
        fs::write(sandbox.join("shut/inner/more/file"), "").unwrap();
        nix::unistd::mkfifo(&sandbox.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        fs::write(sandbox.join(".removed-1"), "in the way").unwrap();
        if is_root() {
            keep(&sandbox.join("shut/inner/more/file"));
            keep(&sandbox.join("shut/inner/more"));
            keep(&sandbox.join("shut"));
            keep(&sandbox);
        } else {
            eprintln!("skipped: needs root");
        }
        fs::set_permissions(sandbox.join("shut/inner"), fs::Permissions::from_mode(0o000)).unwrap();

        remove(&sandbox).unwrap();

        assert!(!sandbox.exists());
        assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
        remove(&sandbox).unwrap();
    }

    fn keep(path: &Path) {
        let file = fs::File::open(path).unwrap();
        // Not every file system of a temporary folder knows it.
        if let Ok(flags) = rustix::fs::ioctl_getflags(&file) {
            let _unknown = rustix::fs::ioctl_setflags(&file, flags | IFlags::IMMUTABLE);
        }
    }

    #[test]
    fn a_tree_deeper_than_any_path_goes() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("deep");
        fs::create_dir(&top).unwrap();
        let mut folder: OwnedFd = fs::File::open(&top).unwrap().into();
        for _ in 0..20_000 {
            rustix::fs::mkdirat(&folder, "d", Mode::RWXU).unwrap();
            drop(rustix::fs::openat(&folder, "f", OFlags::CREATE, Mode::RWXU).unwrap());
            folder = rustix::fs::openat(&folder, "d", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        drop(folder);

        remove(&top).unwrap();

        assert!(!top.exists());
    }

    #[test]
    fn what_is_mounted_inside_is_taken_off_and_not_emptied() {
        if !is_root() {
            return eprintln!("skipped: needs root");
        }
        let dir = tempfile::tempdir().unwrap();
        let (sandbox, outside) = (dir.path().join("sandbox"), dir.path().join("outside"));
        fs::create_dir_all(sandbox.join("a/bound/below")).unwrap();
        fs::write(sandbox.join("a/file"), "").unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "kept").unwrap();
        fs::write(dir.path().join("alone"), "kept").unwrap();
        rustix::mount::mount_bind(&outside, sandbox.join("a/bound")).unwrap();
        rustix::mount::mount_bind(dir.path().join("alone"), sandbox.join("a/file")).unwrap();

        remove(&sandbox).unwrap();

        assert!(!sandbox.exists());
        assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
        assert_eq!(fs::read_to_string(dir.path().join("alone")).unwrap(), "kept");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(sandbox.to_str().unwrap()));
    }
}
