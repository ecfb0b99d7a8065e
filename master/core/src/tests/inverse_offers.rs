use lonja_model::maintenance::{Drain, MachineId, Unavailability, Window};
use lonja_model::offer::{Filters, InverseOffer};
use lonja_model::operation::{Conversion, Operation};
use lonja_model::resources::{Metadata, Reservation, ReservationKind, Resource};
use lonja_model::scheduler::{Call, Event};
use lonja_model::{AgentId, Resources, TaskState, Timestamp};
use std::collections::BTreeSet;
use std::time::Duration;

use super::fixture::*;
use crate::inverse_offers::Willingness;
use crate::{LinkId, MaintenanceCommand, OperatorCommand, StreamId};

fn say(cluster: &mut Cluster, command: MaintenanceCommand) {
    cluster.operator(OperatorCommand::Maintenance(command)).unwrap();
}

fn at(seconds: u64) -> Unavailability {
    Unavailability { start: Timestamp::ZERO + secs(seconds), duration: None }
}

fn schedule(cluster: &mut Cluster, start: Option<u64>) {
    let window = |start| Window { machines: vec![MachineId::named("host")], unavailability: at(start) };
    say(cluster, MaintenanceCommand::Schedule { windows: start.into_iter().map(window).collect() });
}

/// A framework with one task on the only agent, which it was just asked to leave; it wants no offers.
fn asked(cluster: &mut Cluster) -> (LinkId, AgentId, StreamId, InverseOffer) {
    let (link, agent, stream, _) = cluster.running();
    cluster.call(stream, Call::Suppress { roles: BTreeSet::new() }).unwrap();
    schedule(cluster, Some(2_000));
    let offer = only(cluster, stream);
    (link, agent, stream, offer)
}

fn only(cluster: &mut Cluster, stream: StreamId) -> InverseOffer {
    let mut offers = cluster.inverse_offers(stream);
    assert_eq!(offers.len(), 1, "{offers:?}");
    offers.remove(0)
}

fn accept(cluster: &mut Cluster, stream: StreamId, offer: &InverseOffer) {
    let offers = vec![offer.id.clone()];
    cluster.call(stream, Call::AcceptInverseOffers { offers, filters: Filters::DEFAULT }).unwrap();
}

fn decline(cluster: &mut Cluster, stream: StreamId, offer: &InverseOffer, refuse: Duration) {
    let offers = vec![offer.id.clone()];
    cluster.call(stream, Call::DeclineInverseOffers { offers, filters: Filters { refuse } }).unwrap();
}

fn said(cluster: &Cluster) -> Option<Willingness> {
    let snapshot = cluster.master.snapshot();
    let machines = snapshot.scheduled_machines();
    let (_, statuses) = machines.get(&MachineId::named("host"))?;
    assert!(statuses.len() <= 1);
    statuses.first().map(|status| status.willingness)
}

#[test]
fn who_uses_an_agent_of_a_scheduled_machine_is_asked_once_to_leave_it_and_nobody_else() {
    let mut cluster = cluster();
    let (_, agent, stream, framework) = cluster.running();
    let (other, _) = cluster.framework("b");
    cluster.call(stream, Call::Suppress { roles: BTreeSet::new() }).unwrap();
    cluster.call(other, Call::Suppress { roles: BTreeSet::new() }).unwrap();
    cluster.settle();

    schedule(&mut cluster, Some(2_000));

    let offer = only(&mut cluster, stream);
    assert_eq!((offer.framework, offer.agent, offer.unavailability), (framework, agent, at(2_000)));
    assert_eq!(said(&cluster), Some(Willingness::Unanswered));
    cluster.advance(secs(60));
    assert!(cluster.inverse_offers(stream).is_empty(), "it is outstanding as long as it takes");
    assert!(cluster.inverse_offers(other).is_empty());
}

#[test]
fn who_is_only_offered_something_there_is_asked_too_and_no_more_once_it_declines() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    schedule(&mut cluster, Some(2_000));
    let offer = cluster.only_offer(stream);
    let asked = only(&mut cluster, stream);
    assert_ne!(offer.id, asked.id, "of one kind, and never the same");

    cluster.decline(stream, &offer, secs(500));

    assert!(cluster.events(stream).contains(&Event::RescindInverse(asked.id)));
}

#[test]
fn who_accepts_is_shown_so_and_not_asked_again_until_the_window_changes() {
    let mut cluster = cluster();
    let (link, _, stream, offer) = asked(&mut cluster);

    accept(&mut cluster, stream, &offer);

    let status = cluster.master.snapshot().inverse_offer_statuses.remove(0);
    assert_eq!((status.willingness, status.at), (Willingness::Accepted, cluster.now));
    cluster.advance_with_pongs(&[link], secs(600));
    assert!(cluster.inverse_offers(stream).is_empty());
    assert_eq!(said(&cluster), Some(Willingness::Accepted));

    schedule(&mut cluster, Some(3_000));
    assert_eq!(only(&mut cluster, stream).unavailability, at(3_000));
    assert_eq!(said(&cluster), Some(Willingness::Unanswered));
}

#[test]
fn who_declines_is_asked_again_when_its_filter_has_passed() {
    let mut cluster = cluster();
    let (_, _, stream, offer) = asked(&mut cluster);

    decline(&mut cluster, stream, &offer, secs(5));

    assert_eq!(said(&cluster), Some(Willingness::Declined));
    cluster.advance(secs(4));
    assert!(cluster.inverse_offers(stream).is_empty());
    cluster.advance(secs(1));
    let again = only(&mut cluster, stream);
    assert_ne!(again.id, offer.id);
    assert_eq!(said(&cluster), Some(Willingness::Declined), "until it says something else");
    accept(&mut cluster, stream, &again);
    assert_eq!(said(&cluster), Some(Willingness::Accepted));
}

#[test]
fn nobody_is_asked_faster_than_every_second() {
    let mut cluster = cluster();
    let (_, _, stream, offer) = asked(&mut cluster);
    decline(&mut cluster, stream, &offer, Duration::ZERO);
    cluster.advance(Duration::from_millis(999));
    assert!(cluster.inverse_offers(stream).is_empty());
    cluster.advance(Duration::from_millis(1));
    only(&mut cluster, stream);
}

#[test]
fn revive_clears_the_filters_of_those_who_declined() {
    let mut cluster = cluster();
    let (_, _, stream, offer) = asked(&mut cluster);
    decline(&mut cluster, stream, &offer, secs(5_000));
    cluster.call(stream, Call::Revive { roles: BTreeSet::new() }).unwrap();
    only(&mut cluster, stream);
}

#[test]
fn an_inverse_offer_is_rescinded_when_the_schedule_changes() {
    for start in [None, Some(3_000)] {
        let mut cluster = cluster();
        let (_, _, stream, offer) = asked(&mut cluster);
        schedule(&mut cluster, start);
        assert!(cluster.events(stream).contains(&Event::RescindInverse(offer.id)));
        assert_eq!(cluster.inverse_offers(stream).len(), usize::from(start.is_some()));
    }
}

#[test]
fn an_unchanged_schedule_asks_nobody_anew() {
    let mut cluster = cluster();
    let (_, _, stream, offer) = asked(&mut cluster);
    schedule(&mut cluster, Some(2_000));
    assert!(!cluster.events(stream).contains(&Event::RescindInverse(offer.id)));
}

#[test]
fn an_inverse_offer_is_rescinded_when_the_framework_has_nothing_there_any_more() {
    let mut cluster = cluster();
    let (link, _, stream, offer) = asked(&mut cluster);
    let framework = offer.framework;
    cluster.report(link, &framework, "t1", TaskState::Finished, 2);
    assert!(cluster.events(stream).contains(&Event::RescindInverse(offer.id)));
}

#[test]
fn who_waits_for_resources_to_be_converted_uses_the_agent() {
    let mut cluster = cluster();
    cluster.agent("cpus:4");
    let (stream, _) = cluster.framework("web");
    schedule(&mut cluster, Some(2_000));
    let offer = cluster.only_offer(stream);
    let asked = only(&mut cluster, stream);

    let role = lonja_model::Role::new("web").unwrap();
    let kind = ReservationKind::Dynamic;
    let layer = Reservation { kind, role, principal: None, labels: Default::default() };
    let metadata = Metadata { reservations: vec![layer], ..Metadata::default() };
    let cpus = offer.resources.iter().next().unwrap();
    let reserved = Resource::with_metadata(cpus.name(), cpus.value().clone(), metadata).unwrap();
    let conversion = Conversion::reserve(Resources::of([reserved]).unwrap(), None).unwrap();
    let operations = vec![Operation::Convert { id: None, conversion }];
    let filters = Filters::DEFAULT;
    cluster.call(stream, Call::Accept { offers: vec![offer.id], operations, filters }).unwrap();

    assert!(!cluster.events(stream).contains(&Event::RescindInverse(asked.id.clone())));
    // All of the agent is on its way from free to reserved, and nothing is offered.
    assert!(cluster.master.snapshot().offers.is_empty());
    assert_eq!(cluster.master.snapshot().inverse_offers[0].id, asked.id);
    let stream = cluster.subscribe(Some(&asked.framework), framework_info("web", secs(60)));
    assert_ne!(only(&mut cluster, stream).id, asked.id, "asked anew in a new conversation");
}

#[test]
fn an_inverse_offer_is_rescinded_when_the_agent_goes_and_made_anew_when_it_is_back() {
    let mut cluster = cluster();
    let (link, agent, stream, offer) = asked(&mut cluster);
    cluster.lose_link(link);
    assert!(cluster.events(stream).contains(&Event::RescindInverse(offer.id)));
    let task = agent_task(&offer.framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);
    cluster.back(&agent, "cpus:4;mem:4096", vec![task]);
    only(&mut cluster, stream);
}

#[test]
fn an_inverse_offer_is_rescinded_when_the_machine_goes_down_and_when_the_agent_is_gone() {
    let mut cluster = cluster();
    let (_, _, stream, offer) = asked(&mut cluster);
    say(&mut cluster, MaintenanceCommand::Start { machines: vec![MachineId::named("host")] });
    assert!(cluster.events(stream).contains(&Event::RescindInverse(offer.id)));
    assert_eq!(said(&cluster), None, "nobody is asked about a machine that is down");

    let mut cluster = super::fixture::cluster();
    let (_, agent, stream, offer) = asked(&mut cluster);
    say(&mut cluster, MaintenanceCommand::MarkGone { agent });
    assert!(cluster.events(stream).contains(&Event::RescindInverse(offer.id)));
    assert!(cluster.master.snapshot().inverse_offer_statuses.is_empty());
}

#[test]
fn what_was_said_of_an_agent_is_void_once_it_is_unreachable() {
    let mut cluster = cluster();
    let (_, agent, stream, offer) = asked(&mut cluster);
    accept(&mut cluster, stream, &offer);
    cluster.advance(secs(80));
    assert_eq!(said(&cluster), None);
    let task = agent_task(&offer.framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);
    cluster.back(&agent, "cpus:4;mem:4096", vec![task]);
    only(&mut cluster, stream);
}

#[test]
fn inverse_offers_belong_to_the_conversation_they_were_made_in_and_answers_do_not() {
    let mut cluster = cluster();
    let (_, _, stream, first) = asked(&mut cluster);
    let framework = first.framework.clone();

    let second = cluster.subscribe(Some(&framework), framework_info("web", secs(60)));

    let again = only(&mut cluster, second);
    assert_ne!(again.id, first.id);
    accept(&mut cluster, second, &again);
    cluster.lose_stream(second);
    cluster.lose_stream(stream);
    let third = cluster.subscribe(Some(&framework), framework_info("web", secs(60)));
    assert!(cluster.inverse_offers(third).is_empty());
    assert_eq!(said(&cluster), Some(Willingness::Accepted));
}

#[test]
fn a_framework_that_is_torn_down_leaves_no_answer_behind() {
    let mut cluster = cluster();
    let (_, _, stream, offer) = asked(&mut cluster);
    decline(&mut cluster, stream, &offer, secs(5_000));
    cluster.call(stream, Call::Teardown).unwrap();
    assert_eq!(said(&cluster), None);
    assert!(cluster.master.snapshot().inverse_offers.is_empty());
}

#[test]
fn an_answer_to_anothers_or_an_unknown_inverse_offer_is_ignored() {
    let mut cluster = cluster();
    let (_, _, stream, offer) = asked(&mut cluster);
    let (thief, _) = cluster.framework("b");
    accept(&mut cluster, thief, &offer);
    assert_eq!(said(&cluster), Some(Willingness::Unanswered));

    accept(&mut cluster, stream, &offer);
    decline(&mut cluster, stream, &offer, secs(5));
    assert_eq!(said(&cluster), Some(Willingness::Accepted), "it ended when it was answered first");
}

#[test]
fn after_a_restart_of_the_master_everyone_is_asked_anew() {
    let mut cluster = cluster();
    let (_, agent, stream, offer) = asked(&mut cluster);
    accept(&mut cluster, stream, &offer);

    cluster.restart();
    let stream = cluster.subscribe(Some(&offer.framework), framework_info("web", secs(60)));
    assert!(cluster.inverse_offers(stream).is_empty(), "nobody knows what it uses");
    let task = agent_task(&offer.framework, "t1", &agent, "cpus:1;mem:64", TaskState::Running);
    cluster.back(&agent, "cpus:4;mem:4096", vec![task]);

    assert_ne!(only(&mut cluster, stream).id, offer.id);
}

#[test]
fn a_deactivated_agents_users_are_asked_and_a_drained_ones_are_not() {
    let mut cluster = cluster();
    let (_, agent, stream, offer) = asked(&mut cluster);
    say(&mut cluster, MaintenanceCommand::Deactivate { agent: agent.clone() });
    assert!(!cluster.events(stream).contains(&Event::RescindInverse(offer.id)));

    let mut cluster = super::fixture::cluster();
    let (_, agent, stream, _) = cluster.running();
    say(&mut cluster, MaintenanceCommand::Drain { agent: agent.clone(), drain: Drain::default() });
    cluster.advance(secs(1));
    assert!(cluster.inverse_offers(stream).is_empty());
}
