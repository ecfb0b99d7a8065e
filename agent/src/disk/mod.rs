//! How much of the disk tasks take, and what holds them to it.
//!
//! A task's limit is its `disk` resource, without volumes. It holds by a quota of the work dir's file system, by a file system
//! of the sandbox's own ([`DiskMeans`]), or by measuring the sandbox now and then and ending who is found above.
//!
//! ```text
//! <work dir>/sandboxes/<framework>/<task>/<container>/   a folder, a subvolume, or where an image is mounted
//! <work dir>/disks/<container>.ext4                      the image, where each sandbox has one
//! ```
//!
//! Invariants
//! - What is mounted for a sandbox is mounted while its container lives, and no longer (INV-26, INV-42).
//! - A limit that cannot be set makes the launch fail; it is never left out in silence.
//! - Whoever reads a sandbox gets it by `Disks::open_root`, also when its image is not mounted.
//!
//! Source: Mesos, isolators `disk/du` and `disk/xfs`; docs/invariants.md, INV-26, INV-40, INV-42.

mod image;
mod kernel;
pub(crate) mod measure;
mod quota;
pub(crate) mod removal;
mod settings;
pub(crate) mod watch;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use lonja_model::TaskInfo;
use rustix::fs::{Gid, Mode, Uid};

use crate::failpoint;
use crate::isolation::{Enforcement, LimitKind};
pub use settings::{DiskMeans, DiskSettings};

const MIB: u128 = 1 << 20;

/// What is free beside the floor must also hold so many new files.
const LEAST_FILES: u64 = 1_000;

/// Who gets a sandbox: user and group.
pub(crate) type Owner = (u32, u32);

/// What holds sandboxes to their limits.
#[derive(Debug)]
enum Means {
    None,
    Measured,
    Subvolumes,
    Projects(quota::Projects),
    Images { maker: PathBuf },
}

/// The disk of one agent's work dir.
#[derive(Debug)]
pub(crate) struct Disks {
    work_dir: PathBuf,
    images: PathBuf,
    means: Means,
    settings: DiskSettings,
}

/// The disk's room at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Room {
    /// Bytes that can still be written.
    pub(crate) free_bytes: u64,
    /// Files that can still be made; `None` where nobody counts.
    pub(crate) free_files: Option<u64>,
    /// The share in use, from 0 to 1.
    pub(crate) used: f64,
}

/// What a task's sandbox may hold, in bytes: its `disk` without volumes and disks of their own. `None`: it asked for none.
pub(crate) fn limit_of(task: &TaskInfo) -> Option<u64> {
    limit_in(&task.resources)
}

/// The same of any resources that a sandbox stands for.
pub(crate) fn limit_in(resources: &lonja_model::Resources) -> Option<u64> {
    let own = resources.iter().filter(|resource| resource.name() == "disk").filter(|resource| {
        let disk = resource.metadata().disk.as_ref();
        disk.is_none_or(|disk| disk.persistence.is_none() && disk.source.is_none())
    });
    let thousandths: u128 = own
        .filter_map(|resource| match resource.value() {
            lonja_model::resources::Value::Scalar(amount) => Some(u128::from(amount.thousandths())),
            _ => None,
        })
        .sum();
    (thousandths > 0).then(|| u64::try_from(thousandths * MIB / 1000).unwrap_or(u64::MAX))
}

impl Disks {
    /// Finds out what holds sandboxes below `work_dir` to their limits. Errors: the means that was asked for is not there.
    pub(crate) fn open(work_dir: &Path, settings: DiskSettings) -> io::Result<Self> {
        let means = choose(work_dir, settings.means).map_err(io::Error::other)?;
        let images = work_dir.join("disks");
        if matches!(means, Means::Images { .. }) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&images)?;
        }
        Ok(Self { work_dir: work_dir.to_owned(), images, means, settings })
    }

    /// The operator's settings.
    pub(crate) fn settings(&self) -> &DiskSettings {
        &self.settings
    }

    /// What holds tasks to their disk, in a word or two.
    pub(crate) fn how(&self) -> &'static str {
        match &self.means {
            Means::None => "nothing",
            Means::Measured if !self.settings.enforce => "nothing: it is only measured",
            Means::Measured => "measuring",
            Means::Subvolumes => "btrfs quotas",
            Means::Projects(_) => "project quotas",
            Means::Images { .. } => "loop images",
        }
    }

    /// Whether tasks are held to their disk.
    pub(crate) fn enforcement(&self) -> Enforcement {
        let not_enforced = match &self.means {
            Means::None => Some("--disk-limit none".to_owned()),
            Means::Measured if !self.settings.enforce => {
                Some("--enforce-container-disk-quota false: it is only measured".to_owned())
            }
            _ => None,
        };
        Enforcement { limit: LimitKind::Disk, not_enforced }
    }

    /// Whether use is measured: for statistics, and because some ways out of a quota are open to tasks.
    pub(crate) fn measures(&self) -> bool {
        !matches!(self.means, Means::None | Means::Images { .. })
    }

    /// Makes an empty sandbox for `owner`, with a limit in bytes. The folder above is there. Blocks.
    pub(crate) fn create(&self, sandbox: &Path, limit: Option<u64>, owner: Option<Owner>) -> io::Result<()> {
        const MODE: u32 = 0o750;
        let limit = limit.filter(|_| !matches!(self.means, Means::None | Means::Measured));
        match (&self.means, limit) {
            (Means::Subvolumes, Some(limit)) => quota::make_subvolume(sandbox, limit)?,
            _ => fs::DirBuilder::new().mode(MODE).create(sandbox)?,
        }
        match (&self.means, limit) {
            (Means::Projects(projects), Some(limit)) => projects.limit(sandbox, limit)?,
            (Means::Images { maker }, Some(limit)) => self.make_image(maker, sandbox, limit)?,
            _ => {}
        }
        let folder = quota::open(sandbox)?;
        // The process' umask has a say in what mkdir makes, and none in this.
        rustix::fs::fchmod(&folder, Mode::from_raw_mode(MODE))?;
        if let Some((user, group)) = owner {
            rustix::fs::fchown(&folder, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
        }
        Ok(())
    }

    fn make_image(&self, maker: &Path, sandbox: &Path, limit: u64) -> io::Result<()> {
        let image = self.image_of(sandbox).ok_or(io::ErrorKind::InvalidInput)?;
        let make = || {
            image::make(maker, &image, limit, (0, 0))?;
            failpoint::reach("agent: image formatted");
            let mounted = image::mount(&image, false)?;
            failpoint::reach("agent: image mounted");
            image::tidy(&mounted, 0o750)?;
            image::attach(&mounted, sandbox)?;
            failpoint::reach("agent: image attached");
            Ok(())
        };
        let made = make();
        if made.is_err() {
            let _not_made = fs::remove_file(&image);
        }
        made
    }

    /// Where the image of a sandbox is, if it has one.
    fn image_of(&self, sandbox: &Path) -> Option<PathBuf> {
        let container = sandbox.file_name()?.to_str()?;
        Some(self.images.join(format!("{container}.ext4")))
    }

    /// The container has ended: what was mounted for it is taken off. Its files stay. Blocks.
    pub(crate) fn release(&self, sandbox: &Path) -> io::Result<()> {
        // Whatever the means is now: it may have been another when the sandbox was made.
        image::detach(sandbox)?;
        failpoint::reach("agent: image taken off");
        // Its age counts from now, by a time that no task can set (the inode's change).
        match nix::sys::stat::utimes(sandbox, &now(), &now()) {
            Ok(()) | Err(nix::errno::Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The container lives on after a restart of the agent: what is mounted for it is there again. Blocks.
    pub(crate) fn find_again(&self, sandbox: &Path) -> io::Result<()> {
        if let Means::Projects(projects) = &self.means {
            projects.note(sandbox);
        }
        let Some(image) = self.image_of(sandbox).filter(|image| image.exists()) else { return Ok(()) };
        if image::is_mounted(sandbox)? {
            return Ok(());
        }
        // Another mount namespace than before, or somebody took it off.
        image::attach(&image::mount(&image, false)?, sandbox)
    }

    /// Opens the folder of a sandbox, wherever its files are. Blocks.
    pub(crate) fn open_root(&self, sandbox: &Path) -> io::Result<OwnedFd> {
        let folder = quota::open(sandbox)?;
        let Some(image) = self.image_of(sandbox).filter(|image| image.exists()) else { return Ok(folder) };
        if image::is_mounted(sandbox)? {
            return quota::open(sandbox);
        }
        let mounted = image::mount(&image, true)?;
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&mounted, ".", flags, Mode::empty())?)
    }

    /// Removes a sandbox with all that belongs to it. Missing is fine. Blocks.
    pub(crate) fn remove(&self, sandbox: &Path) -> io::Result<()> {
        image::detach(sandbox)?;
        match &self.means {
            Means::Subvolumes => quota::remove_subvolume(sandbox)?,
            Means::Projects(projects) => projects.remove(sandbox)?,
            Means::None | Means::Measured | Means::Images { .. } => removal::remove(sandbox)?,
        }
        failpoint::reach("agent: sandbox removed");
        match self.image_of(sandbox).map(fs::remove_file) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        failpoint::reach("agent: image removed");
        Ok(())
    }

    /// At the start: takes off what is mounted below the sandboxes but for these, and removes images without a
    /// sandbox. Blocks.
    pub(crate) fn sweep(&self, in_use: &[PathBuf], sandboxes: &[PathBuf]) -> io::Result<()> {
        let below = self.work_dir.join("sandboxes");
        let mounts = fs::read("/proc/self/mountinfo")?;
        let in_use: BTreeSet<&Path> = in_use.iter().map(PathBuf::as_path).collect();
        // The last first, so that what is mounted on another goes before it.
        for point in mounts.split(|byte| *byte == b'\n').rev().filter_map(mount_point) {
            if point.starts_with(&below) && !point.ancestors().any(|folder| in_use.contains(folder)) {
                tracing::info!(path = %point.display(), "taking off what was mounted for a container that is gone");
                image::detach(&point)?;
            }
        }
        let kept: BTreeSet<PathBuf> = sandboxes.iter().filter_map(|sandbox| self.image_of(sandbox)).collect();
        for image in fs::read_dir(&self.images).into_iter().flatten().flatten() {
            if !kept.contains(&image.path()) {
                fs::remove_file(image.path())?;
            }
        }
        if let Means::Projects(projects) = &self.means {
            sandboxes.iter().for_each(|sandbox| projects.note(sandbox));
        }
        Ok(())
    }

    /// What a sandbox takes now, in bytes, where a look at it costs nothing; `None`: it has to be measured.
    pub(crate) fn used_at_once(&self, sandbox: &Path) -> Option<u64> {
        self.image_of(sandbox).filter(|image| image.exists())?;
        let stat = image::is_mounted(sandbox).ok()?.then(|| rustix::fs::statvfs(sandbox).ok())??;
        Some((stat.f_blocks - stat.f_bfree).saturating_mul(stat.f_frsize))
    }

    /// Measures a sandbox until `enough` bytes are found. Blocks.
    pub(crate) fn measure(&self, sandbox: &Path, enough: u64) -> io::Result<measure::Measured> {
        match quota::open(sandbox) {
            // Its task may close it to everyone but root.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(measure::Measured::forbidden())
            }
            opened => Ok(measure::measure(opened?.as_fd(), enough)?),
        }
    }

    /// The disk's room. Errors: the work dir is not there.
    pub(crate) fn room(&self) -> io::Result<Room> {
        let stat = rustix::fs::statvfs(&self.work_dir)?;
        let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
        let usable = (stat.f_blocks - stat.f_bfree).saturating_add(stat.f_bavail);
        let used = if usable == 0 { 1.0 } else { 1.0 - stat.f_bavail as f64 / usable as f64 };
        Ok(Room { free_bytes, free_files: (stat.f_files > 0).then_some(stat.f_favail), used })
    }

    /// Whether another task may be launched. Errors: why not, and what to do.
    pub(crate) fn has_room(&self) -> Result<(), String> {
        let floor = self.settings.floor_bytes;
        if floor == 0 {
            return Ok(());
        }
        let room = self.room().map_err(|error| format!("the work dir cannot be looked at: {error}"))?;
        if room.free_bytes < floor {
            return Err(format!(
                "the agent's disk has {} MiB free, and below {} MiB it launches nothing (--disk-floor)",
                room.free_bytes >> 20,
                floor >> 20
            ));
        }
        match room.free_files {
            Some(files) if files < LEAST_FILES => Err(format!(
                "the agent's disk has room for {files} more files, and below {LEAST_FILES} it launches nothing"
            )),
            _ => Ok(()),
        }
    }
}

fn now() -> nix::sys::time::TimeVal {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    nix::sys::time::TimeVal::new(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), 0)
}

/// Where a line of `mountinfo` says that something is mounted.
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    // Blanks, tabs, newlines and backslashes are written as three octal digits.
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| std::str::from_utf8(after.get(..3)?).ok()).flatten();
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(byte);
                rest = &after[3..];
            }
            None => {
                path.push(*first);
                rest = after;
            }
        }
    }
    Some(PathBuf::from(std::ffi::OsString::from_vec(path)))
}

fn choose(work_dir: &Path, wanted: DiskMeans) -> Result<Means, String> {
    let refuse = |means: &str, why: String| format!("--disk-limit {means}: {why}");
    match wanted {
        DiskMeans::None => Ok(Means::None),
        DiskMeans::Poll => Ok(Means::Measured),
        DiskMeans::Btrfs => {
            quota::probe_btrfs(work_dir, true).map_err(|why| refuse("btrfs", why))?;
            Ok(Means::Subvolumes)
        }
        DiskMeans::Project => {
            quota::probe_projects(work_dir).map_err(|why| refuse("project", why))?;
            Ok(Means::Projects(quota::Projects::default()))
        }
        DiskMeans::Loop => {
            image::probe().map_err(|why| refuse("loop", why))?;
            let maker = image::find_maker().map_err(|why| refuse("loop", why))?;
            Ok(Means::Images { maker })
        }
        // An image costs each launch some milliseconds, so it is used only when asked for.
        DiskMeans::Auto if quota::probe_btrfs(work_dir, false).is_ok() => Ok(Means::Subvolumes),
        DiskMeans::Auto if quota::probe_projects(work_dir).is_ok() => {
            Ok(Means::Projects(quota::Projects::default()))
        }
        DiskMeans::Auto => Ok(Means::Measured),
    }
}

#[cfg(test)]
mod tests;
