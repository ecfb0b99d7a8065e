//! Taking offers back where roles have changed: only those concerned, and no more than needed.

use lonja_model::scheduler::Event;
use lonja_model::{Offer, OfferId, Role};
use std::collections::BTreeSet;

use super::fixture::*;
use crate::{Effects, Outbound, State, StreamId, offers};

fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

/// Three frameworks in roles beside and below each other, each with the offer of one agent.
fn three_offers() -> (Cluster, [(StreamId, Offer); 3]) {
    let mut cluster = cluster();
    let offers = ["eng", "eng/web", "engine"].map(|name| {
        let (stream, _) = cluster.framework(name);
        cluster.agent("cpus:4;mem:4096");
        (stream, cluster.only_offer(stream))
    });
    (cluster, offers)
}

fn rescinded(
    cluster: &mut Cluster,
    work: impl FnOnce(&mut State, &mut Effects),
) -> BTreeSet<(StreamId, OfferId)> {
    let mut effects = Effects::default();
    work(&mut cluster.master.state, &mut effects);
    cluster.master.check_invariants().unwrap();
    let told = effects.send.into_iter().filter_map(|out| {
        let Outbound::Framework(stream, Event::Rescind(offer)) = out else { return None };
        Some((stream, offer))
    });
    told.collect()
}

#[test]
fn a_change_of_a_role_takes_back_what_it_and_the_roles_below_it_are_offered() {
    let (mut cluster, [eng, web, _]) = three_offers();
    let now = cluster.now;
    let taken = rescinded(&mut cluster, |state, effects| {
        offers::rescind_of_role(state, effects, now, &role("eng"), |_| false);
    });
    assert_eq!(taken, BTreeSet::from([(eng.0, eng.1.id), (web.0, web.1.id)]));
}

#[test]
fn no_more_is_taken_back_than_needed_and_the_latest_offer_first() {
    let (mut cluster, [eng, web, engine]) = three_offers();
    let now = cluster.now;
    let taken = rescinded(&mut cluster, |state, effects| {
        offers::rescind_of_role(state, effects, now, &role("eng"), |state| state.offers.len() == 2);
    });
    assert_eq!(taken, BTreeSet::from([(web.0, web.1.id)]));
    let left: BTreeSet<_> = cluster.master.snapshot().offers.iter().map(|offer| offer.id.clone()).collect();
    assert_eq!(left, BTreeSet::from([eng.1.id, engine.1.id]));
}

#[test]
fn a_framework_that_leaves_a_role_loses_the_offers_for_it_alone() {
    let (mut cluster, [eng, web, _]) = three_offers();
    let now = cluster.now;
    let kept = BTreeSet::from([role("eng/web")]);
    let taken = rescinded(&mut cluster, |state, effects| {
        for offer in [&eng.1, &web.1] {
            offers::rescind_of_left_roles(state, effects, now, &offer.framework, &kept);
        }
    });
    assert_eq!(taken, BTreeSet::from([(eng.0, eng.1.id)]));
}
