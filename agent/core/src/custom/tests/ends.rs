//! Ends of executors, and what an agent finds after its own.

use super::*;

#[test]
fn an_executor_that_does_not_subscribe_in_time_is_ended_and_its_tasks_have_failed() {
    let mut stage = agent("cpus:8");
    let _ = launch(&mut stage, &[("a", "cpus:1")], true);
    let _ = starts(&mut stage);
    assert!(stage.after(secs(59)).kill.is_empty());
    let effects = stage.after(secs(1));
    assert_eq!(effects.kill[0].grace, Duration::ZERO);
    assert_eq!(told(&subscribe(&mut stage, 1, &[], Vec::new())), ["1: over"], "too late");
    let effects = launch(&mut stage, &[("b", "cpus:1")], false);
    assert_eq!(ended(&effects), [(TaskState::Dropped, Some(Reason::ExecutorTerminated))]);
    let effects = exits(&mut stage, by_request(signaled(9)));
    assert_eq!(ended(&effects), [(TaskState::Failed, Some(Reason::ExecutorRegistrationTimeout))]);
    assert_eq!(executors_ended(&effects), ["e1"]);
}

#[test]
fn an_executor_that_ends_fails_its_tasks_and_the_master_is_told_how() {
    let mut stage = serving(&["a", "b"]);
    let _ = update(&mut stage, 1, "a", TaskState::Running, 1);
    let _ = stage.kill("f1", "b", None);
    let container = home(&stage);
    let effects = exits(&mut stage, exit(3));
    assert_eq!(told(&effects), ["1: over"]);
    let sent = effects.send.iter().find_map(|message| {
        let FromAgent::ExecutorEnded { status, .. } = message else { return None };
        Some(*status)
    });
    assert_eq!(sent, Some(Some(3 << 8)));
    assert!(effects.forget.contains(&container));
    let last = stage.last_update("f1", "a");
    assert_eq!((last.state, last.reason), (TaskState::Failed, Some(Reason::ExecutorTerminated)));
    assert_eq!(last.message.as_deref(), Some("executor e1 has ended: exited with status 3"));
    assert_eq!(stage.state("f1", "b"), Some(TaskState::Killed));
    assert_eq!(stage.agent.free(), resources("cpus:8"));
}

#[test]
fn an_executor_that_breaks_its_memory_limit_tells_so_of_its_tasks() {
    let mut stage = serving(&["a"]);
    let breach = crate::MemoryBreach { limit_bytes: 1 << 25, peak_bytes: 1 << 25, host_was_short: false };
    let exit = crate::ContainerExit { memory_breach: Some(breach), ..signaled(9) };
    let effects = exits(&mut stage, exit);
    let failed = only_update(&effects);
    assert_eq!(failed.reason, Some(Reason::ContainerLimitationMemory));
    assert_eq!(failed.limitation, Some(resources("mem:32")));
}

#[test]
fn an_executor_that_broke_no_limit_of_its_own_is_not_told_one() {
    let mut stage = serving(&["a"]);
    let breach = crate::MemoryBreach { limit_bytes: 0, peak_bytes: 1 << 25, host_was_short: true };
    let exit = crate::ContainerExit { memory_breach: Some(breach), ..signaled(9) };
    let failed = only_update(&exits(&mut stage, exit));
    assert_eq!((failed.reason, failed.limitation), (Some(Reason::ContainerLimitationMemory), None));
}

#[test]
fn an_executor_that_cannot_be_described_is_over_and_not_launching_for_ever() {
    let mut stage = agent("cpus:4");
    let _ = stage.running("f2", "old", "cpus:4");
    let _ = stage.shutdown_framework("f2");
    assert!(launch(&mut stage, &[("a", "cpus:1")], true).launch.is_empty(), "it waits");
    // No master has named the agent, and nothing holds what the executor needs any more.
    stage.checkpoint.identity = None;
    stage.checkpoint.tasks.retain(|key, _| key.0 == framework_id("f1"));
    let effects = stage.restart_with(Vec::new());
    assert!(effects.launch.is_empty());
    assert_eq!(stage.agent.executors().count(), 0);
    assert_eq!(stage.state("f1", "a"), Some(TaskState::Failed));
    assert_eq!(stage.agent.free(), resources("cpus:4"));
}

#[test]
fn an_executor_that_cannot_be_launched_fails_its_tasks() {
    let mut stage = agent("cpus:8");
    let _ = launch(&mut stage, &[("a", "cpus:1")], true);
    let (container, message) = (home(&stage), "no such program".to_owned());
    let reason = LaunchFailure::Command;
    let effects = stage.handle(Event::ContainerFailed { container, reason, message });
    assert_eq!(ended(&effects), [(TaskState::Failed, Some(Reason::CommandExecutorFailed))]);
    assert_eq!(executors_ended(&effects), ["e1"]);
}

#[test]
fn an_executor_outlives_its_agent_and_says_what_happened_meanwhile() {
    let mut stage = serving(&["a", "b"]);
    let _ = update(&mut stage, 1, "a", TaskState::Running, 1);
    let container = home(&stage);
    let since = Some(stage.now);
    let effects = stage.restart_with(vec![(container, Recovery::Running { pid: 77, since })]);
    assert!(effects.kill.is_empty() && effects.persist.is_empty());
    assert_eq!(stage.agent.free(), resources("cpus:5"));
    let while_away = vec![status("a", TaskState::Running, 1), status("a", TaskState::Finished, 2)];
    let effects = subscribe(&mut stage, 1, &["b"], while_away);
    assert_eq!(told(&effects), ["subscribed", "confirm a 1", "confirm a 2"]);
    assert!(stage.after(secs(100)).kill.is_empty());
    let all = stage.back_online();
    assert_eq!(stage.acknowledge_all("f1", all), [TaskState::Running, TaskState::Finished]);
}

#[test]
fn a_task_that_was_not_sent_before_the_agent_died_is_sent_after_it() {
    let mut stage = agent("cpus:8");
    let _ = launch(&mut stage, &[("a", "cpus:1")], true);
    let container = home(&stage);
    let since = Some(stage.now);
    let _ = stage.restart_with(vec![(container, Recovery::Running { pid: 77, since })]);
    assert_eq!(told(&subscribe(&mut stage, 1, &[], Vec::new())), ["subscribed", "launch a"]);
}

#[test]
fn a_kill_before_the_agent_died_ends_what_the_executor_never_had() {
    let mut stage = serving(&["a", "b"]);
    let container = home(&stage);
    let _ = stage.kill("f1", "a", Some(secs(9)));
    let since = Some(stage.now);
    let _ = stage.restart_with(vec![(container, Recovery::Running { pid: 77, since })]);
    let _ = stage.back_online();
    let effects = subscribe(&mut stage, 1, &["b"], Vec::new());
    assert_eq!(told(&effects), ["subscribed"]);
    assert_eq!(states(&effects), [TaskState::Killed]);
}

#[test]
fn a_group_that_lost_one_before_it_arrived_is_not_sent_without_it() {
    let mut stage = serving(&["a"]);
    let effects =
        stage.run_in("f1", custom("e1", "cpus:1"), &[("x", ""), ("y", ""), ("z", "")], (false, true));
    assert_eq!(told(&effects), ["group x y z"]);
    let _ = stage.kill("f1", "y", Some(secs(9)));
    let effects = subscribe(&mut stage, 2, &["a"], Vec::new());
    assert_eq!(told(&effects), ["1: replaced", "subscribed"]);
    assert_eq!(states(&effects), [TaskState::Killed, TaskState::Killed, TaskState::Killed]);

    let mut stage = serving(&["a"]);
    let _ = stage.run_in("f1", custom("e1", "cpus:1"), &[("x", ""), ("y", "")], (false, true));
    let _ = stage.kill("f1", "y", Some(secs(9)));
    let effects = subscribe(&mut stage, 2, &["a", "x"], Vec::new());
    assert_eq!(states(&effects), [TaskState::Killed], "what the executor has is its own to end");
    assert_eq!(stage.state("f1", "x"), Some(TaskState::Staging));
}

#[test]
fn an_executor_that_does_not_come_back_after_a_restart_is_ended() {
    let mut stage = serving(&["a"]);
    let container = home(&stage);
    let since = Some(stage.now);
    let _ = stage.restart_with(vec![(container, Recovery::Running { pid: 77, since })]);
    let _ = stage.back_online();
    assert_eq!(stage.after(secs(2)).kill.len(), 1);
    let effects = exits(&mut stage, by_request(signaled(9)));
    assert_eq!(ended(&effects), [(TaskState::Failed, Some(Reason::ExecutorReregistrationTimeout))]);
}

#[test]
fn a_launch_that_was_cut_off_drops_the_tasks_and_the_executor() {
    let mut stage = agent("cpus:8");
    let _ = launch(&mut stage, &[("a", "cpus:1")], true);
    let _ = stage.restart_with(Vec::new());
    let all = stage.back_online();
    assert_eq!(executors_ended(&all), ["e1"]);
    assert_eq!(ended(&all), [(TaskState::Dropped, Some(Reason::AgentRestarted))]);
}

#[test]
fn a_framework_that_is_no_more_takes_its_executors_along() {
    let mut stage = serving(&["a"]);
    let effects = stage.shutdown_framework("f1");
    assert_eq!(told(&effects), ["shutdown"]);
    assert!(effects.kill.is_empty());
    assert_eq!(stage.after(secs(5)).kill[0].grace, Duration::ZERO);
    let effects = exits(&mut stage, by_request(signaled(9)));
    assert!(effects.send.is_empty());
    assert_eq!(stage.agent.tasks().count() + stage.agent.executors().count(), 0);
    assert!(stage.checkpoint.frameworks.is_empty());

    let mut stage = agent("cpus:8");
    let _ = launch(&mut stage, &[("a", "cpus:1")], true);
    let _ = starts(&mut stage);
    assert_eq!(stage.shutdown_framework("f1").kill[0].grace, secs(5), "without a connection");
}
