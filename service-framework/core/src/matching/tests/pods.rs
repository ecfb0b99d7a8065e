//! Pods: one group on one agent.

use std::time::Duration;

use lonja_model::check::Probe;
use lonja_model::container::Program;

use super::*;
use crate::definition::{
    Endpoint, EnvValue, PodContainer, PodHealthCheck, PodProbe, PodVolume, PodVolumeKind, VolumeMount,
};

fn container(name: &str, change: impl FnOnce(&mut PodContainer)) -> PodContainer {
    let mut container = PodContainer {
        name: name.to_owned(),
        shell: Some("serve".to_owned()),
        argv: Vec::new(),
        override_entrypoint: None,
        cpus: units(1),
        mem: units(64),
        disk: Scalar::ZERO,
        gpus: 0,
        resource_limits: None,
        endpoints: Vec::new(),
        image: None,
        environment: BTreeMap::new(),
        user: None,
        health_check: None,
        check: None,
        volume_mounts: Vec::new(),
        artifacts: Vec::new(),
        labels: BTreeMap::new(),
        kill_grace: None,
        linux_info: None,
        tty: None,
    };
    change(&mut container);
    container
}

fn endpoint(name: &str, container_port: Option<u16>, host_port: Option<u16>) -> Endpoint {
    Endpoint { name: name.to_owned(), container_port, host_port, ..Endpoint::default() }
}

fn text(text: &str) -> EnvValue {
    EnvValue::Text(text.to_owned())
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), read_only: false }
}

fn shop() -> RunSpec {
    pod(|pod| {
        pod.environment.insert("A".to_owned(), text("pod"));
        pod.environment.insert("B".to_owned(), text("pod"));
        pod.environment.insert("MARATHON_APP_ID".to_owned(), text("not this"));
        pod.labels.insert("tier".to_owned(), "front".to_owned());
        pod.volumes = vec![PodVolume { name: "scratch".to_owned(), kind: PodVolumeKind::Ephemeral }];
        pod.containers = vec![
            container("web", |web| {
                web.environment.insert("A".to_owned(), text("container"));
                web.labels.insert("own".to_owned(), "yes".to_owned());
                web.endpoints = vec![endpoint("http-api", None, Some(0))];
                web.volume_mounts = vec![mount("scratch", "shared")];
                web.health_check = Some(PodHealthCheck {
                    probe: PodProbe::Http { endpoint: "http-api".to_owned(), path: None, https: false },
                    grace: Duration::from_secs(300),
                    interval: Duration::from_secs(60),
                    timeout: Duration::from_secs(20),
                    max_consecutive_failures: 3,
                    delay: Duration::from_secs(15),
                });
            }),
            container("ship", |ship| {
                (ship.shell, ship.argv) = (None, vec!["ship".to_owned()]);
                ship.endpoints = vec![endpoint("inner", Some(9_000), None)];
            }),
        ];
    })
}

#[test]
fn a_pod_is_one_group_with_what_its_executor_needs() {
    let (matched, _, used) =
        Case::new(&shop()).on(&[offer("a", "cpus:2.1;mem:160;disk:10;ports:[31000-31000]", "")]);
    let matched = matched.unwrap();
    let containers: Vec<_> =
        matched.tasks.iter().map(|(_, container)| container.as_deref().unwrap()).collect();
    assert_eq!((containers, matched.place.ports), (vec!["web", "ship"], vec![31_000]));
    let [Step::LaunchGroup { executor, tasks }] = &used[0].1[..] else { panic!("{used:?}") };
    assert_eq!(executor.resources.to_string(), "cpus:0.1;disk:10;mem:32");
    assert_eq!(tasks[0].resources.to_string(), "cpus:1;mem:64;ports:[31000-31000]");
    assert_eq!(tasks[1].resources.to_string(), "cpus:1;mem:64");
    assert_eq!(
        tasks[1].command.program,
        Program::Exec { path: "ship".to_owned(), arguments: vec!["ship".to_owned()] }
    );
    assert_eq!(tasks[0].container.parent_volumes[0].path, "volumes/scratch");
    assert_eq!(tasks[0].discovery.as_ref().unwrap().name.as_deref(), Some("shop.prod"));
    let Probe::Http(http) = &tasks[0].health_check.as_ref().unwrap().probe else { panic!("no request") };
    assert_eq!(http.port, 31_000);
    let short = Case::new(&shop()).agent(&[offer("a", "cpus:2;mem:160;disk:10;ports:[31000-31000]", "")]);
    assert_eq!(short.unwrap_err(), "InsufficientCpus: cpus: wants 2.1, 2 free");
}

#[test]
fn what_is_generated_for_a_pod_stands_over_what_was_asked_for() {
    let (_, _, used) =
        Case::new(&shop()).on(&[offer("a", "cpus:4;mem:1024;disk:10;ports:[31000-31000]", "")]);
    let Step::LaunchGroup { tasks, .. } = &used[0].1[0] else { panic!("{used:?}") };
    let lines: Vec<String> =
        tasks[0].command.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let golden = [
        "A=container",
        "B=pod",
        "ENDPOINT_HTTP_API=31000",
        "ENDPOINT_INNER=9000",
        "EP_CONTAINER_INNER=9000",
        "EP_HOST_HTTP_API=31000",
        "HOST=a.example",
        "MARATHON_APP_ID=/prod/shop",
        "MARATHON_APP_LABELS=OWN TIER",
        "MARATHON_APP_LABEL_OWN=yes",
        "MARATHON_APP_LABEL_TIER=front",
        "MARATHON_APP_VERSION=2015-09-30T09:09:17.614Z",
        "MARATHON_CONTAINER_ID=web",
        "MARATHON_CONTAINER_RESOURCE_CPUS=1.0",
        "MARATHON_CONTAINER_RESOURCE_DISK=0.0",
        "MARATHON_CONTAINER_RESOURCE_GPUS=0",
        "MARATHON_CONTAINER_RESOURCE_MEM=64.0",
        "MESOS_EXECUTOR_ID=prod_shop.instance-00000000-0000-4000-8000-000000000001.1",
        "MESOS_TASK_ID=prod_shop.instance-00000000-0000-4000-8000-000000000001.web.1",
    ];
    assert_eq!(lines, golden);
}

#[test]
fn a_pods_data_go_to_the_container_that_mounts_them() {
    let spec = pod(|pod| {
        pod.role = "web".to_owned();
        pod.volumes =
            vec![PodVolume { name: "data".to_owned(), kind: PodVolumeKind::Persistent(persistent(100)) }];
        let db = container("db", |db| db.volume_mounts = vec![mount("data", "/var/data")]);
        pod.containers = vec![container("web", |_| ()), db];
    });
    let offer = Offer { role: Role::new("web").unwrap(), ..offer("a", "cpus:4;mem:1024;disk:200", "") };
    let (matched, _, used) = Case::new(&spec).on(&[offer]);
    let volume = &matched.unwrap().place.volumes[0];
    assert!(volume.persistence_id.starts_with("prod_shop#data#"), "{volume:?}");
    let [Step::Convert { .. }, Step::Convert { .. }, Step::LaunchGroup { tasks, .. }] = &used[0].1[..] else {
        panic!("{used:?}")
    };
    let holds = |task: &lonja_model::TaskInfo| {
        let disks = task.resources.iter().filter_map(|one| one.metadata().disk.as_ref());
        disks.filter_map(|disk| disk.container_path.clone()).collect::<Vec<_>>()
    };
    assert_eq!((holds(&tasks[0]), holds(&tasks[1])), (vec![], vec!["var/data".to_owned()]));
}
