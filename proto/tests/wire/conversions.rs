//! Conversions as frameworks, operators and agents write them: in every form, and wrong in every way.

use lonja_model::operation::{Conversion, ConversionKind, Operation, OperationState};
use lonja_model::resources::{DiskSourceKind, Resources, Scalar};
use lonja_model::scheduler::Call;
use lonja_proto::convert::operation::{conversion_from_wire, operations_from_wire};
use lonja_proto::convert::{Fault, Refusal, Shape, call, event, link, operation_status, registry, resources};
use lonja_proto::limits;
use lonja_proto::lonja;
use lonja_proto::mesos::offer::operation::{self, Type};
use lonja_proto::mesos::resource::disk_info::{self, source};
use lonja_proto::mesos::resource::{self, DiskInfo, ReservationInfo};
use lonja_proto::mesos::scheduler::call as wire_call;
use lonja_proto::mesos::{self, offer, scheduler, value, volume};

use super::messages::{a_call, field_of, scalar};

fn of(kind: Type) -> offer::Operation {
    offer::Operation { r#type: Some(kind.into()), ..Default::default() }
}

fn reserve(resources: Vec<mesos::Resource>, source: Vec<mesos::Resource>) -> offer::Operation {
    offer::Operation { reserve: Some(operation::Reserve { resources, source }), ..of(Type::Reserve) }
}

fn unreserve(resources: Vec<mesos::Resource>) -> offer::Operation {
    offer::Operation { unreserve: Some(operation::Unreserve { resources }), ..of(Type::Unreserve) }
}

fn create(volumes: Vec<mesos::Resource>) -> offer::Operation {
    offer::Operation { create: Some(operation::Create { volumes }), ..of(Type::Create) }
}

fn destroy(volumes: Vec<mesos::Resource>) -> offer::Operation {
    offer::Operation { destroy: Some(operation::Destroy { volumes }), ..of(Type::Destroy) }
}

fn grow(volume: mesos::Resource, addition: mesos::Resource) -> offer::Operation {
    let grow_volume = Some(Box::new(operation::GrowVolume { volume, addition }));
    offer::Operation { grow_volume, ..of(Type::GrowVolume) }
}

fn shrink(volume: mesos::Resource, subtract: f64) -> offer::Operation {
    let subtract = value::Scalar { value: subtract };
    offer::Operation {
        shrink_volume: Some(Box::new(operation::ShrinkVolume { volume, subtract })),
        ..of(Type::ShrinkVolume)
    }
}

fn layer(role: &str) -> ReservationInfo {
    ReservationInfo { r#type: Some(2), role: Some(role.to_owned()), ..Default::default() }
}

fn reserved(resource: mesos::Resource, roles: &[&str]) -> mesos::Resource {
    mesos::Resource { reservations: roles.iter().map(|role| layer(role)).collect(), ..resource }
}

fn on(disk: DiskInfo, resource: mesos::Resource) -> mesos::Resource {
    mesos::Resource { disk: Some(disk), ..resource }
}

fn volume_info(id: &str, path: &str, mode: volume::Mode) -> DiskInfo {
    DiskInfo {
        persistence: Some(disk_info::Persistence { id: id.to_owned(), principal: None }),
        volume: Some(mesos::Volume {
            container_path: path.to_owned(),
            mode: mode.into(),
            ..Default::default()
        }),
        source: None,
    }
}

fn volume(size: f64) -> mesos::Resource {
    on(volume_info("data", "data", volume::Mode::Rw), reserved(scalar("disk", size), &["eng"]))
}

fn shared(resource: mesos::Resource) -> mesos::Resource {
    mesos::Resource { shared: Some(resource::SharedInfo {}), ..resource }
}

fn plain(text: &str) -> Resources {
    Resources::parse(text).unwrap()
}

/// Why an operation in an ACCEPT is invalid.
fn why_invalid(wire: offer::Operation) -> String {
    match &operations_from_wire(vec![wire]).unwrap()[..] {
        [Operation::Invalid { reason, .. }] => reason.clone(),
        other => panic!("taken: {other:?}"),
    }
}

#[test]
fn a_reservation_may_be_written_in_the_old_form() {
    #[allow(deprecated, reason = "the old form is still spoken")]
    let old = mesos::Resource {
        role: Some("eng".to_owned()),
        reservation: Some(ReservationInfo::default()),
        ..scalar("cpus", 2.0)
    };
    let new = reserved(scalar("cpus", 2.0), &["eng"]);
    for make in [|all| reserve(all, Vec::new()), unreserve] {
        let read = |one: &mesos::Resource| conversion_from_wire(make(vec![one.clone()])).unwrap();
        assert_eq!(read(&old), read(&new));
    }
    assert_eq!(conversion_from_wire(unreserve(vec![old])).unwrap().after(), &plain("cpus:2"));
}

#[test]
fn what_is_reserved_within_a_reservation_is_made_of_it() {
    let refined = reserve(vec![reserved(scalar("cpus", 2.0), &["eng", "eng/web"])], Vec::new());
    let eng =
        conversion_from_wire(reserve(vec![reserved(scalar("cpus", 2.0), &["eng"])], Vec::new())).unwrap();
    assert_eq!(conversion_from_wire(refined).unwrap().before(), eng.after());
}

#[test]
fn a_volume_has_the_same_form_on_every_kind_of_disk() {
    let with = |kind: source::Type, path, mount| {
        let source = Some(disk_info::Source { r#type: kind.into(), path, mount, ..Default::default() });
        let info = DiskInfo { source, ..volume_info("data", "data", volume::Mode::Rw) };
        on(info, reserved(scalar("disk", 64.0), &["eng"]))
    };
    let root = Some("/mnt/d0".to_owned());
    let cases = [
        (volume(64.0), None),
        (
            with(source::Type::Path, Some(source::Path { root: root.clone() }), None),
            Some(DiskSourceKind::Path { root: root.clone() }),
        ),
        (
            with(source::Type::Mount, None, Some(source::Mount { root: root.clone() })),
            Some(DiskSourceKind::Mount { root }),
        ),
        (with(source::Type::Block, None, None), Some(DiskSourceKind::Block)),
    ];
    for (wire, kind) in cases {
        for wire in [wire.clone(), shared(wire)] {
            let all = resources::resources_from_wire(vec![wire.clone()]).unwrap();
            let metadata = all.iter().next().unwrap().metadata().clone();
            let disk = metadata.disk.unwrap();
            assert_eq!(disk.source.map(|source| source.kind), kind);
            assert_eq!(disk.persistence.unwrap().id, "data");
            assert_eq!((disk.container_path.as_deref(), disk.read_only), (Some("data"), false));
            assert_eq!(metadata.shared, wire.shared.is_some());
            assert_eq!(resources::resources_to_wire(&all, None, Shape::FULL), std::slice::from_ref(&wire));
            let made = conversion_from_wire(create(vec![wire.clone()])).unwrap();
            assert_eq!(conversion_from_wire(destroy(vec![wire])).unwrap().after(), made.before());
        }
    }
}

#[test]
fn a_shared_volume_stands_as_often_as_it_is_held_but_is_made_once() {
    let twice = vec![shared(volume(8.0)), shared(volume(8.0))];
    let held = resources::resources_from_wire(twice.clone()).unwrap();
    assert_eq!(resources::resources_to_wire(&held, None, Shape::FULL), twice);
    assert_eq!(held.quantities(), plain("disk:8").quantities());
    for (wire, field) in [(create(twice.clone()), "create.volumes"), (destroy(twice), "destroy.volumes")] {
        let refusal = conversion_from_wire(wire).unwrap_err();
        assert_eq!(refusal.field, field);
        assert!(refusal.to_string().ends_with("stands 2 times; name it once"), "{refusal}");
    }
}

#[test]
fn a_volume_grows_and_shrinks_by_amounts_above_zero() {
    let disk = |amount| reserved(scalar("disk", amount), &["eng"]);
    let grown = conversion_from_wire(grow(volume(8.0), disk(2.0))).unwrap();
    assert_eq!(
        (grown.kind(), grown.after().scalar("disk")),
        (ConversionKind::Grow, Scalar::from_units(10).unwrap())
    );
    let shrunk = conversion_from_wire(shrink(volume(10.0), 2.0)).unwrap();
    assert_eq!((shrunk.before(), shrunk.after()), (grown.after(), grown.before()));
    let refused = [
        (grow(volume(8.0), disk(0.0)), "grow_volume.addition.scalar.value"),
        (grow(volume(0.0), disk(2.0)), "grow_volume.volume.scalar.value"),
        (grow(volume(8.0), scalar("disk", 2.0)), "grow_volume.addition"),
        (grow(shared(volume(8.0)), disk(2.0)), "grow_volume.addition"),
        (grow(mesos::Resource::default(), disk(2.0)), "grow_volume.volume.name"),
        (shrink(volume(8.0), 0.0), "shrink_volume.subtract"),
        (shrink(volume(8.0), 8.0), "shrink_volume.subtract"),
        (shrink(volume(8.0), -1.0), "shrink_volume.subtract.value"),
        (shrink(volume(8.0), f64::NAN), "shrink_volume.subtract.value"),
        (shrink(volume(0.0), 1.0), "shrink_volume.volume.scalar.value"),
    ];
    for (wire, field) in refused {
        assert_eq!(field_of(conversion_from_wire(wire)), field);
    }
}

/// Is each refused, and at this field?
fn refused_at<const N: usize>(cases: [(offer::Operation, &str); N]) {
    for (wire, field) in Vec::from(cases) {
        let name = format!("{wire:?}");
        assert_eq!(field_of(conversion_from_wire(wire)), field, "{name}");
    }
}

#[test]
fn an_operation_without_its_message_or_of_another_type_is_no_conversion() {
    for kind in [Type::Unknown, Type::Launch, Type::LaunchGroup, Type::CreateDisk, Type::DestroyDisk] {
        assert_eq!(field_of(conversion_from_wire(of(kind))), "type");
    }
    for number in [None, Some(99)] {
        let wire = offer::Operation { r#type: number, ..Default::default() };
        assert_eq!(field_of(conversion_from_wire(wire)), "type");
    }
    let messages = [
        (Type::Reserve, "reserve"),
        (Type::Unreserve, "unreserve"),
        (Type::Create, "create"),
        (Type::Destroy, "destroy"),
        (Type::GrowVolume, "grow_volume"),
        (Type::ShrinkVolume, "shrink_volume"),
    ];
    for (kind, field) in messages {
        let refusal = conversion_from_wire(of(kind)).unwrap_err();
        assert_eq!((refusal.field.as_str(), refusal.fault), (field, Fault::Missing));
    }
}

#[test]
fn a_reservation_that_cannot_be_made_or_undone_is_refused_by_its_field() {
    let eng = |resource| reserved(resource, &["eng"]);
    #[allow(deprecated, reason = "the old form is still spoken")]
    let fixed = mesos::Resource { role: Some("eng".to_owned()), ..scalar("cpus", 2.0) };
    refused_at([
        (reserve(Vec::new(), Vec::new()), "reserve.resources"),
        (reserve(vec![scalar("cpus", 2.0)], Vec::new()), "reserve.resources"),
        (reserve(vec![fixed.clone()], Vec::new()), "reserve.resources"),
        (reserve(vec![volume(8.0)], Vec::new()), "reserve.resources"),
        (unreserve(Vec::new()), "unreserve.resources"),
        (unreserve(vec![fixed]), "unreserve.resources"),
    ]);
    let cpus = || eng(scalar("cpus", 2.0));
    refused_at([
        (reserve(vec![cpus(), eng(scalar("mem", -1.0))], Vec::new()), "reserve.resources[1].scalar.value"),
        (reserve(vec![cpus()], vec![scalar("cpus", 3.0)]), "reserve.resources"),
        (reserve(vec![cpus()], vec![scalar("", 3.0)]), "reserve.source[0].name"),
    ]);
}

#[test]
fn a_volume_that_cannot_be_made_is_refused_by_its_field() {
    let eng = || reserved(scalar("disk", 8.0), &["eng"]);
    let at = |id: &str, path: &str, mode| create(vec![on(volume_info(id, path, mode), eng())]);
    let rw = volume::Mode::Rw;
    refused_at([
        (create(vec![eng()]), "create.volumes"),
        (create(vec![on(volume_info("data", "data", rw), scalar("disk", 8.0))]), "create.volumes"),
        (at("data", "data", volume::Mode::Ro), "create.volumes"),
        (at("data", "/etc", rw), "create.volumes"),
        (at("data", "../up", rw), "create.volumes"),
        (at("a/b", "data", rw), "create.volumes[0].disk.persistence.id"),
        (at("..", "data", rw), "create.volumes[0].disk.persistence.id"),
        (destroy(vec![scalar("cpus", 2.0)]), "destroy.volumes"),
    ]);
}

#[test]
fn a_wrong_conversion_spoils_only_itself() {
    let wrong = offer::Operation {
        id: Some(mesos::OperationId { value: "o1".to_owned() }),
        ..unreserve(vec![scalar("cpus", 1.0)])
    };
    let right = reserve(vec![reserved(scalar("cpus", 2.0), &["eng"])], Vec::new());
    let accept = wire_call::Accept { operations: vec![wrong, of(Type::Create), right], ..Default::default() };
    let wire = scheduler::Call { accept: Some(accept), ..a_call(wire_call::Type::Accept) };
    let Ok((_, Call::Accept { operations, .. })) = call::call_from_wire(wire) else { panic!("refused") };
    let [
        Operation::Invalid { id, name, reason },
        Operation::Invalid { id: None, reason: other, .. },
        Operation::Convert { .. },
    ] = &operations[..]
    else {
        panic!("{operations:?}")
    };
    assert_eq!((id.as_ref().map(|id| id.as_str()), name.as_str()), (Some("o1"), "UNRESERVE"));
    assert!(reason.starts_with("unreserve.resources: the topmost reservation of cpus"), "{reason}");
    assert_eq!(other, "create: is missing; set it");
}

#[test]
fn an_invalid_operation_stays_one_on_its_way() {
    let refused = operations_from_wire(vec![unreserve(Vec::new())]).unwrap();
    let wire = lonja_proto::convert::operation::operation_to_wire(&refused[0]);
    assert_eq!(why_invalid(wire), "unreserve: is missing; set it");
}

#[test]
fn only_an_operator_says_what_is_to_be_reserved_anew() {
    let ops = || vec![reserved(scalar("cpus", 2.0), &["ops"])];
    let wire = reserve(ops(), vec![reserved(scalar("cpus", 2.0), &["eng"])]);
    assert!(why_invalid(wire.clone()).starts_with("reserve.source: is for operators only"));
    let taken = conversion_from_wire(wire).unwrap();
    assert_eq!(taken, Conversion::reserve(taken.after().clone(), Some(taken.before().clone())).unwrap());
    // A source that goes without saying is none.
    let (said, unsaid) = (reserve(ops(), vec![scalar("cpus", 2.0)]), reserve(ops(), Vec::new()));
    assert_eq!(conversion_from_wire(said), conversion_from_wire(unsaid));
}

#[test]
fn an_operation_that_cannot_be_answered_refuses_the_call() {
    let id = |value: &str| Some(mesos::OperationId { value: value.to_owned() });
    let wire = |value| offer::Operation { id: id(value), ..reserve(Vec::new(), Vec::new()) };
    for bad in ["", "..", "a/b", "a\nb"] {
        assert_eq!(field_of(operations_from_wire(vec![wire("o1"), wire(bad)])), "[1].id.value", "{bad:?}");
    }
}

#[test]
fn one_call_converts_only_so_many_resources() {
    let full = |count| reserve(vec![reserved(scalar("cpus", 1.0), &["eng"]); count], Vec::new());
    let most = limits::RESOURCES_PER_CALL / limits::RESOURCES_PER_LIST;
    assert!(operations_from_wire(vec![full(limits::RESOURCES_PER_LIST); most]).is_ok());
    let mut one_more = vec![full(limits::RESOURCES_PER_LIST); most];
    one_more.push(full(1));
    let refusal = operations_from_wire(one_more).unwrap_err();
    assert!(refusal.to_string().contains("16385 resources, at most 16384 are taken"), "{refusal}");
    let long = full(limits::RESOURCES_PER_LIST + 1);
    assert!(why_invalid(long).starts_with("reserve.resources: holds 1025 entries, at most 1024"));
}

#[test]
fn what_was_made_of_an_agent_in_many_pieces_can_be_read_again() {
    // Given an agent whose ports were reserved one by one, and whose disk was cut into many volumes.
    let begins = (0..2 * limits::RANGES_PER_RESOURCE as u64).map(|n| (2 * n, 2 * n)).collect::<Vec<_>>();
    let ports = reserved(super::messages::ranges("ports", &begins), &["eng"]);
    let one = |n: usize| {
        let info = volume_info(&format!("v{n}"), "data", volume::Mode::Rw);
        on(info, reserved(scalar("disk", 1.0), &["eng"]))
    };
    let mut pieces: Vec<_> = (0..2 * limits::RESOURCES_PER_LIST).map(one).collect();
    pieces.push(ports);
    // Then its total is read, also where it is stored, but a list of anything else may not hold as much.
    let total = resources::all_resources_from_wire(pieces.clone()).unwrap();
    let stored = lonja_proto::convert::checkpoint::encode(&lonja_model::checkpoint::CheckpointOp::Total(
        total.clone(),
    ));
    let read = lonja_proto::convert::checkpoint::decode(&stored.value.unwrap()).unwrap();
    assert_eq!(read, lonja_model::checkpoint::CheckpointOp::Total(total));
    assert!(matches!(resources::resources_from_wire(pieces).unwrap_err().fault, Fault::TooMany { .. }));
}

#[test]
fn an_agent_that_says_nothing_of_its_total_has_what_it_registered_with() {
    let info = mesos::AgentInfo {
        hostname: "h".to_owned(),
        id: Some(mesos::AgentId { value: "a".to_owned() }),
        resources: vec![scalar("cpus", 4.0)],
        ..Default::default()
    };
    let total_of = |total| {
        let again = lonja::Reregister { info: Some(info.clone()), total, ..Default::default() };
        let message = Some(lonja::agent_message::Message::Reregister(again));
        match link::agent_message_from_wire(lonja::AgentMessage { message }) {
            Ok(lonja_model::link::FromAgent::Reregister { total, .. }) => total,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(total_of(None), plain("cpus:4"));
    assert_eq!(total_of(Some(lonja::Total::default())), Resources::new());
}

#[test]
fn an_agent_of_an_old_registry_is_active() {
    use lonja_proto::wire::lonja::registry::v1 as stored;
    use prost::Message;
    let agent = stored::Agent {
        agent_id: Some(mesos::AgentId { value: "a".to_owned() }),
        info: Some(mesos::AgentInfo { hostname: "h".to_owned(), ..Default::default() }),
        standing: Some(stored::agent::Standing::Admitted(stored::Admitted {})),
        duty: None,
    };
    let entry = stored::Entry { format: 1, entry: Some(stored::entry::Entry::Agent(agent)) };
    match registry::decode(&entry.encode_to_vec()).unwrap() {
        lonja_model::registry::RegistryOp::Agent(_, Some(record)) => assert!(record.duty.is_active()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_status_of_an_operation_is_well_formed_or_refused() {
    let good = mesos::OperationStatus {
        state: mesos::OperationState::OperationFinished.into(),
        ..Default::default()
    };
    let read = operation_status::operation_status_from_wire;
    assert_eq!(read(good.clone()).unwrap().state, OperationState::Finished);
    let with = |change: fn(&mut mesos::OperationStatus)| {
        let mut wire = good.clone();
        change(&mut wire);
        field_of(read(wire))
    };
    assert_eq!(with(|status| status.state = 0), "state");
    assert_eq!(with(|status| status.state = 77), "state");
    assert_eq!(with(|status| status.uuid = Some(mesos::Uuid { value: vec![1; 15] })), "uuid.value");
    assert_eq!(
        with(|status| status.operation_id = Some(mesos::OperationId::default())),
        "operation_id.value"
    );
    assert_eq!(with(|status| status.agent_id = Some(mesos::AgentId::default())), "agent_id.value");
    assert_eq!(with(|status| status.resource_provider_id = Some(Default::default())), "resource_provider_id");
    assert_eq!(
        with(|status| status.converted_resources = vec![scalar("cpus", f64::NAN)]),
        "converted_resources[0].scalar.value"
    );
}

#[test]
fn a_record_of_an_operation_is_not_pending_and_has_a_uuid() {
    let wire = |state: mesos::OperationState, uuid: usize| mesos::Operation {
        info: reserve(vec![reserved(scalar("cpus", 2.0), &["eng"])], Vec::new()),
        latest_status: mesos::OperationStatus { state: state.into(), ..Default::default() },
        uuid: mesos::Uuid { value: vec![7; uuid] },
        ..Default::default()
    };
    use mesos::OperationState::{OperationFailed, OperationPending};
    let read = operation_status::operation_record_from_wire;
    assert!(read(wire(OperationFailed, 16)).is_ok());
    assert_eq!(field_of(read(wire(OperationPending, 16))), "latest_status.state");
    assert_eq!(read(wire(OperationFailed, 17)).unwrap_err().fault, Fault::OperationUuid(17));
    let no_info = mesos::Operation { info: Default::default(), ..wire(OperationFailed, 16) };
    assert_eq!(field_of(read(no_info)), "info.type");
}

#[test]
fn a_converted_resource_is_shown_as_its_framework_understands_it() {
    let reserved =
        conversion_from_wire(reserve(vec![reserved(scalar("cpus", 2.0), &["eng"])], Vec::new())).unwrap();
    let status = lonja_model::operation::OperationStatus {
        operation: None,
        state: OperationState::Finished,
        message: Some("ä".repeat(limits::TEXT_BYTES)),
        converted: reserved.after().clone(),
        update: None,
        agent: None,
    };
    let told = lonja_model::scheduler::Event::OperationUpdate(Box::new(status));
    let old =
        event::event_to_wire(&told, Shape { roles: false, reservations: resources::ReservationForm::Old });
    let shown = &old.update_operation_status.as_ref().unwrap().status;
    assert!(shown.converted_resources.iter().all(|resource| resource.reservations.is_empty()));
    let read: Result<_, Refusal> = event::event_from_wire(old);
    let lonja_model::scheduler::Event::OperationUpdate(read) = read.unwrap() else { panic!("another event") };
    assert_eq!(read.converted, *reserved.after());
    assert_eq!(read.message.unwrap().len(), limits::TEXT_BYTES, "cut, and not refused");
}

#[test]
fn an_operation_on_the_link_makes_no_other_message_larger() {
    // The messages of all links wait in queues; those of operations are rare.
    assert!(size_of::<lonja::MasterMessage>() <= 1024, "{}", size_of::<lonja::MasterMessage>());
    assert!(size_of::<lonja::AgentMessage>() <= 1536, "{}", size_of::<lonja::AgentMessage>());
    assert!(size_of::<offer::Operation>() <= 4096, "{}", size_of::<offer::Operation>());
}
