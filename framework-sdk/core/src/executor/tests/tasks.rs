//! Launches and kills, also those that come again.

use lonja_model::TaskState::{Failed, Finished};
use lonja_model::execution::Event as AgentEvent;

use super::fixture::*;
use crate::executor::{MAX_TASKS, Plan, Problem, Update};

fn ids(all: &[&str]) -> Vec<lonja_model::TaskId> {
    all.iter().map(|id| task_id(id)).collect()
}

#[test]
fn a_launch_that_comes_again_is_shown_once() {
    let mut world = subscribed();
    world.launches("t1");
    world.launches("t1");
    world.loses_connection();
    world.connects();
    world.launches("t1");
    assert_eq!(world.executor().launched, ids(&["t1"]));
}

#[test]
fn a_launch_repeated_after_the_end_does_not_run_again() {
    let mut world = subscribed();
    world.runs("t1");
    world.loses_connection();
    world.says(Update::finished(task_id("t1")));
    let sent = world.connects();
    world.launches("t1");
    assert_eq!(world.executor().launched, ids(&["t1"]));
    assert_eq!(states(&sent), [("t1".to_owned(), Finished)], "the agent is told of its end instead");
}

#[test]
fn an_id_whose_end_is_stored_may_be_used_again() {
    let mut world = subscribed();
    world.runs("t1");
    let sent = world.says(Update::finished(task_id("t1")));
    world.stores(&sent);
    world.runs("t1");
    assert_eq!(world.executor().launched, ids(&["t1", "t1"]));
}

#[test]
fn a_group_is_shown_together_without_what_is_known() {
    let mut world = subscribed();
    world.launches("t1");
    world.hears(AgentEvent::LaunchGroup(vec![task("t1"), task("t2"), task("t3")]));
    world.hears(AgentEvent::LaunchGroup(vec![task("t2"), task("t3")]));
    assert_eq!(world.executor().together, [ids(&["t2", "t3"])]);
}

#[test]
fn a_task_beyond_what_an_executor_holds_fails_and_says_why() {
    let mut world = subscribed();
    let all: Vec<_> = (0..MAX_TASKS).map(|number| task(&format!("t{number}"))).collect();
    for group in all.chunks(1_000) {
        world.hears(AgentEvent::LaunchGroup(group.to_vec()));
    }
    let sent = world.hears(AgentEvent::LaunchGroup(vec![task("x1"), task("x2")]));
    assert_eq!(states(&sent), [("x1".to_owned(), Failed), ("x2".to_owned(), Failed)]);
    assert!(updates(&sent)[0].message.as_ref().unwrap().contains("10000 tasks"));
    assert_eq!(world.executor().launched.len(), MAX_TASKS);
    world.stores(&sent);
    assert_eq!(world.execution.live_tasks().count(), MAX_TASKS);
}

#[test]
fn a_kill_brings_the_grace_that_counts() {
    let mut world = subscribed();
    world.runs("t1");
    let kill = |grace| AgentEvent::Kill { task: task_id("t1"), grace };
    world.hears(kill(None));
    world.hears(kill(Some(secs(1))));
    let expected = [(task_id("t1"), Some(secs(3))), (task_id("t1"), Some(secs(1)))];
    assert_eq!(world.executor().kills, expected);
}

#[test]
fn a_kill_of_what_has_ended_is_not_shown() {
    let mut world = subscribed();
    world.runs("t1");
    let end = world.says(Update::finished(task_id("t1")));
    let kill = || AgentEvent::Kill { task: task_id("t1"), grace: None };
    world.hears(kill());
    world.stores(&end);
    world.hears(kill());
    assert!(world.executor().kills.is_empty());
    assert_eq!(world.last.problems, [Problem::UnknownTask(task_id("t1"))], "for the log");
}

#[test]
fn the_answer_to_a_mistake_is_not_asked_for_without_end() {
    let mut world = subscribed();
    world.will(Plan::new().running(task_id("t8")).running(task_id("t9")));
    world.launches("t1");
    let unknown = |id: &str| Problem::UnknownTask(task_id(id));
    assert_eq!(world.executor().problems, [unknown("t8"), unknown("t9")]);
}
