//! RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME and SHRINK_VOLUME in an ACCEPT.

use lonja_model::framework::Capability;
use lonja_model::link::ToAgent;
use lonja_model::operation::{Conversion, ConversionError, Operation, OperationState};
use lonja_model::resources::Scalar;
use lonja_model::scheduler::{Call, RefusalCode};
use lonja_model::{FrameworkInfo, Offer, Resources, TaskId, TaskState};

use super::conversion_fixture::*;
use super::fixture::*;
use crate::{Config, LinkId, StreamId};

const ALL: &str = "cpus:4;mem:4096;disk:100";

/// An agent and a framework in role `web` with one offer of all of it.
fn offered(cluster: &mut Cluster, info: FrameworkInfo) -> (LinkId, StreamId, Offer) {
    let (link, _) = cluster.agent(ALL);
    let stream = cluster.subscribe(None, info);
    let offer = cluster.only_offer(stream);
    (link, stream, offer)
}

fn sharing() -> FrameworkInfo {
    let mut info = web();
    info.capabilities.insert(Capability::SharedResources);
    info
}

fn web() -> FrameworkInfo {
    framework_info("web", secs(60))
}

#[test]
fn conversions_go_to_the_agent_in_order_and_before_the_tasks_that_rest_on_them() {
    let mut cluster = cluster();
    let (link, stream, offer) = offered(&mut cluster, web());
    let (disk, data) = (reserved("disk:10", &["web"]), volume("disk:10", "web", "data", false));

    let task = task_on("t1", &offer.agent, &both(&res("cpus:1;mem:64"), &data));
    let steps = vec![step(reserve(&disk)), step(create(&data)), launch_of(vec![task])];
    cluster.accept(stream, &offer, steps).unwrap();

    let sent = cluster.sent(link).iter();
    let kinds: Vec<&str> = sent
        .filter_map(|message| {
            if let ToAgent::Apply { operation } = message {
                Some(operation.conversion.name())
            } else {
                matches!(message, ToAgent::Run { .. }).then_some("run")
            }
        })
        .collect();
    assert_eq!(kinds, ["RESERVE", "CREATE", "run"]);
    assert_eq!(cluster.total(&offer.agent), both(&res("cpus:4;mem:4096;disk:90"), &data));
}

#[test]
fn what_was_reserved_is_offered_without_a_filter_once_the_agent_has_made_it_durable() {
    let mut cluster = cluster();
    let (link, stream, offer) = offered(&mut cluster, web());
    let eng = reserved("cpus:2", &["web"]);
    cluster.accept(stream, &offer, vec![step(reserve(&eng))]).unwrap();
    cluster.advance(secs(60));
    assert!(cluster.offers(stream).is_empty(), "INV-10: nothing of it before the agent has answered");
    assert_eq!(cluster.free(&offer.agent), res("cpus:2;mem:4096;disk:100"), "the rest is free, and filtered");

    cluster.finish_all(link);

    assert_eq!(cluster.only_offer(stream).resources, both(&eng, &res("cpus:2;mem:4096;disk:100")));
    assert_eq!(cluster.known_operations(), 0);
    assert_eq!(cluster.acknowledged_to(link), [cluster.asked_of(link)[0].uuid]);
}

#[test]
fn no_picture_shows_a_reservation_before_it_is_durable() {
    let mut cluster = cluster();
    let (link, stream, offer) = offered(&mut cluster, web());
    let eng = reserved("cpus:2", &["web"]);
    cluster.accept(stream, &offer, vec![step(reserve(&eng))]).unwrap();

    assert_eq!(cluster.master.snapshot().agents[0].total, res(ALL));
    assert_eq!(cluster.master.snapshot().operations.len(), 1);
    cluster.finish_all(link);
    assert_eq!(cluster.master.snapshot().agents[0].total, both(&eng, &res("cpus:2;mem:4096;disk:100")));
}

#[test]
fn a_conversion_that_its_agent_cannot_do_is_undone() {
    for state in [OperationState::Failed, OperationState::Dropped, OperationState::Error] {
        let mut cluster = cluster();
        let (link, stream, offer) = offered(&mut cluster, web());
        let (disk, data) = (reserved("disk:10", &["web"]), volume("disk:10", "web", "data", false));
        let steps = vec![step(reserve(&disk)), named("make", create(&data))];
        cluster.accept(stream, &offer, steps).unwrap();
        let asked = cluster.asked_of(link);

        cluster.outcome(link, &asked[0], OperationState::Finished);
        cluster.outcome(link, &asked[1], state);

        assert_eq!(cluster.last_news(stream), ("make".into(), state));
        assert_eq!(cluster.only_offer(stream).resources, both(&disk, &res("cpus:4;mem:4096;disk:90")));
    }
}

#[test]
fn what_rests_on_a_failed_conversion_falls_with_it() {
    let mut cluster = cluster();
    let (link, stream, offer) = offered(&mut cluster, web());
    let framework = cluster.subscribed(stream).unwrap();
    let (disk, data) = (reserved("disk:10", &["web"]), volume("disk:10", "web", "data", false));
    let task = task_on("t1", &offer.agent, &both(&res("cpus:1"), &data));
    let steps = vec![step(reserve(&disk)), step(create(&data)), launch_of(vec![task])];
    cluster.accept(stream, &offer, steps).unwrap();

    for operation in cluster.asked_of(link) {
        cluster.outcome(link, &operation, OperationState::Failed);
    }
    cluster.report(link, &framework, "t1", TaskState::Dropped, 1);

    assert_eq!(cluster.total(&offer.agent), res(ALL));
    assert_eq!(cluster.free(&offer.agent), res(ALL));
}

#[test]
fn an_answer_to_one_of_several_leaves_the_others_counted() {
    let mut cluster = cluster();
    let (link, stream, offer) = offered(&mut cluster, web());
    let (cpus, disk) = (reserved("cpus:2", &["web"]), reserved("disk:10", &["web"]));
    cluster.accept(stream, &offer, vec![step(reserve(&cpus)), step(reserve(&disk))]).unwrap();
    let asked = cluster.asked_of(link);

    cluster.outcome(link, &asked[0], OperationState::Failed);
    assert_eq!(cluster.total(&offer.agent), both(&disk, &res("cpus:4;mem:4096;disk:90")));
    cluster.outcome(link, &asked[1], OperationState::Finished);

    assert_eq!(cluster.free(&offer.agent), both(&disk, &res("cpus:4;mem:4096;disk:90")));
}

#[test]
fn what_a_step_would_have_taken_of_another_is_not_free_before_that_is_durable() {
    let mut cluster = cluster();
    let (link, stream, offer) = offered(&mut cluster, web());
    let (one, two) = (reserved("disk:1", &["web"]), reserved("disk:2", &["web"]));
    let back = Conversion::unreserve(two).unwrap();
    cluster.accept(stream, &offer, vec![step(reserve(&one)), step(reserve(&one)), step(back)]).unwrap();
    let asked = cluster.asked_of(link);

    // Now the second makes something that the third will not take away.
    cluster.outcome(link, &asked[0], OperationState::Failed);
    assert!(!cluster.free(&offer.agent).contains(&one));
    cluster.outcome(link, &asked[1], OperationState::Finished);
    cluster.outcome(link, &asked[2], OperationState::Failed);

    assert_eq!(cluster.free(&offer.agent), both(&one, &res("cpus:4;mem:4096;disk:99")));
}

#[test]
fn a_volume_that_could_not_be_made_can_be_tried_again_before_its_task_is_dropped() {
    let mut cluster = cluster();
    let (link, stream, offer) = offered(&mut cluster, web());
    let framework = cluster.subscribed(stream).unwrap();
    let (disk, data) = (reserved("disk:10", &["web"]), volume("disk:10", "web", "data", false));
    let task = task_on("t1", &offer.agent, &both(&res("cpus:1"), &data));
    let steps = vec![step(reserve(&disk)), step(create(&data)), launch_of(vec![task])];
    cluster.accept(stream, &offer, steps).unwrap();
    let asked = cluster.asked_of(link);
    cluster.outcome(link, &asked[0], OperationState::Finished);
    cluster.outcome(link, &asked[1], OperationState::Failed);

    let offer = cluster.only_offer(stream);
    cluster.accept(stream, &offer, vec![step(create(&data))]).unwrap();
    cluster.report(link, &framework, "t1", TaskState::Dropped, 1);
    cluster.finish_all(link);

    assert_eq!(cluster.free(&offer.agent), both(&data, &res("cpus:4;mem:4096;disk:90")));
}

/// Found by the simulator: a drain had the task killed while its agent was still making the folder.
#[test]
fn a_volume_is_not_free_before_it_is_durable_though_its_task_has_ended() {
    let mut cluster = cluster();
    let (link, stream, offer) = offered(&mut cluster, web());
    let framework = cluster.subscribed(stream).unwrap();
    let (disk, data) = (reserved("disk:10", &["web"]), volume("disk:10", "web", "data", false));
    let task = task_on("t1", &offer.agent, &both(&res("cpus:1"), &data));
    let steps = vec![step(reserve(&disk)), step(create(&data)), launch_of(vec![task])];
    cluster.accept(stream, &offer, steps).unwrap();
    let asked = cluster.asked_of(link);
    cluster.outcome(link, &asked[0], OperationState::Finished);

    cluster.report(link, &framework, "t1", TaskState::Killed, 1);

    assert_eq!(cluster.free(&offer.agent), res("cpus:4;mem:4096;disk:90"));
    cluster.outcome(link, &asked[1], OperationState::Finished);
    assert_eq!(cluster.only_offer(stream).resources, both(&data, &res("cpus:4;mem:4096;disk:90")));
}

#[test]
fn a_destroyed_volume_that_is_made_anew_is_there_once_if_it_could_not_be_destroyed() {
    let mut cluster = cluster();
    let (link, stream, offer) = offered(&mut cluster, sharing());
    let (old, new) = (volume("disk:10", "web", "data", false), volume("disk:10", "web", "data", true));
    let steps = vec![step(reserve(&reserved("disk:10", &["web"]))), step(create(&old))];
    cluster.accept(stream, &offer, steps).unwrap();
    cluster.finish_all(link);
    let offer = cluster.only_offer(stream);
    cluster.accept(stream, &offer, vec![step(destroy(&old)), step(create(&new))]).unwrap();
    let asked = cluster.asked_of(link);

    cluster.outcome(link, &asked[2], OperationState::Failed);
    cluster.outcome(link, &asked[3], OperationState::Failed);

    assert_eq!(cluster.free(&offer.agent), both(&old, &res("cpus:4;mem:4096;disk:90")));
}

/// Refused with this in its message; nothing is sent, and nothing has changed.
fn refuses(info: FrameworkInfo, operation: Operation, wanted: &[&str]) {
    let mut cluster = cluster();
    let agent = "cpus(web):1;cpus:4;mem:4096;disk:100";
    let (link, id) = cluster.agent(agent);
    let stream = cluster.subscribe(None, info);
    let offer = cluster.only_offer(stream);

    let refusal = cluster.accept(stream, &offer, vec![operation]).unwrap_err();

    for part in wanted {
        assert!(refusal.message.contains(part), "{part} is not in {}", refusal.message);
    }
    assert_eq!(refusal.field.as_deref(), Some("accept.operations[0]"));
    assert!(cluster.asked_of(link).is_empty());
    assert_eq!((cluster.total(&id), cluster.free(&id)), (res(agent), res(agent)));
    let news = cluster.news(stream);
    assert_eq!(news.last().unwrap().state, OperationState::Error);
    assert!(refusal.message.contains(news.last().unwrap().message.as_deref().unwrap()), "both say the same");
}

#[test]
fn a_wrong_conversion_is_refused_with_its_numbers_and_names_and_nothing_is_done() {
    let info = FrameworkInfo { principal: Some("me".into()), ..web() };
    let other_role = named("o", reserve(&reserved("cpus:2", &["ops"])));
    refuses(web(), other_role, &["cpus(DYNAMIC,ops):2", "reserved for ops", "offers are for web"]);
    let too_much = named("o", reserve(&reserved("cpus:5", &["web"])));
    refuses(web(), too_much, &["cpus:5", "cpus:4"]);
    let others_name = named("o", reserve(&reserved_by("cpus:2", "web", "you")));
    refuses(info.clone(), others_name, &["principal you", "this framework is me"]);
    let no_name = named("o", reserve(&reserved("cpus:2", &["web"])));
    refuses(info, no_name, &["principal none", "this framework is me"]);
    let refined = reserved("cpus(web):1", &["web/a"]);
    refuses(web(), named("o", reserve(&refined)), &["RESERVATION_REFINEMENT"]);
    let moved = Conversion::reserve(reserved("cpus:1", &["web"]), Some(reserved("cpus:1", &["web/a"])));
    refuses(web(), named("o", moved.unwrap()), &["only an operator"]);
    let unnamed = named("o", Conversion::unreserve(reserved("gpus:1", &["web"])).unwrap());
    refuses(web(), unnamed, &["gpus(DYNAMIC,web):1", "nothing is there"]);
    let volume = volume("disk:10", "web", "data", false);
    refuses(web(), named("o", create(&volume)), &["disk(DYNAMIC,web):10", "disk:100"]);
}

#[test]
fn a_static_reservation_is_not_undone() {
    let fixed = res("cpus(web):1");
    let refused = Conversion::unreserve(fixed).unwrap_err();
    assert!(matches!(refused, ConversionError::NotDynamic(_)));
    let invalid = Operation::Invalid {
        id: Some(operation_id("o")),
        name: "UNRESERVE".into(),
        reason: refused.to_string(),
    };
    refuses(web(), invalid, &["UNRESERVE", "cpus(web):1", "static"]);
}

#[test]
fn a_volume_larger_than_its_disk_and_one_with_an_id_in_use_are_refused() {
    let mut cluster = cluster();
    let (link, stream, offer) = offered(&mut cluster, web());
    let (disk, data) = (reserved("disk:20", &["web"]), volume("disk:10", "web", "data", false));
    let larger = volume("disk:30", "web", "large", false);
    let twice = volume("disk:5", "web", "data", false);

    let steps = vec![
        step(reserve(&disk)),
        named("l", create(&larger)),
        step(create(&data)),
        named("t", create(&twice)),
    ];
    let refusal = cluster.accept(stream, &offer, steps).unwrap_err();

    assert!(refusal.message.contains("disk(DYNAMIC,web):30"), "{refusal}");
    assert!(
        refusal.message.contains("operation 3 (CREATE)") && refusal.message.contains("volume data for web")
    );
    let states: Vec<_> = cluster.news(stream).iter().map(|news| news.state).collect();
    assert_eq!(states, [OperationState::Error, OperationState::Error]);
    assert_eq!(cluster.asked_of(link).len(), 2);
}

#[test]
fn what_another_principal_made_is_left_alone() {
    let mut cluster = cluster();
    let (link, agent) = cluster.agent(ALL);
    let theirs = reserved_by("cpus:2", "web", "you");
    let request = cluster.convert(&agent, reserve(&theirs));
    cluster.finish_all(link);
    cluster.answer_to(request).unwrap().unwrap();
    let stream = cluster.subscribe(None, FrameworkInfo { principal: Some("me".into()), ..web() });
    let offer = cluster.only_offer(stream);

    let refusal =
        cluster.accept(stream, &offer, vec![step(Conversion::unreserve(theirs).unwrap())]).unwrap_err();

    assert_eq!(refusal.code, RefusalCode::InvalidArgument);
    assert!(refusal.message.contains("principal you"), "{refusal}");
}

#[test]
fn a_wrong_step_is_skipped_and_a_task_that_rests_on_it_is_an_error() {
    let mut cluster = cluster();
    let (_, stream, offer) = offered(&mut cluster, web());
    let wrong = reserved("cpus:9", &["web"]);
    let needs = task_on("needs", &offer.agent, &reserved("cpus:1", &["web"]));
    let plain = task_info("plain", &offer.agent, "cpus:1;mem:64");

    let refusal = cluster
        .accept(stream, &offer, vec![named("r", reserve(&wrong)), launch_of(vec![needs, plain])])
        .unwrap_err();

    assert_eq!(refusal.code, RefusalCode::Conflict);
    assert!(refusal.message.ends_with("the others were done"), "{refusal}");
    assert_eq!(cluster.last_news(stream), ("r".into(), OperationState::Error));
    let error = cluster.updates(stream)[0];
    assert_eq!((error.task.as_str(), error.state), ("needs", TaskState::Error));
    assert_eq!(cluster.master.snapshot().tasks.len(), 1);
}

#[test]
fn an_accept_that_is_refused_answers_for_each_of_its_named_operations() {
    let mut cluster = cluster();
    let (link, stream, offer) = offered(&mut cluster, web());
    cluster.decline(stream, &offer, secs(0));

    let steps = vec![
        named("r", reserve(&reserved("cpus:1", &["web"]))),
        step(reserve(&reserved("cpus:1", &["web"]))),
    ];
    let refusal = cluster.accept(stream, &offer, steps).unwrap_err();

    assert_eq!(refusal.code, RefusalCode::NotFound);
    assert_eq!(cluster.news(stream).len(), 1);
    assert_eq!(cluster.last_news(stream), ("r".into(), OperationState::Error));
    assert!(cluster.asked_of(link).is_empty());
}

#[test]
fn an_operation_id_in_use_is_refused_and_the_first_goes_on() {
    let mut cluster = cluster();
    let (link, stream, offer) = offered(&mut cluster, web());
    let one = reserved("cpus:1", &["web"]);

    let refusal = cluster
        .accept(stream, &offer, vec![named("r", reserve(&one)), named("r", reserve(&one))])
        .unwrap_err();

    assert!(refusal.message.contains("operation id r is in use"), "{refusal}");
    assert_eq!(cluster.asked_of(link).len(), 1);
}

#[test]
fn more_operations_than_can_be_waited_for_are_refused() {
    let mut cluster = cluster_with(Config { max_operations: 2, ..Config::default() });
    let (link, stream, offer) = offered(&mut cluster, web());
    let one = reserved("cpus:1", &["web"]);

    let steps = (0..3).map(|_| step(reserve(&one))).collect();
    let refusal = cluster.accept(stream, &offer, steps).unwrap_err();

    assert!(refusal.message.contains("has 2 operations"), "{refusal}");
    assert_eq!(cluster.asked_of(link).len(), 2);
}

#[test]
fn an_agent_is_not_cut_into_more_pieces_than_it_may() {
    let (_, _, whole) = offered(&mut cluster(), web());
    let pieces = whole.resources.iter().count();
    let mut cluster = cluster_with(Config { max_pieces: pieces, ..Config::default() });
    let (link, stream, offer) = offered(&mut cluster, web());

    let reserve = step(reserve(&reserved("cpus:1", &["web"])));
    let refusal = cluster.accept(stream, &offer, vec![reserve]).unwrap_err();

    assert!(refusal.message.contains(&format!("would be cut into {} kinds", pieces + 1)), "{refusal}");
    assert!(cluster.asked_of(link).is_empty());
}

#[test]
fn a_reservation_below_another_is_made_with_the_capability_and_undone_layer_by_layer() {
    let mut cluster = cluster();
    let mut info = framework_info("web/a", secs(60));
    info.capabilities.insert(Capability::ReservationRefinement);
    let (link, _) = cluster.agent("cpus(web):1;cpus:4");
    let stream = cluster.subscribe(None, info);
    let offer = cluster.only_offer(stream);
    let refined = reserved("cpus(web):1", &["web/a"]);

    cluster.accept(stream, &offer, vec![step(reserve(&refined))]).unwrap();
    assert_eq!(cluster.total(&offer.agent), both(&refined, &res("cpus:4")));
    cluster.finish_all(link);
    let offer = cluster.only_offer(stream);
    cluster.accept(stream, &offer, vec![step(Conversion::unreserve(refined).unwrap())]).unwrap();

    assert_eq!(cluster.total(&offer.agent), res("cpus(web):1;cpus:4"));
}

#[test]
fn a_volume_grows_and_shrinks_and_goes() {
    let mut cluster = cluster();
    let (link, stream, offer) = offered(&mut cluster, web());
    let disk = reserved("disk:30", &["web"]);
    let (small, large) = (volume("disk:10", "web", "data", false), volume("disk:30", "web", "data", false));
    let only = |resources: &Resources| resources.iter().next().unwrap().clone();
    let grow = Conversion::grow(only(&small), only(&reserved("disk:20", &["web"]))).unwrap();
    let shrink = Conversion::shrink(only(&large), Scalar::from_units(25).unwrap()).unwrap();

    let steps = vec![step(reserve(&disk)), step(create(&small)), step(grow), step(shrink)];
    cluster.accept(stream, &offer, steps).unwrap();
    let five = volume("disk:5", "web", "data", false);
    let held = both(&five, &reserved("disk:25", &["web"]));
    assert_eq!(cluster.total(&offer.agent), both(&held, &res("cpus:4;mem:4096;disk:70")));
    cluster.finish_all(link);
    let offer = cluster.only_offer(stream);
    assert!(offer.resources.contains(&held));
    cluster.accept(stream, &offer, vec![step(destroy(&five))]).unwrap();

    assert_eq!(cluster.total(&offer.agent), both(&disk, &res("cpus:4;mem:4096;disk:70")));
}

#[test]
fn gpus_by_number_are_whole_devices_by_name() {
    let mut cluster = cluster();
    let (link, _) = cluster.agent("cpus:4;mem:4096;gpus:{a:1000,b:400,c:1000}");
    let mut info = web();
    info.capabilities.insert(Capability::GpuResources);
    let stream = cluster.subscribe(None, info);
    let offer = cluster.only_offer(stream);

    let tasks = ["cpus:1;gpus:2", "cpus:1;gpus:1", "cpus:1;gpus:0.5", "cpus:1;gpus:{b:400}"];
    let tasks = tasks.iter().enumerate();
    let tasks = tasks.map(|(index, needs)| task_info(&format!("t{index}"), &offer.agent, needs)).collect();
    cluster.launch(stream, &offer, tasks).unwrap();

    let Some(ToAgent::Run { tasks, .. }) = cluster.sent(link).last() else { panic!("nothing was launched") };
    let given: Vec<_> = tasks.iter().map(|task| task.resources.to_string()).collect();
    assert_eq!(given, ["cpus:1;gpus:{a:1000,c:1000}", "cpus:1;gpus:{b:400}"]);
    let errors: Vec<_> =
        cluster.updates(stream).iter().map(|status| status.message.clone().unwrap()).collect();
    assert!(errors[0].contains("needs 1 whole gpus, and the offers hold 0"), "{errors:?}");
    assert!(errors[1].contains("0.5 gpus; ask for a whole number"), "{errors:?}");
}

#[test]
fn a_task_with_a_volume_that_was_not_offered_is_an_error_that_names_it() {
    let mut cluster = cluster();
    let (_, stream, offer) = offered(&mut cluster, web());
    let data = volume("disk:10", "web", "data", false);

    let task = task_on("t1", &offer.agent, &both(&res("cpus:1"), &data));
    cluster.accept(stream, &offer, vec![launch_of(vec![task])]).unwrap();

    assert!(cluster.updates(stream)[0].message.as_ref().unwrap().contains("uses volume data"));
}

#[test]
fn a_volume_that_is_not_shared_has_one_user() {
    let mut cluster = cluster();
    let (_, stream, offer) = offered(&mut cluster, web());
    let data = volume("disk:10", "web", "data", false);
    let task = |id: &str| task_on(id, &offer.agent, &both(&res("cpus:1"), &data));

    let steps = vec![
        step(reserve(&reserved("disk:10", &["web"]))),
        step(create(&data)),
        launch_of(vec![task("one"), task("two")]),
    ];
    cluster.accept(stream, &offer, steps).unwrap();

    let error = cluster.updates(stream)[0];
    assert_eq!((error.task.clone(), error.state), (TaskId::new("two").unwrap(), TaskState::Error));
    let kill = Call::Kill { task: TaskId::new("one").unwrap(), agent: None, grace: None };
    cluster.call(stream, kill).unwrap();
}
