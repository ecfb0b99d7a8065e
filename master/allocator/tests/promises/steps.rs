//! Anything that may happen to an allocator, as steps to draw from.

use lonja_model::Resources;
use lonja_model::framework::Capability;
use lonja_model::resources::{Disk, Metadata, Persistence, Reservation, Resource, Scalar, Value};
use proptest::prelude::*;

pub(crate) const AGENTS: [&str; 4] = ["a1", "a2", "a3", "a4"];
pub(crate) const FRAMEWORKS: [&str; 4] = ["f1", "f2", "f3", "f4"];
pub(crate) const ROLES: [&str; 5] = ["eng", "eng/web", "eng/web/api", "ops", "*"];

/// What agents have, in the text form; `~` before an item: it may be taken back.
const TOTALS: [&str; 8] = [
    "cpus:8;mem:1024",
    "cpus:4;mem:512;ports:[1-9]",
    "cpus:2;cpus(eng):2;mem:64;mem(ops):64",
    "cpus:1;mem:64;~cpus:3;~mem:40",
    "cpus:2;mem:100;gpus:{0:1000,1:1000}",
    "cpus(eng/web):3;mem(eng/web):64;disks:{a,b};cpus:1",
    "cpus:3;mem:300;volume",
    "cpus:0.005;mem:31",
];

/// Guarantees and limits that a role may be given.
const QUOTAS: [(&str, &str); 9] = [
    ("", ""),
    ("", "cpus:3"),
    ("cpus:2", ""),
    ("cpus:2;mem:128", "cpus:4"),
    ("", "cpus:0"),
    ("mem:200", ""),
    ("", "cpus:1.5;mem:100"),
    ("cpus:5", "cpus:6"),
    ("cpus:1", "cpus:1"),
];

/// What frameworks say they need, as alternatives.
pub(crate) const NEEDS: [&[&str]; 4] =
    [&[], &["cpus:1;mem:40"], &["cpus:3", "mem:500"], &["gpus:{0:1000}", "cpus:2"]];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    AddAgent(usize, usize),
    RemoveAgent(usize),
    SetAgentActive(usize, bool),
    AddFramework {
        framework: usize,
        roles: u8,
        capabilities: u8,
        minimum: u8,
    },
    UpdateFramework {
        framework: usize,
        roles: u8,
        capabilities: u8,
        minimum: u8,
    },
    RemoveFramework(usize),
    SetFrameworkActive(usize, bool),
    Suppress(usize, u8),
    Revive(usize, u8),
    SetWeight(usize, u64),
    SetQuota {
        role: usize,
        quota: Option<usize>,
        force: bool,
    },
    /// A client is found to use half of what is free.
    Charge {
        agent: usize,
        framework: usize,
        role: usize,
    },
    Recover {
        which: usize,
        half: bool,
        refuse: u64,
    },
    /// A client's unreserved CPUs, of one of those that hold some, become reserved for its role, or back.
    Convert {
        which: usize,
        back: bool,
    },
    /// An operator reserves half of an agent's free plain CPUs for a role.
    ConvertFree {
        agent: usize,
        role: usize,
    },
    Request(usize, usize),
    Allocate,
    Advance(u64),
}

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    let (agent, framework, role) = (0..AGENTS.len(), 0..FRAMEWORKS.len(), 0..ROLES.len());
    let facts = || (0..FRAMEWORKS.len(), 1..32_u8, 0..16_u8, 0..4_u8);
    prop_oneof![
        4 => (agent.clone(), 0..TOTALS.len()).prop_map(|(agent, total)| Step::AddAgent(agent, total)),
        1 => agent.clone().prop_map(Step::RemoveAgent),
        1 => (agent.clone(), any::<bool>()).prop_map(|(agent, active)| Step::SetAgentActive(agent, active)),
        4 => facts().prop_map(|(framework, roles, capabilities, minimum)| {
            Step::AddFramework { framework, roles, capabilities, minimum }
        }),
        1 => facts().prop_map(|(framework, roles, capabilities, minimum)| {
            Step::UpdateFramework { framework, roles: roles & 15, capabilities, minimum }
        }),
        1 => framework.clone().prop_map(Step::RemoveFramework),
        1 => (framework.clone(), any::<bool>()).prop_map(|(f, active)| Step::SetFrameworkActive(f, active)),
        1 => (framework.clone(), 0..32_u8).prop_map(|(framework, roles)| Step::Suppress(framework, roles)),
        1 => (framework.clone(), 0..32_u8).prop_map(|(framework, roles)| Step::Revive(framework, roles)),
        1 => (role.clone(), 1..5_u64).prop_map(|(role, weight)| Step::SetWeight(role, weight)),
        3 => (role.clone(), proptest::option::weighted(0.8, 0..QUOTAS.len()), any::<bool>())
            .prop_map(|(role, quota, force)| Step::SetQuota { role, quota, force }),
        1 => (agent, framework, role)
            .prop_map(|(agent, framework, role)| Step::Charge { agent, framework, role }),
        6 => any_return(),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, back)| Step::Convert { which, back }),
        1 => (0..AGENTS.len(), 0..ROLES.len()).prop_map(|(agent, role)| Step::ConvertFree { agent, role }),
        1 => (0..FRAMEWORKS.len(), 0..NEEDS.len()).prop_map(|(framework, needs)| Step::Request(framework, needs)),
        6 => Just(Step::Allocate),
        2 => (0..3_u64).prop_map(Step::Advance),
    ]
}

/// What comes of offers and of time, and nothing else.
pub(crate) fn any_answer() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any_return(),
        2 => (0..3_u64).prop_map(Step::Advance),
        1 => (0..2_usize, any::<bool>()).prop_map(|(agent, active)| Step::SetAgentActive(agent, active)),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, back)| Step::Convert { which, back }),
    ]
}

fn any_return() -> impl Strategy<Value = Step> {
    (any::<usize>(), any::<bool>(), 0..4_u64).prop_map(|(which, half, refuse)| Step::Recover {
        which,
        half,
        refuse,
    })
}

/// The names that the bits of `set` stand for.
pub(crate) fn named<'a>(names: &'a [&'a str], set: u8) -> impl Iterator<Item = &'a str> {
    names.iter().enumerate().filter(move |(at, _)| set & (1 << at) != 0).map(|(_, name)| *name)
}

pub(crate) const CAPABILITIES: [Capability; 4] = [
    Capability::GpuResources,
    Capability::RevocableResources,
    Capability::SharedResources,
    Capability::ReservationRefinement,
];

pub(crate) fn total(which: usize) -> Resources {
    resources(TOTALS[which])
}

pub(crate) fn quota(which: usize) -> lonja_model::quota::Quota {
    let (guarantees, limits) = QUOTAS[which];
    lonja_model::quota::Quota {
        guarantees: resources(guarantees).quantities(),
        limits: resources(limits).quantities(),
    }
}

/// The text form with `~` for what may be taken back, and `volume` for a shared volume of `eng`.
pub(crate) fn resources(text: &str) -> Resources {
    let mut all = Resources::new();
    for item in text.split(';').filter(|item| !item.is_empty()) {
        let item = match item {
            "volume" => Resources::of([shared_volume()]).unwrap(),
            _ => match item.strip_prefix('~') {
                Some(item) => {
                    let plain = Resources::parse(item).unwrap();
                    let metadata = || Metadata { revocable: true, ..Metadata::default() };
                    let taken_back = plain.iter().map(|one| {
                        Resource::with_metadata(one.name(), one.value().clone(), metadata()).unwrap()
                    });
                    Resources::of(taken_back).unwrap()
                }
                None => Resources::parse(item).unwrap(),
            },
        };
        all = all.checked_add(&item).unwrap();
    }
    all
}

fn shared_volume() -> Resource {
    let persistence = Some(Persistence { id: "data".to_owned(), principal: None });
    let disk = Some(Disk { persistence, container_path: Some("data".to_owned()), ..Disk::default() });
    let reservations = vec![Reservation::fixed(lonja_model::Role::new("eng").unwrap())];
    let metadata = Metadata { reservations, disk, shared: true, ..Metadata::default() };
    Resource::with_metadata("disk", Value::Scalar(Scalar::parse("100").unwrap()), metadata).unwrap()
}
