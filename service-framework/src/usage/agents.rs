//! What tasks use, as their agents say.

use std::collections::HashMap;

use serde::Deserialize;

use crate::probing::get::Server;

/// The longest answer that is read, in bytes: some thousand containers.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Where an agent's API is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Agent {
    pub(super) host: String,
    pub(super) port: u16,
}

/// What tasks used, by their ids.
pub(super) type Samples = HashMap<String, Sample>;

/// What one task had used at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Sample {
    /// Seconds since 1970.
    #[serde(default)]
    timestamp: f64,
    cpus_user_time_secs: Option<f64>,
    cpus_system_time_secs: Option<f64>,
    /// Without what only caches files, which the kernel gives back at need.
    mem_rss_bytes: Option<f64>,
    mem_total_bytes: Option<f64>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    executor_id: String,
    #[serde(default)]
    statistics: Sample,
}

impl Sample {
    /// The CPUs used from here until `after`; none: it cannot be said.
    pub(super) fn cpus_until(&self, after: &Self) -> Option<f64> {
        let seconds = after.timestamp - self.timestamp;
        let used = after.cpu_seconds()? - self.cpu_seconds()?;
        // A counter that falls is another container's.
        (seconds > 0.1 && used >= 0.0).then(|| used / seconds)
    }

    /// Bytes.
    pub(super) fn memory(&self) -> Option<f64> {
        self.mem_rss_bytes.or(self.mem_total_bytes)
    }

    fn cpu_seconds(&self) -> Option<f64> {
        Some(self.cpus_user_time_secs? + self.cpus_system_time_secs?)
    }
}

/// Asks an agent for these tasks. None: it does not answer as agents do.
pub(super) async fn ask(agent: &Agent, tasks: &[String]) -> Option<Samples> {
    let server = Server { host: &agent.host, port: agent.port };
    let answered = server.get(None, "/monitor/statistics", MOST_BYTES).await;
    let told = answered.map_err(|error| error.to_string()).and_then(|answered| {
        if !answered.status.is_success() || answered.is_cut {
            return Err(format!("status {}, {} bytes", answered.status, answered.body.len()));
        }
        serde_json::from_slice::<Vec<Container>>(&answered.body).map_err(|error| error.to_string())
    });
    match told {
        Ok(containers) => {
            let wanted = containers.into_iter().filter(|one| tasks.contains(&one.executor_id));
            Some(wanted.map(|one| (one.executor_id, one.statistics)).collect())
        }
        Err(reason) => {
            tracing::debug!(agent = %server, %reason, "an agent does not say what its tasks use");
            None
        }
    }
}
