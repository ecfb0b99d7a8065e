//! An agent's flags about disks.

use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use super::{duration, mebibytes};

/// Disks.
#[derive(Debug, Args)]
pub(crate) struct DiskFlags {
    /// What holds tasks to their disk.
    #[arg(long, value_enum, default_value_t = DiskLimit::Auto, env = "LONJA_AGENT_DISK_LIMIT")]
    pub(crate) disk_limit: DiskLimit,
    /// How often the use of a sandbox is measured.
    #[arg(long, default_value = "15s", value_parser = interval, env = "LONJA_AGENT_CONTAINER_DISK_WATCH_INTERVAL")]
    pub(crate) container_disk_watch_interval: Duration,
    /// Whether a task is ended whose sandbox is found above its limit.
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", env = "LONJA_AGENT_ENFORCE_CONTAINER_DISK_QUOTA")]
    pub(crate) enforce_container_disk_quota: bool,
    /// With less than this free for the work dir nothing is launched, such as 1GiB; 0: always.
    #[arg(long, default_value = "64MiB", value_parser = mebibytes, value_name = "SIZE", env = "LONJA_AGENT_DISK_FLOOR")]
    pub(crate) disk_floor: f64,
    /// How long the files of an ended task stay while there is room.
    #[arg(long, default_value = "1week", value_parser = duration, env = "LONJA_AGENT_GC_DELAY")]
    pub(crate) gc_delay: Duration,
    /// The share of the disk that should stay free, from 0 to 1: the more of the rest is used, the earlier files go.
    #[arg(long, default_value_t = 0.1, value_parser = share, env = "LONJA_AGENT_GC_DISK_HEADROOM")]
    pub(crate) gc_disk_headroom: f64,
    /// How often it is looked at which files may go.
    #[arg(long, default_value = "1min", value_parser = interval, env = "LONJA_AGENT_DISK_WATCH_INTERVAL")]
    pub(crate) disk_watch_interval: Duration,
}

/// What holds tasks to their disk.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DiskLimit {
    /// A quota of the work dir's file system where it has one, else measuring.
    Auto,
    /// Measuring now and then.
    Poll,
    /// A btrfs quota; quotas are turned on.
    Btrfs,
    /// A project quota of ext4 or xfs.
    Project,
    /// A file system of its own for each sandbox, in a file.
    Loop,
    /// Nothing.
    None,
}

fn interval(text: &str) -> Result<Duration, String> {
    let parsed = duration(text)?;
    if parsed < Duration::from_millis(1) {
        return Err("it must be 1ms or more".to_owned());
    }
    Ok(parsed)
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text:?} is not from 0 to 1, such as 0.1")),
    }
}

impl DiskFlags {
    /// What they say, in the agent's words.
    pub(crate) fn settings(&self) -> lonja_agent::disk::DiskSettings {
        use lonja_agent::disk::DiskMeans;
        lonja_agent::disk::DiskSettings {
            means: match self.disk_limit {
                DiskLimit::Auto => DiskMeans::Auto,
                DiskLimit::Poll => DiskMeans::Poll,
                DiskLimit::Btrfs => DiskMeans::Btrfs,
                DiskLimit::Project => DiskMeans::Project,
                DiskLimit::Loop => DiskMeans::Loop,
                DiskLimit::None => DiskMeans::None,
            },
            watch_interval: self.container_disk_watch_interval,
            enforce: self.enforce_container_disk_quota,
            // Saturates, which is more than any disk has.
            floor_bytes: (self.disk_floor * 1_048_576.0) as u64,
            gc_delay: self.gc_delay,
            gc_headroom: self.gc_disk_headroom,
            gc_interval: self.disk_watch_interval,
        }
    }
}
