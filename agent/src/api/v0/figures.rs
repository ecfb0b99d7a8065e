//! `/metrics/snapshot`: the figures of an agent by the names that Mesos gives them, one flat object of numbers.
//!
//! A name that nothing here stands behind is left out: a figure that is not there is better than one that is wrong.
//!
//! Source: Mesos, "Performance monitoring", metrics of agents.

use lonja_agent_core::Tally;
use lonja_model::{Resources, TaskState};
use serde_json::{Map, Value, json};

use crate::counts::{Counts, Executors};
use crate::sandbox::collection::Collected;

/// The agent's gauges and counters.
pub(crate) fn figures(counts: &Counts, collected: Collected) -> Map<String, Value> {
    let mut all = Map::new();
    let mut put = |name: String, value: f64| {
        all.insert(name, json!(value));
    };
    put("slave/registered".to_owned(), if counts.registered { 1.0 } else { 0.0 });
    put("slave/uptime_secs".to_owned(), counts.now.since(counts.started).as_secs_f64());
    put("slave/frameworks_active".to_owned(), counts.frameworks as f64);
    resources(counts, &mut put);
    tasks(counts, &mut put);
    executors(counts, &mut put);
    let Tally { updates, strange_updates, failed_launches, .. } = &counts.tally;
    put("slave/valid_status_updates".to_owned(), *updates as f64);
    put("slave/invalid_status_updates".to_owned(), *strange_updates as f64);
    put("slave/container_launch_errors".to_owned(), *failed_launches as f64);
    put("gc/path_removals_pending".to_owned(), collected.pending as f64);
    put("gc/path_removals_succeeded".to_owned(), collected.removed as f64);
    put("gc/path_removals_failed".to_owned(), collected.failed as f64);
    host(&mut put);
    all
}

fn resources(counts: &Counts, put: &mut impl FnMut(String, f64)) {
    let amount = |all: &Resources, name: &str, revocable: bool| {
        all.filter(|one| one.metadata().revocable == revocable).scalar(name).to_f64()
    };
    for name in ["cpus", "gpus", "mem", "disk"] {
        for (suffix, revocable) in [("", false), ("_revocable", true)] {
            let total = amount(&counts.total, name, revocable);
            let used = amount(&counts.promised, name, revocable);
            put(format!("slave/{name}{suffix}_total"), total);
            put(format!("slave/{name}{suffix}_used"), used);
            put(format!("slave/{name}{suffix}_percent"), if total > 0.0 { used / total } else { 0.0 });
        }
    }
}

fn tasks(counts: &Counts, put: &mut impl FnMut(String, f64)) {
    for state in [TaskState::Staging, TaskState::Starting, TaskState::Running, TaskState::Killing] {
        let count = counts.tasks.get(&state).copied().unwrap_or(0);
        put(format!("slave/tasks_{}", short(state)), count as f64);
    }
    let states = [
        TaskState::Finished,
        TaskState::Failed,
        TaskState::Killed,
        TaskState::Lost,
        TaskState::Error,
        TaskState::Gone,
        TaskState::Dropped,
    ];
    for state in states {
        let count = counts.tally.ended.get(&state).copied().unwrap_or(0);
        put(format!("slave/tasks_{}", short(state)), count as f64);
    }
}

/// `TASK_RUNNING` is `running`.
fn short(state: TaskState) -> String {
    state.name().trim_start_matches("TASK_").to_lowercase()
}

fn executors(counts: &Counts, put: &mut impl FnMut(String, f64)) {
    let Executors { registering, running, terminating } = counts.executors;
    put("slave/executors_registering".to_owned(), registering as f64);
    put("slave/executors_running".to_owned(), running as f64);
    put("slave/executors_terminating".to_owned(), terminating as f64);
    put("slave/executors_terminated".to_owned(), counts.tally.executors_ended as f64);
    put("slave/executors_preempted".to_owned(), 0.0);
}

/// What the kernel says of the whole host.
fn host(put: &mut impl FnMut(String, f64)) {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    put("system/cpus_total".to_owned(), cpus as f64);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    for (name, value) in ["1min", "5min", "15min"].into_iter().zip(load.split(' ')) {
        if let Ok(value) = value.parse() {
            put(format!("system/load_{name}"), value);
        }
    }
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    for (name, key) in [("total", "MemTotal:"), ("free", "MemFree:")] {
        let line = memory.lines().find_map(|line| line.strip_prefix(key));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        if let Some(kilobytes) = kilobytes {
            put(format!("system/mem_{name}_bytes"), kilobytes.saturating_mul(1024) as f64);
        }
    }
}
