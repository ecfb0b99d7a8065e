//! What a framework tells the master of its predicates, judged by the master's own allocator.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use lonja_allocator::{AgentFacts, CompiledConstraints};
use lonja_model::agent::Domain;
use lonja_model::attributes::Attributes;
use lonja_model::{AgentId, FrameworkId, Offer, OfferId, Role};
use lonja_sdk_core::placement::OwnTasks;
use lonja_sdk_core::placement::predicate::{
    Predicate, Subject, Tasks, agent, attribute, free_cpus, hostname, region, to_offer_constraints, zone,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn any_subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        Just(agent()),
        Just(hostname()),
        Just(region()),
        Just(zone()),
        "[ab]".prop_map(attribute),
        "[ab]".prop_map(attribute),
    ]
}

fn any_predicate() -> impl Strategy<Value = Predicate> {
    let number = (0..4_u8).prop_map(f64::from);
    let leaf = prop_oneof![
        any_subject().prop_map(|subject| subject.exists()),
        (any_subject(), vec("[a-c1-3]", 0..3)).prop_map(|(subject, values)| subject.is_in(values)),
        (any_subject(), "[a-c1-3.]{1,2}[*]?").prop_map(|(subject, text)| subject.like(&text).unwrap()),
        (any_subject(), number.clone()).prop_map(|(subject, number)| subject.at_least(number).unwrap()),
        number.prop_map(|number| free_cpus(number).unwrap()),
        any_subject().prop_map(|subject| subject.near(&Tasks::all())),
        any_subject().prop_map(|subject| subject.unique(&Tasks::all())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Predicate::all),
            vec(inner.clone(), 0..4).prop_map(Predicate::any),
            inner.prop_map(|one| !one),
        ]
    })
}

fn any_offer() -> impl Strategy<Value = Offer> {
    let domain = option::of(("[ab]", "[a-c]").prop_map(|(region, zone)| Domain { region, zone }));
    let value = prop_oneof!["[a-c]", "[1-3]", Just("[1-2]".to_owned())];
    (domain, vec(("[ab]", value), 0..3), 0..5_u8, "[a-c]1?").prop_map(
        |(domain, attributes, cpus, hostname)| {
            let written: Vec<String> =
                attributes.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            Offer {
                id: OfferId::new("o1").unwrap(),
                framework: FrameworkId::new("f1").unwrap(),
                agent: AgentId::new("a").unwrap(),
                role: Role::new("web").unwrap(),
                hostname,
                port: 5051,
                resources: format!("cpus:{cpus};mem:100").parse().unwrap(),
                attributes: Attributes::parse(&written.join(";")).unwrap(),
                domain,
                executors: Vec::new(),
                unavailability: None,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// The master takes what it is told, and keeps no offer away that would do.
    #[test]
    fn the_master_keeps_no_offer_away_that_would_do(
        predicates in vec(any_predicate(), 1..4), offer in any_offer(),
    ) {
        let told = to_offer_constraints(&offer.role, &predicates);
        let compiled = CompiledConstraints::compile(told).expect("within the master's bounds");
        let facts = AgentFacts {
            hostname: offer.hostname.clone(),
            attributes: offer.attributes.clone(),
            domain: offer.domain.clone(),
        };
        if predicates.iter().any(|predicate| predicate.holds(&offer, &OwnTasks::new())) {
            prop_assert!(compiled.admit(&offer.role, &facts), "{predicates:?}: {:?}", compiled.source());
        }
    }
}
