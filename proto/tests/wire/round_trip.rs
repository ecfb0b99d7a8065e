//! Every value of the model survives the wire: encoded, decoded and read again it is the same.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_model::checkpoint::{CheckpointOp, Identity, TaskRecord};
use lonja_model::framework::FrameworkInfo;
use lonja_model::link::{AgentTask, FromAgent, ToAgent};
use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::registry::*;
use lonja_model::scheduler::{Call, Event, MasterInfo, Refusal, RefusalCode};
use lonja_proto::convert::{Shape, call, checkpoint, event, link, registry, resources};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use prost::Message;

use super::values::*;

fn over_the_wire<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

fn subscribe() -> impl Strategy<Value = (Option<lonja_model::FrameworkId>, FrameworkInfo, bool)> {
    (option::of(framework_id()), framework_info(), any::<bool>())
}

fn any_call() -> BoxedStrategy<Call> {
    let launch = vec(task_info().prop_map(|task| LaunchTask::Valid(Box::new(task))), 0..3);
    let operation =
        prop_oneof![launch.prop_map(Operation::Launch), Just(Operation::Unsupported("RESERVE".to_owned())),];
    let roles = || btree_set(role(), 0..3);
    prop_oneof![
        subscribe().prop_map(|(framework, info, suppress)| {
            let suppressed = if suppress { info.roles.clone() } else { BTreeSet::new() };
            Call::Subscribe { framework, info: Box::new(info), suppressed }
        }),
        Just(Call::Teardown),
        (vec(offer_id(), 0..3), vec(operation, 0..3), filters())
            .prop_map(|(offers, operations, filters)| Call::Accept { offers, operations, filters }),
        (vec(offer_id(), 0..3), filters()).prop_map(|(offers, filters)| Call::Decline { offers, filters }),
        roles().prop_map(|roles| Call::Revive { roles }),
        roles().prop_map(|roles| Call::Suppress { roles }),
        (task_id(), option::of(agent_id()), option::of(exact_duration()))
            .prop_map(|(task, agent, grace)| Call::Kill { task, agent, grace }),
        (agent_id(), task_id(), update_id()).prop_map(|(agent, task, update)| Call::Acknowledge {
            agent,
            task,
            update
        }),
        vec((task_id(), option::of(agent_id())), 0..3).prop_map(|tasks| Call::Reconcile { tasks }),
        (agent_id(), executor_id(), vec(any::<u8>(), 0..9))
            .prop_map(|(agent, executor, data)| Call::Message { agent, executor, data }),
        Just(Call::Unsupported("RECONCILE_OPERATIONS".to_owned())),
    ]
    .boxed()
}

fn any_event() -> BoxedStrategy<Event> {
    let master = (text(), text(), any::<u16>(), text())
        .prop_map(|(id, hostname, port, version)| MasterInfo { id, hostname, port, version });
    let beat = (1..1_000_000_u64).prop_map(Duration::from_millis);
    prop_oneof![
        (framework_id(), beat, master).prop_map(|(framework, heartbeat, master)| Event::Subscribed {
            framework,
            heartbeat,
            master
        }),
        Just(Event::Heartbeat),
        vec(offer(), 0..3).prop_map(Event::Offers),
        offer_id().prop_map(Event::Rescind),
        status().prop_map(|status| Event::Update(Box::new(status))),
        (agent_id(), executor_id(), vec(any::<u8>(), 0..9))
            .prop_map(|(agent, executor, data)| Event::Message { agent, executor, data }),
        (agent_id(), option::of(executor_id()), option::of(any::<i32>()))
            .prop_map(|(agent, executor, status)| Event::Failure { agent, executor, status }),
        text().prop_map(Event::Error),
    ]
    .boxed()
}

fn agent_task() -> impl Strategy<Value = AgentTask> {
    (framework_id(), role(), task_info(), state(), option::of(container_id())).prop_map(
        |(framework, role, info, state, container)| AgentTask {
            framework,
            role,
            info,
            state,
            pid: container.is_some().then_some(7),
            container,
        },
    )
}

fn from_agent() -> BoxedStrategy<FromAgent> {
    prop_oneof![
        (agent_info(), text()).prop_map(|(mut info, version)| {
            info.id = None;
            FromAgent::Register { info: Box::new(info), version }
        }),
        (
            agent_id(),
            agent_info(),
            text(),
            vec(agent_task(), 0..3),
            vec((framework_id(), framework_info()), 0..2)
        )
            .prop_map(|(agent, mut info, version, tasks, frameworks)| {
                info.id = Some(agent.clone());
                FromAgent::Reregister { agent, info: Box::new(info), version, tasks, frameworks }
            }),
        (framework_id(), status(), state()).prop_map(|(framework, status, latest)| FromAgent::Update {
            framework,
            status: Box::new(status),
            latest
        }),
        any::<u64>().prop_map(|sequence| FromAgent::Pong { sequence }),
        (framework_id(), executor_id(), vec(any::<u8>(), 0..9))
            .prop_map(|(framework, executor, data)| FromAgent::Message { framework, executor, data }),
    ]
    .boxed()
}

fn to_agent() -> BoxedStrategy<ToAgent> {
    let beat = (1..1_000_000_u64).prop_map(Duration::from_millis);
    prop_oneof![
        (agent_id(), beat, any::<u32>()).prop_map(|(agent, ping_interval, max_missed_pings)| {
            ToAgent::Registered { agent, ping_interval, max_missed_pings }
        }),
        (text(), any::<bool>()).prop_map(|(reason, permanent)| ToAgent::Refused { reason, permanent }),
        (framework_id(), framework_info(), role(), vec(task_info(), 0..3)).prop_map(
            |(framework, info, role, tasks)| ToAgent::Run { framework, info: Box::new(info), role, tasks }
        ),
        (framework_id(), task_id(), option::of(exact_duration()))
            .prop_map(|(framework, task, grace)| ToAgent::Kill { framework, task, grace }),
        (framework_id(), task_id(), update_id()).prop_map(|(framework, task, update)| ToAgent::Acknowledge {
            framework,
            task,
            update
        }),
        framework_id().prop_map(|framework| ToAgent::ResendUpdates { framework }),
        framework_id().prop_map(|framework| ToAgent::ShutdownFramework { framework }),
        (framework_id(), executor_id(), vec(any::<u8>(), 0..9))
            .prop_map(|(framework, executor, data)| ToAgent::Message { framework, executor, data }),
        any::<u64>().prop_map(|sequence| ToAgent::Ping { sequence }),
    ]
    .boxed()
}

fn registry_op() -> BoxedStrategy<RegistryOp> {
    let standing = prop_oneof![
        Just(AgentStanding::Admitted),
        timestamp().prop_map(|since| AgentStanding::Unreachable { since }),
        timestamp().prop_map(|since| AgentStanding::Gone { since }),
    ];
    let agent =
        (agent_info(), standing).prop_map(|(info, standing)| Box::new(AgentRecord { info, standing }));
    let standing = prop_oneof![
        Just(FrameworkStanding::Connected),
        exact_duration().prop_map(|left| FrameworkStanding::Disconnected { left }),
        Just(FrameworkStanding::Removed),
    ];
    let framework = (framework_info(), standing)
        .prop_map(|(info, standing)| Box::new(FrameworkRecord { info, standing }));
    prop_oneof![
        ("[a-z0-9-]{1,9}", any::<u64>())
            .prop_map(|(cluster, number)| RegistryOp::Epoch(Epoch { cluster, number })),
        (agent_id(), agent).prop_map(|(id, record)| RegistryOp::Agent(id, Some(record))),
        (framework_id(), framework).prop_map(|(id, record)| RegistryOp::Framework(id, Some(record))),
        (role(), scalar()).prop_map(|(role, weight)| RegistryOp::Weight(role, Some(weight))),
    ]
    .boxed()
}

fn checkpoint_op() -> BoxedStrategy<CheckpointOp> {
    let task = (
        (framework_id(), task_info(), role(), container_id(), state()),
        (option::of(exact_duration()), any::<bool>(), vec(status(), 0..3)),
    );
    prop_oneof![
        (agent_id(), agent_info())
            .prop_map(|(agent, info)| CheckpointOp::Identity(Box::new(Identity { agent, info }))),
        (framework_id(), framework_info())
            .prop_map(|(id, info)| CheckpointOp::Framework(id, Some(Box::new(info)))),
        task.prop_map(|((framework, info, role, container, state), (killing, orphaned, updates))| {
            let id = info.id.clone();
            let record = TaskRecord { info, role, container, state, killing, orphaned, updates };
            CheckpointOp::Task(framework, id, Some(Box::new(record)))
        }),
    ]
    .boxed()
}

fn fail(refusal: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(refusal.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_call_survives_the_wire(id: u64, framework in framework_id(), call in any_call()) {
        let wire = over_the_wire(&call::request_to_wire(id, Some(&framework), &call));
        let (same_id, read) = call::request_from_wire(wire);
        let (said, same_call) = read.map_err(fail)?;
        prop_assert_eq!(same_id, id);
        let expected = match &call {
            Call::Subscribe { framework, .. } => framework.clone(),
            _ => Some(framework),
        };
        prop_assert_eq!(said, expected);
        prop_assert_eq!(same_call, call);
    }

    #[test]
    fn an_event_survives_the_wire(event in any_event()) {
        let wire = over_the_wire(&event::event_response(&event, Shape::FULL));
        prop_assert_eq!(event::response_from_wire(wire).map_err(fail)?, event::Response::Event(event));
    }

    #[test]
    fn what_an_agent_says_survives_the_wire(message in from_agent()) {
        let wire = over_the_wire(&link::agent_message_to_wire(&message));
        prop_assert_eq!(link::agent_message_from_wire(wire).map_err(fail)?, message);
    }

    #[test]
    fn what_the_master_says_survives_the_wire(message in to_agent()) {
        let wire = over_the_wire(&link::master_message_to_wire(&message));
        prop_assert_eq!(link::master_message_from_wire(wire).map_err(fail)?, message);
    }

    #[test]
    fn what_the_master_stores_is_read_again(change in registry_op()) {
        let stored = registry::encode(&change);
        prop_assert_eq!(registry::decode(&stored.value.unwrap()).map_err(fail)?, change);
    }

    #[test]
    fn what_an_agent_stores_is_read_again(change in checkpoint_op()) {
        let stored = checkpoint::encode(&change);
        prop_assert_eq!(checkpoint::decode(&stored.value.unwrap()).map_err(fail)?, change);
    }

    #[test]
    fn resources_of_one_reservation_survive_the_old_form(all in resources()) {
        let few = all.filter(|resource| {
            let reservations = &resource.metadata().reservations;
            reservations.len() <= 1
        });
        let wire = resources::resources_to_wire(&few, None, Shape { roles: false, refinement: false });
        prop_assert!(wire.iter().all(|resource| resource.reservations.is_empty()));
        prop_assert_eq!(resources::resources_from_wire(wire).map_err(fail)?, few);
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_nothing_else(bytes in vec(any::<u8>(), 0..256)) {
        if let Ok(wire) = lonja_proto::lonja::SchedulerRequest::decode(bytes.as_slice()) {
            let _ = call::request_from_wire(wire);
        }
        if let Ok(wire) = lonja_proto::lonja::AgentMessage::decode(bytes.as_slice()) {
            let _ = link::agent_message_from_wire(wire);
        }
        let _ = registry::decode(&bytes);
        let _ = checkpoint::decode(&bytes);
    }

    #[test]
    fn a_broken_call_is_read_or_refused_and_nothing_else(call in any_call(), at: usize, bits: u8) {
        let mut bytes = call::call_to_wire(None, &call).encode_to_vec();
        let at = at % bytes.len();
        bytes[at] ^= bits;
        if let Ok(wire) = lonja_proto::mesos::scheduler::Call::decode(bytes.as_slice()) {
            let _ = call::call_from_wire(wire);
        }
    }
}

#[test]
fn an_answer_survives_the_wire() {
    use RefusalCode::*;
    let codes = [InvalidArgument, NotSubscribed, NotFound, Conflict, RateLimited, NotLeader, Unsupported];
    for code in codes {
        let field = (code == InvalidArgument).then(|| "accept.offer_ids[1]".to_owned());
        let result = Err(Refusal { code, message: "no".to_owned(), field });
        let wire = over_the_wire(&event::result_response(7, &result));
        assert_eq!(event::response_from_wire(wire), Ok(event::Response::Result { id: 7, result }));
    }
    let wire = over_the_wire(&event::result_response(8, &Ok(())));
    assert_eq!(event::response_from_wire(wire), Ok(event::Response::Result { id: 8, result: Ok(()) }));
}

#[test]
fn what_is_forgotten_leaves_its_key_empty() {
    let id = lonja_model::AgentId::new("a1").unwrap();
    let stored = registry::encode(&RegistryOp::Agent(id, None));
    assert_eq!((stored.key.as_slice(), stored.value), (b"agent/a1".as_slice(), None));
    let framework = lonja_model::FrameworkId::new("f").unwrap();
    let task = lonja_model::TaskId::new("t").unwrap();
    let stored = checkpoint::encode(&CheckpointOp::Task(framework, task, None));
    assert_eq!((stored.key.as_slice(), stored.value), (b"task/f/t".as_slice(), None));
}
