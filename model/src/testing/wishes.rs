//! What frameworks and operators wish for: constraints, requests, quotas, and machines out of use.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::names::{
    any_agent_id, any_duration, any_framework_id, any_offer_id, any_role, any_text, any_timestamp,
};
use super::values::{any_quantities, any_resources};
use crate::constraints::{
    AttributeConstraint, ConstraintGroup, OfferConstraints, Predicate, RoleConstraints, Selector,
};
use crate::maintenance::{Drain, Duty, Machine, MachineId, MachineMode, Unavailability, Window};
use crate::offer::{InverseOffer, ResourceRequest};
use crate::quota::Quota;

/// Any constraints of one framework; regular expressions are texts, and may be none.
pub fn any_constraints() -> BoxedStrategy<OfferConstraints> {
    let group = vec(any_constraint(), 1..3).prop_map(ConstraintGroup);
    let role = vec(group, 1..3).prop_map(RoleConstraints);
    btree_map(any_role(), role, 0..3).prop_map(OfferConstraints).boxed()
}

fn any_constraint() -> BoxedStrategy<AttributeConstraint> {
    let name = any_text().prop_map(|name| if name.is_empty() { "rack".to_owned() } else { name });
    let selector = prop_oneof![
        Just(Selector::Hostname),
        Just(Selector::Region),
        Just(Selector::Zone),
        name.prop_map(Selector::Attribute),
    ];
    let predicate = prop_oneof![
        Just(Predicate::Exists),
        Just(Predicate::NotExists),
        any_text().prop_map(Predicate::TextEquals),
        any_text().prop_map(Predicate::TextNotEquals),
        any_text().prop_map(Predicate::TextMatches),
        any_text().prop_map(Predicate::TextNotMatches),
    ];
    (selector, predicate)
        .prop_map(|(selector, predicate)| AttributeConstraint { selector, predicate })
        .boxed()
}

/// Any request; the names in it are those of resources.
pub fn any_resource_request() -> BoxedStrategy<ResourceRequest> {
    let needs = any_resources().prop_map(|resources| resources.quantities());
    (option::of(any_agent_id()), option::of(any_role()), needs)
        .prop_map(|(agent, role, needs)| ResourceRequest { agent, role, needs })
        .boxed()
}

/// Any time out of use.
pub fn any_unavailability() -> BoxedStrategy<Unavailability> {
    (any_timestamp(), option::of(any_duration()))
        .prop_map(|(start, duration)| Unavailability { start, duration })
        .boxed()
}

/// Any inverse offer.
pub fn any_inverse_offer() -> BoxedStrategy<InverseOffer> {
    (any_offer_id(), any_framework_id(), any_agent_id(), any_unavailability())
        .prop_map(|(id, framework, agent, unavailability)| InverseOffer {
            id,
            framework,
            agent,
            unavailability,
        })
        .boxed()
}

/// Any machine's name, in lower case, with an address or without.
pub fn any_machine_id() -> BoxedStrategy<MachineId> {
    let ip = prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).to_string()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).to_string()),
    ];
    ("[a-z0-9\u{e4}\u{f6}][a-z0-9.-]{0,20}", option::of(ip))
        .prop_map(|(hostname, ip)| MachineId { hostname, ip })
        .boxed()
}

/// Any machine of the schedule.
pub fn any_machine() -> BoxedStrategy<Machine> {
    let mode = prop_oneof![Just(MachineMode::Scheduled), Just(MachineMode::Down)];
    (mode, any_unavailability()).prop_map(|(mode, unavailability)| Machine { mode, unavailability }).boxed()
}

/// Any schedule, each machine in one window.
pub fn any_schedule() -> BoxedStrategy<Vec<Window>> {
    let machines = btree_map(any_machine_id(), 0..3_usize, 0..6);
    (machines, vec(any_unavailability(), 3))
        .prop_map(|(machines, times)| {
            let window = |(index, unavailability)| {
                let here = machines.iter().filter(|(_, place)| **place == index);
                Window { machines: here.map(|(id, _)| id.clone()).collect(), unavailability }
            };
            let windows = times.into_iter().enumerate().map(window);
            windows.filter(|window| !window.machines.is_empty()).collect()
        })
        .boxed()
}

/// Any way to drain an agent.
pub fn any_drain() -> BoxedStrategy<Drain> {
    (option::of(any_duration()), any::<bool>())
        .prop_map(|(max_grace, mark_gone)| Drain { max_grace, mark_gone })
        .boxed()
}

/// Any duty of an agent.
pub fn any_duty() -> BoxedStrategy<Duty> {
    prop_oneof![
        2 => Just(Duty::Active),
        1 => Just(Duty::Deactivated),
        1 => any_drain().prop_map(Duty::Draining),
        1 => any_drain().prop_map(Duty::Drained),
    ]
    .boxed()
}

/// Any quota, also of a role that is promised nothing and kept to nothing.
pub fn any_quota() -> BoxedStrategy<Quota> {
    (any_quantities(), any_quantities()).prop_map(|(guarantees, limits)| Quota { guarantees, limits }).boxed()
}
