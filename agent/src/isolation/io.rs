//! Limits on the use of block devices.
//!
//! Source: Linux `Documentation/admin-guide/cgroup-v1/blkio-controller.rst`, `cgroup-v2.rst` on `io.max`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Rates of single devices, and the weight among those who want one at the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoLimits {
    /// At most these rates.
    pub throttles: Vec<IoThrottle>,
    /// 1 to 1000, 100 being everyone's; only where the kernel's I/O scheduler weighs.
    pub weight: Option<u16>,
}

impl IoLimits {
    /// Whether there is nothing to hold anyone to.
    pub fn is_empty(&self) -> bool {
        self.throttles.is_empty() && self.weight.is_none()
    }
}

/// The most that a container may read from and write to one device in a second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoThrottle {
    /// The whole disk's major number; limits on a partition are not a thing.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Bytes read a second.
    pub read_bps: Option<u64>,
    /// Bytes written a second.
    pub write_bps: Option<u64>,
    /// Reads a second.
    pub read_iops: Option<u64>,
    /// Writes a second.
    pub write_iops: Option<u64>,
}

/// The whole disk, as major and minor number, that holds the file or is the device at `path`.
///
/// Errors: there is no such file, or what it lies on is not a block device (memory, network, or a file system of
/// several devices).
pub fn disk_of(path: &Path) -> Result<(u32, u32), String> {
    use std::os::unix::fs::FileTypeExt;
    let refuse = |why: String| format!("{}: {why}", path.display());
    let metadata = std::fs::metadata(path).map_err(|error| refuse(error.to_string()))?;
    let number = if metadata.file_type().is_block_device() { metadata.rdev() } else { metadata.dev() };
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let node = format!("/sys/dev/block/{major}:{minor}");
    // The device's folder lies in that of its disk when it is a partition.
    let folder = std::fs::canonicalize(&node).map_err(|_| {
        refuse(format!("device {major}:{minor} is no block device, so it has no rate to limit"))
    })?;
    if !folder.join("partition").exists() {
        return Ok((major, minor));
    }
    let numbers =
        folder.parent().map(|disk| disk.join("dev")).and_then(|dev| std::fs::read_to_string(dev).ok());
    let disk = numbers.as_deref().and_then(|text| numbers_of(text.trim()));
    disk.ok_or_else(|| refuse(format!("no disk is found for partition {major}:{minor}")))
}

/// `major:minor`.
pub(super) fn numbers_of(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_on_no_block_device_has_no_rate() {
        assert!(disk_of(Path::new("/proc")).unwrap_err().contains("no block device"));
        assert!(disk_of(Path::new("/nowhere")).is_err());
        assert_eq!(numbers_of("254:0"), Some((254, 0)));
        assert_eq!(numbers_of("254"), None);
    }
}
