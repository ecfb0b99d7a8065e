//! Tasks, what they run, and what is said about them.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::checks::{any_check, any_check_status, any_health_check};
use super::files::{any_path, any_secret, any_uri, any_volume_source};
use super::names::{
    any_agent_id, any_container_id, any_duration, any_executor_id, any_labels, any_task_id, any_text,
    any_timestamp, any_update_id,
};
use super::values::{any_resources, any_scalar};
use crate::container::{Command, ContainerInfo, ParentVolume, Program, Volume, WindowSize};
use crate::io_limits::{IoLimits, IoThrottle};
use crate::privileges::{CapabilitySet, Privileges, Rlimit, RlimitKind};
use crate::profile::{Network, Profile};
use crate::resources::{Resource, Resources, Scalar, Value};
use crate::task::{
    Discovery, DiscoveryPort, Limit, Reason, Source, TaskInfo, TaskState, TaskStatus, Visibility,
};

/// Text that can be passed to a program: no zero byte.
fn any_argument() -> BoxedStrategy<String> {
    any_text().prop_map(|text| text.replace('\0', "0")).boxed()
}

/// The same, not empty.
fn any_word() -> BoxedStrategy<String> {
    any_argument().prop_map(|text| if text.is_empty() { "x".to_owned() } else { text }).boxed()
}

/// Any program with its surroundings.
pub fn any_command() -> BoxedStrategy<Command> {
    let exec = (any_word(), vec(any_argument(), 0..4));
    let program = prop_oneof![
        any_word().prop_map(Program::Shell),
        exec.prop_map(|(path, arguments)| Program::Exec { path, arguments }),
    ];
    let variable = any_word().prop_map(|name| name.replace('=', "_"));
    let plain = (program, btree_map(variable.clone(), any_argument(), 0..4), option::of(any_word()));
    (plain, vec(any_uri(), 0..3), btree_map(variable, any_secret(), 0..3))
        .prop_map(|((program, environment, user), uris, mut secrets)| {
            secrets.retain(|name, _| !environment.contains_key(name));
            Command { program, environment, user, uris, secrets }
        })
        .boxed()
}

/// Any container.
pub fn any_container_info() -> BoxedStrategy<ContainerInfo> {
    let path = any_path;
    let volume = (any_volume_source(), path(), any::<bool>(), any::<bool>());
    let volume = volume.prop_map(|(source, container, read_only, absolute)| Volume {
        source,
        container_path: if absolute { format!("/{container}") } else { container },
        read_only,
    });
    let shared = (path(), path(), any::<bool>()).prop_map(|(path, container_path, read_only)| ParentVolume {
        path,
        container_path,
        read_only,
    });
    let network = prop_oneof![Just(Network::Host), Just(Network::None)];
    let profile = option::of(select(Profile::ALL.to_vec()));
    let tty = option::of((any::<u16>(), any::<u16>()));
    let tty = tty.prop_map(|size| size.map(|(rows, columns)| WindowSize { rows, columns }));
    let extras = (any_io_limits(), vec(shared, 0..2), tty, any::<bool>());
    (vec(volume, 0..3), option::of(any_text()), any_privileges(), profile, network, extras)
        .prop_map(|(volumes, hostname, privileges, profile, network, (io, parent_volumes, tty, stdin))| {
            ContainerInfo { volumes, hostname, privileges, profile, network, io, tty, parent_volumes, stdin }
        })
        .boxed()
}

/// Anything asked of the kernel.
pub(super) fn any_privileges() -> BoxedStrategy<Privileges> {
    let set = || option::of(any::<u64>().prop_map(CapabilitySet::from_bits));
    let bounds = option::of((any::<u64>(), any::<u64>()));
    let bounds = bounds.prop_map(|bounds| bounds.map(|(one, other)| (one.min(other), one.max(other))));
    let limits = vec((select(RlimitKind::all().collect::<Vec<_>>()), bounds), 0..4);
    let limits = limits.prop_map(|limits| {
        let limits: BTreeMap<RlimitKind, _> = limits.into_iter().collect();
        let limit = |(kind, bounds): (RlimitKind, Option<(u64, u64)>)| {
            Rlimit::new(kind, bounds.map(|(soft, _)| soft), bounds.map(|(_, hard)| hard)).ok()
        };
        limits.into_iter().filter_map(limit).collect()
    });
    (set(), set(), limits)
        .prop_map(|(bounding, effective, rlimits)| Privileges { bounding, effective, rlimits })
        .boxed()
}

fn any_io_limits() -> impl Strategy<Value = IoLimits> {
    let rate = || option::of(1..=u64::MAX);
    let throttle = (option::of("/dev/[a-z]{1,4}"), rate(), rate(), rate(), rate());
    let throttle = throttle.prop_map(|(device, read_bps, write_bps, read_iops, write_iops)| IoThrottle {
        device,
        read_bps,
        write_bps,
        read_iops,
        write_iops,
    });
    (vec(throttle, 0..3), option::of(1..=1000_u16))
        .prop_map(|(throttles, weight)| IoLimits { throttles, weight })
}

/// Any discovery information.
pub fn any_discovery() -> BoxedStrategy<Discovery> {
    let text = || option::of(any_text());
    let visibility = select(vec![Visibility::Framework, Visibility::Cluster, Visibility::External]);
    let port = (any::<u16>(), text(), text()).prop_map(|(number, name, protocol)| DiscoveryPort {
        number: u32::from(number),
        name,
        protocol,
    });
    (visibility, text(), text(), text(), text(), vec(port, 0..3), any_labels())
        .prop_map(|(visibility, name, environment, location, version, ports, labels)| Discovery {
            visibility,
            name,
            environment,
            location,
            version,
            ports,
            labels,
        })
        .boxed()
}

/// Any task: it needs something, and its limits are not below its need.
pub fn any_task_info() -> BoxedStrategy<TaskInfo> {
    let ids = (any_text(), any_task_id(), any_agent_id());
    let needs = (any_resources(), any_limit(), any_limit());
    let times = (option::of(any_duration()), option::of(any_duration()));
    let data = vec(any::<u8>(), 0..4);
    let executor = option::weighted(0.2, super::executors::any_executor_info().prop_map(Box::new));
    let checks = (option::weighted(0.3, any_health_check()), option::weighted(0.3, any_check()));
    let extras = (any_labels(), option::of(any_discovery()), executor, data, checks);
    (ids, needs, any_command(), any_container_info(), times, extras)
        .prop_map(|((name, id, agent), (resources, cpus, mem), command, container, times, extras)| {
            let (labels, discovery, executor, data, (health_check, check)) = extras;
            let resources = or_one_cpu(resources);
            let limits = [("cpus", cpus), ("mem", mem)];
            TaskInfo {
                name,
                id,
                agent,
                limits: limits_above(&resources, limits),
                resources,
                command,
                container,
                kill_grace: times.0,
                max_completion_time: times.1,
                labels,
                discovery,
                executor,
                data,
                health_check: health_check.map(Box::new),
                check: check.map(Box::new),
            }
        })
        .boxed()
}

fn any_limit() -> BoxedStrategy<Option<Limit>> {
    option::of(prop_oneof![3 => any_scalar().prop_map(Limit::Amount), 1 => Just(Limit::Infinite)]).boxed()
}

fn or_one_cpu(resources: Resources) -> Resources {
    if !resources.is_empty() {
        return resources;
    }
    let one = Value::Scalar(Scalar::from_units(1).expect("one is an amount"));
    let cpu = Resource::new("cpus", one).expect("cpus is a name");
    Resources::of([cpu]).expect("one resource is a collection")
}

fn limits_above(need: &Resources, limits: [(&str, Option<Limit>); 2]) -> BTreeMap<String, Limit> {
    let raised = |(name, limit): (&str, Option<Limit>)| {
        let limit = match limit? {
            Limit::Amount(amount) => Limit::Amount(amount.max(need.scalar(name))),
            Limit::Infinite => Limit::Infinite,
        };
        Some((name.to_owned(), limit))
    };
    limits.into_iter().filter_map(raised).collect()
}

/// Any state of a task.
pub fn any_task_state() -> BoxedStrategy<TaskState> {
    select(TaskState::ALL.to_vec()).boxed()
}

/// Any status of a task.
pub fn any_task_status() -> BoxedStrategy<TaskStatus> {
    let source = select(vec![Source::Master, Source::Agent, Source::Executor]);
    let what = (any_task_id(), any_task_state(), source, option::of(select(REASONS.to_vec())));
    let said = (option::of(any_text()), vec(any::<u8>(), 0..16), any_timestamp(), any_labels());
    let place = (
        option::of(any_agent_id()),
        option::of(any_executor_id()),
        option::of(any_container_id()),
        option::of(any::<u32>()),
    );
    let extras = (
        option::of(any_update_id()),
        option::of(any::<bool>()),
        option::of(any_timestamp()),
        option::of(any_resources()),
        option::of(any_check_status()),
    );
    (what, said, place, extras)
        .prop_map(|((task, state, source, reason), (message, data, timestamp, labels), place, extras)| {
            let (agent, executor, container, pid) = place;
            let (update, healthy, unreachable_since, limitation, check) = extras;
            TaskStatus {
                task,
                state,
                source,
                reason,
                message,
                data,
                agent,
                executor,
                timestamp,
                update,
                healthy,
                container,
                pid,
                unreachable_since,
                limitation,
                labels,
                check,
            }
        })
        .boxed()
}

const REASONS: [Reason; 35] = [
    Reason::CommandExecutorFailed,
    Reason::ContainerLaunchFailed,
    Reason::ContainerLimitation,
    Reason::ContainerLimitationDisk,
    Reason::ContainerLimitationMemory,
    Reason::ContainerPreempted,
    Reason::ContainerUpdateFailed,
    Reason::MaxCompletionTimeReached,
    Reason::ExecutorRegistrationTimeout,
    Reason::ExecutorReregistrationTimeout,
    Reason::ExecutorTerminated,
    Reason::ExecutorUnregistered,
    Reason::FrameworkRemoved,
    Reason::GcError,
    Reason::InvalidFrameworkId,
    Reason::InvalidOffers,
    Reason::IoSwitchboardExited,
    Reason::MasterDisconnected,
    Reason::Reconciliation,
    Reason::ResourcesUnknown,
    Reason::AgentDisconnected,
    Reason::AgentDraining,
    Reason::AgentRemoved,
    Reason::AgentRemovedByOperator,
    Reason::AgentReregistered,
    Reason::AgentRestarted,
    Reason::AgentUnknown,
    Reason::TaskKilledDuringLaunch,
    Reason::TaskCheckStatusUpdated,
    Reason::TaskHealthCheckStatusUpdated,
    Reason::TaskGroupInvalid,
    Reason::TaskGroupUnauthorized,
    Reason::TaskInvalid,
    Reason::TaskUnauthorized,
    Reason::TaskUnknown,
];
