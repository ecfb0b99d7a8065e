use lonja_model::labels::Labels;
use lonja_model::link::ToAgent;
use lonja_model::registry::FrameworkStanding;
use lonja_model::scheduler::{Call, Event, RefusalCode};
use lonja_model::{FrameworkId, FrameworkInfo};
use std::time::Duration;

use super::fixture::*;
use crate::{ClusterEvent, StreamId};

#[test]
fn a_call_before_subscribe_is_refused() {
    let mut cluster = cluster();
    let refused = cluster.call(crate::StreamId(7), Call::Teardown);
    assert_eq!(refused.unwrap_err().code, RefusalCode::NotSubscribed);
}

#[test]
fn who_calls_by_no_stream_is_told_how_its_framework_stands() {
    let mut cluster = cluster();
    let (stream, id) = cluster.framework("web");
    let nobody = crate::StreamId(99);
    let refused = |cluster: &mut Cluster, id: &str| {
        let refusal = cluster.call_as(nobody, FrameworkId::new(id).unwrap(), Call::Teardown).unwrap_err();
        (refusal.code, refusal.field.unwrap())
    };
    assert_eq!(refused(&mut cluster, "no-one"), (RefusalCode::NotFound, "framework_id".to_owned()));
    assert_eq!(refused(&mut cluster, id.as_str()), (RefusalCode::InvalidArgument, "stream".to_owned()));
    cluster.lose_stream(stream);
    assert_eq!(refused(&mut cluster, id.as_str()), (RefusalCode::NotSubscribed, "framework_id".to_owned()));
}

#[test]
fn what_a_framework_says_of_itself_is_bounded() {
    let mut cluster = cluster();
    let label = || ("key".to_owned(), Some("x".repeat(16 << 10)));
    let info = |labels: usize| FrameworkInfo {
        labels: Labels((0..labels).map(|_| label()).collect()),
        ..framework_info("web", secs(60))
    };
    let refused = cluster.subscribe(None, info(70));
    assert!(matches!(&cluster.events(refused)[0], Event::Error(why) if why.contains("are the most")));
    let taken = cluster.subscribe(None, info(50));
    assert!(cluster.subscribed(taken).is_some());
}

#[test]
fn a_newer_stream_wins_and_the_older_is_told() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    let (old, id) = cluster.framework("web");
    cluster.only_offer(old);

    let new = cluster.subscribe(Some(&id), framework_info("web", secs(60)));

    assert_eq!(cluster.events(old).last(), Some(&Event::Error("Framework failed over".into())));
    assert!(cluster.closed_streams.contains(&old));
    cluster.lose_stream(old);
    cluster.only_offer(new);
}

/// SUBSCRIBE over this stream, by the call of this number.
fn subscribe_by(cluster: &mut Cluster, id: &FrameworkId, stream: u64, call: u64) {
    let what = Call::Subscribe {
        framework: Some(id.clone()),
        info: Box::new(framework_info("web", secs(60))),
        suppressed: Default::default(),
        constraints: Default::default(),
    };
    cluster.handle(crate::Event::Call { stream: StreamId(stream), id: call, framework: None, call: what });
}

/// Found by the simulator: a SUBSCRIBE waited behind a partition while its framework gave the connection up and made
/// another; when it came at last it threw the framework out.
#[test]
fn a_subscription_that_comes_late_does_not_take_over_from_a_newer_one_of_the_same_instance() {
    const INSTANCE: u64 = 7 << 32;
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    let (_, id) = cluster.framework("web");
    subscribe_by(&mut cluster, &id, 1_001, INSTANCE + 5);
    subscribe_by(&mut cluster, &id, 1_000, INSTANCE + 4);
    let (late, stands) = (StreamId(1_000), StreamId(1_001));
    assert_eq!(cluster.subscribed(late), None);
    assert!(cluster.closed_streams.contains(&late) && !cluster.closed_streams.contains(&stands));

    subscribe_by(&mut cluster, &id, 1_002, (6 << 32) + 1);
    assert!(cluster.closed_streams.contains(&stands), "another instance wins, whatever its numbers");
}

#[test]
fn a_lost_stream_leaves_tasks_running_until_the_failover_timeout_and_not_a_moment_less() {
    let mut cluster = cluster();
    let (link, _, stream, id) = cluster.running();
    cluster.lose_stream(stream);

    cluster.advance_with_pongs(&[link], secs(60) - Duration::from_millis(1));
    assert!(!cluster.sent(link).contains(&ToAgent::ShutdownFramework { framework: id.clone() }));
    cluster.advance(Duration::from_millis(1));

    assert!(cluster.sent(link).contains(&ToAgent::ShutdownFramework { framework: id.clone() }));
    let back = cluster.subscribe(Some(&id), framework_info("web", secs(60)));
    assert!(matches!(&cluster.events(back)[0], Event::Error(why) if why.contains("removed")));
}

#[test]
fn a_framework_back_in_time_keeps_its_tasks_and_gets_its_updates_again() {
    let mut cluster = cluster();
    let (link, _, stream, id) = cluster.running();
    cluster.lose_stream(stream);
    cluster.advance_with_pongs(&[link], secs(30));

    let stream = cluster.subscribe(Some(&id), framework_info("web", secs(60)));
    cluster.advance_with_pongs(&[link], secs(120));

    assert_eq!(cluster.subscribed(stream), Some(id.clone()));
    assert!(cluster.sent(link).contains(&ToAgent::ResendUpdates { framework: id }));
    assert_eq!(cluster.master.snapshot().tasks.len(), 1);
}

#[test]
fn without_a_failover_timeout_a_lost_stream_is_the_end() {
    let mut cluster = cluster();
    let stream = cluster.subscribe(None, framework_info("web", secs(0)));
    let id = cluster.subscribed(stream).unwrap();
    cluster.lose_stream(stream);
    assert_eq!(cluster.registry.frameworks[&id].standing, FrameworkStanding::Removed);
}

#[test]
fn teardown_kills_the_tasks_and_frees_their_resources() {
    let mut cluster = cluster();
    let (link, _, stream, id) = cluster.running();
    let (other, _) = cluster.framework("other");
    let rest = cluster.only_offer(other);
    cluster.decline(other, &rest, secs(5_000));

    cluster.call(stream, Call::Teardown).unwrap();

    assert!(cluster.sent(link).contains(&ToAgent::ShutdownFramework { framework: id.clone() }));
    assert!(matches!(cluster.events(stream).last(), Some(Event::Error(why)) if why.contains("removed")));
    assert_eq!(cluster.only_offer(other).resources, res("cpus:4;mem:4096"));
    let ended = cluster.master.snapshot().completed_tasks.remove(0);
    let told = ended.last_status().unwrap();
    assert_eq!(told.state, lonja_model::TaskState::Killed);
    assert_eq!(told.reason, Some(lonja_model::task::Reason::FrameworkRemoved));
    cluster.report(link, &id, "t1", lonja_model::TaskState::Killed, 2);
    let acknowledged = cluster.sent(link).last().is_some_and(|m| matches!(m, ToAgent::Acknowledge { .. }));
    assert!(acknowledged, "nobody else will");
}

#[test]
fn who_watches_is_told_of_a_removed_framework_in_two_steps_and_that_it_holds_nothing_any_more() {
    let mut cluster = cluster();
    cluster.agent("cpus:4;mem:4096");
    let (stream, _) = cluster.framework("web");
    let offer = cluster.only_offer(stream);
    let tasks = (0..8).map(|number| task_info(&format!("t{number}"), &offer.agent, "cpus:0.1;mem:1"));
    cluster.launch(stream, &offer, tasks.collect()).unwrap();
    cluster.published.clear();

    cluster.call(stream, Call::Teardown).unwrap();

    let [ClusterEvent::Several(ended), ClusterEvent::FrameworkRemoved(view)] = &cluster.published[..] else {
        panic!("{:?}", cluster.published);
    };
    let killed = |event: &ClusterEvent| {
        matches!(event, ClusterEvent::TaskUpdated { state: lonja_model::TaskState::Killed, .. })
    };
    assert!(ended.len() == 8 && ended.iter().all(killed), "{ended:?}");
    assert!(view.allocated.is_empty() && view.offered.is_empty(), "{view:?}");
    assert!(cluster.master.snapshot().completed_frameworks[0].allocated.is_empty());
}

#[test]
fn calls_over_the_limit_are_refused_and_others_are_not_held_up() {
    let mut cluster =
        cluster_with(crate::Config { call_burst: 2, calls_per_second: 1, ..Default::default() });
    let (flooder, _) = cluster.framework("a");
    let (other, _) = cluster.framework("b");
    let reconcile = || Call::Reconcile { tasks: vec![] };
    cluster.call(flooder, reconcile()).unwrap();
    cluster.call(flooder, reconcile()).unwrap();

    assert_eq!(cluster.call(flooder, reconcile()).unwrap_err().code, RefusalCode::RateLimited);
    cluster.call(other, reconcile()).unwrap();
    cluster.advance(secs(1));
    cluster.call(flooder, reconcile()).unwrap();
}

#[test]
fn heartbeats_come_at_their_interval() {
    let mut cluster = cluster();
    let (stream, _) = cluster.framework("web");
    cluster.advance(secs(45));
    let beats = cluster.events(stream).iter().filter(|event| **event == Event::Heartbeat).count();
    assert_eq!(beats, 4);
}
