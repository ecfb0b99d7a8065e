//! What containers use, put together for those who ask.
//!
//! Counters count from the container's start; whoever wants a rate asks twice. The figures are read when asked for, but for
//! the use of the disk, which is measured now and then (`disk::watch`).
//!
//! Source: Mesos, `ResourceStatistics` and the agent's `/monitor/statistics`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lonja_model::TaskState;
use lonja_proto::convert::ids::container_id_to_wire;
use lonja_proto::lonja::ContainerStats;
use lonja_proto::mesos::{self, ResourceStatistics};
use serde_json::{Map, Value, json};

use crate::containers::Containers;
use crate::handle::TaskLine;
use crate::isolation::Usage;

const NANOSECONDS: f64 = 1e9;

const MIB: u64 = 1 << 20;

/// Containers that one answer tells of.
pub(crate) const MOST_CONTAINERS: usize = 5_000;

/// What one container uses at one moment.
#[derive(Clone, Debug)]
pub(crate) struct ContainerStatistics {
    pub(crate) task: TaskLine,
    /// When it was looked at.
    pub(crate) at: SystemTime,
    pub(crate) usage: Usage,
    /// In bytes.
    pub(crate) disk_limit: Option<u64>,
    /// In bytes, when it was last measured.
    pub(crate) disk_used: Option<(u64, SystemTime)>,
}

/// What the containers of these tasks use, as far as they run. Blocks: reads a dozen small files of each.
pub(crate) fn collect(containers: &Arc<Containers>, tasks: Vec<TaskLine>) -> Vec<ContainerStatistics> {
    let running = tasks
        .into_iter()
        .filter(|task| task.pid.is_some() && matches!(task.state, TaskState::Running | TaskState::Killing));
    let looked = running.filter_map(|task| {
        // It has ended meanwhile: then it uses nothing.
        let usage = containers.usage(&task.container).ok()?;
        let (disk_limit, look) = containers.disk_use(&task.container);
        let disk_used = look.map(|look| (look.used_bytes, look.at));
        Some(ContainerStatistics { task, at: SystemTime::now(), usage, disk_limit, disk_used })
    });
    looked.take(MOST_CONTAINERS).collect()
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn secs(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / NANOSECONDS
}

fn few(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl ContainerStatistics {
    /// CPU seconds in user mode and in the kernel.
    fn cpu_seconds(&self) -> (Option<f64>, Option<f64>) {
        (self.usage.cpu.user_ns.map(secs), self.usage.cpu.system_ns.map(secs))
    }

    /// All CPU time in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> Option<u64> {
        let (user, system) = (self.usage.cpu.user_ns, self.usage.cpu.system_ns);
        self.usage.cpu_ns.or_else(|| Some(user?.saturating_add(system?)))
    }

    /// Bytes read and written, of all block devices together.
    fn io(&self) -> Option<(u64, u64)> {
        let devices = &self.usage.io;
        let sum =
            |of: fn(&crate::isolation::DeviceIo) -> u64| devices.iter().map(of).fold(0, u64::saturating_add);
        (!devices.is_empty()).then(|| (sum(|device| device.read_bytes), sum(|device| device.write_bytes)))
    }

    /// The hard limit of memory in bytes; where the kernel does not tell, what was asked for.
    fn memory_limit(&self) -> Option<u64> {
        let asked = self.task.resources.scalar("mem").thousandths();
        let asked = (asked > 0).then(|| asked.saturating_mul(MIB) / 1000);
        self.usage.memory.limit_bytes.or(asked)
    }

    fn cpus(&self) -> f64 {
        let asked = self.task.resources.scalar("cpus").thousandths();
        self.usage.cpu.limit_thousandths.unwrap_or(asked) as f64 / 1000.0
    }

    /// In the words of Mesos.
    pub(crate) fn to_wire(&self) -> ContainerStats {
        let id = &self.task;
        let io = self.io();
        ContainerStats {
            framework_id: Some(mesos::FrameworkId { value: id.framework.as_str().to_owned() }),
            task_id: Some(mesos::TaskId { value: id.task.as_str().to_owned() }),
            container_id: Some(container_id_to_wire(&id.container)),
            statistics: Some(self.statistics()),
            mem_peak_bytes: self.usage.memory.peak_bytes,
            pids_limit: self.usage.pids_limit,
            pids_refused: self.usage.pids_refused,
            io_read_bytes: io.map(|(read, _)| read),
            io_write_bytes: io.map(|(_, written)| written),
            disk_measured_at: self.disk_used.map(|(_, at)| seconds(at)),
            cpu_ns: self.cpu_ns(),
        }
    }

    pub(crate) fn statistics(&self) -> ResourceStatistics {
        let (user, system) = self.cpu_seconds();
        let (cpu, memory) = (&self.usage.cpu, &self.usage.memory);
        let network = self.usage.network.as_ref();
        ResourceStatistics {
            timestamp: seconds(self.at),
            cpus_user_time_secs: user,
            cpus_system_time_secs: system,
            cpus_limit: Some(self.cpus()),
            cpus_soft_limit: Some(self.task.resources.scalar("cpus").thousandths() as f64 / 1000.0),
            cpus_nr_periods: cpu.periods.map(few),
            cpus_nr_throttled: cpu.throttled_periods.map(few),
            cpus_throttled_time_secs: cpu.throttled_ns.map(secs),
            mem_total_bytes: self.usage.memory_bytes,
            mem_rss_bytes: memory.rss_bytes,
            mem_anon_bytes: memory.rss_bytes,
            mem_file_bytes: memory.cache_bytes,
            mem_cache_bytes: memory.cache_bytes,
            mem_mapped_file_bytes: memory.mapped_bytes,
            mem_swap_bytes: memory.swap_bytes,
            mem_limit_bytes: self.memory_limit(),
            mem_soft_limit_bytes: memory.soft_limit_bytes,
            disk_limit_bytes: self.disk_limit,
            disk_used_bytes: self.disk_used.map(|(used, _)| used),
            // Kernels count threads alone.
            threads: self.usage.pids.map(few),
            net_rx_bytes: network.map(|network| network.receive_bytes),
            net_rx_packets: network.map(|network| network.receive_packets),
            net_rx_errors: network.map(|network| network.receive_errors),
            net_rx_dropped: network.map(|network| network.receive_dropped),
            net_tx_bytes: network.map(|network| network.send_bytes),
            net_tx_packets: network.map(|network| network.send_packets),
            net_tx_errors: network.map(|network| network.send_errors),
            net_tx_dropped: network.map(|network| network.send_dropped),
            ..ResourceStatistics::default()
        }
    }

    /// One element of `/monitor/statistics`.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "executor_id": self.task.task.as_str(),
            "executor_name": self.task.name,
            "framework_id": self.task.framework.as_str(),
            "source": self.task.task.as_str(),
            "statistics": self.figures(),
        })
    }

    /// One element of `/containers`.
    pub(crate) fn to_container_json(&self) -> Value {
        let mut value = self.to_json();
        if let Value::Object(fields) = &mut value {
            fields.insert("container_id".to_owned(), json!(self.task.container.as_str()));
            let status = json!({
                "container_id": { "value": self.task.container.as_str() },
                "executor_pid": self.task.pid,
            });
            fields.insert("status".to_owned(), status);
        }
        value
    }

    fn figures(&self) -> Value {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        };
        let wire = self.statistics();
        let float = |value: Option<f64>| value.map(|value| json!(value));
        let whole = |value: Option<u64>| value.map(|value| json!(value));
        put("timestamp", Some(json!(wire.timestamp)));
        put("cpus_limit", float(wire.cpus_limit));
        put("cpus_soft_limit", float(wire.cpus_soft_limit));
        put("cpus_user_time_secs", float(wire.cpus_user_time_secs));
        put("cpus_system_time_secs", float(wire.cpus_system_time_secs));
        put("cpus_nr_periods", whole(wire.cpus_nr_periods.map(u64::from)));
        put("cpus_nr_throttled", whole(wire.cpus_nr_throttled.map(u64::from)));
        put("cpus_throttled_time_secs", float(wire.cpus_throttled_time_secs));
        put("mem_total_bytes", whole(wire.mem_total_bytes));
        put("mem_rss_bytes", whole(wire.mem_rss_bytes));
        put("mem_anon_bytes", whole(wire.mem_anon_bytes));
        put("mem_file_bytes", whole(wire.mem_file_bytes));
        put("mem_cache_bytes", whole(wire.mem_cache_bytes));
        put("mem_mapped_file_bytes", whole(wire.mem_mapped_file_bytes));
        put("mem_swap_bytes", whole(wire.mem_swap_bytes));
        put("mem_limit_bytes", whole(wire.mem_limit_bytes));
        put("mem_soft_limit_bytes", whole(wire.mem_soft_limit_bytes));
        put("disk_limit_bytes", whole(wire.disk_limit_bytes));
        put("disk_used_bytes", whole(wire.disk_used_bytes));
        put("threads", whole(wire.threads.map(u64::from)));
        put("net_rx_bytes", whole(wire.net_rx_bytes));
        put("net_rx_packets", whole(wire.net_rx_packets));
        put("net_rx_errors", whole(wire.net_rx_errors));
        put("net_rx_dropped", whole(wire.net_rx_dropped));
        put("net_tx_bytes", whole(wire.net_tx_bytes));
        put("net_tx_packets", whole(wire.net_tx_packets));
        put("net_tx_errors", whole(wire.net_tx_errors));
        put("net_tx_dropped", whole(wire.net_tx_dropped));
        put("blkio_statistics", self.block_json());
        Value::Object(fields)
    }

    fn block_json(&self) -> Option<Value> {
        let value = |op: &str, value: u64| json!({ "op": op, "value": value });
        let devices = self.usage.io.iter().map(|device| {
            json!({
                "device": { "major_number": device.major, "minor_number": device.minor },
                "io_service_bytes": [value("READ", device.read_bytes), value("WRITE", device.write_bytes)],
                "io_serviced": [value("READ", device.reads), value("WRITE", device.writes)],
            })
        });
        let devices: Vec<Value> = devices.collect();
        (!devices.is_empty()).then(|| json!({ "throttling": devices }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::{CpuUsage, DeviceIo, MemoryUsage};
    use lonja_model::{ContainerId, FrameworkId, Resources, TaskId};

    fn statistics() -> ContainerStatistics {
        ContainerStatistics {
            task: TaskLine {
                framework: FrameworkId::new("f1").unwrap(),
                task: TaskId::new("t1").unwrap(),
                state: TaskState::Running,
                container: ContainerId::new("c1").unwrap(),
                pid: Some(7),
                name: "web".to_owned(),
                resources: Resources::parse("cpus:0.5;mem:64;disk:10").unwrap(),
                sandbox: "/s".into(),
            },
            at: UNIX_EPOCH + std::time::Duration::from_millis(1_500),
            usage: Usage {
                cpu_ns: Some(3_000_000_000),
                memory_bytes: Some(4096),
                pids: Some(3),
                cpu: CpuUsage {
                    user_ns: Some(2_000_000_000),
                    system_ns: Some(1_000_000_000),
                    ..CpuUsage::default()
                },
                memory: MemoryUsage { rss_bytes: Some(1024), ..MemoryUsage::default() },
                io: vec![DeviceIo { major: 8, minor: 1, read_bytes: 5, write_bytes: 6, reads: 1, writes: 2 }],
                ..Usage::default()
            },
            disk_limit: Some(10 << 20),
            disk_used: Some((2 << 20, UNIX_EPOCH)),
        }
    }

    #[test]
    fn programs_that_read_mesos_find_its_names() {
        let value = statistics().to_container_json();

        assert_eq!(value["executor_id"], "t1");
        assert_eq!(value["container_id"], "c1");
        assert_eq!(value["status"]["executor_pid"], 7);
        let figures = &value["statistics"];
        assert_eq!(figures["timestamp"], 1.5);
        assert_eq!(
            (&figures["cpus_user_time_secs"], &figures["cpus_system_time_secs"]),
            (&json!(2.0), &json!(1.0))
        );
        assert_eq!(figures["mem_limit_bytes"], 64 << 20);
        assert_eq!(
            (&figures["disk_limit_bytes"], &figures["disk_used_bytes"]),
            (&json!(10 << 20), &json!(2 << 20))
        );
        assert_eq!(figures["blkio_statistics"]["throttling"][0]["io_service_bytes"][1]["value"], 6);
        assert_eq!(figures.get("net_rx_bytes"), None, "what nobody counts is left out, not zero");
    }

    #[test]
    fn the_wire_says_the_same() {
        let wire = statistics().to_wire();

        assert_eq!(
            (wire.io_read_bytes, wire.io_write_bytes, wire.cpu_ns),
            (Some(5), Some(6), Some(3_000_000_000))
        );
        let figures = wire.statistics.unwrap();
        assert_eq!((figures.cpus_limit, figures.threads, figures.net_rx_bytes), (Some(0.5), Some(3), None));
    }
}
