//! Small worlds for property tests: few names, so that things meet.

use lonja_model::agent::Domain;
use lonja_model::attributes::Attributes;
use lonja_model::labels::Labels;
use lonja_model::{AgentId, Offer, TaskId};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{Predicate, Subject, Tasks, agent, attribute, hostname, region, zone};
use crate::placement::OwnTasks;
use crate::task::Need;
use crate::tests::fixture::offer;

fn any_subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        1 => Just(agent()),
        1 => Just(hostname()),
        1 => Just(region()),
        1 => Just(zone()),
        3 => "[ab]".prop_map(attribute),
    ]
}

fn any_tasks() -> impl Strategy<Value = Tasks> {
    prop_oneof![
        Just(Tasks::all()),
        "[x-z]".prop_map(|value| Tasks::labelled("app", value)),
        Just(Tasks::with("tier")),
        "[x-z]".prop_map(|value| Tasks::labelled("app", value).and("tier", "1")),
    ]
}

fn any_leaf() -> impl Strategy<Value = Predicate> {
    let number = (0..4_u8).prop_map(f64::from);
    let says = prop_oneof![
        any_subject().prop_map(|subject| subject.exists()),
        (any_subject(), vec("[a-c1-3]", 0..3)).prop_map(|(subject, values)| subject.is_in(values)),
        (any_subject(), "[a-c1-3.]{1,2}[*]?").prop_map(|(subject, text)| subject.like(&text).unwrap()),
        (any_subject(), number.clone()).prop_map(|(subject, number)| subject.at_least(number).unwrap()),
        (any_subject(), number.clone()).prop_map(|(subject, number)| subject.below(number).unwrap()),
        (any_subject(), number.clone()).prop_map(|(subject, number)| subject.at_most(number).unwrap()),
        (any_subject(), number.clone()).prop_map(|(subject, number)| subject.above(number).unwrap()),
        ("cpus|mem|ports", number).prop_map(|(name, number)| super::at_least_free(&name, number).unwrap()),
        (10..16_u16).prop_map(Predicate::free_port),
    ];
    prop_oneof![2 => says, 1 => any_rule()]
}

/// Something about one's own tasks.
pub(crate) fn any_rule() -> impl Strategy<Value = Predicate> {
    (any_subject(), any_tasks(), 0..5_u8, 0..3_u32).prop_map(|(subject, tasks, kind, number)| match kind {
        0 => subject.near(&tasks),
        1 => subject.at_most_each(&tasks, number),
        2 => subject.spread(&tasks, number),
        3 => subject.spread_over(&tasks, number, ["a", "q"]),
        _ => subject.cluster(&tasks),
    })
}

/// Any predicate over the small world.
pub(crate) fn any_predicate() -> impl Strategy<Value = Predicate> {
    any_leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Predicate::all),
            vec(inner.clone(), 0..4).prop_map(Predicate::any),
            inner.prop_map(|one| !one),
        ]
    })
}

/// Any offer of the small world, of agent `number`.
pub(crate) fn any_offer_of(number: usize) -> impl Strategy<Value = Offer> {
    let domain = option::of(("[ab]", "[a-c]").prop_map(|(region, zone)| Domain { region, zone }));
    let value = prop_oneof!["[a-c]", "[1-3]", Just("[1-2]".to_owned())];
    let attributes = vec(("[ab]", value), 0..3);
    let resources = (0..6_u8, 0..6_u8, 10..14_u8, 0..3_u8);
    (domain, attributes, resources).prop_map(move |(domain, attributes, (cpus, mem, port, more))| {
        let written: Vec<String> = attributes.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        // What is offered of one agent by several offers does not overlap.
        let port = usize::from(port) + number / 10 * 10;
        let resources = format!("cpus:{cpus};mem:{mem};ports:[{port}-{}]", port + usize::from(more));
        Offer {
            agent: AgentId::new(format!("s{}", number % 10)).unwrap(),
            hostname: ["a", "b", "c1"][number % 3].to_owned(),
            domain,
            attributes: Attributes::parse(&written.join(";")).unwrap(),
            ..offer(&format!("o{number}"), &resources)
        }
    })
}

/// Labels of the small world.
pub(crate) fn any_small_labels() -> impl Strategy<Value = Labels> {
    let label = prop_oneof![
        3 => "[x-z]".prop_map(|value| ("app".to_owned(), Some(value))),
        1 => Just(("tier".to_owned(), Some("1".to_owned()))),
        1 => Just(("tier".to_owned(), None)),
    ];
    vec(label, 0..3).prop_map(Labels)
}

/// Tasks that run on agents of the small world, of which some have been seen.
pub(crate) fn any_own() -> impl Strategy<Value = OwnTasks> {
    let seen = (0..8_usize).prop_flat_map(any_offer_of);
    let task = ((0..8_usize), any_small_labels());
    (vec(seen, 0..6), vec(task, 0..8)).prop_map(|(seen, tasks)| {
        let mut own = OwnTasks::new();
        seen.iter().for_each(|offer| own.saw(offer));
        for (index, (agent, labels)) in tasks.iter().enumerate() {
            let agent = AgentId::new(format!("s{agent}")).unwrap();
            own.put(TaskId::new(format!("old-{index}")).unwrap(), &agent, labels, &Need::default());
        }
        own
    })
}
