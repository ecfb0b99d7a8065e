//! Messages to executors and their loss.

use lonja_model::scheduler::{Call, Event as MasterEvent};
use lonja_model::{AgentId, ExecutorId};

use super::fixture::*;
use crate::executor::MAX_DATA_BYTES;
use crate::{Plan, PlanError, Problem};

fn agent() -> AgentId {
    AgentId::new("a1").unwrap()
}

fn executor() -> ExecutorId {
    ExecutorId::new("e1").unwrap()
}

#[test]
fn a_message_goes_to_the_executor_it_is_for() {
    let mut world = subscribed();
    world.will(Plan::new().message(agent(), executor(), "hello"));
    let sent = world.is_offered(&[]);
    assert_eq!(sent, [Call::Message { agent: agent(), executor: executor(), data: b"hello".to_vec() }]);
}

#[test]
fn a_message_that_cannot_be_sent_is_told_of_and_not_kept() {
    let mut world = subscribed();
    let bytes = MAX_DATA_BYTES + 1;
    world.will(Plan::new().message(agent(), executor(), vec![0; bytes]));
    assert!(world.is_offered(&[]).is_empty());
    assert_eq!(world.scheduler().problems.pop(), Some(Problem::Plan(PlanError::MessageTooLarge(bytes))));

    world.loses_connection();
    world.scheduler().deadline = Some(world.now);
    world.will(Plan::new().message(agent(), executor(), "late"));
    world.event(crate::Event::Tick);
    let lost = Problem::Plan(PlanError::MessageLost(executor()));
    assert_eq!(world.scheduler().problems.pop(), Some(lost));
    world.scheduler().deadline = None;
    assert!(!world.connects().iter().any(|call| matches!(call, Call::Message { .. })));
}

#[test]
fn the_end_of_an_executor_is_not_that_of_its_agent() {
    let mut world = subscribed();
    world.hears(MasterEvent::Failure { agent: agent(), executor: Some(executor()), status: Some(9) });
    assert_eq!(world.scheduler().lost_executors, [(agent(), executor(), Some(9))]);
}
