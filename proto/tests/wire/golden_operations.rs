//! The bytes of what is stored, and of conversions: as in [`super::golden`].

use std::collections::BTreeMap;
use std::time::Duration;

use lonja_model::agent::AgentInfo;
use lonja_model::attributes::Attributes;
use lonja_model::checkpoint::CheckpointOp;
use lonja_model::constraints::{
    AttributeConstraint, ConstraintGroup, OfferConstraints, Predicate, RoleConstraints, Selector,
};
use lonja_model::link::ToAgent;
use lonja_model::maintenance::{Drain, Duty, Machine, MachineId, MachineMode, Unavailability};
use lonja_model::offer::{Filters, InverseOffer, ResourceRequest};
use lonja_model::operation::*;
use lonja_model::quota::Quota;
use lonja_model::registry::{AgentRecord, AgentStanding, RegistryOp};
use lonja_model::resources::*;
use lonja_model::scheduler::{Call, Event};
use lonja_model::{AgentId, FrameworkId, OfferId, OperationId, OperationUuid, Role, Timestamp, UpdateId};
use lonja_proto::convert::{checkpoint, link, registry};
use lonja_proto::lonja;
use prost::Message;

use super::golden::{agent, framework, framework_info, golden, same_call, same_event};

const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_123_456_789);

fn eng() -> Role {
    Role::new("eng").unwrap()
}

fn reserved(text: &str) -> Resources {
    let layer = Reservation { kind: ReservationKind::Dynamic, ..Reservation::fixed(eng()) };
    let layer = Reservation { principal: Some("ops".to_owned()), ..layer };
    let one = |resource: &Resource| {
        let metadata = Metadata { reservations: vec![layer.clone()], ..resource.metadata().clone() };
        Resource::with_metadata(resource.name(), resource.value().clone(), metadata).unwrap()
    };
    Resources::of(Resources::parse(text).unwrap().iter().map(one)).unwrap()
}

fn volume(size: &str) -> Resource {
    let all = reserved(&format!("disk:{size}"));
    let plain = all.iter().next().unwrap();
    let source = DiskSourceKind::Path { root: Some("/mnt/d0".to_owned()) };
    let disk = Disk {
        persistence: Some(Persistence { id: "data".to_owned(), principal: Some("ops".to_owned()) }),
        container_path: Some("data".to_owned()),
        read_only: false,
        source: Some(DiskSource {
            kind: source,
            id: None,
            metadata: Default::default(),
            profile: None,
            vendor: None,
        }),
    };
    let metadata = Metadata { disk: Some(disk), ..plain.metadata().clone() };
    Resource::with_metadata("disk", plain.value().clone(), metadata).unwrap()
}

fn all_conversions() -> Vec<Conversion> {
    let one = |resource: Resource| Resources::of([resource]).unwrap();
    let grown = Conversion::shrink(volume("10"), Scalar::from_units(4).unwrap()).unwrap();
    let freed =
        grown.after().iter().find(|part| part.metadata().disk.as_ref().unwrap().persistence.is_none());
    vec![
        Conversion::reserve(reserved("cpus:2;ports:[31000-31009]"), None).unwrap(),
        Conversion::unreserve(reserved("cpus:1")).unwrap(),
        Conversion::create(one(volume("10"))).unwrap(),
        Conversion::destroy(one(volume("10"))).unwrap(),
        Conversion::grow(volume("6"), freed.unwrap().clone()).unwrap(),
        grown,
    ]
}

fn record() -> OperationRecord {
    let id = Some(OperationId::new("o1").unwrap());
    let conversion = Conversion::create(Resources::of([volume("10")]).unwrap()).unwrap();
    let converted = conversion.after().clone();
    OperationRecord {
        operation: AgentOperation {
            uuid: OperationUuid(*b"operation-uuid-1"),
            framework: Some(framework()),
            id: id.clone(),
            conversion,
        },
        status: OperationStatus {
            operation: id,
            state: OperationState::Finished,
            message: Some("done".to_owned()),
            converted,
            update: Some(UpdateId(*b"0123456789abcdef")),
            agent: Some(agent()),
        },
    }
}

fn unavailability() -> Unavailability {
    Unavailability { start: NOW, duration: Some(Duration::from_secs(3600)) }
}

fn same_registry(name: &str, key: &str, change: &RegistryOp) {
    let stored = registry::encode(change);
    assert_eq!(stored.key, key.as_bytes());
    assert_eq!(registry::decode(&golden(name, &stored.value.unwrap())).as_ref(), Ok(change));
}

fn same_checkpoint(name: &str, key: &str, change: &CheckpointOp) {
    let stored = checkpoint::encode(change);
    assert_eq!(stored.key, key.as_bytes());
    assert_eq!(checkpoint::decode(&golden(name, &stored.value.unwrap())).as_ref(), Ok(change));
}

#[test]
fn accept_with_conversions() {
    let convert = |(number, conversion)| Operation::Convert {
        id: (number % 2 == 0).then(|| OperationId::new(format!("o{number}")).unwrap()),
        conversion,
    };
    let operations = all_conversions().into_iter().enumerate().map(convert).collect();
    let offers = vec![OfferId::new("c-1-O0").unwrap()];
    same_call("accept_conversions.bin", &Call::Accept { offers, operations, filters: Filters::DEFAULT });
}

#[test]
fn update_framework_with_constraints() {
    let info = framework_info();
    let one = |selector, predicate| AttributeConstraint { selector, predicate };
    let group = ConstraintGroup(vec![
        one(Selector::Attribute("rack".to_owned()), Predicate::TextMatches("r[1-4]".to_owned())),
        one(Selector::Zone, Predicate::TextNotEquals("z9".to_owned())),
    ]);
    let other = ConstraintGroup(vec![one(Selector::Hostname, Predicate::Exists)]);
    let roles = BTreeMap::from([(Role::default_role(), RoleConstraints(vec![group, other]))]);
    let constraints = OfferConstraints(roles);
    let call = Call::UpdateFramework { info: Box::new(info), suppressed: Default::default(), constraints };
    same_call("update_framework.bin", &call);
}

#[test]
fn request() {
    let needs = Resources::parse("cpus:2;mem:1024").unwrap().quantities();
    let requests = vec![ResourceRequest { agent: Some(agent()), role: Some(eng()), needs }];
    same_call("request.bin", &Call::Request { requests });
}

#[test]
fn operation_update() {
    same_event("operation_update.bin", &Event::OperationUpdate(Box::new(record().status)));
}

#[test]
fn inverse_offers() {
    let offer = InverseOffer {
        id: OfferId::new("c-1-I0").unwrap(),
        framework: FrameworkId::new("c-1-0000").unwrap(),
        agent: AgentId::new("c-1-S0").unwrap(),
        unavailability: unavailability(),
    };
    same_event("inverse_offers.bin", &Event::InverseOffers(vec![offer]));
}

#[test]
fn apply() {
    let order = ToAgent::Apply { operation: Box::new(record().operation) };
    let kept = golden("apply.bin", &link::master_message_to_wire(&order).encode_to_vec());
    let read = link::master_message_from_wire(lonja::MasterMessage::decode(kept.as_slice()).unwrap());
    assert_eq!(read, Ok(order));
}

#[test]
fn stored_quota() {
    let amounts = |text: &str| Resources::parse(text).unwrap().quantities();
    let quota = Quota { guarantees: amounts("cpus:2.5"), limits: amounts("cpus:10;mem:4096") };
    same_registry("registry_quota.bin", "quota/eng", &RegistryOp::Quota(eng(), Some(quota)));
}

#[test]
fn stored_machine() {
    let id = MachineId { hostname: "rack1-host7".to_owned(), ip: Some("10.0.0.7".to_owned()) };
    let machine = Machine { mode: MachineMode::Down, unavailability: unavailability() };
    let change = RegistryOp::Machine(id, Some(machine));
    same_registry("registry_machine.bin", "machine/rack1-host7", &change);
}

#[test]
fn stored_duty() {
    let drain = Drain { max_grace: Some(Duration::from_secs(30)), mark_gone: true };
    let info = AgentInfo {
        hostname: "h1".to_owned(),
        port: 5051,
        resources: Resources::parse("cpus:4").unwrap(),
        attributes: Attributes::default(),
        domain: None,
        id: None,
    };
    let agent_with = |duty| {
        let record = AgentRecord { info: info.clone(), standing: AgentStanding::Admitted, duty };
        RegistryOp::Agent(agent(), Some(Box::new(record)))
    };
    same_registry("registry_agent.bin", "agent/c-1-S0", &agent_with(Duty::Active));
    same_registry("registry_agent_draining.bin", "agent/c-1-S0", &agent_with(Duty::Draining(drain)));
}

#[test]
fn stored_total() {
    let one = Resources::of([volume("10")]).unwrap();
    let total = Resources::parse("cpus:4;mem:8192").unwrap().checked_add(&one).unwrap();
    same_checkpoint("checkpoint_total.bin", "total", &CheckpointOp::Total(total));
}

#[test]
fn stored_operation() {
    let record = record();
    let change = CheckpointOp::Operation(record.operation.uuid, Some(Box::new(record)));
    let key = "operation/6f7065726174696f6e2d757569642d31";
    same_checkpoint("checkpoint_operation.bin", key, &change);
}
