//! What an operator says about disks.

use std::time::Duration;

/// How tasks are held to their disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskMeans {
    /// By btrfs or project quotas where the work dir's file system has them, else by measuring.
    #[default]
    Auto,
    /// By measuring now and then.
    Poll,
    /// By a btrfs subvolume with a quota for each sandbox; quotas are turned on if they are off.
    Btrfs,
    /// By a project quota of ext4 or xfs for each sandbox.
    Project,
    /// By a file system of its own for each sandbox, in a file.
    Loop,
    /// Not at all.
    None,
}

/// An operator's settings about disks.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskSettings {
    /// How tasks are held to their disk.
    pub means: DiskMeans,
    /// How often the use of a sandbox is measured.
    pub watch_interval: Duration,
    /// Whether a task that is found above its limit is ended.
    pub enforce: bool,
    /// With less than this free for the work dir, in bytes, nothing is launched; 0: always.
    pub floor_bytes: u64,
    /// How long the files of an ended task stay while there is room.
    pub gc_delay: Duration,
    /// The share of the disk, from 0 to 1, that should stay free: files go earlier the more of the rest is used.
    pub gc_headroom: f64,
    /// How often it is looked at which files may go.
    pub gc_interval: Duration,
}

impl Default for DiskSettings {
    /// As Mesos has them, but for `enforce`, which it leaves off, and `floor_bytes`, which it does not have.
    fn default() -> Self {
        Self {
            means: DiskMeans::Auto,
            watch_interval: Duration::from_secs(15),
            enforce: true,
            floor_bytes: 64 << 20,
            gc_delay: Duration::from_secs(7 * 24 * 3600),
            gc_headroom: 0.1,
            gc_interval: Duration::from_secs(60),
        }
    }
}

impl DiskSettings {
    /// How old the files of an ended task may become when `used` of the disk, from 0 to 1, is in use.
    ///
    /// Source: Mesos, `--gc_delay` and `--gc_disk_headroom`.
    pub fn age_allowed(&self, used: f64) -> Duration {
        let share = (1.0 - self.gc_headroom - used).clamp(0.0, 1.0);
        if share.is_nan() { self.gc_delay } else { self.gc_delay.mul_f64(share) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_may_become_the_older_the_more_room_there_is() {
        let settings = DiskSettings { gc_delay: Duration::from_secs(100), ..DiskSettings::default() };
        let seconds = |used| settings.age_allowed(used).as_secs_f64().round();

        assert_eq!([0.0, 0.4, 0.9, 0.95, 1.0, 7.0].map(seconds), [90.0, 50.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
