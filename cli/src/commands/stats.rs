//! `lonja stats`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use futures::StreamExt;
use lonja_proto::lonja::{ContainerStats, StatsRequest};
use lonja_proto::mesos;
use serde_json::{Value, json};

use crate::args::Stats;
use crate::client::{Client, connect_agent};
use crate::output::{self, Listing, Row};

/// How long one agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Agents that are asked at once.
const AT_ONCE: usize = 32;

/// Which container: framework, task, container.
type Key = (String, String, String);

/// Where to ask, and for what.
struct Asked {
    agents: Vec<(String, i32)>,
    request: StatsRequest,
}

/// Prints what tasks use, over a moment.
pub(crate) async fn run(stats: &Stats) -> anyhow::Result<ExitCode> {
    let asked = find(stats).await?;
    let mut before = sample(&asked).await?;
    let mut printed = false;
    loop {
        tokio::time::sleep(stats.interval).await;
        let now = sample(&asked).await?;
        if stats.task.is_some() && now.is_empty() {
            if printed {
                return Ok(ExitCode::SUCCESS);
            }
            bail!("task {} runs no more", stats.task.as_deref().unwrap_or_default());
        }
        let rows = now.iter().map(|(key, one)| row(key, one, before.get(key))).collect();
        let columns = vec![
            "task",
            "cpu %",
            "mem",
            "mem limit",
            "pids",
            "disk",
            "disk limit",
            "net in",
            "net out",
            "read",
            "written",
            "framework",
            "container",
            "throttled",
        ];
        Listing { what: "stats", columns, wide_from: 11, rows }.print(stats.output, false);
        printed = true;
        if !stats.watch {
            return Ok(ExitCode::SUCCESS);
        }
        before = now;
    }
}

async fn find(stats: &Stats) -> anyhow::Result<Asked> {
    let mut client = Client::connect(&stats.master.master).await?;
    let known = client.agents().await?.agents;
    let address = |info: &mesos::AgentInfo| (info.hostname.clone(), info.port.unwrap_or(5051));
    let Some(task) = &stats.task else {
        let framework_id = stats.framework.clone().map(|value| mesos::FrameworkId { value });
        let agents = known.iter().map(|agent| address(&agent.agent_info)).collect();
        return Ok(Asked { agents, request: StatsRequest { framework_id, task_id: None } });
    };
    let task = client.find_task(task, stats.framework.as_deref()).await?;
    let its = |info: &mesos::AgentInfo| info.id.as_ref().is_some_and(|id| id.value == task.agent_id.value);
    let Some(agent) = known.iter().find(|agent| its(&agent.agent_info)) else {
        bail!("the agent {} of task {} is not connected", task.agent_id.value, task.task_id.value);
    };
    let request = StatsRequest { framework_id: Some(task.framework_id), task_id: Some(task.task_id) };
    Ok(Asked { agents: vec![address(&agent.agent_info)], request })
}

async fn sample(asked: &Asked) -> anyhow::Result<BTreeMap<Key, ContainerStats>> {
    let answers = asked.agents.iter().map(|(host, port)| {
        let request = asked.request.clone();
        async move {
            let ask = async {
                let mut agent = connect_agent(host, *port).await?;
                let answer = agent.stats(request).await;
                anyhow::Ok(answer.map_err(|status| anyhow::anyhow!("{}", status.message()))?.into_inner())
            };
            let answer = tokio::time::timeout(PATIENCE, ask).await;
            answer.unwrap_or_else(|_| Err(anyhow::anyhow!("it does not answer")))
        }
    });
    let mut all = BTreeMap::new();
    let answers: Vec<_> = futures::stream::iter(answers).buffered(AT_ONCE).collect().await;
    for (answer, (host, port)) in answers.into_iter().zip(&asked.agents) {
        match answer {
            Ok(answer) => {
                if answer.truncated {
                    output::warn(&format!("agent {host}:{port} has more containers than it tells of"));
                }
                all.extend(answer.containers.into_iter().map(|one| (key(&one), one)));
            }
            // The others still tell theirs.
            Err(error) if asked.agents.len() > 1 => output::warn(&format!("agent {host}:{port}: {error}")),
            Err(error) => return Err(error.context(format!("agent {host}:{port}"))),
        }
    }
    Ok(all)
}

fn key(one: &ContainerStats) -> Key {
    (
        one.framework_id.as_ref().map(|id| id.value.clone()).unwrap_or_default(),
        one.task_id.as_ref().map(|id| id.value.clone()).unwrap_or_default(),
        one.container_id.as_ref().map(|id| id.value.clone()).unwrap_or_default(),
    )
}

/// Use of the processor between two looks, in per cent of one CPU.
fn cpu_percent(now: &ContainerStats, before: Option<&ContainerStats>) -> Option<f64> {
    let before = before?;
    let time = |one: &ContainerStats| one.statistics.as_ref().map(|statistics| statistics.timestamp);
    let elapsed = time(now)? - time(before)?;
    let used = now.cpu_ns?.saturating_sub(before.cpu_ns?) as f64 / 1e9;
    (elapsed > 0.0).then(|| used / elapsed * 100.0)
}

fn row(key: &Key, one: &ContainerStats, before: Option<&ContainerStats>) -> Row {
    let (framework, task, container) = key;
    let statistics = one.statistics.clone().unwrap_or_default();
    let cpu = cpu_percent(one, before);
    let bytes = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), size);
    let pids = match (statistics.threads, one.pids_limit) {
        (Some(pids), Some(limit)) => format!("{pids}/{limit}"),
        (Some(pids), None) => pids.to_string(),
        (None, _) => "-".to_owned(),
    };
    let cells = vec![
        task.clone(),
        cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.1}")),
        bytes(statistics.mem_total_bytes),
        bytes(statistics.mem_limit_bytes),
        pids,
        bytes(statistics.disk_used_bytes),
        bytes(statistics.disk_limit_bytes),
        bytes(statistics.net_rx_bytes),
        bytes(statistics.net_tx_bytes),
        bytes(one.io_read_bytes),
        bytes(one.io_write_bytes),
        framework.clone(),
        container.clone(),
        statistics.cpus_throttled_time_secs.map_or_else(|| "-".to_owned(), |time| format!("{time:.2}s")),
    ];
    Row { id: task.clone(), cells, object: object(key, one, cpu) }
}

fn object((framework, task, container): &Key, one: &ContainerStats, cpu: Option<f64>) -> Value {
    let statistics = one.statistics.clone().unwrap_or_default();
    json!({
        "framework_id": framework,
        "task_id": task,
        "container_id": container,
        "timestamp": statistics.timestamp,
        "cpu_percent": cpu,
        "cpu_seconds": one.cpu_ns.map(|time| time as f64 / 1e9),
        "cpus_user_time_secs": statistics.cpus_user_time_secs,
        "cpus_system_time_secs": statistics.cpus_system_time_secs,
        "cpus_limit": statistics.cpus_limit,
        "cpus_nr_periods": statistics.cpus_nr_periods,
        "cpus_nr_throttled": statistics.cpus_nr_throttled,
        "cpus_throttled_time_secs": statistics.cpus_throttled_time_secs,
        "mem_total_bytes": statistics.mem_total_bytes,
        "mem_rss_bytes": statistics.mem_rss_bytes,
        "mem_cache_bytes": statistics.mem_cache_bytes,
        "mem_peak_bytes": one.mem_peak_bytes,
        "mem_limit_bytes": statistics.mem_limit_bytes,
        "mem_soft_limit_bytes": statistics.mem_soft_limit_bytes,
        "threads": statistics.threads,
        "pids_limit": one.pids_limit,
        "pids_refused": one.pids_refused,
        "disk_used_bytes": statistics.disk_used_bytes,
        "disk_limit_bytes": statistics.disk_limit_bytes,
        "disk_measured_at": one.disk_measured_at,
        "net_rx_bytes": statistics.net_rx_bytes,
        "net_tx_bytes": statistics.net_tx_bytes,
        "io_read_bytes": one.io_read_bytes,
        "io_write_bytes": one.io_write_bytes,
    })
}

/// Bytes in the largest unit that leaves at least one of it.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_for_people() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (9 << 50, "9216.0 TiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn the_use_of_the_processor_is_that_between_two_looks() {
        let look = |timestamp, cpu_ns| ContainerStats {
            statistics: Some(mesos::ResourceStatistics { timestamp, ..Default::default() }),
            cpu_ns: Some(cpu_ns),
            ..Default::default()
        };
        let percent = |before: &ContainerStats| cpu_percent(&look(12.0, 5_000_000_000), Some(before));

        assert_eq!(percent(&look(10.0, 4_000_000_000)), Some(50.0));
        assert_eq!(percent(&look(12.0, 4_000_000_000)), None, "no time has passed");
        assert_eq!(percent(&look(10.0, 6_000_000_000)), Some(0.0), "another container of the same name");
        assert_eq!(cpu_percent(&look(12.0, 0), None), None);
    }
}
