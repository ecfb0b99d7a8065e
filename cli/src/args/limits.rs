//! What tasks are held to: flags of `lonja agent` and `lonja run`.

use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;
use lonja_agent::LimitSettings;
use lonja_agent::isolation::{DeviceAccess, DeviceRule, Swap};
use lonja_sdk::Task;
use lonja_sdk::model::io_limits::{IoLimits, IoThrottle};

use super::mebibytes;

const MIB: f64 = (1_u64 << 20) as f64;

/// An agent's rules for all of its tasks.
#[derive(Debug, Args)]
pub(crate) struct AgentLimits {
    /// Swap that a task may use beside its memory: none, unlimited, or an amount such as 512MiB.
    #[arg(long, value_name = "none|unlimited|SIZE", default_value = "none", value_parser = swap, env = "LONJA_AGENT_SWAP")]
    pub(crate) swap: Swap,
    /// Hold tasks to the CPUs that they ask for also when others are idle; a task's own limit goes before this.
    #[arg(long, env = "LONJA_AGENT_CAP_CPUS")]
    pub(crate) cap_cpus: bool,
    /// A device of this host that every task may use, and how: r, w, m (make a node), rw without any. May be given
    /// more than once. Null, zero, full, random, urandom, tty and pseudo terminals always; a task's GPUs too.
    #[arg(long, value_name = "PATH[:rwm]", env = "LONJA_AGENT_ALLOW_DEVICE", value_delimiter = ',')]
    pub(crate) allow_device: Vec<String>,
}

impl AgentLimits {
    /// Errors: which flag, and what to do.
    pub(crate) fn settings(&self) -> anyhow::Result<LimitSettings> {
        let devices = self.allow_device.iter().map(|said| device(said));
        Ok(LimitSettings {
            swap: self.swap,
            cap_cpus: self.cap_cpus,
            devices: devices.collect::<anyhow::Result<_>>()?,
        })
    }
}

fn swap(text: &str) -> Result<Swap, String> {
    match text {
        "none" => Ok(Swap::None),
        "unlimited" => Ok(Swap::Unlimited),
        amount => mebibytes(amount).map(|mib| Swap::Bytes(bytes(mib))),
    }
}

/// From MiB, rounded down.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and saturates")]
fn bytes(mib: f64) -> u64 {
    (mib * MIB) as u64
}

fn device(said: &str) -> anyhow::Result<DeviceRule> {
    let (path, access) = match said.rsplit_once(':') {
        Some((path, letters)) => {
            let access = DeviceAccess::parse(letters);
            (
                path,
                access.with_context(|| format!("--allow-device {said}: {letters:?} is not of r, w and m"))?,
            )
        }
        None => (said, DeviceAccess::OPEN),
    };
    DeviceRule::of_node(Path::new(path), access).with_context(|| format!("--allow-device {said}: {path}"))
}

/// Where one task is stopped, apart from what it asks for.
#[derive(Debug, Default, Args)]
pub(crate) struct RunLimits {
    /// CPUs that it is stopped at, also when others are idle; unlimited: never. Without this, the agent's rule.
    #[arg(long, value_name = "CPUS", value_parser = cpus)]
    pub(crate) cpu_limit: Option<f64>,
    /// Memory above which it is ended, in MiB or with a unit; unlimited: never. Without this, what it asks for.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(crate) mem_limit: Option<f64>,
    /// Bytes a second that it may read from the sandbox's disk, in MiB or with a unit.
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub(crate) io_read_bps: Option<u64>,
    /// Bytes a second that it may write to the sandbox's disk, in MiB or with a unit.
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub(crate) io_write_bps: Option<u64>,
    /// Reads a second from the sandbox's disk.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) io_read_iops: Option<u64>,
    /// Writes a second to the sandbox's disk.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) io_write_iops: Option<u64>,
    /// Its weight among those who want a disk at the same time: 1 to 1000, everyone having 100.
    #[arg(long, value_name = "WEIGHT", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) io_weight: Option<u16>,
}

impl RunLimits {
    /// The task with these limits. Errors: which flag, and what to do.
    pub(crate) fn apply(&self, mut task: Task) -> anyhow::Result<Task> {
        let need = *task.need();
        if let Some(cpus) = self.cpu_limit {
            if cpus < need.cpus.to_f64() {
                bail!("--cpu-limit {cpus} is below --cpus {}; raise it to that at least", need.cpus);
            }
            task = task.cpu_limit(cpus).context("--cpu-limit")?;
        }
        if let Some(mib) = self.mem_limit {
            if mib < need.mem.to_f64() {
                bail!("--mem-limit {mib} MiB is below --mem {} MiB; raise it to that at least", need.mem);
            }
            task = task.mem_limit_mib(mib).context("--mem-limit")?;
        }
        let rates = IoThrottle {
            device: None,
            read_bps: self.io_read_bps,
            write_bps: self.io_write_bps,
            read_iops: self.io_read_iops,
            write_iops: self.io_write_iops,
        };
        let throttles = if rates == IoThrottle::default() { Vec::new() } else { vec![rates] };
        Ok(task.io_limits(IoLimits { throttles, weight: self.io_weight }))
    }
}

fn cpus(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is no number of CPUs; write, for example, 1.5 or unlimited");
    match text {
        "unlimited" => Ok(f64::INFINITY),
        number => number.parse().ok().filter(|cpus: &f64| cpus.is_finite() && *cpus > 0.0).ok_or_else(wrong),
    }
}

fn memory(text: &str) -> Result<f64, String> {
    if text == "unlimited" { Ok(f64::INFINITY) } else { mebibytes(text) }
}

fn rate(text: &str) -> Result<u64, String> {
    match bytes(mebibytes(text)?) {
        0 => Err(format!("{text:?} is nothing; leave the flag out for no limit")),
        rate => Ok(rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Task {
        Task::shell("true").unwrap().cpus(0.5).unwrap().mem_mib(64.0).unwrap()
    }

    #[test]
    fn a_limit_below_the_request_is_refused_by_its_flag() {
        let low = RunLimits { cpu_limit: Some(0.4), ..RunLimits::default() };
        assert!(low.apply(task()).unwrap_err().to_string().contains("--cpu-limit 0.4 is below --cpus 0.5"));
        let low = RunLimits { mem_limit: Some(32.0), ..RunLimits::default() };
        assert!(low.apply(task()).unwrap_err().to_string().contains("--mem-limit"));
        let infinite = RunLimits { mem_limit: Some(f64::INFINITY), ..RunLimits::default() };
        assert!(infinite.apply(task()).is_ok());
    }

    #[test]
    fn swap_is_a_word_or_an_amount() {
        assert_eq!(swap("none"), Ok(Swap::None));
        assert_eq!(swap("unlimited"), Ok(Swap::Unlimited));
        assert_eq!(swap("1GiB"), Ok(Swap::Bytes(1 << 30)));
        assert!(swap("some").is_err());
    }

    #[test]
    fn a_device_is_a_path_and_letters() {
        assert_eq!(device("/dev/full").unwrap().to_string(), "c 1:7 rw");
        assert_eq!(device("/dev/full:rwm").unwrap().to_string(), "c 1:7 rwm");
        assert!(device("/dev/full:x").is_err() && device("/dev").is_err() && device("/dev/none").is_err());
    }

    #[test]
    fn rates_and_cpus_are_above_nothing() {
        assert_eq!(rate("2"), Ok(2 << 20));
        assert_eq!(rate("1KiB"), Ok(1024));
        assert!(rate("0").is_err() && cpus("0").is_err() && cpus("NaN").is_err() && cpus("inf").is_err());
        assert_eq!(cpus("unlimited"), Ok(f64::INFINITY));
    }
}
