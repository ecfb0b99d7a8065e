//! How long it takes to find places: `cargo bench -p lonja-services-core --bench matching`.
//!
//! `fleet`: 1,000 apps of 10 instances each on 500 agents in one decision; goal: a few seconds. `one`: one instance against
//! 500 offers with three constraints, with what is made ready for it, and 9 others there; goal: 1 ms.

use std::sync::Arc;

use divan::Bencher;
use lonja_model::attributes::Attributes;
use lonja_model::resources::Scalar;
use lonja_model::{AgentId, FrameworkId, Offer, OfferId, Resources, Role, Timestamp};
use lonja_services_core::definition::{
    App, Constraint, Operator, PortDefinition, RunSpec, Version, VersionInfo,
};
use lonja_services_core::instance::{InstanceId, Place};
use lonja_services_core::matching::{Hand, Patterns, Want};
use lonja_services_core::waiting::ProcessedOffers;
use lonja_services_core::{Config, PathId};

fn main() {
    divan::main();
}

const AGENTS: usize = 500;

fn offers() -> Vec<Offer> {
    let offer = |number: usize| Offer {
        id: OfferId::new(format!("o{number}")).expect("an id"),
        framework: FrameworkId::new("services").expect("an id"),
        agent: AgentId::new(format!("a{number}")).expect("an id"),
        role: Role::default_role(),
        hostname: format!("host-{number}.example"),
        port: 5051,
        resources: Resources::parse("cpus:16;mem:32768;disk:100000;ports:[31000-32000]").expect("resources"),
        attributes: Attributes::parse(&format!("rack:r{};kind:large", number % 20)).expect("attributes"),
        domain: None,
        executors: Vec::new(),
        unavailability: None,
    };
    (0..AGENTS).map(offer).collect()
}

fn rule(field: &str, operator: Operator) -> Constraint {
    Constraint { field: field.to_owned(), operator }
}

/// Three rules of different kinds.
fn rules() -> Vec<Constraint> {
    vec![
        rule("hostname", Operator::Unique),
        rule("rack", Operator::GroupBy(Some(20))),
        rule("kind", Operator::Like("large|huge".to_owned())),
    ]
}

fn app(number: usize, constraints: Vec<Constraint>) -> RunSpec {
    let version = Version(1_443_604_157_614);
    RunSpec::App(Arc::new(App {
        cmd: Some("serve".to_owned()),
        instances: 10,
        cpus: Scalar::from_thousandths(100 + 50 * (u64::try_from(number).unwrap_or(0) % 17))
            .expect("an amount"),
        mem: Scalar::from_units(256).expect("an amount"),
        constraints,
        port_definitions: Some(vec![PortDefinition::default()]),
        version: VersionInfo { version, last_scaling: version, last_config: version },
        ..App::new(PathId::absolute(&format!("/prod/app-{number}")).expect("an id"))
    }))
}

/// Puts so many instances of each app, one of each in turn.
fn put(hand: &mut Hand, specs: &[RunSpec], count: u32, places: &mut [Vec<Place>]) -> usize {
    let (config, framework) = (Config::default(), FrameworkId::new("services").expect("an id"));
    let mut notes = vec![ProcessedOffers::default(); specs.len()];
    let mut draw = 0;
    for _ in 0..count {
        for (index, spec) in specs.iter().enumerate() {
            draw += 1;
            let siblings: Vec<&Place> = places[index].iter().collect();
            let want = Want {
                spec,
                instance: &InstanceId::new(spec.id(), u128::from(draw)),
                incarnation: 1,
                home: None,
                siblings: &siblings,
                target: spec.instances(),
                neighbours: &|_| Vec::new(),
                config: &config,
                framework: &framework,
                draw,
            };
            if let Some(matched) = hand.place(&want, &mut notes[index]) {
                places[index].push(matched.place);
            }
        }
    }
    places.iter().map(Vec::len).sum()
}

fn fleet(bencher: Bencher<'_, '_>, constraints: &[Constraint]) {
    let offers = offers();
    let specs: Vec<RunSpec> = (0..1_000).map(|number| app(number, constraints.to_vec())).collect();
    bencher.bench_local(|| {
        let mut hand = Hand::new(&offers, Timestamp::ZERO);
        let placed = put(&mut hand, &specs, 10, &mut vec![Vec::new(); specs.len()]);
        assert!(placed > 9_000, "only {placed} of 10,000");
        hand.used()
    });
}

#[divan::bench(sample_size = 1, sample_count = 5)]
fn fleet_1k_apps_10_instances_500_agents(bencher: Bencher<'_, '_>) {
    fleet(bencher, &[]);
}

#[divan::bench(sample_size = 1, sample_count = 5)]
fn fleet_1k_apps_10_instances_500_agents_3_constraints(bencher: Bencher<'_, '_>) {
    fleet(bencher, &rules());
}

#[divan::bench(sample_size = 1, sample_count = 100)]
fn one_instance_500_offers_3_constraints(bencher: Bencher<'_, '_>) {
    let offers = offers();
    let specs = [app(0, rules())];
    let mut before = vec![Vec::new()];
    let mut hand = Hand::new(&offers, Timestamp::ZERO);
    put(&mut hand, &specs, 9, &mut before);
    let patterns: Patterns = hand.take_patterns();
    bencher
        .with_inputs(|| (Hand::new(&offers, Timestamp::ZERO).with_patterns(patterns.clone()), before.clone()))
        .bench_local_values(|(mut hand, mut places)| put(&mut hand, &specs, 1, &mut places));
}
