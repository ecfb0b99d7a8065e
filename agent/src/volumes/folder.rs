//! Folders held by a descriptor, so that no path is looked up twice and no link is ever followed.
//!
//! Source: openat2(2), `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::unistd::{Gid, Uid, User};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// How deep folders are deleted in one go; deeper ones are brought up first, or a task could use up our descriptors.
const DEEPEST: usize = 64;

/// Who a folder is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner(Uid, Gid);

impl Owner {
    /// The user that a task runs as, by name or number; the agent's own if that is none or unknown, which the
    /// container's supervisor reports.
    pub(super) fn of(user: Option<&str>) -> Self {
        let found = user.and_then(|user| match user.parse::<u32>() {
            Ok(number) => User::from_uid(Uid::from_raw(number)).ok().flatten(),
            Err(_) => User::from_name(user).ok().flatten(),
        });
        match found {
            Some(user) => Self(user.uid, user.gid),
            None => Self(Uid::effective(), Gid::effective()),
        }
    }
}

/// Is it the name of a file in a folder, and of nothing else?
pub(super) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name != "."
        && name != ".."
        && !name.bytes().any(|byte| byte == b'/' || byte == 0)
}

/// Folders that lie too deep to be deleted on the way, brought up to where the deleting began.
struct Deep<'a> {
    top: &'a Folder,
    brought_up: &'a mut Vec<Vec<u8>>,
}

/// One folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// The folder that an operator named; links in its path are the operator's.
    pub(super) fn root(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(CWD, path, flags, Mode::empty())?))
    }

    /// The folder at `path` below this one.
    pub(super) fn open(&self, path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), resolve) {
                // Something was renamed meanwhile.
                Err(Errno::AGAIN) => {}
                opened => return Ok(Self(opened?)),
            }
        }
    }

    /// The folder at `path` below this one, made where it is missing, for the agent alone.
    pub(super) fn make_all(&self, path: &Path) -> io::Result<Self> {
        let mut folder = Self(self.0.try_clone()?);
        for part in path {
            match rustix::fs::mkdirat(&folder.0, part, Mode::from_raw_mode(0o700)) {
                Ok(()) => folder.sync()?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            folder = folder.open(part.as_ref())?;
        }
        Ok(folder)
    }

    /// Makes a new folder in this one, durably.
    pub(super) fn make(&self, name: &str, mode: u32) -> io::Result<()> {
        rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o700))?;
        let made = self.open(name.as_ref())?;
        // The process' umask has a say in what mkdir makes, and none in this.
        rustix::fs::fchmod(&made.0, Mode::from_raw_mode(mode))?;
        made.sync()?;
        // Also where it was there before: whoever made it may have died before it was durable.
        self.sync()
    }

    /// Moves `name` into another folder of the same disk, durably. What was there under its name is not replaced.
    pub(super) fn move_to(&self, name: &str, folder: &Self, new_name: &str) -> io::Result<()> {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&self.0, name, &folder.0, new_name, flags)?;
        folder.sync()?;
        self.sync()
    }

    /// Removes a folder in this one, if nothing is in it.
    pub(super) fn remove_empty(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }

    /// Gives this folder, and not what is in it, to somebody, and nobody else a way in. Without root it stays as it is.
    pub(super) fn give_to(&self, owner: Owner) -> io::Result<()> {
        let stat = rustix::fs::fstat(&self.0)?;
        let Owner(uid, gid) = owner;
        if (stat.st_uid, stat.st_gid) == (uid.as_raw(), gid.as_raw()) || !Uid::effective().is_root() {
            return Ok(());
        }
        Ok(nix::unistd::fchown(self.0.as_fd(), Some(uid), Some(gid))?)
    }

    /// What is in it, by name. Names that are no text are left out: ours are.
    pub(super) fn names(&self) -> Vec<String> {
        let entries = self.entries().unwrap_or_default();
        entries.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect()
    }

    fn entries(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut all = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                all.push(name.to_vec());
            }
        }
        Ok(all)
    }

    /// Deletes `name` with all that is in it, however deep. Links are deleted, never followed; other file systems are
    /// not entered.
    pub(super) fn delete(&self, name: &str) -> io::Result<()> {
        let mut names = vec![name.as_bytes().to_vec()];
        while let Some(name) = names.pop() {
            self.delete_entry(&name, 0, &mut Deep { top: self, brought_up: &mut names })?;
        }
        Ok(())
    }

    fn delete_entry(&self, name: &[u8], depth: usize, deep: &mut Deep<'_>) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {}
            other => return Ok(other?),
        }
        if depth == DEEPEST {
            let new_name = uuid::Uuid::new_v4().simple().to_string();
            rustix::fs::renameat(&self.0, name, &deep.top.0, new_name.as_str())?;
            deep.brought_up.push(new_name.into_bytes());
            return Ok(());
        }
        let folder = self.open_to_delete(name)?;
        for entry in folder.entries()? {
            folder.delete_entry(&entry, depth + 1, deep)?;
        }
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }

    fn open_to_delete(&self, name: &[u8]) -> io::Result<Self> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let open = |flags| {
            let flags = flags | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            rustix::fs::openat2(&self.0, name, flags, Mode::empty(), resolve)
        };
        match open(OFlags::RDONLY) {
            // Its owner shut everybody out, and an agent without root is everybody.
            Err(Errno::ACCESS) => {
                let handle = open(OFlags::PATH)?;
                let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
                rustix::fs::chmod(path, Mode::from_raw_mode(0o700))?;
                Ok(Self(open(OFlags::RDONLY)?))
            }
            opened => Ok(Self(opened?)),
        }
    }

    fn sync(&self) -> io::Result<()> {
        File::from(self.0.try_clone()?).sync_all()
    }
}
