//! What is wrong is refused, and the refusal names the field.

use std::collections::BTreeMap;

use lonja_model::operation::{LaunchGroup, LaunchTask, Operation};
use lonja_model::scheduler::{self as model, Call, RefusalCode};
use lonja_model::task::TaskInfo;
use lonja_proto::convert::{
    Fault, Refusal, agent, call, framework, link, offer, registry, resources, status,
};
use lonja_proto::limits;
use lonja_proto::mesos::scheduler::call::{Accept, Acknowledge, AcknowledgeOperationStatus, Subscribe, Type};
use lonja_proto::mesos::{self, offer::operation, scheduler, value};

use super::messages::{a_call, field_of, framework_info, ranges, scalar};

pub(crate) fn task(id: &str) -> mesos::TaskInfo {
    mesos::TaskInfo {
        name: "n".to_owned(),
        task_id: mesos::TaskId { value: id.to_owned() },
        agent_id: mesos::AgentId { value: "a".to_owned() },
        resources: vec![scalar("cpus", 1.0)],
        command: Some(mesos::CommandInfo { value: Some("true".to_owned()), ..Default::default() }),
        ..Default::default()
    }
}

fn accept(operations: Vec<mesos::offer::Operation>) -> Result<Call, Refusal> {
    let accept = Accept { operations, ..Default::default() };
    let wire = scheduler::Call { accept: Some(accept), ..a_call(Type::Accept) };
    call::call_from_wire(wire).map(|(_, call)| call)
}

fn launch(tasks: Vec<mesos::TaskInfo>) -> mesos::offer::Operation {
    mesos::offer::Operation {
        r#type: Some(operation::Type::Launch.into()),
        launch: Some(operation::Launch { task_infos: tasks }),
        ..Default::default()
    }
}

/// Launches one task and says why it is invalid.
pub(crate) fn why_invalid(task: mesos::TaskInfo) -> String {
    let Ok(Call::Accept { operations, .. }) = accept(vec![launch(vec![task])]) else {
        panic!("the call itself was refused");
    };
    match &operations[..] {
        [Operation::Launch(tasks)] => match &tasks[..] {
            [LaunchTask::Invalid { reason, .. }] => reason.clone(),
            other => panic!("taken: {other:?}"),
        },
        other => panic!("no launch: {other:?}"),
    }
}

#[test]
fn an_amount_that_is_none_is_refused_with_its_path() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.5, 9.1e12, 1e300] {
        let refusal =
            resources::resources_from_wire(vec![scalar("mem", 1.0), scalar("cpus", bad)]).unwrap_err();
        assert_eq!(refusal.field, "[1].scalar.value", "{bad}");
    }
    let largest = ((1_u64 << 51) - 1) as f64 / 1000.0;
    assert!(resources::resources_from_wire(vec![scalar("cpus", largest)]).is_ok());
}

#[test]
fn amounts_are_rounded_to_three_decimals() {
    let rounded =
        resources::resources_from_wire(vec![scalar("cpus", 0.100_49), scalar("cpus", 0.2)]).unwrap();
    assert_eq!(rounded.to_string(), "cpus:0.3");
}

#[test]
fn an_invalid_task_spoils_only_itself() {
    let mut bad = task("t2");
    bad.resources = vec![scalar("mem", 1.0), scalar("cpus", f64::NAN)];
    let Ok(Call::Accept { operations, .. }) = accept(vec![launch(vec![task("t1"), bad])]) else {
        panic!("the call was refused");
    };
    let Operation::Launch(tasks) = &operations[0] else { panic!("no launch") };
    assert!(matches!(&tasks[0], LaunchTask::Valid(task) if task.id.as_str() == "t1"));
    let LaunchTask::Invalid { task, reason } = &tasks[1] else { panic!("taken") };
    assert_eq!(task.as_str(), "t2");
    assert!(reason.starts_with("resources[1].scalar.value: NaN is not a finite number"), "{reason}");
}

#[test]
fn a_task_without_a_usable_id_refuses_the_call() {
    for bad in ["", ".", "a/b", "a\nb", &"x".repeat(256)] {
        let operations = vec![launch(vec![]), launch(vec![task("t1"), task(bad)])];
        let path = "accept.operations[1].launch.task_infos[1].task_id.value";
        assert_eq!(field_of(accept(operations)), path, "{bad:?}");
    }
}

#[test]
fn what_is_not_supported_yet_is_refused_by_name() {
    let with = |change: fn(&mut mesos::TaskInfo)| {
        let mut task = task("t");
        change(&mut task);
        why_invalid(task)
    };
    let reasons = [(
        with(|t| t.container = Some(mesos::ContainerInfo { r#type: 1, ..Default::default() })),
        "container.type",
    )];
    for (reason, field) in reasons {
        assert!(reason.starts_with(&format!("{field}: ")), "{reason}");
        assert!(reason.ends_with("is not supported yet; leave it out"), "{reason}");
    }
}

fn group(change: fn(&mut operation::LaunchGroup)) -> LaunchGroup {
    let executor_id = mesos::ExecutorId { value: "pod".to_owned() };
    let mut group = operation::LaunchGroup {
        executor: mesos::ExecutorInfo { executor_id, ..Default::default() },
        task_group: mesos::TaskGroupInfo { tasks: vec![task("t1"), task("t2")] },
    };
    change(&mut group);
    let operation = mesos::offer::Operation {
        r#type: Some(operation::Type::LaunchGroup.into()),
        launch_group: Some(Box::new(group)),
        ..Default::default()
    };
    let Ok(Call::Accept { operations, .. }) = accept(vec![operation]) else { panic!("refused") };
    let Operation::LaunchGroup(group) = &operations[0] else { panic!("no group") };
    group.clone()
}

#[test]
fn a_task_group_says_what_is_wrong_with_it_and_goes_on() {
    let valid = group(|_| ());
    assert!(valid.executor.is_ok());
    assert!(valid.tasks.iter().all(|task| matches!(task, LaunchTask::Valid(_))));
    let wrong = group(|group| group.executor.executor_id.value.clear()).executor.unwrap_err();
    assert!(wrong.starts_with("executor.executor_id"), "{wrong}");
    let wrong = group(|group| {
        group.executor.r#type = Some(mesos::executor_info::Type::Default.into());
        group.executor.command = task("t").command;
    });
    assert!(wrong.executor.unwrap_err().starts_with("executor.command: is set, but type DEFAULT"));
    let wrong = group(|group| group.task_group.tasks[1].executor = Some(Default::default()));
    assert!(matches!(&wrong.tasks[1], LaunchTask::Invalid { task, reason }
        if task.as_str() == "t2" && reason.starts_with("executor: the group has one")));
    let wrong = group(|group| group.task_group.tasks[0].command = None);
    assert!(
        matches!(&wrong.tasks[0], LaunchTask::Valid(task) if task.command.is_none()),
        "the master judges"
    );
}

#[test]
fn a_task_says_what_is_wrong_with_its_content() {
    let with = |change: fn(&mut mesos::TaskInfo)| {
        let mut task = task("t");
        change(&mut task);
        why_invalid(task)
    };
    assert!(with(|t| t.resources.clear()).starts_with("resources: holds nothing"));
    assert!(with(|t| t.command = None).starts_with("command: is missing"));
    assert!(with(|t| t.command.as_mut().unwrap().value = None).starts_with("command.value: is missing"));
    assert!(with(|t| t.agent_id.value.clear()).starts_with("agent_id.value: an id must not be empty"));
    assert!(
        with(|t| t.command.as_mut().unwrap().arguments = vec!["x".into()]).starts_with("command.arguments")
    );
    let below = with(|t| t.limits = BTreeMap::from([("cpus".to_owned(), value::Scalar { value: 0.5 })]));
    assert!(below.starts_with("limits[\"cpus\"]: 0.5 is below the need of 1"), "{below}");
    let disk = with(|t| t.limits = BTreeMap::from([("disk".to_owned(), value::Scalar { value: 5.0 })]));
    assert!(disk.starts_with("limits: \"disk\" has no limit"), "{disk}");
    let grace = with(|t| {
        let grace_period = Some(mesos::DurationInfo { nanoseconds: -1 });
        t.kill_policy = Some(mesos::KillPolicy { grace_period });
    });
    assert!(grace.starts_with("kill_policy.grace_period.nanoseconds: -1"), "{grace}");
}

#[test]
fn numbers_of_no_enum_are_refused_with_the_number() {
    let refusal =
        call::call_from_wire(scheduler::Call { r#type: Some(99), ..Default::default() }).unwrap_err();
    assert_eq!(refusal.fault, Fault::UnknownNumber { kind: "Call.Type", number: 99 });
    let unknown_state = mesos::TaskStatus { task_id: task("t").task_id, state: 77, ..Default::default() };
    assert_eq!(
        status::status_from_wire(unknown_state).unwrap_err().to_string(),
        "state: 77 is no TaskState that this version knows; use one of the API's"
    );
}

#[test]
fn a_capability_of_a_later_version_is_passed_over() {
    let later = mesos::framework_info::Capability { r#type: Some(4711) };
    let wire = mesos::FrameworkInfo { capabilities: vec![later], ..framework_info() };
    assert!(framework::framework_from_wire(wire).unwrap().1.capabilities.is_empty());
}

#[test]
fn every_call_but_subscribe_names_its_framework() {
    let wire = scheduler::Call { framework_id: None, ..a_call(Type::Teardown) };
    assert_eq!(field_of(call::call_from_wire(wire)), "framework_id");
    assert_eq!(field_of(call::call_from_wire(a_call(Type::Kill))), "kill");
    assert_eq!(field_of(call::call_from_wire(scheduler::Call::default())), "type");
}

#[test]
fn subscribe_names_its_framework_the_same_in_both_places() {
    let subscribe = Subscribe { framework_info: framework_info(), ..Default::default() };
    let wire = scheduler::Call { subscribe: Some(subscribe), ..a_call(Type::Subscribe) };
    assert_eq!(field_of(call::call_from_wire(wire)), "subscribe.framework_info.id");
}

#[test]
fn suppressed_roles_are_roles_of_the_framework() {
    let subscribe = Subscribe {
        framework_info: framework_info(),
        suppressed_roles: vec!["web".to_owned()],
        ..Default::default()
    };
    let wire = scheduler::Call { framework_id: None, subscribe: Some(subscribe), ..a_call(Type::Subscribe) };
    assert_eq!(field_of(call::call_from_wire(wire)), "subscribe.suppressed_roles");
}

#[test]
#[allow(deprecated, reason = "the old field is still spoken")]
fn roles_stand_in_the_field_that_the_capabilities_ask_for() {
    let multi = vec![mesos::framework_info::Capability { r#type: Some(6) }];
    let names = |roles: &[&str]| roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>();
    let info = framework_info();
    let refused = |wire| field_of(framework::framework_from_wire(wire));
    let without = mesos::FrameworkInfo { roles: names(&["web"]), ..info.clone() };
    assert_eq!(refused(without), "roles");
    let multi_info = mesos::FrameworkInfo { capabilities: multi, ..info.clone() };
    assert_eq!(refused(mesos::FrameworkInfo { role: Some("web".to_owned()), ..multi_info.clone() }), "role");
    assert_eq!(refused(multi_info.clone()), "roles");
    let twice = mesos::FrameworkInfo { roles: names(&["web", "web"]), ..multi_info };
    assert_eq!(refused(twice), "roles[1]");
    let (_, read) = framework::framework_from_wire(info.clone()).unwrap();
    assert_eq!(read.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(), ["*"]);
    for bad in [f64::NAN, -1.0, f64::INFINITY] {
        let wire = mesos::FrameworkInfo { failover_timeout: Some(bad), ..info.clone() };
        assert_eq!(refused(wire), "failover_timeout");
    }
}

#[test]
fn an_acknowledgement_repeats_sixteen_bytes() {
    let acknowledge = Acknowledge {
        agent_id: mesos::AgentId { value: "a".to_owned() },
        task_id: mesos::TaskId { value: "t".to_owned() },
        uuid: vec![1; 15],
    };
    let wire = scheduler::Call { acknowledge: Some(acknowledge), ..a_call(Type::Acknowledge) };
    let refusal = call::call_from_wire(wire).unwrap_err();
    assert_eq!((refusal.field.as_str(), &refusal.fault), ("acknowledge.uuid", &Fault::UpdateId(15)));
}

#[test]
fn odd_refusal_times_are_what_mesos_makes_of_them() {
    let seconds = |refuse: f64| {
        offer::filters_from_wire(Some(mesos::Filters { refuse_seconds: Some(refuse) })).refuse.as_secs_f64()
    };
    assert_eq!(offer::filters_from_wire(None).refuse.as_secs(), 5);
    assert_eq!(offer::filters_from_wire(Some(mesos::Filters::default())).refuse.as_secs(), 5);
    let year = 365.0 * 86_400.0;
    let expected =
        [(0.0, 0.0), (-1.0, 5.0), (f64::NAN, 5.0), (f64::INFINITY, year), (1e300, year), (0.25, 0.25)];
    for (given, meant) in expected {
        assert_eq!(seconds(given), meant, "{given}");
    }
}

#[test]
fn a_range_begins_before_its_end_and_stands_once() {
    let backwards = resources::resources_from_wire(vec![ranges("ports", &[(1, 2), (9, 8)])]);
    assert_eq!(field_of(backwards), "[0].ranges.range[1]");
    let twice = resources::resources_from_wire(vec![ranges("ports", &[(1, 5)]), ranges("ports", &[(5, 9)])]);
    assert!(matches!(twice.unwrap_err().fault, Fault::Sum(_)));
}

#[test]
fn both_forms_of_a_reservation_mean_the_same() {
    use mesos::resource::ReservationInfo;
    #[allow(deprecated, reason = "the old form is still spoken")]
    let old = |role: &str, reservation: Option<ReservationInfo>| mesos::Resource {
        role: Some(role.to_owned()),
        reservation,
        ..scalar("cpus", 2.0)
    };
    let layer = |kind, role: &str| ReservationInfo {
        r#type: Some(kind),
        role: Some(role.to_owned()),
        ..Default::default()
    };
    let new = |layers: Vec<_>| mesos::Resource { reservations: layers, ..scalar("cpus", 2.0) };
    let read = |wire: mesos::Resource| resources::resources_from_wire(vec![wire]);
    assert_eq!(read(old("*", None)), read(scalar("cpus", 2.0)));
    assert_eq!(read(old("web", None)), read(new(vec![layer(1, "web")])));
    assert_eq!(read(old("web", Some(ReservationInfo::default()))), read(new(vec![layer(2, "web")])));
    let both = mesos::Resource { reservations: vec![layer(1, "web")], ..old("web", None) };
    assert_eq!(read(both), read(new(vec![layer(1, "web")])));
    let torn = mesos::Resource { reservations: vec![layer(1, "web")], ..old("db", None) };
    assert_eq!(field_of(read(torn)), "[0].reservations");
    assert_eq!(field_of(read(old("*", Some(ReservationInfo::default())))), "[0].role");
    assert_eq!(field_of(read(new(vec![layer(0, "web")]))), "[0].reservations[0].type");
    assert!(read(new(vec![layer(2, "eng"), layer(2, "web")])).is_err());
}

#[test]
fn devices_agree_with_the_scalar_beside_them() {
    let device = mesos::resource::devices::Device { id: "0".to_owned(), thousandths: 1000 };
    let devices = Some(mesos::resource::Devices { device: vec![device.clone()] });
    let gpus = |amount| mesos::Resource { devices: devices.clone(), ..scalar("gpus", amount) };
    assert_eq!(resources::resources_from_wire(vec![gpus(1.0)]).unwrap().to_string(), "gpus:{0:1000}");
    assert_eq!(field_of(resources::resources_from_wire(vec![gpus(2.0)])), "[0].scalar");
    let too_much = mesos::resource::devices::Device { thousandths: 1001, ..device };
    let devices = Some(mesos::resource::Devices { device: vec![too_much] });
    let wire = mesos::Resource { devices, ..scalar("gpus", 1.0) };
    assert_eq!(field_of(resources::resources_from_wire(vec![wire])), "[0].devices.device[0].thousandths");
}

#[test]
fn resources_of_one_list_are_allocated_for_one_role() {
    let of = |role: &str| mesos::Resource {
        allocation_info: Some(mesos::resource::AllocationInfo { role: Some(role.to_owned()) }),
        ..scalar("cpus", 1.0)
    };
    assert!(resources::resources_from_wire(vec![of("a"), of("a"), scalar("mem", 1.0)]).is_ok());
    assert_eq!(field_of(resources::resources_from_wire(vec![of("a"), of("b")])), "[1].allocation_info.role");
}

#[test]
fn too_much_of_anything_is_refused() {
    let many = resources::resources_from_wire(vec![scalar("cpus", 1.0); limits::RESOURCES_PER_LIST + 1]);
    assert!(matches!(many.unwrap_err().fault, Fault::TooMany { limit: limits::RESOURCES_PER_LIST, .. }));
    let long: Vec<_> = (0..=limits::RANGES_PER_RESOURCE as u64).map(|n| (2 * n, 2 * n)).collect();
    assert_eq!(field_of(resources::resources_from_wire(vec![ranges("ports", &long)])), "[0].ranges.range");
    let tasks = vec![task("t"); limits::TASKS_PER_CALL + 1];
    assert_eq!(field_of(accept(vec![launch(tasks)])), "accept.operations");
}

#[test]
fn many_small_parts_of_one_name_are_summed() {
    // Given as many resources of one name as are taken, each with its share of all parts.
    let (count, share) =
        (limits::RESOURCES_PER_LIST as u64, (limits::PARTS_PER_LIST / limits::RESOURCES_PER_LIST) as u64);
    let part = |n: u64| {
        ranges("ports", &(0..share).map(|i| (2 * (i * count + n), 2 * (i * count + n))).collect::<Vec<_>>())
    };
    // When they are read.
    let read = resources::resources_from_wire((0..count).map(part).collect()).unwrap();
    // Then every part is in the sum.
    assert_eq!(read.ranges("ports").count(), count * share);
}

#[test]
fn an_agent_says_where_it_is_and_gives_no_sets_as_attributes() {
    let info = mesos::AgentInfo { hostname: "h".to_owned(), ..Default::default() };
    assert_eq!(agent::agent_info_from_wire(info.clone()).unwrap().port, 5051, "Mesos' default");
    assert_eq!(field_of(agent::agent_info_from_wire(mesos::AgentInfo::default())), "hostname");
    let far = mesos::AgentInfo { port: Some(70_000), ..info.clone() };
    assert_eq!(field_of(agent::agent_info_from_wire(far)), "port");
    let set =
        mesos::Attribute { name: "x".to_owned(), r#type: value::Type::Set.into(), ..Default::default() };
    let with_set = mesos::AgentInfo { attributes: vec![set], ..info };
    assert_eq!(field_of(agent::agent_info_from_wire(with_set)), "attributes[0].type");
    assert_eq!(field_of(link::agent_message_from_wire(Default::default())), "");
}

#[test]
fn a_stored_entry_of_a_later_version_is_not_read() {
    use prost::Message;
    let later = lonja_proto::wire::lonja::registry::v1::Entry { format: 2, entry: None };
    let refused = registry::decode(&later.encode_to_vec()).unwrap_err().to_string();
    assert_eq!(
        refused,
        "the stored entry has form 2, this version reads up to 1; run the version that wrote it"
    );
    assert!(registry::decode(&[0xff; 7]).is_err());
}

#[test]
fn a_refusal_reaches_the_framework_with_its_code_and_path() {
    let refusal = accept(vec![mesos::offer::Operation::default()]).unwrap_err();
    let told = model::Refusal::from(refusal);
    assert_eq!(told.code, RefusalCode::InvalidArgument);
    assert_eq!(told.field.as_deref(), Some("accept.operations[0].type"));
    assert_eq!(told.message, "accept.operations[0].type: is missing; set it");
    let acknowledge = AcknowledgeOperationStatus {
        resource_provider_id: Some(mesos::ResourceProviderId { value: "p".to_owned() }),
        ..Default::default()
    };
    let wire = scheduler::Call {
        acknowledge_operation_status: Some(acknowledge),
        ..a_call(Type::AcknowledgeOperationStatus)
    };
    let told = model::Refusal::from(call::call_from_wire(wire).unwrap_err());
    assert_eq!(told.code, RefusalCode::Unsupported);
}

#[test]
fn a_long_message_is_cut_and_not_refused() {
    let id = lonja_model::TaskId::new("t").unwrap();
    let now = lonja_model::Timestamp::ZERO;
    let said = "ä".repeat(limits::TEXT_BYTES);
    let status = lonja_model::TaskStatus::new(
        id,
        lonja_model::TaskState::Failed,
        lonja_model::task::Source::Agent,
        now,
    )
    .saying(said);
    let read = status::status_from_wire(status::status_to_wire(&status)).unwrap();
    assert_eq!(read.message.unwrap().len(), limits::TEXT_BYTES);
}

#[test]
fn a_plain_task_is_taken() {
    let Ok(Call::Accept { operations, .. }) = accept(vec![launch(vec![task("t")])]) else {
        panic!("refused")
    };
    let Operation::Launch(tasks) = &operations[0] else { panic!("no launch") };
    let LaunchTask::Valid(info) = &tasks[0] else { panic!("invalid") };
    let TaskInfo { id, resources, .. } = &**info;
    assert_eq!((id.as_str(), resources.to_string().as_str()), ("t", "cpus:1"));
}
