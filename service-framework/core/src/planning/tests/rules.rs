//! Rule by rule.

use super::*;
use crate::definition::{
    AppVolume, Autoscale, Container, Engine, ExecutorResources, HealthCheck, Measure, Persistent,
    PersistentKind, Pod, Strategy, VolumeKind,
};
use crate::groups::{as_of, removal, scale_by};
use crate::planning::{check_job_name, revert};

#[test]
fn what_is_new_starts_and_then_scales_layer_by_layer() {
    let mut world = World::default();

    let plan =
        world.change(put([after("/web", &["/api"]), after("/api", &["/db"]), app("/db"), app("/log")]));

    assert_eq!(
        steps(&plan),
        "Start /api, Start /db, Start /log, Start /web | Scale /db, Scale /log | Scale /api | Scale /web"
    );
    assert!(plan.original.values().all(Option::is_none));
}

#[test]
fn what_goes_goes_first_and_at_once() {
    let mut world = World::with([after("/web", &["/db"]), app("/db"), app("/old")]);

    let mut change = put([app("/new")]);
    change.specs.extend(remove("/old").specs);
    change.specs.extend(remove("/db").specs);

    assert_eq!(steps(&world.change(change)), "Stop /db, Stop /old | Start /new | Scale /new");
}

#[test]
fn a_change_that_changes_nothing_has_no_steps_and_touches_nothing() {
    let mut world = World::with([with_ports("/a", &[0]), app("/b")]);

    let same = world.app("/a");
    for change in [put([same]), put([with_ports("/a", &[0]), app("/b")]), Change::default()] {
        let plan = world.change(change);
        assert!(plan.steps.is_empty() && plan.target.is_empty() && plan.target_groups.is_empty(), "{plan:?}");
    }
}

#[test]
fn a_plan_says_which_way_a_definition_was_changed() {
    let mut world = World::with([app("/a")]);
    let version = |world: &World| {
        let VersionInfo { version, last_scaling, last_config } = world.app("/a").version;
        (version.0, last_scaling.0, last_config.0)
    };
    assert_eq!(version(&world), (1, 1, 1));

    let plan = world.change(put([App { instances: 3, ..app("/a") }]));
    assert_eq!((steps(&plan).as_str(), version(&world)), ("Scale /a", (2, 2, 1)));

    let autoscale = Some(Autoscale {
        minimum: 1,
        maximum: 9,
        measure: Measure::Cpu,
        target: 0.5,
        cooldown: secs(60),
        stabilisation: secs(300),
    });
    let plan = world.change(put([App { autoscale, instances: 3, ..app("/a") }]));
    assert_eq!((steps(&plan).as_str(), version(&world)), ("", (3, 2, 1)));
    assert_eq!(plan.target.len(), 1, "it is kept all the same");

    let labels = [("tier".to_owned(), "front".to_owned())].into();
    let plan = world.change(put([App { labels, kill_grace: Some(secs(9)), ..world.app("/a") }]));
    assert_eq!((steps(&plan).as_str(), version(&world)), ("", (4, 2, 1)), "it only steers");

    let plan = world.change(put([App { cmd: Some("true".into()), instances: 4, ..world.app("/a") }]));
    assert_eq!((steps(&plan).as_str(), version(&world)), ("Restart /a", (5, 5, 5)));

    let plan = world.change(Change { restart: [id("/a")].into(), ..Change::default() });
    assert_eq!((steps(&plan).as_str(), version(&world)), ("Restart /a", (6, 6, 6)));

    let plan = world.change(put([App { instances: 0, cmd: None, ..world.app("/a") }]));
    assert_eq!(steps(&plan), "Scale /a", "nothing is replaced where nothing is to run");
}

#[test]
fn a_check_that_names_the_port_it_had_anyhow_starts_nothing() {
    use crate::definition::{CheckTarget, HealthProtocol};
    let checked = |protocol, target| {
        let check = HealthCheck {
            protocol,
            path: None,
            command: None,
            target,
            grace: secs(1),
            interval: secs(1),
            timeout: secs(1),
            max_consecutive_failures: 3,
            delay: secs(1),
            ip_protocol: Default::default(),
        };
        App { health_checks: vec![check], ..with_ports("/a", &[10_000, 10_001]) }
    };
    let mut world = World::with([checked(HealthProtocol::Http, CheckTarget::Default)]);
    let mut change = |target| steps(&world.change(put([checked(HealthProtocol::Http, target)])));
    assert_eq!(change(CheckTarget::Index(0)), "");
    assert_eq!(change(CheckTarget::Index(1)), "Restart /a");
}

#[test]
fn groups_on_the_way_to_a_change_are_made_and_get_its_version() {
    let mut world = World::with([app("/a/b/x"), app("/c/y")]);
    assert_eq!(world.tree.groups().keys().map(PathId::as_str).collect::<Vec<_>>(), ["/", "/a", "/a/b", "/c"]);

    world.change(put([App { instances: 2, ..app("/a/b/x") }]));

    let versions = world.tree.groups().values().map(|group| group.version.0).collect::<Vec<_>>();
    assert_eq!(versions, [2, 2, 2, 1]);
    world.change(remove("/c/y"));
    assert_eq!(world.tree.group(&id("/c")).unwrap().version, Version(3), "empty groups stay");
}

#[test]
fn a_group_goes_with_all_below_it() {
    let mut world = World::with([app("/a/b/x"), app("/a/y"), app("/ab/z")]);

    let plan = world.change(removal(id("/a")));

    assert_eq!(steps(&plan), "Stop /a/b/x, Stop /a/y");
    assert_eq!(world.tree.groups().keys().map(PathId::as_str).collect::<Vec<_>>(), ["/", "/ab"]);
    assert_eq!(steps(&world.change(removal(PathId::root()))), "Stop /ab/z");
    assert_eq!(world.tree.groups().keys().map(PathId::as_str).collect::<Vec<_>>(), ["/"]);
}

#[test]
fn what_a_change_names_stays_though_its_group_goes() {
    let mut world = World::with([app("/a/b/x"), app("/a/b/y")]);
    let mut change = put([app("/a/b/x")]);
    change.groups.insert(id("/a"), None);

    assert_eq!(steps(&world.change(change)), "Stop /a/b/y");
    assert!(world.tree.group(&id("/a/b")).is_some());
}

#[test]
fn changes_of_what_is_not_there_or_is_there_already_are_refused() {
    let world = World::with([app("/a"), app("/g/x")]);
    let unknown = |kind, id: &str| Err(Refused::Unknown { kind, id: id.into(), version: None });
    assert_eq!(world.plan(remove("/no")), unknown("App", "/no"));
    assert_eq!(world.plan(removal(id("/no"))), unknown("Group", "/no"));
    assert_eq!(
        world.plan(Change { restart: [id("/no")].into(), ..Change::default() }),
        unknown("App", "/no")
    );
    for (name, kind) in [("/a", "app"), ("/g", "group")] {
        let change = Change { create: [id(name)].into(), ..put([app(name)]) };
        assert_eq!(world.plan(change), Err(Refused::Exists { kind, id: id(name) }));
    }
}

#[test]
fn a_change_of_what_others_changed_meanwhile_is_stale() {
    let world = World::with([app("/a")]);
    let based_on = |version: Option<u64>| Change {
        based_on: [(id("/a"), version.map(Version))].into(),
        ..put([App { instances: 2, ..app("/a") }])
    };
    assert!(world.plan(based_on(Some(1))).is_ok());
    assert_eq!(world.plan(based_on(Some(7))), Err(Refused::Stale(id("/a"))));
    assert_eq!(world.plan(based_on(None)), Err(Refused::Stale(id("/a"))));
}

#[test]
fn what_has_the_name_of_another_kind_is_no_change_of_that() {
    let world = World::with([app("/a"), app("/g/x")]);
    let based_on = |name: &str| [(id(name), None)].into();
    let app_on_group = Change { based_on: based_on("/g"), ..put([app("/g")]) };
    let groups = [(id("/a"), Some(Group::new(id("/a"), Version(1))))].into();
    let group_on_app = Change { based_on: based_on("/a"), groups, ..Change::default() };
    for change in [app_on_group, group_on_app] {
        let refused = world.plan(change).unwrap_err();
        assert!(matches!(&refused, Refused::Invalid(faults) if faults[0].path == "/id"), "{refused:?}");
    }
}

#[test]
fn one_name_is_of_one_thing() {
    let mut world = World::with([app("/a"), app("/g/x")]);
    world.tree.add_job(id("/j"));
    for (change, expected) in [
        (put([app("/g")]), "/id: /g is a group and cannot be an app or pod"),
        (put([app("/a/b")]), "/id: /a cannot be a group and an app or pod"),
        (put([app("/j")]), "/id: /j is a job"),
        (put([app("/j/x")]), "/id: /j is a job and cannot be a group"),
        (put([app("/n"), app("/n/x")]), "/id: /n cannot be a group and an app or pod"),
        (put([app("/x/restart")]), "/id: /x/restart ends in a word of the API"),
        (Change { groups: [group("/a", &[])].into(), ..Change::default() }, "/id: /a cannot be a group"),
    ] {
        let faults = world.faults(change);
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected}: {faults:?}");
    }
}

#[test]
fn cycles_are_refused_with_the_way_round() {
    let world = World::with([after("/a", &["/b"]), app("/b"), app("/g/x"), after("/h/y", &["/g"])]);
    assert_eq!(
        world.faults(put([after("/b", &["/a"])])),
        ["/dependencies: the dependencies are cyclic: /b -> /a -> /b"]
    );
    assert_eq!(
        world.faults(put([after("/s", &["/s"])])),
        ["/dependencies: the dependencies are cyclic: /s -> /s"]
    );
    let groups = Change { groups: [group("/g", &["/h"])].into(), ..Change::default() };
    assert!(world.faults(groups)[0].contains("cyclic"));
    let joins = put([after("/g/new", &["/h/y"])]);
    assert!(world.faults(joins)[0].contains("/g/new -> /h/y -> /g/new"));
    assert!(world.plan(put([after("/b", &["/nowhere"])])).is_ok(), "what is not there is not waited for");
}

#[test]
fn all_of_a_group_waits_for_all_of_another() {
    let mut world = World::default();
    let mut change = put([app("/db/one"), app("/db/in/two"), app("/web/in/x"), app("/web/y")]);
    change.groups.extend([group("/web", &["/db"])]);

    let plan = world.change(change);

    assert!(
        steps(&plan).ends_with(" | Scale /db/in/two, Scale /db/one | Scale /web/in/x, Scale /web/y"),
        "{}",
        steps(&plan)
    );
}

#[test]
fn service_ports_are_the_lowest_free_and_ones_own_stay() {
    let mut world = World::default();
    world.config.local_port_max = 10_004;
    world.change(put([with_ports("/a", &[0, 10_001, 0])]));
    assert_eq!(world.ports("/a"), [10_000, 10_001, 10_002]);

    world.change(put([with_ports("/b", &[0])]));
    world.change(put([with_ports("/a", &[0, 0])]));
    assert_eq!((world.ports("/a"), world.ports("/b")), (vec![10_000, 10_001], vec![10_003]));

    world.change(put([with_ports("/c", &[0]), with_ports("/d", &[10_001, 0])]));
    assert_eq!((world.ports("/c"), world.ports("/d")), (vec![10_002], vec![10_001, 10_004]));
    assert_eq!(world.plan(put([with_ports("/e", &[0])])), Err(Refused::NoServicePort(10_000, 10_004)));
}

#[test]
fn there_are_no_more_apps_than_allowed() {
    let mut world = World::with([app("/a"), app("/b")]);
    world.config.max_apps = Some(2);
    assert!(world.faults(put([app("/c")]))[0].contains("max_apps"));
    assert!(world.plan(put([App { instances: 2, ..app("/a") }])).is_ok());
    let mut swap = put([app("/c")]);
    swap.specs.extend(remove("/a").specs);
    assert!(world.plan(swap).is_ok());
}

#[test]
fn there_are_no_more_instances_than_allowed_and_never_is_it_refused_to_have_fewer() {
    let mut world = World::with([App { instances: 60, ..app("/a") }, App { instances: 30, ..app("/b") }]);
    world.config.max_instances = 100;
    let with = |id: &str, instances| put([App { instances, ..app(id) }]);
    assert!(world.plan(with("/c", 10)).is_ok());
    assert!(world.plan(with("/b", 40)).is_ok());
    let faults = world.faults(with("/b", 41));
    assert!(faults[0].contains("/instances") && faults[0].contains("max_instances"), "{faults:?}");
    assert!(world.faults(scale_by(&PathId::root(), 1e6, &world.tree).unwrap())[0].contains("max_instances"));
    world.config.max_instances = 50;
    assert!(world.plan(with("/a", 59)).is_ok());
    assert!(world.plan(put([App { cmd: Some("true".into()), instances: 60, ..app("/a") }])).is_ok());
}

#[test]
fn a_role_is_the_default_the_groups_or_the_one_it_has() {
    let role = |name: &str, role: &str| App { role: role.into(), ..app(name) };
    let mut world = World::with([app("/a"), role("/dev/x", "dev")]);
    assert_eq!((world.app("/a").role, world.app("/dev/x").role), ("*".into(), "dev".into()));

    let refused = |world: &World, name: &str, of: &str, begin: &str, part: &str| {
        let faults = world.faults(put([role(name, of)]));
        assert!(faults[0].starts_with(begin) && faults[0].contains(part) && faults.len() == 1, "{faults:?}");
    };
    refused(
        &world,
        "/b",
        "x",
        "/role: got x, expected one of: [*] (/b)",
        "that of an --also-role is for what is in",
    );
    refused(
        &world,
        "/dev/y",
        "x",
        "/role: got x, expected one of: [*, dev] (/dev/y)",
        "needs an --also-role",
    );

    world.config.new_groups_enforce_role = true;
    world.change(put([app("/prod/in/x")]));
    assert_eq!(world.app("/prod/in/x").role, "prod");
    refused(
        &world,
        "/prod/y",
        "*",
        "/role: got *, expected one of: [prod] (/prod/y)",
        "enforces its own role",
    );

    world.config.default_role = "other".into();
    assert!(world.plan(put([App { instances: 2, ..world.app("/a") }])).is_ok(), "it keeps what it has");
}

#[test]
fn only_top_level_groups_enforce_a_role_and_not_beside_a_change_of_services() {
    let world = World::with([app("/a/x")]);
    let enforcing =
        |name: &str| (id(name), Some(Group { enforce_role: Some(true), ..Group::new(id(name), Version(0)) }));
    let alone = |name| Change { groups: [enforcing(name)].into(), ..Change::default() };
    assert!(world.plan(alone("/a")).is_ok());
    assert!(world.faults(alone("/a/b"))[0].starts_with("/enforceRole"));
    let beside = Change { groups: [enforcing("/a")].into(), ..put([App { instances: 2, ..app("/a/x") }]) };
    assert!(world.faults(beside)[0].starts_with("/enforceRole"));
    let beside_nothing_new = Change { groups: [enforcing("/a")].into(), ..put([app("/a/x")]) };
    assert!(world.plan(beside_nothing_new).is_ok());

    let rule = |name: &str| crate::groups::enforcing(&id(name), None, Version(5), &world.tree);
    assert_eq!(rule("/a").map(|group| group.enforce_role), Ok(None));
    assert!(
        matches!(rule("/no"), Err(Refused::Unknown { .. })) && matches!(rule("/"), Err(Refused::Invalid(_)))
    );
}

#[test]
fn reservations_are_those_of_the_role() {
    let world = World::default();
    let accepting = |role: &str| {
        let accepted = Some([role.to_owned()].into());
        put([App { accepted_resource_roles: accepted, role: "dev".into(), ..app("/dev/x") }])
    };
    assert!(world.plan(accepting("dev")).is_ok() && world.plan(accepting("*")).is_ok());
    assert_eq!(
        world.faults(accepting("x")),
        ["/acceptedResourceRoles: got x, expected one of: [*, dev] (/dev/x)"]
    );
    assert!(world.faults(put([App { role: "*".into(), ..resident("/dev/x") }]))[0].starts_with("/role"));
}

#[test]
fn a_jobs_name_is_of_nothing_else() {
    let world = World::with([app("/g/x")]);
    for name in ["/g", "/g/x", "/", "/a/tasks"] {
        assert!(matches!(check_job_name(&id(name), &world.tree), Err(Refused::Invalid(_))), "{name}");
    }
    assert_eq!(check_job_name(&id("/g/nightly"), &world.tree), Ok(()));
}

fn pod(name: &str) -> Change {
    let template = app(name);
    let pod = Pod {
        id: template.id,
        labels: BTreeMap::new(),
        environment: BTreeMap::new(),
        user: None,
        containers: Vec::new(),
        volumes: Vec::new(),
        networks: Vec::new(),
        instances: 1,
        backoff: template.backoff,
        upgrade: template.upgrade,
        constraints: Vec::new(),
        accepted_resource_roles: None,
        kill_selection: template.kill_selection,
        unreachable: template.unreachable,
        executor_resources: ExecutorResources { cpus: milli(100), mem: milli(32_000), disk: milli(10_000) },
        role: String::new(),
        secrets: BTreeMap::new(),
        linux_info: None,
        legacy_shared_cgroups: None,
        preference: template.preference,
        rollout: template.rollout,
        version: template.version,
    };
    let specs = BTreeMap::from([(pod.id.clone(), Some(RunSpec::Pod(Arc::new(pod))))]);
    Change { specs, ..Change::default() }
}

#[test]
fn pods_are_planned_like_apps_and_never_become_any() {
    let mut world = World::with([app("/a")]);
    let mut change = put([after("/web", &["/g"])]);
    change.specs.extend(pod("/g/pod").specs);

    assert_eq!(steps(&world.change(change)), "Start /g/pod, Start /web | Scale /g/pod | Scale /web");
    assert!(
        world.faults(put([app("/g/pod")]))[0].starts_with("/id: /g/pod is a pod and cannot become an app")
    );
    assert!(world.faults(pod("/a"))[0].starts_with("/id: /a is an app and cannot become a pod"));
    let create = Change { create: [id("/g/pod")].into(), ..pod("/g/pod") };
    assert_eq!(world.plan(create), Err(Refused::Exists { kind: "pod", id: id("/g/pod") }));
    assert_eq!(steps(&world.change(removal(id("/g")))), "Stop /g/pod");
}

fn resident(name: &str) -> App {
    let kind = VolumeKind::Persistent(Persistent {
        kind: PersistentKind::Root,
        size: milli(64_000),
        max_size: None,
        profile: None,
        constraints: Vec::new(),
    });
    let volumes = vec![AppVolume { container_path: "data".into(), read_only: false, kind }];
    let container =
        Container { engine: Engine::Mesos, docker: None, volumes, port_mappings: None, linux_info: None };
    App { container: Some(container), role: "dev".into(), ..app(name) }
}

#[test]
fn what_is_reserved_for_data_stays() {
    let mut world = World::with([resident("/dev/db")]);
    let change = App { cpus: milli(2_000), container: None, ..resident("/dev/db") };
    let faults = world.faults(put([change]));
    assert!(
        faults[0].starts_with("/container/volumes") && faults[1].starts_with("/cpus") && faults.len() == 2
    );

    let other_role = || put([App { role: "ops".into(), ..resident("/dev/db") }]);
    assert!(world.faults(other_role())[0].starts_with("/role"));
    world.config.default_role = "ops".into();
    assert!(world.faults(other_role())[0].contains("force"));
    world.options.force = true;
    assert!(world.plan(other_role()).is_ok());
}

#[test]
fn what_may_not_be_twice_cannot_be_replaced_beside_itself() {
    let mut world = World::with([resident("/dev/db"), app("/a")]);
    world.options.strategy = Some(Strategy::BlueGreen { promote_after: None });
    let restart = |name| Change { restart: [id(name)].into(), ..Change::default() };
    assert!(world.faults(restart("/dev/db"))[0].starts_with("/rollout/strategy"));
    assert!(world.plan(restart("/a")).is_ok());
}

#[test]
fn a_deployment_is_taken_back_alone() {
    let mut world = World::with([app("/a"), app("/g/x")]);
    let mut change = put([App { instances: 5, ..app("/a") }, app("/new/in/z")]);
    change.specs.extend(remove("/g/x").specs);
    change.groups.extend([group("/g", &["/a"])]);
    let first = world.change(change);
    world.change(put([app("/other")]));

    let back = world.change(revert(&first, &world.tree));

    assert_eq!(steps(&back), "Stop /new/in/z | Start /g/x | Scale /a, Scale /g/x");
    assert_eq!(world.tree.groups().keys().map(PathId::as_str).collect::<Vec<_>>(), ["/", "/g"]);
    assert!(world.tree.group(&id("/g")).unwrap().dependencies.is_empty());
    assert!(world.tree.spec(&id("/other")).is_some());

    let forth = world.change(revert(&back, &world.tree));
    assert_eq!(steps(&forth), "Stop /g/x | Start /new/in/z | Scale /a, Scale /new/in/z");
}

#[test]
fn a_group_that_others_use_stays_when_the_deployment_that_made_it_is_taken_back() {
    let mut world = World::default();
    let first = world.change(put([app("/g/x")]));
    world.change(put([app("/g/y")]));
    assert_eq!(steps(&world.change(revert(&first, &world.tree))), "Stop /g/x");
    assert!(world.tree.group(&id("/g")).is_some());
}

#[test]
fn a_group_is_scaled_by_a_factor_rounded_up() {
    let world = World::with([
        App { instances: 10, ..app("/g/a") },
        App { instances: 3, ..app("/g/in/b") },
        app("/c"),
    ]);
    let counts = |factor| -> Vec<u32> {
        let change = scale_by(&id("/g"), factor, &world.tree).unwrap();
        change.specs.values().flatten().map(RunSpec::instances).collect()
    };
    assert_eq!((counts(1.1), counts(0.5), counts(0.0)), (vec![11, 4], vec![5, 2], vec![0, 0]));
    assert!(matches!(scale_by(&id("/g"), -1.0, &world.tree), Err(Refused::Invalid(_))));
    assert!(matches!(scale_by(&id("/g"), f64::NAN, &world.tree), Err(Refused::Invalid(_))));
    assert!(matches!(scale_by(&id("/no"), 1.0, &world.tree), Err(Refused::Unknown { .. })));
}

#[test]
fn a_group_is_taken_back_to_what_it_was() {
    let mut world = World::with([app("/g/a"), app("/g/b")]);
    let mut kept: BTreeMap<PathId, BTreeMap<Version, RunSpec>> = BTreeMap::new();
    let mut keep = |world: &World| {
        for (id, spec) in world.tree.specs() {
            kept.entry(id.clone()).or_default().insert(spec.version().version, spec.clone());
        }
    };
    keep(&world);
    world.change(put([App { instances: 4, ..app("/g/a") }, app("/g/c")]));
    keep(&world);
    let history = kept.iter().collect();

    let change = as_of(&id("/g"), Version(1), &world.tree, &history, 50).unwrap();
    assert_eq!(steps(&world.change(change)), "Stop /g/c | Scale /g/a");
    assert!(as_of(&id("/g"), Version(77), &world.tree, &history, 50).is_err());
}
