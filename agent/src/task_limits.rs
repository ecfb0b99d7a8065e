//! From what a task asks for to what its container is held to.
//!
//! A request is what is set aside; a limit of its own, where the task has one, is where it is stopped. Memory without
//! one is stopped at the request, CPUs only where the agent says so.
//!
//! Source: Mesos, `TaskInfo.limits`, isolators `cgroups/cpu`, `cgroups/mem`, `cgroups/devices`, `gpu/nvidia`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lonja_model::TaskInfo;
use lonja_model::io_limits::{IoLimits, IoThrottle};
use lonja_model::resources::{Devices, Resources, Scalar, Value};
use lonja_model::task::Limit;

use crate::isolation::{self, DeviceAccess, DeviceRule, Limits, Swap};

const MIB: u64 = 1 << 20;

/// What a task may use that asks for less memory, or for none. Source: Mesos, the least of its memory limits.
const LEAST_MEMORY: Scalar = match Scalar::from_units(32) {
    Some(mib) => mib,
    None => Scalar::ZERO,
};

/// What the name of a resource of huge pages begins with; the rest is their size as the kernel writes it: `2MB`.
const HUGE_PAGES: &str = "hugepages-";

/// Nodes that every NVIDIA device needs, where the driver has made them.
const NVIDIA_CONTROL: [&str; 4] = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"];

/// The agent's own rules, the same for all of its tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitSettings {
    /// How much a task may swap beside its memory.
    pub swap: Swap,
    /// Tasks get no more CPUs than they ask for also when others are idle, unless they have a limit of their own.
    pub cap_cpus: bool,
    /// Devices beyond the minimal set that every task may use.
    pub devices: Vec<DeviceRule>,
}

/// What `task`, whose files are in `sandbox`, is held to. Errors: a limit on block devices that cannot be.
pub(crate) fn limits_of(
    task: &TaskInfo,
    settings: &LimitSettings,
    pids_max: u64,
    sandbox: &Path,
) -> Result<Limits, String> {
    let mut devices = DeviceRule::minimal();
    devices.extend(settings.devices.iter().cloned());
    devices.extend(gpu_devices(&task.resources, Path::new("/dev")));
    Ok(Limits {
        pids_max: Some(pids_max),
        io: io_limits(&task.container.io, sandbox)?,
        devices: Some(devices),
        ..limits_together(&task.resources, &task.limits, settings)
    })
}

/// What a container is held to in cpus and memory that needs these resources and has these limits.
pub(crate) fn limits_together(
    resources: &Resources,
    limits: &BTreeMap<String, Limit>,
    settings: &LimitSettings,
) -> Limits {
    let request = resources.scalar("mem").max(LEAST_MEMORY);
    let memory = match limits.get("mem") {
        Some(Limit::Amount(mib)) => Some((*mib).max(LEAST_MEMORY)),
        Some(Limit::Infinite) => None,
        None => Some(request),
    };
    let cpus = resources.scalar("cpus").thousandths();
    let cpu_limit = match limits.get("cpus") {
        Some(Limit::Amount(cpus)) => Some(cpus.thousandths()),
        None if settings.cap_cpus => Some(cpus),
        Some(Limit::Infinite) | None => None,
    };
    Limits {
        cpus_thousandths: Some(cpus).filter(|cpus| *cpus > 0),
        memory_bytes: memory.map(bytes),
        cpu_limit_thousandths: cpu_limit.filter(|cpus| *cpus > 0),
        memory_request_bytes: Some(bytes(request)),
        swap: settings.swap,
        huge_pages: Some(huge_pages(resources)),
        ..Limits::default()
    }
}

/// What was asked for in MiB.
fn bytes(mib: Scalar) -> u64 {
    u64::try_from(u128::from(mib.thousandths()) * u128::from(MIB) / 1000).unwrap_or(u64::MAX)
}

fn huge_pages(resources: &Resources) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    for resource in resources.iter() {
        if let (Some(size), Value::Scalar(mib)) = (resource.name().strip_prefix(HUGE_PAGES), resource.value())
        {
            let sum = sizes.entry(size.to_owned()).or_insert(0_u64);
            *sum = sum.saturating_add(bytes(*mib));
        }
    }
    sizes
}

fn io_limits(limits: &IoLimits, sandbox: &Path) -> Result<isolation::IoLimits, String> {
    let throttle = |limit: &IoThrottle| {
        let path = limit.device.as_deref().map_or(sandbox, Path::new);
        let (major, minor) = isolation::disk_of(path).map_err(|why| {
            format!("the use of a block device cannot be limited: {why}; name another device, or leave the limit out")
        })?;
        Ok(isolation::IoThrottle {
            major,
            minor,
            read_bps: limit.read_bps,
            write_bps: limit.write_bps,
            read_iops: limit.read_iops,
            write_iops: limit.write_iops,
        })
    };
    let throttles = limits.throttles.iter().map(throttle).collect::<Result<_, String>>()?;
    Ok(isolation::IoLimits { throttles, weight: limits.weight })
}

/// The task's GPUs by id, with the thousandths of each.
fn gpus(resources: &Resources) -> Vec<(String, u16)> {
    let gpus = resources.iter().filter(|resource| resource.name() == "gpus");
    let devices = gpus.filter_map(|resource| match resource.value() {
        Value::Devices(devices) => Some(devices),
        _ => None,
    });
    devices.flat_map(Devices::iter).map(|(id, thousandths)| (id.to_string(), thousandths)).collect()
}

/// Those nodes in `dev` that the task's GPUs have; a GPU that only an operator knows of has none.
fn gpu_devices(resources: &Resources, dev: &Path) -> Vec<DeviceRule> {
    let ids: Vec<u32> = gpus(resources).iter().filter_map(|(id, _)| id.parse().ok()).collect();
    let nodes: Vec<DeviceRule> = ids.iter().filter_map(|id| node(dev.join(format!("nvidia{id}")))).collect();
    if nodes.is_empty() {
        return nodes;
    }
    nodes.into_iter().chain(NVIDIA_CONTROL.iter().filter_map(|name| node(dev.join(name)))).collect()
}

fn node(path: PathBuf) -> Option<DeviceRule> {
    DeviceRule::of_node(&path, DeviceAccess::OPEN).ok()
}

/// What a task with GPUs finds in its environment: which, and how much of each it may use. The kernel keeps other
/// tasks' GPUs away from it; a share of one is kept by the task itself, or by NVIDIA's MPS where that runs.
pub(crate) fn gpu_variables(resources: &Resources) -> Vec<(String, String)> {
    let gpus = gpus(resources);
    let Some(least) = gpus.iter().map(|(_, thousandths)| *thousandths).min() else { return Vec::new() };
    let ids: Vec<&str> = gpus.iter().map(|(id, _)| id.as_str()).collect();
    let mut variables = vec![
        ("NVIDIA_VISIBLE_DEVICES", ids.join(",")),
        ("LONJA_GPUS", ids.join(",")),
        ("LONJA_GPU_SHARE", least.to_string()),
    ];
    if least < Devices::WHOLE {
        variables.push(("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", least.div_ceil(10).to_string()));
    }
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use lonja_model::container::{Command, ContainerInfo, Program};
    use lonja_model::labels::Labels;
    use lonja_model::{AgentId, TaskId};

    use super::*;

    fn task(resources: &str, limits: &[(&str, Limit)]) -> TaskInfo {
        let program = Program::Shell("true".to_owned());
        TaskInfo {
            name: "t".to_owned(),
            id: TaskId::new("t").unwrap(),
            agent: AgentId::new("a").unwrap(),
            resources: Resources::parse(resources).unwrap(),
            limits: limits.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect(),
            command: Command::new(program),
            container: ContainerInfo::default(),
            kill_grace: None,
            max_completion_time: None,
            labels: Labels::default(),
            discovery: None,
            executor: None,
            data: Vec::new(),
            health_check: None,
            check: None,
        }
    }

    fn held(task: &TaskInfo, settings: &LimitSettings) -> Limits {
        limits_of(task, settings, 100, Path::new("/")).unwrap()
    }

    fn amount(units: u64) -> Limit {
        Limit::Amount(Scalar::from_units(units).unwrap())
    }

    #[test]
    fn without_limits_memory_is_held_to_the_request_and_cpus_only_weigh() {
        let settings = LimitSettings::default();
        let limits = held(&task("cpus:0.5;mem:64", &[]), &settings);
        assert_eq!((limits.memory_bytes, limits.memory_request_bytes), (Some(64 * MIB), Some(64 * MIB)));
        assert_eq!((limits.cpus_thousandths, limits.cpu_limit_thousandths), (Some(500), None));
        assert_eq!((limits.pids_max, limits.swap), (Some(100), Swap::None));

        let capping = LimitSettings { cap_cpus: true, ..settings };
        assert_eq!(held(&task("cpus:0.5", &[]), &capping).cpu_limit_thousandths, Some(500));
    }

    #[test]
    fn a_limit_is_apart_from_the_request() {
        let settings = LimitSettings { cap_cpus: true, ..LimitSettings::default() };
        let apart = task("cpus:0.5;mem:64", &[("cpus", amount(2)), ("mem", amount(128))]);
        let limits = held(&apart, &settings);
        assert_eq!((limits.memory_bytes, limits.memory_request_bytes), (Some(128 * MIB), Some(64 * MIB)));
        assert_eq!((limits.cpus_thousandths, limits.cpu_limit_thousandths), (Some(500), Some(2000)));

        let boundless = task("cpus:0.5;mem:64", &[("cpus", Limit::Infinite), ("mem", Limit::Infinite)]);
        let limits = held(&boundless, &settings);
        assert_eq!((limits.memory_bytes, limits.memory_request_bytes), (None, Some(64 * MIB)));
        assert_eq!(limits.cpu_limit_thousandths, None);
    }

    #[test]
    fn the_least_memory_is_32_mib() {
        let limits = held(&task("cpus:1;mem:1", &[("mem", amount(2))]), &LimitSettings::default());
        assert_eq!((limits.memory_bytes, limits.memory_request_bytes), (Some(32 * MIB), Some(32 * MIB)));
    }

    #[test]
    fn huge_pages_are_none_unless_asked_for() {
        let settings = LimitSettings::default();
        assert_eq!(held(&task("cpus:1", &[]), &settings).huge_pages, Some(BTreeMap::new()));
        let asking = task("cpus:1;hugepages-2MB:64", &[]);
        assert_eq!(held(&asking, &settings).huge_pages.unwrap()["2MB"], 64 * MIB);
    }

    #[test]
    fn gpus_are_told_by_id_and_share() {
        let value = |variables: &[(String, String)], name: &str| {
            variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        };
        assert!(gpu_variables(&Resources::parse("cpus:1").unwrap()).is_empty());

        let whole = gpu_variables(&Resources::parse("gpus:{0:1000,3:1000}").unwrap());
        assert_eq!(value(&whole, "LONJA_GPUS").as_deref(), Some("0,3"));
        assert_eq!(value(&whole, "NVIDIA_VISIBLE_DEVICES").as_deref(), Some("0,3"));
        assert_eq!(value(&whole, "LONJA_GPU_SHARE").as_deref(), Some("1000"));
        assert_eq!(value(&whole, "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"), None);

        let share = gpu_variables(&Resources::parse("gpus:{1:545}").unwrap());
        assert_eq!(value(&share, "LONJA_GPU_SHARE").as_deref(), Some("545"));
        assert_eq!(value(&share, "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE").as_deref(), Some("55"));
    }

    #[test]
    fn only_the_tasks_own_gpus_have_nodes_for_it() {
        let dev = tempfile::tempdir().unwrap();
        for (name, node) in [("nvidia0", "null"), ("nvidia1", "zero"), ("nvidiactl", "full")] {
            std::os::unix::fs::symlink(format!("/dev/{node}"), dev.path().join(name)).unwrap();
        }
        let minors = |resources: &str| -> Vec<Option<u32>> {
            let resources = Resources::parse(resources).unwrap();
            gpu_devices(&resources, dev.path()).iter().map(|rule| rule.minor).collect()
        };
        assert_eq!(minors("gpus:{1:500}"), [Some(5), Some(7)]);
        assert_eq!(minors("gpus:{a:1000}"), []);
        assert_eq!(minors("cpus:1"), []);
    }

    #[test]
    fn a_rate_needs_a_disk() {
        let mut slow = task("cpus:1", &[]);
        let throttle = IoThrottle { read_bps: Some(1), ..IoThrottle::default() };
        slow.container.io.throttles.push(throttle);
        let refused = limits_of(&slow, &LimitSettings::default(), 1, Path::new("/proc"));
        assert!(refused.unwrap_err().contains("no block device"));
    }
}
