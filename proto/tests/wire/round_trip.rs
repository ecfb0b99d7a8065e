//! Every value of the model survives the wire: encoded, decoded and read again it is the same.

use lonja_model::checkpoint::CheckpointOp;
use lonja_model::operation::{ConversionKind, Operation};
use lonja_model::registry::RegistryOp;
use lonja_model::resources::{Reservation, ReservationKind};
use lonja_model::scheduler::{Call, Refusal, RefusalCode};
use lonja_model::testing::*;
use lonja_model::weight::Weigh;
use lonja_proto::convert::{
    Shape, call, checkpoint, event, link, maintenance, operation, operation_status, quota, registry,
    resources,
};
use lonja_proto::mesos;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use prost::Message;

fn over_the_wire<M: Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

fn fail(refusal: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(refusal.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_call_survives_the_wire(id: u64, framework in any_framework_id(), call in any_call()) {
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
    fn what_an_agent_says_survives_the_wire(message in any_from_agent()) {
        let wire = over_the_wire(&link::agent_message_to_wire(&message));
        prop_assert_eq!(link::agent_message_from_wire(wire).map_err(fail)?, message);
    }

    #[test]
    fn what_the_master_says_survives_the_wire(message in any_to_agent()) {
        let wire = over_the_wire(&link::master_message_to_wire(&message));
        prop_assert_eq!(link::master_message_from_wire(wire).map_err(fail)?, message);
    }

    #[test]
    fn what_the_master_stores_is_read_again(change in any_registry_op()) {
        let stored = registry::encode(&change);
        prop_assert!(stored.key.len() <= 600);
        let Some(value) = stored.value else { return Ok(()) };
        let same = registry::decode(&value).map_err(fail)?;
        if let (RegistryOp::Machine(id, _), RegistryOp::Machine(same, _)) = (&change, &same) {
            // Machines are equal if their names are.
            prop_assert_eq!((&same.hostname, &same.ip), (&id.hostname, &id.ip));
        }
        prop_assert_eq!(same, change);
    }

    #[test]
    fn what_an_agent_stores_is_read_again(change in any_checkpoint_op()) {
        let stored = checkpoint::encode(&change);
        prop_assert!(stored.key.len() <= 600);
        let Some(value) = stored.value else { return Ok(()) };
        // What an agent takes on it bounds by weight, so that it can be written.
        let weight = match &change {
            CheckpointOp::Task(_, _, Some(record)) => Some(record.weight()),
            CheckpointOp::Executor(_, _, Some(record)) => Some(record.weight()),
            CheckpointOp::Framework(_, Some(info)) => Some(info.weight()),
            _ => None,
        };
        let length = stored.key.len() + value.len();
        prop_assert!(weight.is_none_or(|weight| length <= weight), "{} bytes of weight {:?}", length, weight);
        prop_assert_eq!(checkpoint::decode(&value).map_err(fail)?, change);
    }

    #[test]
    fn a_conversion_survives_the_wire(conversion in any_conversion()) {
        let wire = over_the_wire(&operation::conversion_to_wire(&conversion));
        prop_assert_eq!(operation::conversion_from_wire(wire).map_err(fail)?, conversion);
    }

    #[test]
    fn a_framework_gives_no_source_and_an_operator_may(conversion in any_conversion()) {
        let wire = operation::conversion_to_wire(&conversion);
        let has_source = wire.reserve.as_ref().is_some_and(|reserve| !reserve.source.is_empty());
        prop_assert!(!has_source || conversion.kind() == ConversionKind::Reserve);
        let read = operation::operations_from_wire(vec![wire]).map_err(fail)?;
        let refused = matches!(&read[..], [Operation::Invalid { reason, .. }] if reason.starts_with("reserve.source: "));
        prop_assert_eq!(refused, has_source);
        let taken = read == [Operation::Convert { id: None, conversion }];
        prop_assert!(refused || taken);
    }

    #[test]
    fn an_operation_survives_the_wire_with_its_status(
        operation in any_agent_operation(),
        status in any_operation_status(),
    ) {
        let wire = over_the_wire(&operation_status::agent_operation_to_wire(&operation, &status));
        prop_assert_eq!(&wire.agent_id, &wire.latest_status.agent_id);
        let read = operation_status::agent_operation_from_wire(wire).map_err(fail)?;
        prop_assert_eq!(read, (operation, status));
    }

    #[test]
    fn a_schedule_survives_the_wire(windows in any_schedule()) {
        let wire = over_the_wire(&maintenance::schedule_to_wire(&windows));
        let same = maintenance::schedule_from_wire(wire).map_err(fail)?;
        prop_assert_eq!(&same, &windows);
        let ip = |all: &[lonja_model::maintenance::Window]| {
            all.iter().flat_map(|window| window.machines.clone()).map(|id| id.ip).collect::<Vec<_>>()
        };
        prop_assert_eq!(ip(&same), ip(&windows));
    }

    #[test]
    fn the_windows_of_machines_have_each_machine_once(
        machines in btree_map(any_machine_id(), any_machine(), 0..6),
    ) {
        let windows = maintenance::windows_of(&machines);
        let wire = over_the_wire(&maintenance::schedule_to_wire(&windows));
        let windows = maintenance::schedule_from_wire(wire).map_err(fail)?;
        prop_assert_eq!(windows.iter().map(|window| window.machines.len()).sum::<usize>(), machines.len());
        for window in &windows {
            prop_assert!(window.machines.iter().all(|id| machines[id].unavailability == window.unavailability));
        }
    }

    #[test]
    fn where_machines_stand_survives_the_wire(
        scheduled in vec((any_machine_id(), vec((any_framework_id(), any::<Option<bool>>(), any_timestamp()), 0..3)), 0..3),
        down in vec(any_machine_id(), 0..3),
    ) {
        let answer = |(framework, accepted, at)| maintenance::Answer { framework, accepted, at };
        let answers = |(id, all): (_, Vec<_>)| (id, all.into_iter().map(answer).collect());
        let status = maintenance::ClusterStatus { scheduled: scheduled.into_iter().map(answers).collect(), down };
        let wire = over_the_wire(&maintenance::cluster_status_to_wire(&status));
        prop_assert_eq!(maintenance::cluster_status_from_wire(wire).map_err(fail)?, status);
    }

    #[test]
    fn a_duty_survives_the_wire(duty in any_duty()) {
        let (deactivated, info) = maintenance::duty_to_wire(&duty);
        let info = info.map(|info| over_the_wire(&info));
        prop_assert_eq!(maintenance::duty_from_wire(deactivated, info).map_err(fail)?, duty);
    }

    #[test]
    fn quotas_survive_the_wire(quotas in btree_map(any_reservable_role(), any_quota(), 0..4)) {
        let wire = over_the_wire(&quota::quota_status_to_wire(&quotas));
        let same = quota::quota_status_from_wire(wire).map_err(fail)?;
        let kept = quotas.into_iter().filter(|(_, quota)| *quota != Default::default());
        prop_assert_eq!(same, kept.collect::<Vec<_>>());
    }

    #[test]
    fn resources_of_one_reservation_survive_the_old_form(all in any_resources()) {
        // The old form has no place for a principal or for labels of a static reservation.
        let is_sayable = |only: &Reservation| {
            only.kind == ReservationKind::Dynamic || *only == Reservation::fixed(only.role.clone())
        };
        let few = all.filter(|resource| {
            let reservations = &resource.metadata().reservations;
            reservations.len() <= 1 && reservations.iter().all(is_sayable)
        });
        let wire = resources::resources_to_wire(&few, None, Shape { roles: false, reservations: resources::ReservationForm::Old });
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
        if let Ok(wire) = lonja_proto::lonja::MasterMessage::decode(bytes.as_slice()) {
            let _ = link::master_message_from_wire(wire);
        }
        if let Ok(wire) = mesos::maintenance::Schedule::decode(bytes.as_slice()) {
            let _ = maintenance::schedule_from_wire(wire);
        }
        if let Ok(wire) = mesos::quota::QuotaConfig::decode(bytes.as_slice()) {
            let _ = quota::quota_from_wire(wire);
        }
        let _ = registry::decode(&bytes);
        let _ = checkpoint::decode(&bytes);
    }

    #[test]
    fn a_broken_call_is_read_or_refused_and_nothing_else(call in any_call(), at: usize, bits: u8) {
        let mut bytes = call::request_to_wire(7, None, &call).encode_to_vec();
        let at = at % bytes.len();
        bytes[at] ^= bits;
        if let Ok(wire) = lonja_proto::lonja::SchedulerRequest::decode(bytes.as_slice()) {
            let _ = call::request_from_wire(wire);
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
