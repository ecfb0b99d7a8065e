//! Agents, frameworks and offers.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::names::{
    any_agent_id, any_duration, any_executor_id, any_framework_id, any_labels, any_offer_id, any_role,
    any_text,
};
use super::values::{any_quantities, any_ranges, any_resources, any_scalar};
use super::wishes::any_unavailability;
use crate::agent::{AgentInfo, Domain};
use crate::attributes::{AttributeValue, Attributes};
use crate::framework::{Capability, FrameworkInfo};
use crate::offer::{Filters, Offer};

/// Any attributes, up to four.
pub fn any_attributes() -> BoxedStrategy<Attributes> {
    let value = prop_oneof![
        any_scalar().prop_map(AttributeValue::Scalar),
        any_ranges().prop_map(AttributeValue::Ranges),
        any_text().prop_map(AttributeValue::Text),
    ];
    vec(("[a-z\u{e4}-\u{fc}][a-z0-9_ ]{0,8}", value), 0..4).prop_map(Attributes).boxed()
}

/// Any place.
pub fn any_domain() -> BoxedStrategy<Domain> {
    ("[a-z]{1,6}", "[a-z0-9 ]{1,6}").prop_map(|(region, zone)| Domain { region, zone }).boxed()
}

fn any_hostname() -> BoxedStrategy<String> {
    "[a-z][a-z0-9.-]{0,20}".boxed()
}

/// Any agent, with an id or without.
pub fn any_agent_info() -> BoxedStrategy<AgentInfo> {
    let place = (any_hostname(), any::<u16>(), option::of(any_domain()));
    (place, any_resources(), any_attributes(), option::of(any_agent_id()))
        .prop_map(|((hostname, port, domain), resources, attributes, id)| AgentInfo {
            hostname,
            port,
            resources,
            attributes,
            domain,
            id,
        })
        .boxed()
}

const CAPABILITIES: [Capability; 8] = [
    Capability::RevocableResources,
    Capability::TaskKillingState,
    Capability::GpuResources,
    Capability::SharedResources,
    Capability::PartitionAware,
    Capability::MultiRole,
    Capability::ReservationRefinement,
    Capability::RegionAware,
];

/// Any framework; without [`Capability::MultiRole`] it has one role.
pub fn any_framework_info() -> BoxedStrategy<FrameworkInfo> {
    let text = || option::of(any_text());
    let names = (any_text(), any_text(), text(), text(), text());
    let wishes = (
        subsequence(CAPABILITIES.to_vec(), 0..=CAPABILITIES.len()),
        btree_set(any_role(), 1..=3),
        btree_map(any_role(), vec(any_quantities(), 0..3), 0..3),
    );
    (names, any_duration(), any::<bool>(), any_labels(), wishes)
        .prop_map(
            |((user, name, hostname, principal, webui_url), failover_timeout, checkpoint, labels, wishes)| {
                let (capabilities, mut roles, minimum_offers) = wishes;
                if !capabilities.contains(&Capability::MultiRole) {
                    roles = roles.into_iter().take(1).collect();
                }
                FrameworkInfo {
                    user,
                    name,
                    failover_timeout,
                    checkpoint,
                    hostname,
                    principal,
                    webui_url,
                    capabilities: capabilities.into_iter().collect(),
                    labels,
                    roles,
                    minimum_offers,
                }
            },
        )
        .boxed()
}

/// Any offer.
pub fn any_offer() -> BoxedStrategy<Offer> {
    let ids = (any_offer_id(), any_framework_id(), any_agent_id(), any_role());
    let place = (any_hostname(), any::<u16>(), option::of(any_domain()));
    let extras = (any_attributes(), vec(any_executor_id(), 0..3), option::of(any_unavailability()));
    (ids, place, any_resources(), extras)
        .prop_map(|((id, framework, agent, role), (hostname, port, domain), resources, extras)| {
            let (attributes, executors, unavailability) = extras;
            Offer {
                id,
                framework,
                agent,
                role,
                hostname,
                port,
                resources,
                attributes,
                domain,
                executors,
                unavailability,
            }
        })
        .boxed()
}

/// Any filters, up to [`Filters::MAX`].
pub fn any_filters() -> BoxedStrategy<Filters> {
    any_duration().prop_map(|refuse| Filters { refuse }).boxed()
}
