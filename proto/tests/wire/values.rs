//! Values of the model, drawn at random.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lonja_model::agent::{AgentInfo, Domain};
use lonja_model::attributes::{AttributeValue, Attributes};
use lonja_model::container::{Command, ContainerInfo, Program, Volume};
use lonja_model::framework::{Capability, FrameworkInfo};
use lonja_model::ids::*;
use lonja_model::labels::Labels;
use lonja_model::offer::{Filters, Offer};
use lonja_model::resources::*;
use lonja_model::role::Role;
use lonja_model::task::*;
use lonja_model::time::Timestamp;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

macro_rules! ids {
    ($($name:ident: $id:ident),*) => {
        $(pub(crate) fn $name() -> impl Strategy<Value = $id> {
            "[a-zA-Z0-9._-]{1,8}x".prop_map(|text| $id::new(text).unwrap())
        })*
    };
}

ids!(agent_id: AgentId, framework_id: FrameworkId, offer_id: OfferId, task_id: TaskId,
    executor_id: ExecutorId, container_id: ContainerId, provider_id: ResourceProviderId);

pub(crate) fn update_id() -> impl Strategy<Value = UpdateId> {
    any::<[u8; 16]>().prop_map(UpdateId)
}

pub(crate) fn role() -> impl Strategy<Value = Role> {
    "[a-z]{1,4}(/[a-z]{1,4}){0,2}".prop_map(|name| Role::new(name).unwrap())
}

pub(crate) fn labels() -> impl Strategy<Value = Labels> {
    vec((text(), option::of(text())), 0..3).prop_map(Labels)
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    "[ -~äß]{0,12}"
}

/// To the millisecond, as seconds in a double can tell, and below 30 years.
pub(crate) fn duration() -> impl Strategy<Value = Duration> {
    (0..1_000_000_000_000_u64).prop_map(Duration::from_millis)
}

/// To the nanosecond, below 292 years.
pub(crate) fn exact_duration() -> impl Strategy<Value = Duration> {
    (0..=i64::MAX as u64).prop_map(Duration::from_nanos)
}

/// Up to the year 2262.
pub(crate) fn timestamp() -> impl Strategy<Value = Timestamp> {
    (0..=i64::MAX as u64).prop_map(Timestamp::from_nanos)
}

/// Up to 2^51 thousandths: above some 2^52, the units in a double no longer tell one from the next.
pub(crate) fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![1..10_000_u64, 1..1_u64 << 51]
        .prop_map(|thousandths| Scalar::from_thousandths(thousandths).unwrap())
}

fn ranges() -> impl Strategy<Value = Ranges> {
    let range = prop_oneof![
        (0..100_u64, 0..10_u64).prop_map(|(begin, more)| (begin, begin + more)),
        any::<u64>().prop_map(|begin| (begin, u64::MAX)),
    ];
    vec(range, 1..4).prop_map(|ranges| Ranges::new(ranges).unwrap())
}

fn devices() -> impl Strategy<Value = Devices> {
    btree_map("[0-9a-f]{1,4}", prop_oneof![Just(1000_u16), 1..=1000_u16], 1..4)
        .prop_map(|all| Devices::new(all.into_iter().map(|(id, share)| (Arc::from(id), share))).unwrap())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        scalar().prop_map(Value::Scalar),
        ranges().prop_map(Value::Ranges),
        vec("[a-z:\" ]{1,6}", 1..4).prop_map(|items| Value::Set(Set::new(items))),
        devices().prop_map(Value::Devices),
    ]
}

/// A stack of reservations, each below the one before.
fn reservations() -> impl Strategy<Value = Vec<Reservation>> {
    let layer = ("[a-z]{1,4}", option::of(text()), labels());
    (vec(layer, 0..4), any::<bool>()).prop_map(|(layers, is_static)| {
        let mut path = String::new();
        let mut stack = Vec::new();
        for (component, principal, labels) in layers {
            path = if path.is_empty() { component } else { format!("{path}/{component}") };
            let role = Role::new(&path).unwrap();
            let layer = Reservation { kind: ReservationKind::Dynamic, role: role.clone(), principal, labels };
            stack.push(if stack.is_empty() && is_static { Reservation::fixed(role) } else { layer });
        }
        stack
    })
}

fn disk_source() -> impl Strategy<Value = DiskSource> {
    let kind = prop_oneof![
        option::of(text()).prop_map(|root| DiskSourceKind::Path { root }),
        option::of(text()).prop_map(|root| DiskSourceKind::Mount { root }),
        Just(DiskSourceKind::Block),
        Just(DiskSourceKind::Raw),
    ];
    (kind, option::of(text()), labels(), option::of(text()), option::of(text()))
        .prop_map(|(kind, id, metadata, profile, vendor)| DiskSource { kind, id, metadata, profile, vendor })
}

fn disk() -> impl Strategy<Value = Disk> {
    let persistence =
        ("[a-z0-9]{1,6}", option::of(text())).prop_map(|(id, principal)| Persistence { id, principal });
    let volume = option::of((text(), any::<bool>()));
    (option::of(persistence), volume, option::of(disk_source())).prop_map(|(persistence, volume, source)| {
        let (container_path, read_only) = match volume {
            Some((path, read_only)) => (Some(path), read_only),
            None => (None, false),
        };
        Disk { persistence, container_path, read_only, source }
    })
}

fn resource() -> impl Strategy<Value = Resource> {
    let name = "[a-z]{1,6}";
    (name, value(), reservations(), option::of(disk()), any::<[bool; 2]>(), option::of(provider_id()))
        .prop_map(|(name, value, reservations, disk, [revocable, shared], provider)| {
            let disk = disk.filter(|_| matches!(value, Value::Scalar(_)));
            let is_volume = disk.as_ref().is_some_and(|disk| disk.persistence.is_some());
            let metadata = Metadata { reservations, disk, revocable, shared: shared && is_volume, provider };
            Resource::with_metadata(&name, value, metadata).unwrap()
        })
}

/// Resources of every kind; a shared volume may be held twice.
pub(crate) fn resources() -> impl Strategy<Value = Resources> {
    vec((resource(), 1..3_u8), 1..6).prop_map(|parts| {
        let mut all = Resources::new();
        for (part, copies) in parts {
            let part = Resources::of([part]).unwrap();
            for _ in 0..copies {
                // What cannot be held together is left out.
                all = all.checked_add(&part).unwrap_or(all);
            }
        }
        all
    })
}

fn domain() -> impl Strategy<Value = Domain> {
    ("[a-z]{1,4}", "[a-z]{1,4}").prop_map(|(region, zone)| Domain { region, zone })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let value = prop_oneof![
        scalar().prop_map(AttributeValue::Scalar),
        ranges().prop_map(AttributeValue::Ranges),
        text().prop_map(AttributeValue::Text),
    ];
    vec(("[a-z]{1,4}", value), 0..4).prop_map(Attributes)
}

pub(crate) fn agent_info() -> impl Strategy<Value = AgentInfo> {
    ("[a-z.]{1,8}", any::<u16>(), resources(), attributes(), option::of(domain()), option::of(agent_id()))
        .prop_map(|(hostname, port, resources, attributes, domain, id)| AgentInfo {
            hostname,
            port,
            resources,
            attributes,
            domain,
            id,
        })
}

fn capability() -> impl Strategy<Value = Capability> {
    use Capability::*;
    proptest::sample::select(vec![
        RevocableResources,
        TaskKillingState,
        GpuResources,
        SharedResources,
        PartitionAware,
        MultiRole,
        ReservationRefinement,
        RegionAware,
    ])
}

fn quantities() -> impl Strategy<Value = Quantities> {
    btree_map("[a-z]{1,4}", scalar(), 0..3)
        .prop_map(|all| all.iter().map(|(name, amount)| (name.as_str(), *amount)).collect())
}

pub(crate) fn framework_info() -> impl Strategy<Value = FrameworkInfo> {
    let texts = (text(), text(), option::of(text()), option::of(text()), option::of(text()));
    let sets = (btree_set(capability(), 0..8), btree_set(role(), 1..4));
    let minimum = btree_map(role(), vec(quantities(), 0..3), 0..3);
    (texts, duration(), any::<bool>(), sets, labels(), minimum).prop_map(
        |(texts, failover_timeout, checkpoint, (capabilities, mut roles), labels, minimum_offers)| {
            if !capabilities.contains(&Capability::MultiRole) {
                roles = roles.into_iter().take(1).collect();
            }
            let (user, name, hostname, principal, webui_url) = texts;
            FrameworkInfo {
                user,
                name,
                failover_timeout,
                checkpoint,
                hostname,
                principal,
                webui_url,
                capabilities,
                labels,
                roles,
                minimum_offers,
            }
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    let program = prop_oneof![
        "[ -~]{1,20}".prop_map(Program::Shell),
        ("[ -~]{1,20}", vec(text(), 0..3)).prop_map(|(path, arguments)| Program::Exec { path, arguments }),
    ];
    let environment = btree_map("[A-Z_]{1,6}", text(), 0..3);
    (program, environment, option::of("[a-z]{1,6}")).prop_map(|(program, environment, user)| Command {
        program,
        environment,
        user,
    })
}

fn container() -> impl Strategy<Value = ContainerInfo> {
    let volume = ("/[a-z/]{0,8}", "[a-z/]{1,8}", any::<bool>())
        .prop_map(|(host_path, container_path, read_only)| Volume { host_path, container_path, read_only });
    (vec(volume, 0..3), option::of(text()))
        .prop_map(|(volumes, hostname)| ContainerInfo { volumes, hostname })
}

fn discovery() -> impl Strategy<Value = Discovery> {
    let visibility =
        prop_oneof![Just(Visibility::Framework), Just(Visibility::Cluster), Just(Visibility::External)];
    let texts = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    let port = (0..=65535_u32, option::of(text()), option::of(text()))
        .prop_map(|(number, name, protocol)| DiscoveryPort { number, name, protocol });
    (visibility, texts, vec(port, 0..3), labels()).prop_map(|(visibility, texts, ports, labels)| {
        let (name, environment, location, version) = texts;
        Discovery { visibility, name, environment, location, version, ports, labels }
    })
}

/// Limits are not below what the task needs.
fn limits_of(resources: &Resources, cpus: Option<bool>, mem: Option<u64>) -> BTreeMap<String, Limit> {
    let mut limits = BTreeMap::new();
    if let Some(infinite) = cpus {
        let limit = if infinite { Limit::Infinite } else { Limit::Amount(resources.scalar("cpus")) };
        limits.insert("cpus".to_owned(), limit);
    }
    if let Some(more) = mem {
        let more = Scalar::from_thousandths(more).unwrap();
        let limit = resources.scalar("mem").checked_add(more).unwrap_or(Scalar::MAX);
        limits.insert("mem".to_owned(), Limit::Amount(limit));
    }
    limits
}

pub(crate) fn task_info() -> impl Strategy<Value = TaskInfo> {
    let ids = (text(), task_id(), agent_id());
    let needs = (resources(), option::of(any::<bool>()), option::of(0..1_000_000_u64));
    let times = (option::of(exact_duration()), option::of(exact_duration()));
    (ids, needs, command(), container(), times, labels(), option::of(discovery())).prop_map(
        |(ids, (resources, cpus, mem), command, container, times, labels, discovery)| {
            let (name, id, agent) = ids;
            let limits = limits_of(&resources, cpus, mem);
            let (kill_grace, max_completion_time) = times;
            TaskInfo {
                name,
                id,
                agent,
                resources,
                limits,
                command,
                container,
                kill_grace,
                max_completion_time,
                labels,
                discovery,
            }
        },
    )
}

pub(crate) fn state() -> impl Strategy<Value = TaskState> {
    proptest::sample::select(TaskState::ALL.to_vec())
}

fn reason() -> impl Strategy<Value = Reason> {
    use Reason::*;
    proptest::sample::select(vec![
        CommandExecutorFailed,
        ContainerLimitationMemory,
        InvalidFrameworkId,
        InvalidOffers,
        Reconciliation,
        AgentRemovedByOperator,
        TaskInvalid,
        TaskUnknown,
        IoSwitchboardExited,
        MaxCompletionTimeReached,
    ])
}

pub(crate) fn status() -> impl Strategy<Value = TaskStatus> {
    let source = prop_oneof![Just(Source::Master), Just(Source::Agent), Just(Source::Executor)];
    let who = (task_id(), state(), source, option::of(reason()), option::of(text()));
    let place = (option::of(agent_id()), option::of(executor_id()), option::of(container_id()));
    let times = (any::<u64>().prop_map(Timestamp::from_nanos), option::of(timestamp()));
    let rest = (option::of(update_id()), option::of(any::<bool>()), option::of(any::<u32>()));
    let more = (vec(any::<u8>(), 0..8), option::of(resources()), labels());
    (who, place, times, rest, more).prop_map(|(who, place, times, rest, more)| {
        let (task, state, source, reason, message) = who;
        let (agent, executor, container) = place;
        let (timestamp, unreachable_since) = times;
        let (update, healthy, pid) = rest;
        let (data, limitation, labels) = more;
        TaskStatus {
            reason,
            message,
            data,
            agent,
            executor,
            update,
            healthy,
            container,
            pid,
            unreachable_since,
            limitation,
            labels,
            ..TaskStatus::new(task, state, source, timestamp)
        }
    })
}

pub(crate) fn filters() -> impl Strategy<Value = Filters> {
    (0..Filters::MAX.as_millis() as u64).prop_map(|refuse| Filters { refuse: Duration::from_millis(refuse) })
}

pub(crate) fn offer() -> impl Strategy<Value = Offer> {
    let ids = (offer_id(), framework_id(), agent_id(), role());
    let place = ("[a-z]{1,8}", any::<u16>(), option::of(domain()), attributes());
    (ids, place, resources(), vec(executor_id(), 0..3)).prop_map(|(ids, place, resources, executors)| {
        let (id, framework, agent, role) = ids;
        let (hostname, port, domain, attributes) = place;
        Offer { id, framework, agent, role, hostname, port, resources, attributes, domain, executors }
    })
}
