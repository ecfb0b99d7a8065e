use std::collections::BTreeMap;

use lonja_model::agent::Domain;
use lonja_model::attributes::Attributes;
use lonja_model::constraints::{
    AttributeConstraint, ConstraintGroup, OfferConstraints, Predicate, RoleConstraints, Selector,
};
use lonja_model::labels::Labels;
use lonja_model::resources::{Disk, Metadata, Persistence, Reservation, ReservationKind, Scalar, Value};

use lonja_model::Resources;

use super::*;
use crate::constraints::CompiledConstraints;
use crate::fixture::{agent, cluster, facts, framework, resources, role};

fn place(region: &str) -> Option<Domain> {
    (!region.is_empty()).then(|| Domain { region: region.to_owned(), zone: "z".to_owned() })
}

fn able(capabilities: &[Capability]) -> FrameworkFacts {
    FrameworkFacts { capabilities: capabilities.iter().copied().collect(), ..facts("web") }
}

fn verdict(options: &Options, facts: &FrameworkFacts, agent: &AgentFacts, gpus: bool) -> Option<Ineligible> {
    let reason = why_not(options, facts, &role("web"), agent, gpus);
    assert_eq!(reason.is_none(), is_eligible(options, facts, &role("web"), agent, gpus));
    reason
}

fn wants_rack(name: &str) -> CompiledConstraints {
    let predicate = Predicate::TextEquals(name.to_owned());
    let one = AttributeConstraint { selector: Selector::Attribute("rack".to_owned()), predicate };
    let groups = RoleConstraints(vec![ConstraintGroup(vec![one])]);
    CompiledConstraints::compile(OfferConstraints(BTreeMap::from([(role("web"), groups)]))).unwrap()
}

#[test]
fn agents_of_other_regions_are_for_frameworks_that_care_for_regions() {
    // Master, agent: hidden from a framework that does not know of regions?
    let table =
        [("", "", false), ("", "eu", false), ("eu", "", false), ("eu", "eu", false), ("eu", "us", true)];
    for (master, there, hidden) in table {
        let options = Options { domain: place(master), ..Options::default() };
        let agent = AgentFacts { domain: place(there), ..AgentFacts::default() };
        assert_eq!(verdict(&options, &able(&[]), &agent, false).is_some(), hidden, "{master:?} {there:?}");
        assert_eq!(verdict(&options, &able(&[Capability::RegionAware]), &agent, false), None);
    }
}

#[test]
fn another_zone_of_the_same_region_is_near() {
    let zone = |zone: &str| Some(Domain { region: "eu".to_owned(), zone: zone.to_owned() });
    let options = Options { domain: zone("a"), ..Options::default() };
    let agent = AgentFacts { domain: zone("b"), ..AgentFacts::default() };
    assert_eq!(verdict(&options, &able(&[]), &agent, false), None);
}

#[test]
fn agents_with_gpus_are_for_frameworks_that_understand_them() {
    for (reserve, can, gpus, hidden) in [
        (true, false, true, true),
        (true, false, false, false),
        (true, true, true, false),
        (false, false, true, false),
    ] {
        let options = Options { reserve_gpu_agents: reserve, ..Options::default() };
        let facts = able(if can { &[Capability::GpuResources] } else { &[] });
        assert_eq!(verdict(&options, &facts, &AgentFacts::default(), gpus).is_some(), hidden);
    }
}

#[test]
fn a_reason_is_told_in_words() {
    let options = Options { domain: place("eu"), ..Options::default() };
    let far = AgentFacts {
        domain: place("us"),
        attributes: Attributes::parse("rack:r2").unwrap(),
        ..AgentFacts::default()
    };
    let told = |facts: &FrameworkFacts, gpus| verdict(&options, facts, &far, gpus).unwrap().to_string();
    assert_eq!(
        told(&able(&[]), true),
        "the agent has GPUs, which are kept for frameworks with the capability GPU_RESOURCES"
    );
    assert_eq!(
        told(&able(&[]), false),
        "the agent is in region us, the master in eu; other regions are offered to frameworks with the capability \
         REGION_AWARE"
    );
    let picky = FrameworkFacts { constraints: wants_rack("r1"), ..able(&[Capability::RegionAware]) };
    assert_eq!(
        told(&picky, false),
        r#"offer constraints: its attribute rack is "r2", the framework asks for "r1""#
    );
}

fn one(metadata: Metadata) -> Resources {
    let amount = Value::Scalar(Scalar::from_units(8).unwrap());
    Resources::of([Resource::with_metadata("disk", amount, metadata).unwrap()]).unwrap()
}

fn reserved(names: &[&str]) -> Metadata {
    let reservation = |name: &&str| Reservation {
        kind: ReservationKind::Dynamic,
        role: role(name),
        principal: None,
        labels: Labels::default(),
    };
    Metadata { reservations: names.iter().map(reservation).collect(), ..Metadata::default() }
}

fn volume(shared: bool) -> Metadata {
    let persistence = Some(Persistence { id: "v".to_owned(), principal: None });
    let disk = Disk { persistence, ..Disk::default() };
    Metadata { disk: Some(disk), shared, ..reserved(&["web"]) }
}

#[test]
fn a_framework_sees_no_more_than_it_understands() {
    use Capability::{ReservationRefinement, RevocableResources, SharedResources};
    let revocable = Metadata { revocable: true, ..Metadata::default() };
    let kinds = [
        (one(Metadata::default()), None),
        (one(reserved(&["web"])), None),
        (one(volume(false)), None),
        (one(revocable), Some(RevocableResources)),
        (one(volume(true)), Some(SharedResources)),
        (one(reserved(&["web", "web/db"])), Some(ReservationRefinement)),
    ];
    let all = kinds.iter().fold(Resources::new(), |sum, (kind, _)| sum.checked_add(kind).unwrap());
    let special = [RevocableResources, SharedResources, ReservationRefinement];
    for chosen in 0..8_usize {
        let can: BTreeSet<_> =
            (0..3).filter(|bit| chosen & (1 << bit) != 0).map(|bit| special[bit]).collect();
        let sight = Sight::of(&can);
        let seen = all.filter(|resource| sight.sees(resource));
        for (kind, needs) in &kinds {
            assert_eq!(seen.contains(kind), needs.is_none_or(|needs| can.contains(&needs)), "{can:?} {kind}");
        }
        assert_eq!(seen == all, chosen == 7, "all is seen by whoever understands all");
    }
}

#[test]
fn offers_hold_what_the_framework_understands_and_the_rest_goes_to_others() {
    let mut cluster = cluster();
    let revocable = one(Metadata { revocable: true, ..Metadata::default() });
    let total = resources("cpus:4;mem:4096").checked_add(&revocable).unwrap();
    cluster.allocator.add_agent(agent("a"), total, AgentFacts::default());
    cluster.allocator.add_framework(framework("f"), able(&[]));
    assert_eq!(cluster.allocate(), ["f web a cpus:4;mem:4096"]);
    assert_eq!(cluster.free("a"), revocable.to_string());

    let minimum_offers = BTreeMap::from([(role("web"), Vec::new())]);
    let facts = FrameworkFacts { minimum_offers, ..able(&[Capability::RevocableResources]) };
    cluster.allocator.add_framework(framework("g"), facts);
    assert_eq!(cluster.allocate(), ["g web a disk{REV}:8"]);
}

#[test]
fn constraints_decide_about_offers_and_count_anew_when_they_change() {
    let mut cluster = cluster();
    for name in ["r1", "r2"] {
        let attributes = Attributes::parse(&format!("rack:{name}")).unwrap();
        let facts = AgentFacts { attributes, ..AgentFacts::default() };
        cluster.allocator.add_agent(agent(name), resources("cpus:1;mem:64"), facts);
    }
    let wanting = |name| FrameworkFacts { constraints: wants_rack(name), ..able(&[]) };
    cluster.allocator.add_framework(framework("f"), wanting("r1"));
    assert_eq!(cluster.allocate(), ["f web r1 cpus:1;mem:64"]);
    let why = cluster.allocator.why_ineligible(&framework("f"), &role("web"), &agent("r2"));
    assert!(matches!(why, Some(Ineligible::Constraints(_))));

    cluster.allocator.update_framework(&framework("f"), wanting("r2"));
    assert_eq!(cluster.allocate(), ["f web r2 cpus:1;mem:64"]);
    assert_eq!(cluster.allocator.why_ineligible(&framework("f"), &role("web"), &agent("r2")), None);
}
