//! The bytes themselves: what was written once is what is written now, and is read as the same value.
//!
//! A change here is a change of the wire, which existing clients and stored data would feel. When one is
//! meant, `LONJA_WRITE_GOLDEN=1 cargo test -p lonja-proto golden` writes the files anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use lonja_model::attributes::Attributes;
use lonja_model::constraints::OfferConstraints;
use lonja_model::container::{Command, ContainerInfo, Program, Volume};
use lonja_model::files::VolumeSource;
use lonja_model::framework::{Capability, FrameworkInfo};
use lonja_model::io_limits::IoLimits;
use lonja_model::labels::Labels;
use lonja_model::offer::{Filters, Offer};
use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::resources::Resources;
use lonja_model::scheduler::{Call, Event};
use lonja_model::task::{Limit, Reason, Source, TaskInfo, TaskState, TaskStatus};
use lonja_model::{AgentId, FrameworkId, OfferId, Role, TaskId, Timestamp, UpdateId};
use lonja_proto::convert::{Shape, call, event, resources};
use lonja_proto::json;
use lonja_proto::mesos::{self, scheduler};
use prost::Message;

pub(crate) fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("LONJA_WRITE_GOLDEN").is_some() {
        fs::write(&path, bytes).unwrap();
    }
    let kept = fs::read(&path).unwrap();
    assert!(kept == bytes, "{name}: the bytes on the wire are not what they were");
    kept
}

pub(crate) fn framework() -> FrameworkId {
    FrameworkId::new("c-1-0000").unwrap()
}

pub(crate) fn agent() -> AgentId {
    AgentId::new("c-1-S0").unwrap()
}

/// The same message as JSON, in a file beside it.
pub(crate) fn golden_json<M: Message + prost::Name + Default>(name: &str, wire: &M) {
    let kept = golden(&name.replace(".bin", ".json"), &json::encode(wire));
    // Defaults that were written are set once they are read.
    let read: M = json::decode(&kept).unwrap();
    assert_eq!(String::from_utf8_lossy(&json::encode(&read)), String::from_utf8_lossy(&kept));
}

pub(crate) fn same_call(name: &str, call: &Call) {
    let wire = call::call_to_wire(Some(&framework()), call).unwrap();
    golden_json(name, &wire);
    let kept = golden(name, &wire.encode_to_vec());
    let (said, read) = call::call_from_wire(scheduler::Call::decode(kept.as_slice()).unwrap()).unwrap();
    assert_eq!((said, &read), (Some(framework()), call));
}

pub(crate) fn same_event(name: &str, event: &Event) {
    let wire = event::event_to_wire(event, Shape::FULL);
    golden_json(name, &wire);
    let kept = golden(name, &wire.encode_to_vec());
    let read = event::event_from_wire(scheduler::Event::decode(kept.as_slice()).unwrap());
    assert_eq!(read.as_ref(), Ok(event));
}

pub(crate) fn framework_info() -> FrameworkInfo {
    FrameworkInfo {
        user: "root".to_owned(),
        name: "batch".to_owned(),
        failover_timeout: Duration::from_secs(60),
        checkpoint: true,
        hostname: Some("h1".to_owned()),
        principal: None,
        webui_url: None,
        capabilities: BTreeSet::from([Capability::MultiRole, Capability::PartitionAware]),
        labels: Labels(vec![("team".to_owned(), Some("eng".to_owned()))]),
        roles: BTreeSet::from([Role::new("eng/web").unwrap(), Role::default_role()]),
        minimum_offers: BTreeMap::new(),
    }
}

#[test]
fn subscribe() {
    let info = framework_info();
    let suppressed = BTreeSet::from([Role::default_role()]);
    let constraints = OfferConstraints::default();
    let call =
        Call::Subscribe { framework: Some(framework()), info: Box::new(info), suppressed, constraints };
    same_call("subscribe.bin", &call);
}

#[test]
fn offers() {
    let offer = Offer {
        id: OfferId::new("c-1-O0").unwrap(),
        framework: framework(),
        agent: agent(),
        role: Role::new("eng").unwrap(),
        hostname: "h1".to_owned(),
        port: 5051,
        resources: Resources::parse("cpus:4;mem:8192;ports:[31000-31009,31020-31029];disks:{sda,sdb}")
            .unwrap(),
        attributes: Attributes::parse("rack:r1;slots:[1-5];speed:2.5").unwrap(),
        domain: None,
        executors: Vec::new(),
        unavailability: None,
    };
    same_event("offers.bin", &Event::Offers(vec![offer]));
}

#[test]
fn accept_with_launch() {
    let task = TaskInfo {
        name: "count".to_owned(),
        id: TaskId::new("t1").unwrap(),
        agent: agent(),
        resources: Resources::parse("cpus:0.5;mem:32").unwrap(),
        limits: BTreeMap::from([("cpus".to_owned(), Limit::Infinite)]),
        command: Command {
            program: Program::Exec {
                path: "wc".to_owned(),
                arguments: vec!["wc".to_owned(), "-l".to_owned()],
            },
            environment: BTreeMap::from([("LANG".to_owned(), "C".to_owned())]),
            user: Some("nobody".to_owned()),
            uris: Vec::new(),
            secrets: BTreeMap::new(),
        },
        container: ContainerInfo {
            stdin: false,
            volumes: vec![Volume {
                source: VolumeSource::Host("/data".to_owned()),
                container_path: "in".to_owned(),
                read_only: true,
            }],
            hostname: None,
            io: IoLimits::default(),
            privileges: Default::default(),
            profile: None,
            network: Default::default(),
            tty: None,
            parent_volumes: Vec::new(),
        },
        kill_grace: Some(Duration::from_secs(3)),
        max_completion_time: Some(Duration::from_secs(3600)),
        labels: Labels::default(),
        discovery: None,
        executor: None,
        data: Vec::new(),
        health_check: None,
        check: None,
    };
    let operations = vec![Operation::Launch(vec![LaunchTask::Valid(Box::new(task))])];
    let offers = vec![OfferId::new("c-1-O0").unwrap()];
    same_call("accept.bin", &Call::Accept { offers, operations, filters: Filters::DEFAULT });
}

#[test]
fn update() {
    let now = Timestamp::from_nanos(1_700_000_000_123_456_789);
    let status = TaskStatus::new(TaskId::new("t1").unwrap(), TaskState::Failed, Source::Executor, now)
        .because(Reason::ContainerLimitationMemory)
        .saying("over its memory limit of 32 MiB")
        .on(agent());
    let status = TaskStatus { update: Some(UpdateId(*b"0123456789abcdef")), pid: Some(4711), ..status };
    same_event("update.bin", &Event::Update(Box::new(status)));
}

#[test]
fn devices() {
    let gpus = Resources::parse("gpus:{0:1000,1:540,2:1000}").unwrap();
    let wire = resources::resources_to_wire(&gpus, None, Shape::FULL);
    assert_eq!(wire[0].scalar.map(|scalar| scalar.value), Some(2.0), "a Mesos client sees whole devices");
    let kept = golden("devices.bin", &wire[0].encode_to_vec());
    let read = mesos::Resource::decode(kept.as_slice()).unwrap();
    assert_eq!(resources::resources_from_wire(vec![read]), Ok(gpus));
}
