use std::time::Duration;

use lonja_model::execution::{Call, Event as Said};
use lonja_model::framework::Capability;
use lonja_model::link::{FromAgent, ToAgent};
use lonja_model::task::{Reason, Source};
use lonja_model::{ContainerId, ExecutorId, TaskInfo, TaskState, TaskStatus, UpdateId};

use super::{Admitted, CallRefusal, Caller};
use crate::effects::{Effects, ExecutorOrder, HangUp, Runs};
use crate::fixture::*;
use crate::{Event, LaunchFailure, Recovery};

mod ends;

/// The only executor's container.
fn home(stage: &Stage) -> ContainerId {
    let all: Vec<_> = stage.agent.executors().collect();
    assert_eq!(all.len(), 1);
    all[0].container().clone()
}

fn custom(id: &str, needs: &str) -> lonja_model::executor::ExecutorInfo {
    let command = task_info("x", "").command;
    lonja_model::executor::ExecutorInfo::custom(ExecutorId::new(id).unwrap(), command, resources(needs))
}

/// Launches tasks in custom executor `e1`, which needs one cpu.
fn launch(stage: &mut Stage, tasks: &[(&str, &str)], starts: bool) -> Effects {
    stage.run_in("f1", custom("e1", "cpus:1"), tasks, (starts, false))
}

fn call(stage: &mut Stage, connection: u64, call: Call) -> Effects {
    let container = home(stage);
    stage.handle(Event::ExecutorCalled { container, connection, call: Box::new(call) })
}

fn subscribe(stage: &mut Stage, connection: u64, tasks: &[&str], updates: Vec<TaskStatus>) -> Effects {
    let unacknowledged_tasks: Vec<TaskInfo> = tasks.iter().map(|task| task_info(task, "")).collect();
    call(stage, connection, Call::Subscribe { unacknowledged_tasks, unacknowledged_updates: updates })
}

fn status(task: &str, state: TaskState, id: u8) -> TaskStatus {
    let said = TaskStatus::new(task_id(task), state, Source::Executor, lonja_model::Timestamp::from_nanos(1));
    TaskStatus { update: Some(UpdateId([id; 16])), ..said }
}

fn update(stage: &mut Stage, connection: u64, task: &str, state: TaskState, id: u8) -> Effects {
    call(stage, connection, Call::Update(Box::new(status(task, state, id))))
}

fn starts(stage: &mut Stage) -> Effects {
    let container = home(stage);
    stage.handle(Event::ContainerStarted { container, pid: 77 })
}

fn exits(stage: &mut Stage, exit: crate::ContainerExit) -> Effects {
    let container = home(stage);
    stage.handle(Event::ContainerExited { container, exit })
}

/// An executor with these tasks of one cpu each, which are sent to it over connection 1.
fn serving(tasks: &[&str]) -> Stage {
    let mut stage = agent("cpus:8");
    let tasks: Vec<_> = tasks.iter().map(|task| (*task, "cpus:1")).collect();
    let _ = launch(&mut stage, &tasks, true);
    let _ = starts(&mut stage);
    let _ = subscribe(&mut stage, 1, &[], Vec::new());
    stage
}

/// What the executor is told, in short.
fn told(effects: &Effects) -> Vec<String> {
    let orders = effects.executors.iter().map(|order| match order {
        ExecutorOrder::HangUp { connection, why, .. } => match why {
            HangUp::Over => format!("{connection}: over"),
            HangUp::Replaced => format!("{connection}: replaced"),
            HangUp::Invalid(_) => format!("{connection}: invalid"),
            HangUp::Busy(_) => format!("{connection}: busy"),
        },
        ExecutorOrder::Say { event, .. } => match &**event {
            Said::Subscribed(_) => "subscribed".to_owned(),
            Said::Launch(task) => format!("launch {}", task.id),
            Said::LaunchGroup(tasks) => {
                let ids: Vec<_> = tasks.iter().map(|task| task.id.as_str()).collect();
                format!("group {}", ids.join(" "))
            }
            Said::Kill { task, grace } => format!("kill {task} {:?}", grace.unwrap_or_default()),
            Said::Acknowledged { task, update } => format!("confirm {task} {}", update.0[0]),
            Said::Message(data) => format!("message {}", String::from_utf8_lossy(data)),
            Said::Error(why) => format!("error {why}"),
            Said::Shutdown => "shutdown".to_owned(),
            Said::Heartbeat => "heartbeat".to_owned(),
        },
    });
    orders.collect()
}

fn ended(effects: &Effects) -> Vec<(TaskState, Option<Reason>)> {
    updates(effects).into_iter().map(|status| (status.state, status.reason)).collect()
}

#[test]
fn an_executor_is_launched_once_with_room_for_its_first_tasks() {
    let mut stage = agent("cpus:8");
    let effects = launch(&mut stage, &[("a", "cpus:1"), ("b", "cpus:2")], true);
    let [order] = &effects.launch[..] else { panic!("{effects:?}") };
    assert!(matches!(&order.runs, Runs::Executor(info) if info.id.as_str() == "e1"));
    assert_eq!(order.task.resources, resources("cpus:2"), "each task comes for itself");
    assert!(effects.send.is_empty(), "nobody has begun anything");
    assert_eq!(stage.agent.free(), resources("cpus:4"));
    let effects = starts(&mut stage);
    assert_eq!(effects.resize[0].together.resources, resources("cpus:4"));
    assert!(launch(&mut stage, &[("c", "cpus:1")], false).launch.is_empty());
}

#[test]
fn tasks_wait_until_the_executor_has_subscribed_and_are_sent_once() {
    let mut stage = agent("cpus:8");
    let _ = launch(&mut stage, &[("a", "cpus:1")], true);
    assert!(starts(&mut stage).executors.is_empty());
    assert_eq!(told(&subscribe(&mut stage, 1, &[], Vec::new())), ["subscribed", "launch a"]);
    assert_eq!(told(&launch(&mut stage, &[("b", "cpus:1")], false)), ["launch b"]);
    let effects = stage.run_in("f1", custom("e1", "cpus:1"), &[("c", ""), ("d", "")], (false, true));
    assert_eq!(told(&effects), ["group c d"]);
}

#[test]
fn an_executor_may_subscribe_before_its_start_is_known() {
    let mut stage = agent("cpus:8");
    let _ = launch(&mut stage, &[("a", "cpus:1")], true);
    assert_eq!(told(&subscribe(&mut stage, 1, &[], Vec::new())), ["subscribed"]);
    // Only now, so that nothing is said of its tasks without its process.
    assert_eq!(told(&starts(&mut stage)), ["launch a"]);
    assert!(stage.after(secs(600)).kill.is_empty());
}

#[test]
fn an_update_is_confirmed_once_it_is_durable_and_reaches_the_framework_under_its_own_id() {
    let mut stage = serving(&["a"]);
    let effects = update(&mut stage, 1, "a", TaskState::Running, 7);
    assert!(!effects.persist.is_empty());
    assert_eq!(told(&effects), ["confirm a 7"]);
    let running = only_update(&effects);
    assert_eq!((running.state, running.update), (TaskState::Running, Some(UpdateId([7; 16]))));
    assert_eq!(running.executor.as_ref().map(ExecutorId::as_str), Some("e1"));
    assert_eq!((running.container.as_ref(), running.pid), (Some(&home(&stage)), Some(77)));
    let effects = update(&mut stage, 1, "a", TaskState::Finished, 8);
    assert_eq!(effects.resize[0].together.resources, resources("cpus:1"), "what the task needed goes");
    assert_eq!(only_update(&stage.acknowledge("f1", &running)).state, TaskState::Finished);
    assert_eq!(stage.agent.executors().count(), 1, "the executor stays");
    assert_eq!(stage.agent.free(), resources("cpus:7"));
}

#[test]
fn an_update_that_does_not_say_when_is_of_now() {
    let mut stage = serving(&["a"]);
    let silent = TaskStatus { timestamp: lonja_model::Timestamp::ZERO, ..status("a", TaskState::Running, 7) };
    let told = only_update(&call(&mut stage, 1, Call::Update(Box::new(silent))));
    assert!(told.timestamp > lonja_model::Timestamp::from_nanos(1), "{told:?}");
    let dated = only_update(&update(&mut serving(&["a"]), 1, "a", TaskState::Running, 7));
    assert_eq!(dated.timestamp, lonja_model::Timestamp::from_nanos(1));
}

#[test]
fn an_update_that_comes_again_is_confirmed_again_and_told_once() {
    let mut stage = serving(&["a"]);
    let running = only_update(&update(&mut stage, 1, "a", TaskState::Running, 7));
    let _ = stage.acknowledge("f1", &running);
    let effects = update(&mut stage, 1, "a", TaskState::Running, 7);
    assert_eq!(told(&effects), ["confirm a 7"]);
    assert!(effects.send.is_empty() && effects.persist.is_empty());
    let finished = only_update(&update(&mut stage, 1, "a", TaskState::Finished, 8));
    let _ = stage.acknowledge("f1", &finished);
    let effects = update(&mut stage, 1, "a", TaskState::Finished, 8);
    assert_eq!((told(&effects), effects.send.len()), (vec!["confirm a 8".to_owned()], 0), "forgotten by now");
}

#[test]
fn every_update_of_a_running_task_reaches_the_framework_in_order() {
    let mut stage = serving(&["a"]);
    let mut all = update(&mut stage, 1, "a", TaskState::Running, 1);
    for id in 2..10 {
        assert_eq!(told(&update(&mut stage, 1, "a", TaskState::Running, id)).len(), 1);
    }
    let mut ids = Vec::new();
    while let Some(status) = updates(&all).pop() {
        ids.push(status.update.unwrap().0[0]);
        all = stage.acknowledge("f1", &status);
    }
    assert_eq!(ids, (1..10).collect::<Vec<_>>());
}

#[test]
fn an_executor_that_says_more_than_its_framework_takes_is_sent_away_to_say_it_again() {
    let mut stage = serving(&["a"]);
    for id in 0..32 {
        assert_eq!(told(&update(&mut stage, 1, "a", TaskState::Running, id)).len(), 1);
    }
    let effects = update(&mut stage, 1, "a", TaskState::Running, 32);
    assert_eq!(told(&effects), ["1: busy"]);
    assert!(effects.persist.is_empty());
    let again = vec![status("a", TaskState::Running, 32), status("a", TaskState::Finished, 33)];
    assert_eq!(told(&subscribe(&mut stage, 2, &[], again.clone())), ["subscribed", "2: busy"]);
    let first = stage.checkpoint.tasks.values().next().unwrap().updates[0].clone();
    let _ = stage.acknowledge("f1", &first);
    assert_eq!(
        told(&subscribe(&mut stage, 3, &[], again)),
        ["subscribed", "confirm a 32", "confirm a 33"],
        "the end is taken on though the queue is full"
    );
}

#[test]
fn a_task_that_says_much_keeps_back_nothing_of_the_others() {
    let mut stage = serving(&["a", "b"]);
    for id in 0..32 {
        let _ = update(&mut stage, 1, "a", TaskState::Running, id);
    }

    let updates = vec![
        status("a", TaskState::Running, 32),
        status("b", TaskState::Finished, 33),
        status("a", TaskState::Finished, 34),
    ];

    let said = told(&subscribe(&mut stage, 2, &[], updates));
    assert_eq!(said, ["1: replaced", "subscribed", "confirm b 33", "2: busy"]);
    assert_eq!(stage.state("f1", "a"), Some(TaskState::Running), "its end comes after what it said before");
}

#[test]
fn an_executor_that_is_sent_away_is_told_first_what_it_is_to_do() {
    let busy = || {
        let mut stage = serving(&["a", "b"]);
        for id in 0..32 {
            let _ = update(&mut stage, 1, "a", TaskState::Running, id);
        }
        let _ = update(&mut stage, 1, "b", TaskState::Running, 32);
        let effects = update(&mut stage, 1, "a", TaskState::Running, 33);
        assert_eq!(told(&effects), ["1: busy"]);
        stage
    };
    let again = || vec![status("a", TaskState::Running, 33)];

    let mut stage = busy();
    let _ = stage.kill("f1", "b", Some(secs(9)));
    let _ = launch(&mut stage, &[("c", "cpus:1")], false);
    let said = told(&subscribe(&mut stage, 2, &["a", "b"], again()));
    assert_eq!(said, ["subscribed", "launch c", "kill b 9s", "2: busy"]);

    let mut stage = busy();
    let executor = ExecutorId::new("e1").unwrap();
    let _ = stage.receive(ToAgent::ShutdownExecutor { framework: framework_id("f1"), executor });
    let said = told(&subscribe(&mut stage, 2, &["a", "b"], again()));
    assert_eq!(said, ["subscribed", "shutdown", "2: busy"]);
}

#[test]
fn what_is_not_an_executors_to_say_ends_its_connection() {
    let other = |status: TaskStatus| TaskStatus { executor: Some(ExecutorId::new("e2").unwrap()), ..status };
    for said in [
        status("a", TaskState::Staging, 1),
        status("a", TaskState::Unreachable, 1),
        status("a", TaskState::Lost, 1),
        TaskStatus { update: None, ..status("a", TaskState::Running, 1) },
        TaskStatus { source: Source::Master, ..status("a", TaskState::Running, 1) },
        other(status("a", TaskState::Running, 1)),
    ] {
        let mut stage = serving(&["a"]);
        let effects = call(&mut stage, 1, Call::Update(Box::new(said)));
        assert_eq!(told(&effects), ["1: invalid"]);
        assert!(effects.send.is_empty() && effects.persist.is_empty());
        assert_eq!(stage.state("f1", "a"), Some(TaskState::Staging));
    }
}

#[test]
fn nobody_speaks_for_a_task_of_another_executor() {
    let mut stage = serving(&["a"]);
    let _ = stage.run_in("f1", custom("e2", ""), &[("b", "cpus:1")], (true, false));
    let all: Vec<_> = stage.agent.executors().map(|executor| executor.container().clone()).collect();
    let call = Box::new(Call::Update(Box::new(status("b", TaskState::Finished, 1))));
    let effects = stage.handle(Event::ExecutorCalled { container: all[0].clone(), connection: 1, call });
    assert_eq!(told(&effects), ["confirm b 1"]);
    assert!(effects.send.is_empty() && effects.notes[0].is_warning());
    assert_eq!(stage.state("f1", "b"), Some(TaskState::Staging));
}

#[test]
fn killing_is_passed_on_to_those_who_know_the_word() {
    let mut stage = serving(&["a"]);
    let _ = update(&mut stage, 1, "a", TaskState::Running, 1);
    assert!(update(&mut stage, 1, "a", TaskState::Killing, 2).send.is_empty());
    assert_eq!(stage.state("f1", "a"), Some(TaskState::Running));

    let mut stage = agent("cpus:8").knowing(Capability::TaskKillingState);
    let _ = launch(&mut stage, &[("a", "cpus:1")], true);
    let _ = starts(&mut stage);
    let _ = subscribe(&mut stage, 1, &[], Vec::new());
    let _ = update(&mut stage, 1, "a", TaskState::Running, 1);
    let _ = update(&mut stage, 1, "a", TaskState::Killing, 2);
    assert_eq!(stage.state("f1", "a"), Some(TaskState::Killing));
}

#[test]
fn a_task_that_was_never_sent_is_killed_at_once_and_an_executor_without_any_ends() {
    let mut stage = agent("cpus:8");
    let _ = launch(&mut stage, &[("a", "cpus:1")], true);
    let _ = launch(&mut stage, &[("b", "cpus:1")], false);
    let effects = stage.kill("f1", "a", None);
    assert_eq!(ended(&effects), [(TaskState::Killed, Some(Reason::TaskKilledDuringLaunch))]);
    assert!(effects.cancel.is_empty() && effects.kill.is_empty());
    let effects = stage.kill("f1", "b", None);
    assert_eq!(effects.cancel, [home(&stage)]);
    assert_eq!(starts(&mut stage).kill.len(), 1);
    let effects = exits(&mut stage, by_request(signaled(15)));
    assert_eq!(executors_ended(&effects), ["e1"]);
    assert_eq!(stage.agent.free(), resources("cpus:8"));
}

#[test]
fn the_kill_of_a_group_that_was_never_sent_ends_all_of_it() {
    let mut stage = agent("cpus:8");
    let _ = stage.run_in("f1", custom("e1", ""), &[("a", "cpus:1"), ("b", "cpus:1")], (true, true));
    assert_eq!(states(&stage.kill("f1", "a", None)), [TaskState::Killed, TaskState::Killed]);
}

#[test]
fn the_kill_of_a_task_is_the_executors_and_told_again_until_it_is_done() {
    let mut stage = serving(&["a"]);
    let _ = update(&mut stage, 1, "a", TaskState::Running, 1);
    let effects = stage.kill("f1", "a", Some(secs(9)));
    assert_eq!(told(&effects), ["kill a 9s"]);
    assert!(effects.kill.is_empty() && !effects.persist.is_empty());
    assert!(stage.after(secs(100)).kill.is_empty(), "nobody forces it");
    assert_eq!(told(&subscribe(&mut stage, 2, &[], Vec::new())), ["1: replaced", "subscribed", "kill a 9s"]);
    let _ = update(&mut stage, 2, "a", TaskState::Killed, 2);
    assert_eq!(told(&subscribe(&mut stage, 3, &[], Vec::new())), ["2: replaced", "subscribed"]);
}

/// Found by the property test: such a task was given a second time.
#[test]
fn a_task_of_which_something_was_confirmed_is_not_sent_again_whatever_was_said() {
    let mut stage = serving(&["a"]);
    assert_eq!(told(&update(&mut stage, 1, "a", TaskState::Killing, 1)), ["confirm a 1"]);
    assert_eq!(told(&subscribe(&mut stage, 2, &[], Vec::new())), ["1: replaced", "subscribed"]);
    let (container, since) = (home(&stage), Some(stage.now));
    let _ = stage.restart_with(vec![(container, Recovery::Running { pid: 77, since })]);
    assert_eq!(told(&subscribe(&mut stage, 1, &[], Vec::new())), ["subscribed"]);
}

#[test]
fn a_second_subscription_replaces_the_first_and_what_the_first_says_is_dropped() {
    let mut stage = serving(&["a"]);
    let _ = subscribe(&mut stage, 2, &["a"], Vec::new());
    let effects = update(&mut stage, 1, "a", TaskState::Running, 1);
    assert!(effects.executors.is_empty() && effects.send.is_empty());
    let container = home(&stage);
    let _ = stage.handle(Event::ExecutorLeft { container: container.clone(), connection: 1 });
    assert_eq!(told(&update(&mut stage, 2, "a", TaskState::Running, 1)), ["confirm a 1"]);
    let _ = stage.handle(Event::ExecutorLeft { container, connection: 2 });
    assert!(launch(&mut stage, &[("b", "cpus:1")], false).executors.is_empty(), "it waits");
    assert_eq!(told(&subscribe(&mut stage, 3, &[], Vec::new())), ["subscribed", "launch b"]);
}

#[test]
fn what_an_executor_does_not_list_and_never_spoke_of_is_sent_again() {
    let mut stage = serving(&["a", "b", "c"]);
    let _ = update(&mut stage, 1, "c", TaskState::Starting, 1);
    let effects = subscribe(&mut stage, 2, &["a"], Vec::new());
    assert_eq!(told(&effects), ["1: replaced", "subscribed", "launch b"]);
}

#[test]
fn a_task_that_an_executor_has_and_is_not_to_have_is_killed() {
    let mut stage = serving(&["a"]);
    let effects = subscribe(&mut stage, 2, &["a", "ghost"], Vec::new());
    assert_eq!(told(&effects), ["1: replaced", "subscribed", "kill ghost 0ns"]);
}

#[test]
fn messages_go_both_ways_at_most_once() {
    let mut stage = serving(&["a"]);
    let effects = call(&mut stage, 1, Call::Message(b"up".to_vec()));
    assert!(matches!(&effects.send[..], [FromAgent::Message { data, .. }] if data == b"up"));
    let down = |executor: &str| ToAgent::Message {
        framework: framework_id("f1"),
        executor: ExecutorId::new(executor).unwrap(),
        data: b"down".to_vec(),
    };
    assert_eq!(told(&stage.receive(down("e1"))), ["message down"]);
    assert!(stage.receive(down("e2")).executors.is_empty());
    let _ = stage.link_down();
    assert!(call(&mut stage, 1, Call::Message(b"lost".to_vec())).send.is_empty());
}

#[test]
fn tasks_of_an_executor_wait_for_what_a_dead_framework_holds() {
    let mut stage = agent("cpus:4");
    let _ = stage.running("f2", "old", "cpus:4");
    let _ = stage.shutdown_framework("f2");
    assert!(launch(&mut stage, &[("a", "cpus:1")], true).launch.is_empty());
    let effects = stage.exited("old", by_request(signaled(15)));
    assert_eq!(effects.launch.len(), 1);
    assert_eq!(effects.launch[0].task.resources, resources("cpus:2"));
}

#[test]
fn nobody_but_the_executor_looks_at_its_tasks_or_ends_them_for_their_time() {
    let mut stage = agent("cpus:8");
    let task = TaskInfo {
        executor: Some(Box::new(custom("e1", "cpus:1"))),
        max_completion_time: Some(secs(1)),
        ..task_info("a", "cpus:1")
    };
    let message = ToAgent::RunInExecutor {
        framework: framework_id("f1"),
        info: Box::new(framework_info(&[])),
        role: lonja_model::role::Role::default_role(),
        tasks: vec![task],
        starts_executor: true,
        as_group: false,
    };
    let _ = stage.receive(message);
    let _ = starts(&mut stage);
    let _ = subscribe(&mut stage, 1, &[], Vec::new());
    let _ = update(&mut stage, 1, "a", TaskState::Running, 1);
    let effects = stage.after(secs(100));
    assert!(effects.kill.is_empty() && effects.checks.is_empty());
}

#[test]
fn limits_of_tasks_add_up_and_who_has_none_counts_with_its_need() {
    use lonja_model::resources::Scalar;
    use lonja_model::task::Limit;
    let amount = |units| Limit::Amount(Scalar::from_units(units).unwrap());
    let mut stage = agent("cpus:8;mem:100");
    let task = |id: &str, limit: Option<Limit>| TaskInfo {
        executor: Some(Box::new(custom("e1", "mem:10"))),
        limits: limit.map(|limit| ("mem".to_owned(), limit)).into_iter().collect(),
        ..task_info(id, "mem:10")
    };
    let run = |stage: &mut Stage, task: TaskInfo, starts_executor| {
        stage.receive(ToAgent::RunInExecutor {
            framework: framework_id("f1"),
            info: Box::new(framework_info(&[])),
            role: lonja_model::role::Role::default_role(),
            tasks: vec![task],
            starts_executor,
            as_group: false,
        })
    };
    let _ = run(&mut stage, task("a", None), true);
    assert!(starts(&mut stage).resize[0].together.limits.is_empty());
    let effects = run(&mut stage, task("b", Some(amount(30))), false);
    assert_eq!(effects.resize[0].together.limits["mem"], amount(10 + 10 + 30));
    let effects = run(&mut stage, task("c", Some(Limit::Infinite)), false);
    assert_eq!(effects.resize[0].together.limits["mem"], Limit::Infinite);
    let effects = stage.kill("f1", "c", None);
    assert_eq!(effects.resize[0].together.limits["mem"], amount(50));
}

#[test]
fn a_framework_may_end_an_executor_and_its_tasks_fail_with_it() {
    let mut stage = serving(&["a"]);
    let order =
        ToAgent::ShutdownExecutor { framework: framework_id("f1"), executor: ExecutorId::new("e1").unwrap() };
    assert_eq!(told(&stage.receive(order.clone())), ["shutdown"]);
    assert!(stage.receive(order.clone()).executors.is_empty(), "once");
    let effects = launch(&mut stage, &[("b", "cpus:1")], false);
    assert_eq!(ended(&effects), [(TaskState::Dropped, Some(Reason::ExecutorTerminated))]);
    assert_eq!(stage.after(secs(5)).kill[0].grace, Duration::ZERO);
    let effects = exits(&mut stage, by_request(signaled(9)));
    assert_eq!(ended(&effects), [(TaskState::Failed, Some(Reason::ExecutorTerminated))]);
    assert!(stage.receive(order).executors.is_empty(), "it is no more");
}

fn caller(stage: &Stage, executor: &str) -> Caller {
    Caller {
        framework: framework_id("f1"),
        executor: ExecutorId::new(executor).unwrap(),
        container: Some(home(stage)),
    }
}

#[test]
fn who_never_showed_a_token_may_go_on_without() {
    let mut stage = serving(&["a"]);
    let unproved = Caller { container: None, ..caller(&stage, "e1") };
    let running = Call::Update(Box::new(status("a", TaskState::Running, 1)));
    assert_eq!(stage.agent.admit(&unproved, &running).unwrap().connection, Some(1));
    stage.agent.note_proof(&home(&stage));
    assert!(matches!(stage.agent.admit(&unproved, &running), Err(CallRefusal::Unproved(_))));
}

#[test]
fn a_call_that_stands_alone_is_taken_of_who_is_subscribed_and_of_nobody_else() {
    let mut stage = agent("cpus:8");
    let _ = launch(&mut stage, &[("a", "cpus:1")], true);
    let own = caller(&stage, "e1");
    let first = Call::Subscribe { unacknowledged_tasks: Vec::new(), unacknowledged_updates: Vec::new() };
    let running = Call::Update(Box::new(status("a", TaskState::Running, 1)));
    assert_eq!(stage.agent.admit(&own, &running), Err(CallRefusal::NotSubscribed));
    assert_eq!(stage.agent.admit(&own, &first).unwrap().connection, None);
    let _ = starts(&mut stage);
    let _ = subscribe(&mut stage, 1, &[], Vec::new());

    let admitted = stage.agent.admit(&own, &running).unwrap();
    assert_eq!(admitted, Admitted { container: home(&stage), connection: Some(1) });
    let unproved = Caller { container: None, ..own.clone() };
    assert!(matches!(stage.agent.admit(&unproved, &running), Err(CallRefusal::Unproved(_))));
    let stranger = Caller { framework: framework_id("f2"), ..own.clone() };
    assert_eq!(stage.agent.admit(&stranger, &running), Err(CallRefusal::NoFramework));
    assert_eq!(stage.agent.admit(&caller(&stage, "e2"), &running), Err(CallRefusal::NoExecutor));
    let elsewhere = Caller { container: Some(ContainerId::new("other").unwrap()), ..own.clone() };
    assert!(matches!(stage.agent.admit(&elsewhere, &running), Err(CallRefusal::Another(_))));
    let nonsense = Call::Update(Box::new(status("a", TaskState::Staging, 2)));
    assert!(matches!(stage.agent.admit(&own, &nonsense), Err(CallRefusal::Invalid(_))));
    let _ = stage.handle(Event::ExecutorLeft { container: home(&stage), connection: 1 });
    assert_eq!(stage.agent.admit(&own, &running), Err(CallRefusal::NotSubscribed));
}
