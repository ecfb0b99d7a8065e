//! The master as a process, what it takes, and what the load takes beside it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::super::memory::{Daemon, field_kib};
use super::super::processor_ticks;

/// A master of its own.
pub(super) struct Master {
    daemon: Daemon,
    pub(super) address: SocketAddr,
}

/// What happened between two looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) wall: Duration,
    /// Processor time of the master.
    pub(super) master: Duration,
    /// Processor time of this process: all agents and frameworks.
    pub(super) generator: Duration,
}

/// Resident memory of the master, in MiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) now: f64,
    /// The most since its start.
    pub(super) peak: f64,
}

/// A look at the clocks.
pub(super) struct Meter {
    began: Instant,
    master: Duration,
    generator: Duration,
}

impl Master {
    /// Starts one with its registry below `work_dir`, which must not be there yet.
    pub(super) fn start(work_dir: &Path, options: &[&str]) -> anyhow::Result<Self> {
        let folder = work_dir.display().to_string();
        let mut arguments = vec!["master", "--work-dir", &folder, "--listen", "127.0.0.1:0"];
        arguments.extend(options);
        let daemon = Daemon::start(&arguments)?;
        let address = daemon.url.trim_start_matches("http://");
        let address = address.parse().with_context(|| format!("the master listens at {address:?}"))?;
        Ok(Self { daemon, address })
    }

    pub(super) fn meter(&self) -> anyhow::Result<Meter> {
        Ok(Meter { master: self.processor()?, generator: processor("self")?, began: Instant::now() })
    }

    pub(super) fn since(&self, meter: &Meter) -> anyhow::Result<Cost> {
        let wall = meter.began.elapsed();
        let master = self.processor()?.saturating_sub(meter.master);
        Ok(Cost { wall, master, generator: processor("self")?.saturating_sub(meter.generator) })
    }

    pub(super) fn memory(&self) -> anyhow::Result<Memory> {
        let status = format!("/proc/{}/status", self.daemon.pid());
        let mib = |field: &str| Ok::<_, anyhow::Error>(field_kib(&status, field)? as f64 / 1024.0);
        Ok(Memory { now: mib("VmRSS:")?, peak: mib("VmHWM:")? })
    }

    fn processor(&self) -> anyhow::Result<Duration> {
        processor(&self.daemon.pid().to_string())
    }
}

/// Processor time of a process, all of its threads, also those that have ended.
fn processor(process: &str) -> anyhow::Result<Duration> {
    Ok(Duration::from_millis(processor_ticks(process, 14..16)? * 10))
}
