//! A framework that keeps its data: it reserves disk, makes a volume of it and writes there, in one ACCEPT; another of its
//! role finds the data after every daemon was killed.

use lonja_sdk::model::OperationId;
use lonja_sdk::model::labels::Labels;
use lonja_sdk::model::operation::{Conversion, OperationState, OperationStatus};
use lonja_sdk::model::resources::{
    Disk, Metadata, Persistence, Reservation, ReservationKind, Resource, Scalar, Value,
};
use lonja_sdk::prelude::*;
use lonja_tests::{Cluster, needs_root};

const RESOURCES: &str = "cpus:2;mem:1024;disk:1024;ports:[31000-31010]";

/// Runs one script on the volume `db`, which it makes if it is not there.
struct Keeper {
    script: &'static str,
    launched: bool,
    made: Vec<(String, OperationState)>,
    end: Option<TaskState>,
}

impl Keeper {
    fn new(script: &'static str) -> Self {
        Self { script, launched: false, made: Vec::new(), end: None }
    }

    fn steps(&self, offer: &Offer) -> Option<Vec<Step>> {
        let task = Task::shell(self.script).unwrap().cpus(0.1).unwrap().mem_mib(32.0).unwrap();
        let mut task = task.on(offer, TaskId::new("writer").unwrap())?;
        let there = offer
            .resources
            .filter(|one| one.metadata().disk.as_ref().is_some_and(|disk| disk.persistence.is_some()));
        let mut steps = Vec::new();
        let volume = if there.is_empty() {
            let conversion = |name: &str, conversion| Step::Convert {
                id: Some(OperationId::new(name).unwrap()),
                conversion,
            };
            steps.push(conversion("reserve", Conversion::reserve(disk(None), None).unwrap()));
            let volume = disk(Some("db"));
            steps.push(conversion("create", Conversion::create(volume.clone()).unwrap()));
            volume
        } else {
            there
        };
        task.resources = task.resources.checked_add(&volume).unwrap();
        steps.push(Step::Launch(vec![task]));
        Some(steps)
    }
}

/// 64 MiB reserved for `eng`, as a volume or not.
fn disk(volume: Option<&str>) -> Resources {
    let reservation = Reservation {
        kind: ReservationKind::Dynamic,
        role: lonja_sdk::model::Role::new("eng").unwrap(),
        principal: None,
        labels: Labels::default(),
    };
    let disk = volume.map(|id| Disk {
        persistence: Some(Persistence { id: id.to_owned(), principal: None }),
        container_path: Some("data".to_owned()),
        read_only: false,
        source: None,
    });
    let metadata = Metadata { reservations: vec![reservation], disk, ..Metadata::default() };
    let size = Value::Scalar(Scalar::from_units(64).unwrap());
    Resources::of([Resource::with_metadata("disk", size, metadata).unwrap()]).unwrap()
}

impl Scheduler for Keeper {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let found = offers.iter().find_map(|offer| Some((offer, self.steps(offer)?)));
        match found.filter(|_| !self.launched) {
            None => Plan::new(),
            Some((offer, steps)) => {
                self.launched = true;
                Plan::new().accept([offer], steps)
            }
        }
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        if !status.state.is_terminal() {
            return Plan::new();
        }
        self.end = Some(status.state);
        Plan::new().tear_down()
    }

    fn operation(&mut self, _now: Timestamp, status: &OperationStatus) -> Plan {
        let name = status.operation.as_ref().map(ToString::to_string).unwrap_or_default();
        self.made.push((name, status.state));
        Plan::new()
    }
}

/// The scheduler once its task has ended.
fn keep(cluster: &Cluster, script: &'static str) -> Keeper {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = FrameworkOptions::named("keeper").role("eng").unwrap();
    let run = Driver::new(cluster.url(), options).run(Keeper::new(script));
    let run = async { tokio::time::timeout(std::time::Duration::from_secs(60), run).await };
    runtime.block_on(run).expect("the task ends within a minute").unwrap().0
}

#[test]
fn what_a_task_writes_to_its_volume_is_there_after_every_daemon_was_killed() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start_with(&[], RESOURCES);
    let first = keep(&cluster, "echo kept > data/file");
    assert_eq!(first.end, Some(TaskState::Finished));
    let finished = |name: &str| (name.to_owned(), OperationState::Finished);
    assert_eq!(first.made, [finished("reserve"), finished("create")]);
    assert_eq!(cluster.done(&["volumes"])[0]["id"], "db");

    cluster.agent.take().unwrap().kill9();
    cluster.restart_master(&[]);
    cluster.start_agent(RESOURCES);

    let second = keep(&cluster, "grep -qx kept data/file");
    assert_eq!((second.end, second.made), (Some(TaskState::Finished), vec![]));
}
