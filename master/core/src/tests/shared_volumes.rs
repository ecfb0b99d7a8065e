//! Volumes that several tasks and frameworks use at once.

use lonja_model::framework::Capability;
use lonja_model::operation::OperationState;
use lonja_model::scheduler::Event as FrameworkEvent;
use lonja_model::{FrameworkInfo, Offer, Resources, TaskState};

use super::conversion_fixture::*;
use super::fixture::*;
use crate::{LinkId, StreamId};

fn sharing() -> FrameworkInfo {
    let mut info = framework_info("web", secs(60));
    info.capabilities.insert(Capability::SharedResources);
    info
}

fn data() -> Resources {
    volume("disk:10", "web", "data", true)
}

/// A shared volume that is there, and a framework that is offered it with all the rest.
fn with_volume(cluster: &mut Cluster) -> (LinkId, StreamId, Offer) {
    let (link, _) = cluster.agent("cpus:4;mem:4096;disk:100");
    let stream = cluster.subscribe(None, sharing());
    let offer = cluster.only_offer(stream);
    let steps = vec![step(reserve(&reserved("disk:10", &["web"]))), step(create(&data()))];
    cluster.accept(stream, &offer, steps).unwrap();
    cluster.finish_all(link);
    let offer = cluster.only_offer(stream);
    assert!(offer.resources.contains(&data()));
    (link, stream, offer)
}

#[test]
fn a_shared_volume_needs_a_framework_that_knows_of_sharing() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096;disk:100");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    let steps = vec![step(reserve(&reserved("disk:10", &["web"]))), step(create(&data()))];
    let refusal = cluster.accept(stream, &offer, steps).unwrap_err();
    assert!(refusal.message.contains("SHARED_RESOURCES"), "{refusal}");
}

#[test]
fn several_tasks_of_one_accept_use_the_one_copy_of_its_offer() {
    let mut cluster = cluster();
    let (link, stream, offer) = with_volume(&mut cluster);
    let framework = cluster.subscribed(stream).unwrap();
    let task = |id: &str| task_on(id, &offer.agent, &both(&res("cpus:1"), &data()));

    cluster.accept(stream, &offer, vec![launch_of(vec![task("one"), task("two"), task("three")])]).unwrap();
    assert_eq!(cluster.master.snapshot().tasks.len(), 3);

    for (number, id) in (1..).zip(["one", "two", "three"]) {
        cluster.report(link, &framework, id, TaskState::Finished, number);
    }
    let agent = cluster.master.snapshot().agents.remove(0);
    assert_eq!(agent.free, agent.total);
}

#[test]
fn a_shared_volume_in_use_is_not_destroyed_and_the_refusal_names_the_task() {
    let mut cluster = cluster();
    let (link, stream, offer) = with_volume(&mut cluster);
    let task = task_on("user", &offer.agent, &both(&res("cpus:1"), &data()));

    let refusal = cluster
        .accept(stream, &offer, vec![launch_of(vec![task]), named("d", destroy(&data()))])
        .unwrap_err();

    assert!(refusal.message.contains("volume data is in use by task user"), "{refusal}");
    assert_eq!(cluster.last_news(stream), ("d".into(), OperationState::Error));
    assert!(cluster.total(&offer.agent).contains(&data()));
    assert_eq!(cluster.asked_of(link).len(), 2);
}

#[test]
fn a_volume_that_goes_is_taken_out_of_every_offer() {
    let mut cluster = cluster();
    let (link, stream, offer) = with_volume(&mut cluster);

    // The operator finds it offered, and destroys it all the same.
    let request = cluster.convert(&offer.agent, destroy(&data()));

    let rescinded = |event: &FrameworkEvent| matches!(event, FrameworkEvent::Rescind(id) if *id == offer.id);
    assert!(cluster.events(stream).iter().any(rescinded));
    cluster.finish_all(link);
    assert_eq!(cluster.answer_to(request), Some(Ok(())));
    assert!(!cluster.total(&offer.agent).contains(&data()));
}

#[test]
fn an_unused_copy_goes_back_with_the_rest_of_the_offer() {
    let mut cluster = cluster();
    let (_, stream, offer) = with_volume(&mut cluster);
    let task = task_on("alone", &offer.agent, &res("cpus:1"));

    cluster.accept(stream, &offer, vec![launch_of(vec![task])]).unwrap();

    assert!(cluster.free(&offer.agent).contains(&data()));
}
