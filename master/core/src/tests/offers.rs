use lonja_model::offer::Filters;
use lonja_model::operation::Operation;
use lonja_model::scheduler::{Call, Event, RefusalCode};
use lonja_model::{OfferId, TaskState};
use std::collections::BTreeSet;

use super::fixture::*;
use crate::Config;

#[test]
fn an_agents_resources_are_offered_within_the_allocation_window() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");

    let offer = cluster.only_offer(stream);

    assert_eq!((offer.agent, offer.resources), (agent, res("cpus:4;mem:4096")));
}

#[test]
fn a_new_agent_is_not_offered_before_it_has_made_its_id_durable() {
    let mut cluster = cluster();
    let (stream, _) = cluster.framework("web");
    let (link, _) = cluster.unconfirmed_agent("cpus:4;mem:4096");
    cluster.settle();
    assert!(cluster.offers(stream).is_empty());

    cluster.say(link, lonja_model::link::FromAgent::Pong { sequence: 0 });

    cluster.only_offer(stream);
}

#[test]
fn a_declined_offer_stays_away_until_its_filter_expires() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);

    cluster.decline(stream, &offer, secs(5));

    cluster.advance(secs(4));
    assert!(cluster.offers(stream).is_empty());
    cluster.advance(secs(1));
    cluster.only_offer(stream);
}

#[test]
fn what_one_declines_the_next_is_offered_at_once() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    let (first, _) = cluster.framework("a");
    let (second, _) = cluster.framework("b");
    let offer = cluster.only_offer(first);
    // Both had a slice from the beginning.
    cluster.offers(second);

    cluster.decline(first, &offer, secs(5));

    cluster.only_offer(second);
}

#[test]
fn revive_drops_filters() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    cluster.decline(stream, &offer, secs(500));

    cluster.call(stream, Call::Revive { roles: BTreeSet::new() }).unwrap();

    cluster.only_offer(stream);
}

#[test]
fn a_suppressed_role_gets_no_offers_until_revived() {
    let mut cluster = cluster();
    let (stream, _) = cluster.framework("web");
    cluster.call(stream, Call::Suppress { roles: BTreeSet::new() }).unwrap();
    cluster.agent("cpus:4;mem:4096");
    cluster.settle();
    assert!(cluster.offers(stream).is_empty());

    cluster.call(stream, Call::Revive { roles: BTreeSet::new() }).unwrap();

    cluster.only_offer(stream);
}

#[test]
fn an_offer_is_used_once() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    cluster.launch(stream, &offer, vec![task_info("t1", &agent, "cpus:1;mem:32")]).unwrap();

    let again = cluster.launch(stream, &offer, vec![task_info("t2", &agent, "cpus:1;mem:32")]);

    assert_eq!(again.unwrap_err().code, RefusalCode::NotFound);
    assert_eq!(cluster.last_state(stream), Some(TaskState::Dropped));
}

#[test]
fn anothers_offer_cannot_be_accepted_and_stays_with_its_owner() {
    let mut cluster = cluster();
    let (_, agent) = cluster.agent("cpus:4;mem:4096");
    let (owner, _) = cluster.framework("a");
    let offer = cluster.only_offer(owner);
    let (thief, _) = cluster.framework("b");

    let stolen = cluster.launch(thief, &offer, vec![task_info("t1", &agent, "cpus:1;mem:32")]);

    assert_eq!(stolen.unwrap_err().code, RefusalCode::NotFound);
    cluster.launch(owner, &offer, vec![task_info("t1", &agent, "cpus:1;mem:32")]).unwrap();
}

#[test]
fn an_offer_named_twice_in_one_accept_is_refused_and_goes_back() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);

    let offers = vec![offer.id.clone(), offer.id.clone()];
    let refused = cluster.call(stream, Call::Accept { offers, operations: vec![], filters: Filters::NONE });

    assert_eq!(refused.unwrap_err().field.as_deref(), Some("accept.offer_ids[1]"));
    cluster.only_offer(stream);
}

#[test]
fn offers_of_two_agents_cannot_be_accepted_together() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    cluster.settle();
    let offers: Vec<_> = cluster.offers(stream).into_iter().map(|offer| offer.id).collect();
    assert_eq!(offers.len(), 2);

    let refused = cluster.call(stream, Call::Accept { offers, operations: vec![], filters: Filters::NONE });

    assert_eq!(refused.unwrap_err().code, RefusalCode::InvalidArgument);
    cluster.settle();
    assert_eq!(cluster.offers(stream).len(), 2);
}

#[test]
fn an_unanswered_offer_is_rescinded_and_others_get_a_turn() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    let (hoarder, _) = cluster.framework("a");
    let offer = cluster.only_offer(hoarder);
    let (other, _) = cluster.framework("b");

    let timeout = cluster.config.offer_timeout.unwrap();
    cluster.advance(timeout);

    assert!(cluster.events(hoarder).contains(&Event::Rescind(offer.id)));
    cluster.only_offer(other);
}

#[test]
fn an_operation_not_served_yet_is_named_and_the_rest_is_done() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);

    let operations = vec![Operation::Unsupported("RESERVE".into())];
    let answer =
        cluster.call(stream, Call::Accept { offers: vec![offer.id], operations, filters: Filters::NONE });

    assert!(answer.unwrap_err().message.contains("RESERVE"));
    cluster.only_offer(stream);
}

#[test]
fn weights_decide_who_is_next() {
    let mut cluster = cluster();
    let (heavy, _) = cluster.framework("heavy");
    let (light, _) = cluster.framework("light");
    let role = lonja_model::Role::new("heavy").unwrap();
    let weight = lonja_model::resources::Scalar::from_units(3).unwrap();
    let command = crate::OperatorCommand::SetWeights { weights: vec![(role, weight)] };
    cluster.handle(crate::Event::Operator { request: crate::RequestId(1), command });
    for _ in 0..8 {
        cluster.agent("cpus:1;mem:1024");
    }
    cluster.settle();

    assert_eq!((cluster.offers(heavy).len(), cluster.offers(light).len()), (6, 2));
}

#[test]
fn a_number_alone_does_not_name_an_offer() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    let (_, number) = offer.id.as_str().rsplit_once("-O").unwrap();
    let of_another_master = OfferId::new(format!("another-O{number}")).unwrap();

    let offers = &mut cluster.master.state.offers;

    assert!(offers.get(&of_another_master).is_none() && offers.take(&of_another_master).is_none());
    assert_eq!(offers.get(&offer.id), Some(&offer));
}

#[test]
fn of_many_agents_a_portion_is_offered_at_once_and_all_have_their_turn() {
    let mut cluster = cluster_with(Config { allocation_portion: 3, ..Config::default() });
    (0..8).for_each(|_| drop(cluster.agent("cpus:4;mem:4096")));
    let (stream, _) = cluster.framework("web");

    cluster.settle();

    let offered = |event: &Event| if let Event::Offers(offers) = event { Some(offers.len()) } else { None };
    let portions: Vec<_> = cluster.events(stream).iter().filter_map(offered).collect();
    assert_eq!(portions, [3, 3, 2]);
}
