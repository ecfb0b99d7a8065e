//! What a container is held to.
//!
//! What a task asks for and what it may use at most are two things: the request says what is set aside for it when
//! others want the same, the limit where it is stopped although nobody else does. `None` leaves a resource without.
//!
//! Source: Mesos, `TaskInfo.limits` and the isolators `cgroups/cpu` and `cgroups/mem`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{DeviceRule, IoLimits};

/// The length of a period of the hard CPU limit, in microseconds: the kernel's default.
pub(super) const CPU_PERIOD_US: u64 = 100_000;

/// What a container may use at most; `None` leaves that resource unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// CPUs in thousandths: the container's weight when CPUs are contended.
    pub cpus_thousandths: Option<u64>,
    /// Memory in bytes, page cache included; more ends the container.
    pub memory_bytes: Option<u64>,
    /// Processes and threads the task may have at once, itself included. A fork beyond fails, and the task lives.
    pub pids_max: Option<u64>,
    /// CPUs in thousandths that are not exceeded when nobody else wants them either (CFS quota).
    #[serde(default)]
    pub cpu_limit_thousandths: Option<u64>,
    /// Memory in bytes that is left to the container when the host is short of it (v1 soft limit, v2 `memory.low`).
    #[serde(default)]
    pub memory_request_bytes: Option<u64>,
    /// Whether memory beyond the limit may be swapped out. Without a memory limit there is none on swap either.
    #[serde(default)]
    pub swap: Swap,
    /// Block devices: rates and weight.
    #[serde(default)]
    pub io: IoLimits,
    /// The only devices that can be opened or made; `None`: any that the file system's permissions allow.
    #[serde(default)]
    pub devices: Option<Vec<DeviceRule>>,
    /// Bytes in huge pages, by page size as the kernel writes it (`2MB`): of sizes that are not named there are none.
    /// `None`: as many as the host has.
    #[serde(default)]
    pub huge_pages: Option<BTreeMap<String, u64>>,
}

/// How much swap a container may use beside its memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Swap {
    /// None: who exceeds the memory limit is ended, however much swap the host has.
    #[default]
    None,
    /// So many bytes.
    Bytes(u64),
    /// As much as the host has.
    Unlimited,
}

impl Limits {
    /// The v1 `cpu.shares` for these CPUs: 1024 for a whole one, at least 2 (the kernel's minimum).
    pub fn cpu_shares(&self) -> Option<u64> {
        self.cpus_thousandths.map(|cpus| (cpus.saturating_mul(1024) / 1000).clamp(2, 262_144))
    }

    /// CPU time in µs for each 100,000 µs period where there is a hard limit; at least 1,000, the kernel's minimum.
    pub fn cpu_quota_us(&self) -> Option<i64> {
        let cpus = self.cpu_limit_thousandths?;
        i64::try_from((u128::from(cpus) * u128::from(CPU_PERIOD_US) / 1000).max(1_000)).ok()
    }

    /// The devices whose nodes the container is shown.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&DeviceRule, &Path)> {
        let rules = self.devices.iter().flatten();
        rules.filter_map(|rule| Some((rule, rule.path.as_deref()?)))
    }

    /// `pids_max` with room for the container's init, which shares the control group with the task.
    pub(crate) fn pids_with_init(&self) -> Option<u64> {
        self.pids_max.map(|limit| limit.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_weigh_and_limits_cap() {
        let limits =
            Limits { cpus_thousandths: Some(500), cpu_limit_thousandths: Some(1_500), ..Limits::default() };
        assert_eq!((limits.cpu_shares(), limits.cpu_quota_us()), (Some(512), Some(150_000)));

        let least = Limits { cpus_thousandths: Some(1), cpu_limit_thousandths: Some(1), ..Limits::default() };
        assert_eq!((least.cpu_shares(), least.cpu_quota_us()), (Some(2), Some(1_000)));

        let most = Limits { cpu_limit_thousandths: Some(u64::MAX), ..Limits::default() };
        assert_eq!(most.cpu_shares(), None);
        assert!(most.cpu_quota_us().is_none_or(|quota| quota > 0));
    }
}
