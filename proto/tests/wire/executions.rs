//! What executors and their agent say: it survives the wire, is bounded, and what is wrong is refused by name.

use lonja_model::execution::{Call, Event};
use lonja_model::testing::*;
use lonja_model::{ExecutorId, FrameworkId, TaskId, UpdateId};
use lonja_proto::convert::execution::{
    execution_call_from_wire, execution_call_to_wire, execution_event_from_wire, execution_event_to_wire,
};
use lonja_proto::convert::{Fault, Refusal};
use lonja_proto::limits;
use lonja_proto::mesos::executor::{self, call, event};
use lonja_proto::mesos::{self, TaskStatus};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use prost::Message;

use super::golden::golden;
use super::messages::{field_of, framework_info};
use super::refusals::task;

fn fail(refusal: Refusal) -> TestCaseError {
    TestCaseError::fail(refusal.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_call_of_an_executor_survives_the_wire(
        framework in any_framework_id(),
        id in any_executor_id(),
        call in any_execution_call(),
    ) {
        let bytes = execution_call_to_wire(&framework, &id, &call).encode_to_vec();
        let read = execution_call_from_wire(executor::Call::decode(bytes.as_slice()).unwrap());
        prop_assert_eq!(read.map_err(fail)?, (framework, id, call));
    }

    #[test]
    fn an_event_for_an_executor_survives_the_wire(event in any_execution_event()) {
        let bytes = execution_event_to_wire(&event).encode_to_vec();
        let read = execution_event_from_wire(executor::Event::decode(bytes.as_slice()).unwrap());
        prop_assert_eq!(read.map_err(fail)?, event);
    }

    #[test]
    fn broken_words_are_read_or_refused_and_nothing_else(
        call in any_execution_call(),
        event in any_execution_event(),
        at: usize,
        bits: u8,
    ) {
        let (framework, id) = (FrameworkId::new("f").unwrap(), ExecutorId::new("e").unwrap());
        let mut bytes = execution_call_to_wire(&framework, &id, &call).encode_to_vec();
        let place = at % bytes.len();
        bytes[place] ^= bits;
        if let Ok(wire) = executor::Call::decode(bytes.as_slice()) {
            let _ = execution_call_from_wire(wire);
        }
        let mut bytes = execution_event_to_wire(&event).encode_to_vec();
        let place = at % bytes.len();
        bytes[place] ^= bits;
        if let Ok(wire) = executor::Event::decode(bytes.as_slice()) {
            let _ = execution_event_from_wire(wire);
        }
    }
}

fn a_call(kind: call::Type) -> executor::Call {
    executor::Call {
        framework_id: mesos::FrameworkId { value: "f".to_owned() },
        executor_id: mesos::ExecutorId { value: "e".to_owned() },
        r#type: Some(kind.into()),
        ..Default::default()
    }
}

fn an_event(kind: event::Type) -> executor::Event {
    executor::Event { r#type: Some(kind.into()), ..Default::default() }
}

fn update(id: Option<Vec<u8>>) -> call::Update {
    let state = mesos::TaskState::TaskRunning.into();
    let task_id = mesos::TaskId { value: "t".to_owned() };
    call::Update { status: TaskStatus { task_id, state, uuid: id, ..Default::default() } }
}

#[test]
fn a_call_that_is_not_whole_is_refused_by_its_field() {
    use call::Type::{Heartbeat, Message, Unknown, Update};
    let refused = |wire| field_of(execution_call_from_wire(wire));
    assert_eq!(refused(executor::Call::default()), "framework_id.value");
    assert_eq!(
        refused(executor::Call { executor_id: Default::default(), ..a_call(Heartbeat) }),
        "executor_id.value"
    );
    assert_eq!(refused(executor::Call { r#type: None, ..a_call(Heartbeat) }), "type");
    assert_eq!(refused(a_call(Unknown)), "type");
    assert_eq!(refused(a_call(Update)), "update");
    assert_eq!(refused(a_call(Message)), "message");
    let without_id = executor::Call { update: Some(update(None)), ..a_call(Update) };
    assert_eq!(refused(without_id), "update.status.uuid");
    let short = executor::Call { update: Some(update(Some(vec![1; 15]))), ..a_call(Update) };
    let refusal = execution_call_from_wire(short).unwrap_err();
    assert_eq!((refusal.field.as_str(), &refusal.fault), ("update.status.uuid", &Fault::UpdateId(15)));
    let number = executor::Call { r#type: Some(99), ..a_call(Heartbeat) };
    let fault = execution_call_from_wire(number).unwrap_err().fault;
    assert_eq!(fault, Fault::UnknownNumber { kind: "executor.Call.Type", number: 99 });
}

#[test]
fn a_subscription_that_brings_nothing_may_leave_it_out() {
    let (_, _, call) = execution_call_from_wire(a_call(call::Type::Subscribe)).unwrap();
    assert_eq!(
        call,
        Call::Subscribe { unacknowledged_tasks: Vec::new(), unacknowledged_updates: Vec::new() }
    );
}

#[test]
fn what_a_subscription_brings_is_bounded_and_each_entry_is_judged() {
    let refused = |subscribe| {
        let wire = executor::Call { subscribe: Some(subscribe), ..a_call(call::Type::Subscribe) };
        field_of(execution_call_from_wire(wire))
    };
    let many = vec![task("t"); limits::TASKS_PER_EXECUTOR + 1];
    let subscribe = call::Subscribe { unacknowledged_tasks: many, ..Default::default() };
    assert_eq!(refused(subscribe), "subscribe.unacknowledged_tasks");
    let many = vec![update(Some(vec![1; 16])); limits::UPDATES_PER_EXECUTOR + 1];
    let subscribe = call::Subscribe { unacknowledged_updates: many, ..Default::default() };
    assert_eq!(refused(subscribe), "subscribe.unacknowledged_updates");
    let tasks = vec![task("t1"), task("")];
    let subscribe = call::Subscribe { unacknowledged_tasks: tasks, ..Default::default() };
    assert_eq!(refused(subscribe), "subscribe.unacknowledged_tasks[1].task_id.value");
    let updates = vec![update(Some(vec![1; 16])), update(None)];
    let subscribe = call::Subscribe { unacknowledged_updates: updates, ..Default::default() };
    assert_eq!(refused(subscribe), "subscribe.unacknowledged_updates[1].status.uuid");
}

#[test]
fn opaque_bytes_are_bounded_both_ways() {
    let data = vec![0; limits::DATA_BYTES + 1];
    let message = Some(call::Message { data: data.clone() });
    let wire = executor::Call { message, ..a_call(call::Type::Message) };
    assert_eq!(field_of(execution_call_from_wire(wire)), "message.data");
    let wire = executor::Event { message: Some(event::Message { data }), ..an_event(event::Type::Message) };
    assert_eq!(field_of(execution_event_from_wire(wire)), "message.data");
}

#[test]
fn an_event_that_is_not_whole_is_refused_by_its_field() {
    use event::Type::{Acknowledged, Error, Kill, Launch, LaunchGroup, Message, Subscribed, Unknown};
    let refused = |wire| field_of(execution_event_from_wire(wire));
    assert_eq!(refused(executor::Event::default()), "type");
    assert_eq!(refused(an_event(Unknown)), "type");
    let missing = [
        (Subscribed, "subscribed"),
        (Launch, "launch"),
        (LaunchGroup, "launch_group"),
        (Kill, "kill"),
        (Acknowledged, "acknowledged"),
        (Message, "message"),
        (Error, "error"),
    ];
    for (kind, field) in missing {
        assert_eq!(refused(an_event(kind)), field);
    }
    let launch = Some(event::Launch { task: task("a/b") });
    assert_eq!(refused(executor::Event { launch, ..an_event(Launch) }), "launch.task.task_id.value");
    let tasks = vec![task("t"); limits::TASKS_PER_CALL + 1];
    let launch_group = Some(event::LaunchGroup { task_group: mesos::TaskGroupInfo { tasks } });
    let wire = executor::Event { launch_group, ..an_event(LaunchGroup) };
    assert_eq!(refused(wire), "launch_group.task_group.tasks");
    let kill_policy = mesos::KillPolicy { grace_period: Some(mesos::DurationInfo { nanoseconds: -1 }) };
    let kill = Some(event::Kill { task_id: task("t").task_id, kill_policy: Some(kill_policy) });
    assert_eq!(
        refused(executor::Event { kill, ..an_event(Kill) }),
        "kill.kill_policy.grace_period.nanoseconds"
    );
    let message = "x".repeat(limits::TEXT_BYTES + 1);
    let error = Some(event::Error { message });
    assert_eq!(refused(executor::Event { error, ..an_event(Error) }), "error.message");
}

#[test]
fn who_is_subscribed_is_named_in_full() {
    let whole = || event::Subscribed {
        executor_info: mesos::ExecutorInfo {
            executor_id: mesos::ExecutorId { value: "e".to_owned() },
            ..Default::default()
        },
        framework_info: mesos::FrameworkInfo {
            id: Some(mesos::FrameworkId { value: "f".to_owned() }),
            ..framework_info()
        },
        agent_info: mesos::AgentInfo {
            hostname: "h".to_owned(),
            id: Some(mesos::AgentId { value: "a".to_owned() }),
            ..Default::default()
        },
        container_id: Some(mesos::ContainerId { value: "c".to_owned(), parent: None }),
    };
    let read = |change: fn(&mut event::Subscribed)| {
        let mut subscribed = whole();
        change(&mut subscribed);
        let wire = executor::Event { subscribed: Some(subscribed), ..an_event(event::Type::Subscribed) };
        execution_event_from_wire(wire)
    };
    assert!(matches!(read(|_| ()), Ok(Event::Subscribed(_))));
    assert_eq!(field_of(read(|s| s.framework_info.id = None)), "subscribed.framework_info.id");
    assert_eq!(field_of(read(|s| s.agent_info.id = None)), "subscribed.agent_info.id");
    assert_eq!(field_of(read(|s| s.container_id = None)), "subscribed.container_id");
    assert_eq!(
        field_of(read(|s| s.executor_info.executor_id.value.clear())),
        "subscribed.executor_info.executor_id.value"
    );
}

#[test]
fn a_task_in_its_executors_hands_needs_no_command() {
    let bare = mesos::TaskInfo { command: None, ..task("t") };
    let wire =
        executor::Event { launch: Some(event::Launch { task: bare }), ..an_event(event::Type::Launch) };
    let Ok(Event::Launch(task)) = execution_event_from_wire(wire) else { panic!("refused") };
    assert!(task.command.is_none() && task.executor.is_none());
}

#[test]
fn an_acknowledgement_and_a_heartbeat_have_the_bytes_they_always_had() {
    let task = TaskId::new("t1").unwrap();
    let event = Event::Acknowledged { task, update: UpdateId([7; 16]) };
    let kept = golden("executor_acknowledged.bin", &execution_event_to_wire(&event).encode_to_vec());
    let read = execution_event_from_wire(executor::Event::decode(kept.as_slice()).unwrap());
    assert_eq!(read, Ok(event));
    let (framework, id) = (FrameworkId::new("c-1-0000").unwrap(), ExecutorId::new("e1").unwrap());
    let wire = execution_call_to_wire(&framework, &id, &Call::Heartbeat);
    let kept = golden("executor_heartbeat.bin", &wire.encode_to_vec());
    let read = execution_call_from_wire(executor::Call::decode(kept.as_slice()).unwrap());
    assert_eq!(read, Ok((framework, id, Call::Heartbeat)));
}
