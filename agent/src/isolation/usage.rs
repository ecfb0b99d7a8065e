//! What a container has used so far, and what it is held to.
//!
//! Every figure is read from the kernel when asked for; none is sampled or averaged here, so that two readings and
//! the time between them give a rate.
//!
//! Source: Linux `Documentation/admin-guide/cgroup-v1/` and `cgroup-v2.rst`, `Documentation/accounting/psi.rst`; the
//! set of figures is that of Mesos, `ResourceStatistics`.

use serde::{Deserialize, Serialize};

/// What a container has used so far. A figure is `None` where the host does not count it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time used, user and system, in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Memory in use now, page cache included, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads now, the container's init included.
    pub pids: Option<u64>,
    /// More of the CPU.
    #[serde(default)]
    pub cpu: CpuUsage,
    /// More of the memory.
    #[serde(default)]
    pub memory: MemoryUsage,
    /// The most processes and threads there may be, the container's init included; `None`: any number.
    #[serde(default)]
    pub pids_limit: Option<u64>,
    /// Forks refused because of that limit.
    #[serde(default)]
    pub pids_refused: Option<u64>,
    /// Reads and writes of each block device, by its number.
    #[serde(default)]
    pub io: Vec<DeviceIo>,
    /// Traffic of the container's own network namespace; `None` where it shares the host's.
    #[serde(default)]
    pub network: Option<NetworkUsage>,
    /// How much of the time the container waited.
    #[serde(default)]
    pub pressure: Pressure,
}

/// CPU time by kind, and how often the hard limit held the container back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuUsage {
    /// Time in user mode, in nanoseconds.
    pub user_ns: Option<u64>,
    /// Time in the kernel, in nanoseconds.
    pub system_ns: Option<u64>,
    /// The hard limit in thousandths of a CPU; `None`: as much as is free.
    pub limit_thousandths: Option<u64>,
    /// Periods of the hard limit in which the container ran.
    pub periods: Option<u64>,
    /// Periods in which it was made to wait.
    pub throttled_periods: Option<u64>,
    /// Time that its processes were made to wait, in nanoseconds.
    pub throttled_ns: Option<u64>,
}

/// Memory by kind, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUsage {
    /// Memory of the processes' own (anonymous).
    pub rss_bytes: Option<u64>,
    /// Page cache, files in memory (tmpfs) included.
    pub cache_bytes: Option<u64>,
    /// Page cache that is mapped by processes.
    pub mapped_bytes: Option<u64>,
    /// Files in memory: tmpfs and shared memory.
    pub shared_bytes: Option<u64>,
    /// The most in use at any moment.
    pub peak_bytes: Option<u64>,
    /// The hard limit; `None`: none.
    pub limit_bytes: Option<u64>,
    /// What is left to the container when the host is short of memory; `None`: nothing is set aside.
    pub soft_limit_bytes: Option<u64>,
    /// Swapped out now.
    pub swap_bytes: Option<u64>,
    /// How often the container ran into its hard limit and memory had to be reclaimed first.
    pub limit_hits: Option<u64>,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: Option<u64>,
}

/// Reads and writes of one block device since the container's start. v1 counts no buffered writes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceIo {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// Traffic of a network namespace over all interfaces but loopback.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkUsage {
    /// Bytes received.
    pub receive_bytes: u64,
    /// Packets received.
    pub receive_packets: u64,
    /// Receive errors.
    pub receive_errors: u64,
    /// Packets dropped on receipt.
    pub receive_dropped: u64,
    /// Bytes sent.
    pub send_bytes: u64,
    /// Packets sent.
    pub send_packets: u64,
    /// Send errors.
    pub send_errors: u64,
    /// Packets dropped instead of sent.
    pub send_dropped: u64,
}

/// How long the container waited for each resource (pressure stall information).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// For a processor.
    pub cpu: Option<Stall>,
    /// For memory.
    pub memory: Option<Stall>,
    /// For block devices.
    pub io: Option<Stall>,
}

/// Time spent waiting for one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stall {
    /// Share of the last 10 s in which at least one process waited, in hundredths of a percent.
    pub some_avg10_hundredths: u64,
    /// Time in which at least one process waited, in microseconds.
    pub some_us: u64,
    /// Share of the last 10 s in which all processes waited, in hundredths of a percent.
    pub full_avg10_hundredths: u64,
    /// Time in which all processes waited, in microseconds.
    pub full_us: u64,
}
