use lonja_model::checkpoint::CheckpointOp;
use lonja_model::execution::Call;
use lonja_model::executor::ExecutorInfo;
use lonja_model::link::FromAgent;
use lonja_model::task::{Reason, Source};
use lonja_model::{ExecutorId, Timestamp, UpdateId};

use super::*;
use crate::Event;
use crate::effects::{Effects, ExecutorOrder, HangUp};
use crate::fixture::*;
use lonja_model::TaskState;

const KIB: usize = 1 << 10;

fn with_data(id: &str, bytes: usize) -> TaskInfo {
    TaskInfo { data: vec![7; bytes], ..task_info(id, "cpus:0.01") }
}

/// An agent that keeps so many bytes and no more.
fn keeping(most: usize) -> Stage {
    let mut stage = agent("cpus:100");
    stage.agent.config.max_record_bytes = most;
    stage
}

#[test]
fn what_an_agent_keeps_can_be_written_at_once_and_told_at_once() {
    let mut stage = agent("cpus:100");
    let mut taken = 0;
    for number in 0..72 {
        let effects = stage.run_task("f1", with_data(&format!("t{number}"), 1 << 20));
        taken += effects.launch.len();
    }
    assert!((60..64).contains(&taken), "{taken} tasks of 1 MiB in 64 MiB");
    // The end of a framework touches every record in one turn.
    let effects = stage.shutdown_framework("f1");
    let written: usize = effects
        .persist
        .iter()
        .map(|op| if let CheckpointOp::Task(_, _, Some(record)) = op { record.weight() } else { 0 })
        .sum();
    assert!(written > 60 << 20 && written <= crate::MAX_RECORD_BYTES, "{written} bytes");
    assert!(stage.agent.book.weight() <= crate::MAX_RECORD_BYTES);
}

#[test]
fn a_launch_beyond_what_an_agent_keeps_is_dropped_and_says_what_to_do() {
    let mut stage = keeping(100 * KIB);
    assert_eq!(stage.run_task("f1", with_data("t1", 60 * KIB)).launch.len(), 1);
    let effects = stage.run_task("f1", with_data("t2", 60 * KIB));
    assert_eq!(effects.launch.len(), 0);
    let [FromAgent::Update { status, .. }] = &effects.send[..] else { panic!("{effects:?}") };
    assert_eq!((status.state, status.reason), (TaskState::Dropped, Some(Reason::ResourcesUnknown)));
    let said = status.message.as_deref().unwrap();
    assert!(said.contains("of 102400 that it may") && said.contains("files that tasks fetch"), "{said}");
    assert!(effects.persist.is_empty(), "it leaves no record");
    assert_eq!(stage.run_task("f1", with_data("t3", 10 * KIB)).launch.len(), 1, "there is room for less");
}

#[test]
fn a_description_that_is_no_value_of_a_store_is_dropped() {
    let mut stage = agent("cpus:100");
    let effects = stage.run_task("f1", with_data("t1", 13 << 20));
    assert_eq!((effects.launch.len(), states(&effects)), (0, vec![TaskState::Dropped]));
}

#[test]
fn what_is_forgotten_leaves_room() {
    let mut stage = keeping(100 * KIB);
    for number in 0..10 {
        let name = format!("t{number}");
        let mut effects = stage.run_task("f1", with_data(&name, 60 * KIB));
        assert_eq!(effects.launch.len(), 1, "{name}");
        effects.append(stage.started(&name));
        effects.append(stage.exited(&name, exit(0)));
        let _ = stage.acknowledge_all("f1", effects);
    }
    assert_eq!(stage.agent.book.weight(), 0);
}

/// Tasks of a custom executor that is subscribed over connection 1.
fn serving(stage: &mut Stage, tasks: &[&str]) {
    let command = task_info("x", "").command;
    let executor = ExecutorInfo::custom(ExecutorId::new("e1").unwrap(), command, resources("cpus:1"));
    let tasks: Vec<_> = tasks.iter().map(|task| (*task, "cpus:1")).collect();
    let _ = stage.run_in("f1", executor, &tasks, (true, false));
    let container = home(stage);
    let _ = stage.handle(Event::ContainerStarted { container, pid: 77 });
    let (unacknowledged_tasks, unacknowledged_updates) = (Vec::new(), Vec::new());
    let _ = call(stage, Call::Subscribe { unacknowledged_tasks, unacknowledged_updates });
}

fn home(stage: &Stage) -> lonja_model::ContainerId {
    stage.agent.executors().next().unwrap().container().clone()
}

fn call(stage: &mut Stage, call: Call) -> Effects {
    let container = home(stage);
    stage.handle(Event::ExecutorCalled { container, connection: 1, call: Box::new(call) })
}

fn says(stage: &mut Stage, task: &str, state: TaskState, id: u8, bytes: usize) -> Effects {
    let said = TaskStatus::new(task_id(task), state, Source::Executor, Timestamp::from_nanos(1));
    let said = TaskStatus { update: Some(UpdateId([id; 16])), data: vec![7; bytes], ..said };
    call(stage, Call::Update(Box::new(said)))
}

fn is_busy(effects: &Effects) -> bool {
    let busy = |order: &ExecutorOrder| matches!(order, ExecutorOrder::HangUp { why: HangUp::Busy(_), .. });
    effects.executors.iter().any(busy)
}

#[test]
fn an_update_beyond_what_an_agent_keeps_is_said_again_later_and_a_short_one_is_taken() {
    let mut stage = keeping(100 * KIB);
    serving(&mut stage, &["a", "b"]);
    assert!(!is_busy(&says(&mut stage, "a", TaskState::Running, 1, 80 * KIB)));
    assert!(!is_busy(&says(&mut stage, "b", TaskState::Running, 2, 0)), "it is short");
    assert!(is_busy(&says(&mut stage, "b", TaskState::Running, 3, 20 * KIB)));
    assert_eq!(stage.agent.task(&framework_id("f1"), &task_id("b")).unwrap().state(), TaskState::Running);
}

#[test]
fn one_tasks_updates_stay_what_a_store_takes_as_one_value() {
    let mut stage = agent("cpus:100");
    serving(&mut stage, &["a"]);
    let taken = (1..32).take_while(|id| !is_busy(&says(&mut stage, "a", TaskState::Running, *id, 1 << 20)));
    assert_eq!(taken.count(), 11);
}

#[test]
fn an_end_beyond_what_an_agent_keeps_is_taken_without_its_data() {
    let mut stage = keeping(100 * KIB);
    serving(&mut stage, &["a", "b"]);
    let _ = says(&mut stage, "a", TaskState::Running, 1, 80 * KIB);
    let effects = says(&mut stage, "b", TaskState::Finished, 2, 40 * KIB);
    assert!(!is_busy(&effects));
    let end = stage.last_update("f1", "b");
    assert_eq!((end.state, end.data.len()), (TaskState::Finished, 0));
    let said = end.message.unwrap();
    assert!(said.contains("data of 40960 bytes"), "{said}");
}
