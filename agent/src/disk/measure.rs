//! How much of the disk a folder takes, of which others hold the contents and change them meanwhile.
//!
//! Invariants
//! - No link is followed and no other mount entered: what is counted lies in the folder.
//! - The work is bounded, in time, memory and descriptors, whatever the folder holds; a folder that cannot be
//!   measured within these bounds says so.
//!
//! Source: du(1), openat2(2), statx(2); Mesos, `disk/du` isolator.

use std::collections::HashSet;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

/// What every file and folder counts for beside its blocks, in bytes: millions of empty ones fill a disk, too.
pub(crate) const EACH: u64 = 512;

/// How deep folders are measured: each level holds a descriptor. No path that programs use is as long.
const DEEPEST: usize = 1_000;

/// The share of this process's descriptors that one measurement may hold.
const SHARE_OF_DESCRIPTORS: u64 = 4;

/// How long one measurement may take.
const LONGEST: Duration = Duration::from_secs(60);

/// Files with several names that are told apart; more of them count once for each name.
const MOST_LINKED: usize = 100_000;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    /// Blocks taken and [`EACH`] for every entry, in bytes; more than that, unless all was seen.
    pub(crate) bytes: u64,
    /// Files and folders.
    pub(crate) entries: u64,
    /// Why not all of it was seen.
    pub(crate) unseen: Option<Unseen>,
}

/// Why not all of a folder was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unseen {
    /// It was not looked at further: there is enough already.
    Enough,
    /// It lies deeper than anybody puts files who does not hide them.
    TooDeep,
    /// It took too long.
    TooLong,
    /// We may not look there: this process is not root, and the task has taken its user's own rights away.
    Forbidden,
}

/// A folder that is being read.
struct Level {
    folder: OwnedFd,
    /// Folders in it of the names read last, not yet entered.
    inner: Vec<CString>,
    /// Whether all names were read.
    done: bool,
}

struct Walk {
    found: Measured,
    linked: HashSet<(u64, u64)>,
    enough: u64,
    started: Instant,
}

/// Measures the folder, until `enough` bytes are found. Blocks.
pub(crate) fn measure(folder: BorrowedFd<'_>, enough: u64) -> Result<Measured, Errno> {
    let own = match reopen(folder) {
        Err(Errno::ACCESS | Errno::PERM) => return Ok(Measured::forbidden()),
        own => own?,
    };
    let mut walk =
        Walk { found: Measured::default(), linked: HashSet::new(), enough, started: Instant::now() };
    let deepest = deepest();
    let mut levels = vec![Level { folder: own, inner: Vec::new(), done: false }];
    while let Some(level) = levels.last_mut() {
        if let Some(why) = walk.must_stop() {
            walk.found.unseen = Some(why);
            break;
        }
        let Some(name) = level.inner.pop() else {
            if level.done {
                levels.pop();
            } else {
                walk.read_names(level)?;
            }
            continue;
        };
        match enter(level.folder.as_fd(), &name) {
            Ok(_) if levels.len() >= deepest => walk.found.unseen = Some(Unseen::TooDeep),
            Ok(folder) => levels.push(Level { folder, inner: Vec::new(), done: false }),
            Err(Errno::ACCESS | Errno::PERM) => {
                walk.found.unseen.get_or_insert(Unseen::Forbidden);
            }
            // Gone, replaced, or another mount.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(walk.found)
}

/// How deep folders are measured by this process.
fn deepest() -> usize {
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let share = own.map_or(u64::MAX, |own| own / SHARE_OF_DESCRIPTORS);
    usize::try_from(share).unwrap_or(DEEPEST).min(DEEPEST)
}

impl Measured {
    /// We may not look into the folder at all.
    pub(super) fn forbidden() -> Self {
        Self { unseen: Some(Unseen::Forbidden), ..Self::default() }
    }
}

impl Walk {
    fn must_stop(&self) -> Option<Unseen> {
        if self.found.bytes > self.enough {
            return Some(Unseen::Enough);
        }
        (self.started.elapsed() > LONGEST).then_some(Unseen::TooLong)
    }

    /// Reads some more names and counts what they stand for.
    fn read_names(&mut self, level: &mut Level) -> Result<(), Errno> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut names = RawDir::new(&level.folder, &mut buffer);
        loop {
            let Some(entry) = names.next() else {
                level.done = true;
                return Ok(());
            };
            let entry = match entry {
                Ok(entry) => entry,
                // The folder itself was deleted.
                Err(Errno::NOENT) => {
                    level.done = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let name = entry.file_name();
            if name.to_bytes() != b"." && name.to_bytes() != b".." && self.count(&level.folder, name)? {
                level.inner.push(name.to_owned());
            }
            if names.is_buffer_empty() {
                return Ok(());
            }
        }
    }

    /// Counts one entry; `true` if it is a folder to be entered.
    fn count(&mut self, folder: &OwnedFd, name: &std::ffi::CStr) -> Result<bool, Errno> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let wanted = StatxFlags::TYPE | StatxFlags::BLOCKS | StatxFlags::NLINK | StatxFlags::INO;
        let stat = match rustix::fs::statx(folder, name, flags, wanted) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(false),
            // A folder that can be read but not searched.
            Err(Errno::ACCESS | Errno::PERM) => {
                self.found.unseen.get_or_insert(Unseen::Forbidden);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        self.found.entries += 1;
        if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
            return Ok(false);
        }
        let is_folder = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory;
        if !is_folder && stat.stx_nlink > 1 && self.linked.len() < MOST_LINKED {
            let device = (u64::from(stat.stx_dev_major) << 32) | u64::from(stat.stx_dev_minor);
            if !self.linked.insert((device, stat.stx_ino)) {
                return Ok(false);
            }
        }
        let blocks = stat.stx_blocks.saturating_mul(512);
        self.found.bytes = self.found.bytes.saturating_add(blocks).saturating_add(EACH);
        Ok(is_folder)
    }
}

fn reopen(folder: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(folder, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn enter(folder: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    // Not `NO_XDEV`: a btrfs subvolume that the task has made inside looks like another device.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let entered = rustix::fs::openat2(folder, name, flags, Mode::empty(), resolve)?;
    // A mount may have come over it since its name was read.
    let stat = rustix::fs::statx(&entered, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE)?;
    if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) { Err(Errno::XDEV) } else { Ok(entered) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn look(path: &Path, enough: u64) -> Measured {
        measure(fs::File::open(path).unwrap().as_fd(), enough).unwrap()
    }

    #[test]
    fn blocks_count_and_neither_holes_nor_links_nor_second_names_do() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("large"), vec![1; 1 << 20]).unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/data"), vec![1; 100_000]).unwrap();
        fs::hard_link(dir.path().join("a/b/data"), dir.path().join("again")).unwrap();
        fs::File::create(dir.path().join("hole")).unwrap().set_len(1 << 40).unwrap();
        symlink(outside.path(), dir.path().join("out")).unwrap();
        symlink(dir.path(), dir.path().join("a/round")).unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();

        let found = look(dir.path(), u64::MAX);

        assert_eq!((found.entries, found.unseen), (8, None));
        assert!((100_000..150_000).contains(&found.bytes), "{found:?}");
    }

    #[test]
    fn a_look_ends_when_there_is_enough() {
        let dir = tempfile::tempdir().unwrap();
        for name in 0..2_000 {
            fs::write(dir.path().join(name.to_string()), "").unwrap();
        }

        let found = look(dir.path(), 100 * EACH);

        assert_eq!(found.unseen, Some(Unseen::Enough));
        assert!(found.entries < 1_000, "{found:?}");
        assert!(look(dir.path(), u64::MAX).bytes >= 2_000 * EACH, "empty files count as well");
    }

    /// In a thread that is not root.
    fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        let become_nobody = || {
            if nix::unistd::geteuid().is_root() {
                let nobody = rustix::thread::Uid::from_raw(65_534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            work()
        };
        std::thread::scope(|scope| scope.spawn(become_nobody).join().unwrap())
    }

    #[test]
    fn folders_that_are_closed_to_us_are_not_left_out_in_silence() {
        use std::os::unix::fs::{PermissionsExt, chown};
        for (closed, mode) in [("a", 0o000), ("a", 0o444), ("a", 0o111), (".", 0o000), (".", 0o444)] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("a")).unwrap();
            fs::write(dir.path().join("a/data"), "1").unwrap();
            if nix::unistd::geteuid().is_root() {
                chown(dir.path(), Some(65_534), None).unwrap();
                chown(dir.path().join("a"), Some(65_534), None).unwrap();
            }
            let folder = fs::File::open(dir.path()).unwrap();
            fs::set_permissions(dir.path().join(closed), fs::Permissions::from_mode(mode)).unwrap();

            let found = as_nobody(|| measure(folder.as_fd(), u64::MAX));

            for name in [".", "a"] {
                let _so_that_it_can_go =
                    fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o700));
            }
            assert_eq!(found.unwrap().unseen, Some(Unseen::Forbidden), "{closed} {mode:o}");
        }
    }

    #[test]
    fn folders_beyond_all_depth_are_noticed_and_cost_no_more_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder: OwnedFd = fs::File::open(dir.path()).unwrap().into();
        for _ in 0..DEEPEST + 100 {
            rustix::fs::mkdirat(&folder, "d", Mode::RWXU).unwrap();
            folder = rustix::fs::openat(&folder, "d", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }

        assert_eq!(look(dir.path(), u64::MAX).unseen, Some(Unseen::TooDeep));
        super::super::removal::remove(dir.path()).unwrap();
        assert!(!dir.path().exists());
    }
}
