//! What this host has, as the default of `--resources`.
//!
//! Source: Mesos, detection of agent resources: memory less 1 GiB, disk less 5 GiB (half where there is
//! little), ports 31000 to 32000.

use std::path::Path;

use lonja_model::Resources;
use lonja_model::resources::{AddError, InvalidResource, Ranges, Resource, Scalar, Value};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Amounts that a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// CPUs that this process may use.
    pub cpus: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk in MiB, where the work dir is.
    pub disk_mib: u64,
}

/// The ports that Mesos offers by default.
pub const PORTS: (u64, u64) = (31_000, 32_000);

/// What this host has to offer for an agent whose work dir is, or will be, at `work_dir`.
pub fn host(work_dir: &Path) -> Host {
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64);
    let memory = memory_bytes().unwrap_or(2 * GIB);
    let disk = disk_bytes(work_dir).unwrap_or(10 * GIB);
    Host { cpus, memory_mib: less(memory, GIB) / MIB, disk_mib: less(disk, 5 * GIB) / MIB }
}

/// `bytes` less `reserve`, or half where that would take more than half.
fn less(bytes: u64, reserve: u64) -> u64 {
    if bytes < 2 * reserve { bytes / 2 } else { bytes - reserve }
}

fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn disk_bytes(work_dir: &Path) -> Option<u64> {
    let existing = work_dir.ancestors().find(|path| path.exists())?;
    let disk =
        nix::sys::statvfs::statvfs(if existing.as_os_str().is_empty() { Path::new(".") } else { existing });
    disk.ok().map(|disk| disk.blocks() * disk.fragment_size())
}

/// Part `index` of `parts` equal parts of the host, with ports that no other part has.
///
/// Errors: never for what [`host`] finds; a sum that cannot be is the caller's.
pub fn share(host: Host, index: u64, parts: u64) -> Result<Resources, DetectError> {
    let parts = parts.max(1);
    let thousandths = |amount: u64| Scalar::from_thousandths(amount * 1000 / parts).unwrap_or(Scalar::MAX);
    let whole = |amount: u64| Scalar::from_units(amount / parts).unwrap_or(Scalar::MAX);
    let width = (PORTS.1 - PORTS.0 + 1) / parts;
    let first = PORTS.0 + index * width;
    let ports = Ranges::new([(first, first + width.max(1) - 1)]).unwrap_or_default();
    Ok(Resources::of([
        Resource::new("cpus", Value::Scalar(thousandths(host.cpus)))?,
        Resource::new("mem", Value::Scalar(whole(host.memory_mib)))?,
        Resource::new("disk", Value::Scalar(whole(host.disk_mib)))?,
        Resource::new("ports", Value::Ranges(ports))?,
    ])?)
}

/// What was found makes no resources.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// One of them cannot be.
    #[error(transparent)]
    Resource(#[from] InvalidResource),
    /// They cannot be together.
    #[error(transparent)]
    Sum(#[from] AddError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_host_have_no_port_in_common_and_sum_to_no_more_than_it() {
        let host = Host { cpus: 2, memory_mib: 1000, disk_mib: 999 };
        let parts: Vec<_> = (0..3).map(|index| share(host, index, 3).unwrap()).collect();
        let sum = parts[0].checked_add(&parts[1]).unwrap().checked_add(&parts[2]).unwrap();
        assert_eq!(sum.scalar("mem"), Scalar::from_units(999).unwrap());
        assert_eq!(parts[0].scalar("cpus"), Scalar::from_thousandths(666).unwrap());
        assert_eq!(sum.ranges("ports").count(), 999);
    }

    #[test]
    fn a_small_host_gives_half() {
        assert_eq!(less(GIB, GIB), GIB / 2);
        assert_eq!(less(4 * GIB, GIB), 3 * GIB);
    }
}
