//! Reservations, volumes, what offers are of use, and agents asked back.

use lonja_model::labels::Labels;
use lonja_model::maintenance::Unavailability;
use lonja_model::offer::{Filters, InverseOffer};
use lonja_model::operation::{Conversion, Operation, OperationState, OperationStatus};
use lonja_model::resources::{Metadata, Quantities, Reservation, ReservationKind, Resource};
use lonja_model::scheduler::{Call, Event as MasterEvent};
use lonja_model::{AgentId, FrameworkId, OfferId, OperationId, Resources, Role, Timestamp, UpdateId};

use super::fixture::{offer, secs, subscribed, task};
use crate::{Plan, PlanError, Problem, Step};

fn reserved(text: &str) -> Resources {
    let layer = Reservation {
        kind: ReservationKind::Dynamic,
        role: Role::new("eng").unwrap(),
        principal: None,
        labels: Labels::default(),
    };
    let all = Resources::parse(text).unwrap();
    let all = all.iter().map(|resource| {
        let metadata = Metadata { reservations: vec![layer.clone()], ..Metadata::default() };
        Resource::with_metadata(resource.name(), resource.value().clone(), metadata).unwrap()
    });
    Resources::of(all).unwrap()
}

fn reserve(text: &str, id: &str) -> Step {
    let conversion = Conversion::reserve(reserved(text), None).unwrap();
    Step::Convert { id: Some(OperationId::new(id).unwrap()), conversion }
}

fn status(id: &str, state: OperationState, update: u8) -> MasterEvent {
    MasterEvent::OperationUpdate(Box::new(OperationStatus {
        operation: Some(OperationId::new(id).unwrap()),
        state,
        message: None,
        converted: Resources::new(),
        update: Some(UpdateId([update; 16])),
        agent: Some(AgentId::new("a1").unwrap()),
    }))
}

#[test]
fn steps_are_taken_on_what_the_steps_before_have_made() {
    let mut world = subscribed();
    let offer = offer("o1", "cpus:2;mem:64");
    let mut inside = task(&offer, "t1");
    inside.resources = reserved("cpus:1");

    world.will(Plan::new().accept([&offer], [reserve("cpus:1", "r1"), Step::Launch(vec![inside])]));
    let sent = world.is_offered(&[&offer]);

    let [Call::Accept { operations, .. }] = &sent[..] else { panic!("{sent:?}") };
    assert!(matches!(operations[..], [Operation::Convert { .. }, Operation::Launch(_)]), "{operations:?}");
}

#[test]
fn what_the_offers_do_not_hold_is_not_converted() {
    let mut world = subscribed();
    let offer = offer("o1", "cpus:2;mem:64");

    world.will(Plan::new().accept([&offer], [reserve("cpus:3", "r1")]));
    let sent = world.is_offered(&[&offer]);

    assert!(matches!(sent[..], [Call::Decline { .. }]), "{sent:?}");
    let problems = &world.scheduler().problems;
    assert!(matches!(problems[..], [Problem::Plan(PlanError::NothingToConvert { .. })]), "{problems:?}");
}

#[test]
fn an_operation_is_acknowledged_after_it_was_seen_and_shown_once() {
    let mut world = subscribed();
    let first = offer("o1", "cpus:2");
    world.will(Plan::new().accept([&first], [reserve("cpus:1", "r1")]));
    world.is_offered(&[&first]);

    for _ in 0..2 {
        world.hears(status("r1", OperationState::Finished, 1));
        assert!(matches!(world.sent()[..], [Call::AcknowledgeOperation { .. }]), "{:?}", world.sent());
    }
    assert_eq!(world.scheduler().operations.len(), 1);
}

#[test]
fn an_operation_id_is_in_use_until_its_end_is_told() {
    let mut world = subscribed();
    for (round, refused) in [(1, 0), (2, 1)] {
        let next = offer(&format!("o{round}"), "cpus:2");
        world.will(Plan::new().accept([&next], [reserve("cpus:1", "r1")]));
        world.is_offered(&[&next]);
        assert_eq!(world.scheduler().problems.len(), refused);
    }
    world.hears(status("r1", OperationState::Failed, 1));
    let next = offer("o3", "cpus:2");
    world.will(Plan::new().accept([&next], [reserve("cpus:1", "r1")]));
    assert!(matches!(world.is_offered(&[&next])[..], [Call::Accept { .. }]));
}

#[test]
fn operations_without_news_are_asked_for_after_a_lost_connection() {
    let mut world = subscribed();
    let first = offer("o1", "cpus:2");
    world.will(Plan::new().accept([&first], [reserve("cpus:1", "r1")]));
    world.is_offered(&[&first]);

    world.loses_connection();
    let sent = world.connects();

    let asked = sent
        .iter()
        .any(|call| matches!(call, Call::ReconcileOperations { operations } if operations.len() == 1));
    assert!(asked, "{sent:?}");
}

#[test]
fn what_is_of_use_is_told_when_it_changes_and_to_each_master() {
    let mut world = subscribed();
    let needs: Quantities = Resources::parse("cpus:2;mem:64").unwrap().quantities();
    world.scheduler().needs = vec![needs.clone()];

    world.hears(MasterEvent::Heartbeat);
    let sent = world.sent();
    let [Call::Request { requests }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(requests[0].needs, needs);
    world.hears(MasterEvent::Heartbeat);
    assert!(world.sent().is_empty());

    world.loses_connection();
    let sent = world.connects();
    assert!(sent.iter().any(|call| matches!(call, Call::Request { .. })), "{sent:?}");
}

#[test]
fn an_agent_asked_back_is_answered_as_the_scheduler_says() {
    let mut world = subscribed();
    let asked = InverseOffer {
        id: OfferId::new("i1").unwrap(),
        framework: FrameworkId::new("f1").unwrap(),
        agent: AgentId::new("a1").unwrap(),
        unavailability: Unavailability { start: Timestamp::ZERO, duration: None },
    };

    world.will(Plan::new().decline_inverse(&asked, secs(9)));
    world.hears(MasterEvent::InverseOffers(vec![asked.clone()]));

    let filters = Filters { refuse: secs(9) };
    assert_eq!(world.sent(), [Call::DeclineInverseOffers { offers: vec![asked.id], filters }]);
}
