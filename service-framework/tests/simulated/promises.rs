//! Promises one by one, each in the situation that broke it once or is likely to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lonja_model::TaskState;
use lonja_model::agent::Domain;
use lonja_model::resources::Scalar;
use lonja_sdk::prelude::*;
use lonja_sdk::testing::{TaskOutcome, TestCluster, offer, status};
use lonja_services::wire::JsonCodec;
use lonja_services_core::command::Refused;
use lonja_services_core::definition::{
    App, AppVolume, Autoscale, Constraint, Container, Engine, Measure, Operator, Persistent, PersistentKind,
    Rollout, RunSpec, SINGLE_INSTANCE, Strategy, UnreachableStrategy, UpgradeStrategy, VolumeKind,
};
use lonja_services_core::instance::{Condition, Instance};
use lonja_services_core::job::{Concurrency, Job, JobRunId, RunState, Schedule};
use lonja_services_core::{Answer, ChangeOptions, Command, Config, Services, What};

use crate::world::{World, app, path, put, remove, restart, services};

pub(crate) const EACH: &str = "cpus:4;mem:4096;disk:1000;ports:[31000-31999]";

fn single() -> App {
    let labels = BTreeMap::from([(SINGLE_INSTANCE.to_owned(), "true".to_owned())]);
    let upgrade = UpgradeStrategy { minimum_health_capacity: 0.0, maximum_over_capacity: 0.0 };
    App { labels, upgrade, ..app("single", 1) }
}

pub(crate) fn instances<'a>(cluster: &'a TestCluster<Services>, id: &str) -> Vec<&'a Instance> {
    cluster
        .scheduler()
        .services()
        .get(&path(id))
        .into_iter()
        .flat_map(|one| one.instances().values())
        .collect()
}

/// Which agent an app's only instance is on.
pub(crate) fn agent_of(world: &World, id: &str) -> usize {
    let all = instances(&world.cluster, id);
    let hostname = &all.first().and_then(|one| one.place.as_ref()).expect("it has a place").hostname;
    hostname.trim_start_matches("host-").parse().expect("hosts are numbered")
}

#[test]
fn a_single_instance_is_never_two_while_an_agent_is_silent() {
    for replaced in [false, true] {
        let mut world = World::new(11, 3, EACH);
        world.apply(put(single()));
        world.settle(30);
        let agent = agent_of(&world, "single");
        world.cluster.partition(agent);
        if replaced {
            // The kill does not arrive, and then the agent is given up.
            world.apply(restart("single"));
        }
        for _ in 0..60 {
            world.run(10);
            assert!(world.cluster.running_tasks().len() <= 1, "replaced: {replaced}");
        }
        world.cluster.heal(agent);
        world.settle(300);
        world.cluster.assert_running(1);
    }
}

#[test]
fn what_cannot_be_killed_on_a_silent_agent_keeps_nobody_from_being_killed() {
    let config = Config { kill_chunk_size: 1, ..Config::default() };
    let mut world = World::in_role(21, 3, EACH, config, "*", |_task| TaskOutcome::runs_on());
    world.apply(put(single()));
    world.settle(30);
    let agent = agent_of(&world, "single");
    world.cluster.partition(agent);
    world.run(120);
    world.apply(remove("single"));
    world.run(10);

    world.apply(put(app("web", 3)));
    world.run(30);
    world.apply(remove("web"));
    world.run(60);
    assert!(world.cluster.scheduler().services().get(&path("web")).is_none(), "it was to go");
}

#[test]
fn who_names_no_region_stays_in_the_masters_and_who_names_another_goes_there() {
    let mut services =
        Services::restore(Config::default(), Arc::new(JsonCodec), 27, &State::default()).unwrap();
    let (now, framework) = (Timestamp::ZERO + Duration::from_secs(1_000_000), FrameworkId::new("f").unwrap());
    let within = |region: &str| Some(Domain { region: region.to_owned(), zone: "1".to_owned() });
    let master = MasterInfo { domain: within("eu"), ..MasterInfo::default() };
    let _ = services.subscribed(now, &framework, &master);
    let operator = Operator::Cluster(Some("us".to_owned()));
    let abroad =
        App { constraints: vec![Constraint { field: "@region".to_owned(), operator }], ..app("abroad", 1) };
    for app in [app("web", 1), abroad] {
        let (change, options) = (put(app), ChangeOptions::default());
        let _ = services.command(now, Command::Change { change, options, answer: Answer::nobody() });
    }
    let _ = services.offers(now, &[Offer { domain: within("us"), ..offer("o1", "a1", EACH) }]);
    let placed = |services: &Services, id| {
        services.services()[&path(id)].instances().values().filter(|one| one.place.is_some()).count()
    };
    assert_eq!((placed(&services, "web"), placed(&services, "abroad")), (0, 1));
    let _ = services.offers(now, &[Offer { domain: within("eu"), ..offer("o2", "a2", EACH) }]);
    assert_eq!(placed(&services, "web"), 1);
}

#[test]
fn a_launch_that_is_not_heard_of_is_given_up_though_the_daemon_began_anew() {
    let begin = |state: &State| Services::restore(Config::default(), Arc::new(JsonCodec), 22, state).unwrap();
    let at = |secs: u64| Timestamp::ZERO + Duration::from_secs(1_000_000 + secs);
    let (framework, master) = (FrameworkId::new("framework").unwrap(), MasterInfo::default());
    let mut state = State::default();
    let mut services = begin(&state);
    let _ = services.subscribed(at(0), &framework, &master);
    let (change, options) = (put(app("web", 1)), ChangeOptions::default());
    let _ = services.command(at(0), Command::Change { change, options, answer: Answer::nobody() });
    let _ = services.offers(at(0), &[offer("o1", "a1", EACH)]);
    services.changes().into_iter().for_each(|change| state.apply(change));
    let task = services.services()[&path("web")].instances().values().next().unwrap().tasks[0].id.clone();

    let mut services = begin(&state);
    let _ = services.subscribed(at(10), &framework, &master);
    let _ = services.update(at(10), &status(task.as_str(), TaskState::Staging));
    let kills = |plan: Plan| format!("{plan:?}").matches("Kill").count();
    assert_eq!(kills(services.tick(at(299))), 0);
    let _written = services.changes();
    assert_eq!(services.next_deadline(), Some(at(300)));
    assert_eq!(kills(services.tick(at(300))), 1);
}

#[test]
fn others_are_replaced_when_their_agent_falls_silent_and_what_comes_back_ends() {
    let mut world = World::new(12, 4, EACH);
    world.apply(put(app("web", 1)));
    world.settle(30);
    let agent = agent_of(&world, "web");
    world.cluster.partition(agent);
    world.run(120);
    assert_eq!(world.serving("web"), 1, "another one took its place");
    world.cluster.assert_running(2);

    world.cluster.heal(agent);
    world.run(60);
    world.cluster.assert_running(1);
}

#[test]
fn who_asks_for_it_is_waited_for() {
    let mut world = World::new(13, 4, EACH);
    let inactive_after = Duration::from_secs(600);
    let unreachable = UnreachableStrategy::Enabled { inactive_after, expunge_after: inactive_after * 2 };
    world.apply(put(App { unreachable, ..app("web", 1) }));
    world.settle(30);
    world.cluster.partition(agent_of(&world, "web"));

    world.run(300);
    assert_eq!(instances(&world.cluster, "web").len(), 1);
    world.run(600);
    let conditions: Vec<Condition> =
        instances(&world.cluster, "web").iter().map(|one| one.condition).collect();
    assert!(conditions.contains(&Condition::UnreachableInactive) && conditions.contains(&Condition::Running));
    world.run(700);
    assert_eq!(instances(&world.cluster, "web").len(), 1, "the silent one is forgotten");
}

#[test]
fn a_forced_change_during_a_blue_green_one_leaves_no_third_colour() {
    let strategy = Strategy::BlueGreen { promote_after: None };
    let web = |cmd: &str| App {
        cmd: Some(cmd.to_owned()),
        rollout: Rollout { strategy: strategy.clone(), ..Rollout::default() },
        ..app("web", 3)
    };
    let mut world = World::new(14, 3, EACH);
    world.apply(put(web("blue")));
    world.settle(30);
    world.apply(put(web("green")));
    world.run(20);
    world.cluster.assert_running(6);

    let force = ChangeOptions { force: true, ..ChangeOptions::default() };
    world.change(put(web("red")), force).unwrap();
    world.run(30);
    world.cluster.assert_running(6);
    let service = world.cluster.scheduler().service(&path("web")).unwrap();
    let serving: Vec<&Instance> =
        service.instances().values().filter(|one| !one.hidden && one.is_serving()).collect();
    assert_eq!(serving.len(), 3);
    let blue =
        |one: &&&Instance| matches!(&one.spec, RunSpec::App(app) if app.cmd.as_deref() == Some("blue"));
    assert_eq!(serving.iter().filter(blue).count(), 3, "requests go where they went");
}

#[test]
fn kills_that_were_acknowledged_and_have_yet_to_begin_are_not_forgotten() {
    let config = Config { kill_chunk_size: 2, ..Config::default() };
    let mut world = World::in_role(21, 3, EACH, config, "*", |_task| TaskOutcome::runs_on());
    world.apply(put(app("web", 6)));
    world.settle(30);
    let before = world.cluster.running_tasks();
    let all = instances(&world.cluster, "web").iter().map(|one| one.id.clone()).collect();
    world.cluster.stop_master();
    world.cluster.command(Command::Kill { instances: all, wipe: false, answer: Answer::nobody() });
    world.run(1);
    world.cluster.kill_scheduler();
    world.cluster.start_master();
    world.run(60);
    world.settle(30);
    let after = world.cluster.running_tasks();
    assert!(after.len() == 6 && after.iter().all(|task| !before.contains(task)), "{after:?}");
}

#[test]
fn versions_grow_though_the_newest_was_removed_and_the_daemon_began_anew() {
    let mut world = World::new(15, 1, EACH);
    let first = world.apply(put(app("web", 1)));
    world.settle(30);
    let last = world.apply(remove("web"));
    world.settle(30);
    world.cluster.kill_scheduler();
    world.run(10);
    let next = world.apply(put(app("web", 1)));
    assert!(first.version < last.version && last.version < next.version);
}

#[test]
fn versions_of_what_was_removed_do_not_come_back_with_its_name() {
    let config = Config { progress_deadline: Duration::from_secs(60), ..Config::default() };
    let mut world = World::in_role(24, 3, EACH, config, "*", |_task| TaskOutcome::runs_on());
    world.apply(put(single()));
    world.settle(30);
    let agent = agent_of(&world, "single");
    world.cluster.partition(agent);
    world.run(120);
    // It cannot be ended, so its deployment is given up, and what is left of it is an orphan.
    world.apply(remove("single"));
    world.run(120);
    assert!(world.cluster.scheduler().deployments().is_empty());
    world.cluster.kill_scheduler();
    world.run(10);
    world.cluster.heal(agent);
    world.run(60);

    world.apply(put(single()));
    world.settle(60);
    world.cluster.kill_scheduler();
    world.run(10);
    assert_eq!(world.cluster.scheduler().service(&path("single")).unwrap().versions().len(), 1);
}

#[test]
fn a_constraint_that_comes_later_counts_what_runs_already() {
    let cluster = services(25, Config::default(), "*").agents_with(2, EACH, "rack:a");
    let mut world = World::on(cluster);
    world.apply(put(app("web", 1)));
    world.settle(30);
    let unique = Constraint { field: "rack".to_owned(), operator: Operator::Unique };
    world.apply(put(App { constraints: vec![unique.clone()], ..app("web", 1) }));
    world.settle(30);

    world.apply(put(App { constraints: vec![unique], ..app("web", 2) }));
    world.run(60);
    world.cluster.assert_running(1);
}

#[test]
fn a_change_that_only_steers_starts_nothing_and_holds_from_then_on() {
    let mut world = World::new(20, 3, EACH);
    world.apply(put(app("web", 2)));
    world.settle(30);
    let tasks = world.cluster.running_tasks();
    let labels = BTreeMap::from([("tier".to_owned(), "front".to_owned())]);
    let operator = Operator::Cluster(Some("host-0".to_owned()));
    let on_first = Constraint { field: "hostname".to_owned(), operator };
    let steered =
        |count| App { labels: labels.clone(), constraints: vec![on_first.clone()], ..app("web", count) };
    world.apply(put(steered(2)));
    world.settle(30);
    for _ in 0..2 {
        assert_eq!(world.cluster.running_tasks(), tasks);
        let all = instances(&world.cluster, "web");
        let is_steered = |one: &&Instance| one.spec.labels() == &labels && one.spec.constraints().len() == 1;
        assert_eq!(all.iter().filter(|one| is_steered(one)).count(), 2);
        world.cluster.kill_scheduler();
        world.run(10);
    }
    world.apply(put(steered(5)));
    world.settle(60);
    let of_first = |one: &&Instance| one.place.as_ref().is_some_and(|place| place.hostname == "host-0");
    assert!(instances(&world.cluster, "web").iter().filter(|one| of_first(one)).count() >= 3);
}

pub(crate) fn resident() -> App {
    let persistent = Persistent {
        kind: PersistentKind::Root,
        size: Scalar::from_units(16).unwrap(),
        max_size: None,
        profile: None,
        constraints: Vec::new(),
    };
    let volume = AppVolume {
        container_path: "data".to_owned(),
        read_only: false,
        kind: VolumeKind::Persistent(persistent),
    };
    let container = Container {
        engine: Engine::Mesos,
        docker: None,
        volumes: vec![volume],
        port_mappings: None,
        linux_info: None,
    };
    App {
        role: "db".to_owned(),
        container: Some(container),
        upgrade: UpgradeStrategy::RESIDENT,
        unreachable: UnreachableStrategy::Disabled,
        ..app("db", 1)
    }
}

/// Takes nothing, and sees how much disk is anyone's on each agent.
#[derive(Default)]
struct Onlooker(BTreeMap<AgentId, f64>);

impl Scheduler for Onlooker {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        for offer in offers {
            self.0.insert(offer.agent.clone(), offer.resources.scalar("disk").to_f64());
        }
        Plan::new().refuse_rest(Duration::from_secs(1))
    }

    fn update(&mut self, _now: Timestamp, _status: &TaskStatus) -> Plan {
        Plan::new()
    }
}

/// A world of services of the role `db`, and how much disk is anyone's in it.
fn with_onlooker(seed: u64, outcome: fn() -> TaskOutcome) -> (World, impl Fn(&World) -> f64) {
    let progress_deadline = Duration::from_secs(60);
    let config = Config { default_role: "db".to_owned(), progress_deadline, ..Config::default() };
    let cluster = services(seed, config, "db")
        .agents(2, EACH)
        .outcome(move |_task| outcome())
        .beside(FrameworkOptions::named("onlooker"), |_state| Onlooker::default());
    let free =
        |world: &World| world.cluster.scheduler_of::<Onlooker>(1).map_or(0.0, |seen| seen.0.values().sum());
    (World::on(cluster), free)
}

#[test]
fn data_of_what_never_began_are_freed_too() {
    let (mut world, free) = with_onlooker(23, TaskOutcome::cannot_start);
    world.apply(put(resident()));
    world.run(20);
    // It is still being deployed.
    world.change(remove("db"), ChangeOptions { force: true, ..ChangeOptions::default() }).unwrap();
    world.run(60);
    assert_eq!(free(&world), 2000.0);
}

#[test]
fn data_of_what_was_removed_on_a_silent_agent_are_freed_though_the_daemon_began_anew() {
    let (mut world, free) = with_onlooker(28, TaskOutcome::runs_on);
    world.apply(put(resident()));
    world.settle(60);
    let agent = agent_of(&world, "db");
    world.cluster.partition(agent);
    world.run(120);
    world.apply(remove("db"));
    world.run(120);
    assert!(world.cluster.scheduler().deployments().is_empty(), "it could not be ended");
    world.cluster.kill_scheduler();
    world.run(10);
    world.cluster.heal(agent);
    world.run(120);
    world.cluster.assert_running(0);
    assert_eq!(free(&world), 2000.0);
}

#[test]
fn data_are_come_back_to_and_freed_with_their_app() {
    let config = Config { default_role: "db".to_owned(), ..Config::default() };
    let mut world = World::in_role(16, 3, EACH, config, "db", |_task| TaskOutcome::runs_on());
    world.apply(put(resident()));
    world.settle(60);
    let agent = agent_of(&world, "db");

    for _ in 0..3 {
        let task = world.cluster.running_tasks().remove(0);
        let instance = instances(&world.cluster, "db")[0].id.clone();
        world.cluster.command(Command::Kill {
            instances: [instance].into(),
            wipe: false,
            answer: Answer::nobody(),
        });
        world.run(20);
        assert_eq!(agent_of(&world, "db"), agent, "where its data are");
        assert_ne!(world.cluster.running_tasks(), [task]);
    }

    world.apply(remove("db"));
    world.run(60);
    // All of each agent is free again, or this would not fit.
    world.apply(put(App { disk: Scalar::from_units(1000).unwrap(), ..app("large", 3) }));
    world.settle(60);
}

pub(crate) fn job(id: &str, schedule: Option<&str>, concurrency: Concurrency) -> Job {
    let schedule =
        schedule.map(|cron| Schedule { cron: cron.to_owned(), suspended: false, starting_deadline: None });
    Job {
        id: path(id),
        run: Arc::new(App { role: "*".to_owned(), ..app(id, 1) }),
        schedule,
        concurrency,
        retries: 2,
        retry_delay: Duration::from_secs(5),
        max_run_time: None,
        history: 10,
    }
}

pub(crate) fn states(world: &World, id: &str) -> Vec<RunState> {
    let services = world.cluster.scheduler();
    services.jobs()[&path(id)].1.values().map(|run| run.state.clone()).collect()
}

fn put_job(world: &mut World, job: Job) {
    world.cluster.command(Command::PutJob { job: Box::new(job), create: true, answer: Answer::nobody() });
    world.run(1);
}

#[test]
fn a_job_runs_by_its_calendar_and_goes_on_after_a_restart() {
    let outcome = |_: &_| TaskOutcome::exits(0).after(Duration::from_secs(20));
    let mut world = World::with(17, 1, EACH, outcome);
    put_job(&mut world, job("tick", Some("* * * * *"), Concurrency::Forbid));
    for minute in 0..6 {
        world.run(60);
        if minute % 2 == 1 {
            world.cluster.kill_scheduler();
        }
    }
    world.run(50);
    let done = states(&world, "tick")
        .into_iter()
        .filter(|state| matches!(state, RunState::Succeeded { .. }))
        .count();
    assert!((5..=7).contains(&done), "{:?}", states(&world, "tick"));
    assert_eq!(world.cluster.tasks().len(), done + world.cluster.running_tasks().len(), "each was run once");
}

#[test]
fn a_run_that_fails_is_tried_again_as_often_as_its_job_says() {
    let mut world = World::with(18, 1, EACH, |_task| TaskOutcome::exits(3).after(Duration::from_secs(1)));
    put_job(&mut world, job("bad", None, Concurrency::Allow));
    let (sender, answer) = std::sync::mpsc::channel();
    let answered = Answer::to(move |run: Result<JobRunId, Refused>| drop(sender.send(run)));
    world.cluster.command(Command::RunJob { job: path("bad"), answer: answered });
    world.run(60);
    assert!(answer.try_recv().unwrap().is_ok());
    assert_eq!(world.cluster.tasks().len(), 3);
    assert!(
        matches!(&states(&world, "bad")[..], [RunState::Failed { reason, .. }] if reason.contains("TASK_FAILED"))
    );
}

#[test]
fn the_number_of_instances_follows_what_they_use() {
    let rule = Autoscale {
        minimum: 1,
        maximum: 6,
        measure: Measure::Cpu,
        target: 0.5,
        cooldown: Duration::from_secs(30),
        stabilisation: Duration::from_secs(120),
    };
    let mut world = World::new(19, 3, EACH);
    world.apply(put(App { autoscale: Some(rule), ..app("web", 2) }));
    world.settle(30);
    // As much work as keeps two busy, then next to none.
    let mut most = 0;
    for (work, rounds) in [(2.0, 30), (0.1, 60)] {
        for _ in 0..rounds {
            let running = world.cluster.running_tasks().len();
            most = most.max(running);
            #[expect(clippy::cast_precision_loss, reason = "a handful")]
            let value = work / running as f64;
            world.cluster.command(Command::Usage { app: path("web"), value });
            world.run(10);
        }
        let expected = if work > 1.0 { 4 } else { 1 };
        world.cluster.assert_running(expected);
    }
    assert_eq!(most, 4, "it did not overshoot");
}

#[test]
fn a_measurement_during_a_deployment_starts_no_cool_down() {
    let rule = Autoscale {
        minimum: 1,
        maximum: 6,
        measure: Measure::Cpu,
        target: 0.5,
        cooldown: Duration::from_secs(600),
        stabilisation: Duration::from_secs(120),
    };
    let mut world = World::new(26, 3, EACH);
    world.apply(put(App { autoscale: Some(rule), ..app("web", 2) }));
    world.cluster.command(Command::Usage { app: path("web"), value: 1.0 });
    world.settle(30);
    assert_eq!(world.serving("web"), 2);

    world.cluster.command(Command::Usage { app: path("web"), value: 1.0 });
    world.run(20);
    assert_eq!(world.serving("web"), 4);
}

/// What was told of the states of tasks, in order.
fn states_told(world: &World) -> Vec<TaskState> {
    let told = world.told.iter();
    told.filter_map(|event| match &event.what {
        What::StatusUpdate { state, .. } => Some(*state),
        _ => None,
    })
    .collect()
}

/// What those are told who ask for the tasks of an app.
fn states_shown(world: &World, id: &str) -> Vec<TaskState> {
    let all = instances(&world.cluster, id);
    let tasks = all.into_iter().flat_map(|one| one.tasks.iter().map(|task| one.told(task.stands())));
    let mut states: Vec<TaskState> = tasks.collect();
    states.sort_by_key(|state| state.name());
    states
}

#[test]
fn what_ran_runs_on_for_those_who_ask_while_the_master_is_away() {
    let mut world = World::new(21, 2, EACH);
    world.apply(put(app("web", 2)));
    world.settle(30);
    world.cluster.stop_master();
    world.cluster.kill_scheduler();
    world.run(10);
    assert_eq!(states_shown(&world, "web"), [TaskState::Running; 2]);
    world.told.clear();

    world.cluster.start_master();
    world.run(30);
    assert_eq!(states_shown(&world, "web"), [TaskState::Running; 2]);
    assert_eq!(states_told(&world), [], "nothing has changed");
}

#[test]
fn a_balancer_hears_of_green_when_it_is_promoted_and_of_blue_when_it_is_drained() {
    let web = |cmd: &str| App {
        cmd: Some(cmd.to_owned()),
        rollout: Rollout { strategy: Strategy::BlueGreen { promote_after: None }, ..Rollout::default() },
        ..app("web", 1)
    };
    let config = Config { drain: Duration::from_secs(5), ..Config::default() };
    let mut world = World::in_role(22, 2, EACH, config, "*", |_task| TaskOutcome::runs_on());
    world.apply(put(web("blue")));
    world.settle(30);
    let started = world.apply(put(web("green")));
    world.told.clear();
    world.run(20);
    assert_eq!(states_shown(&world, "web"), [TaskState::Running, TaskState::Starting]);
    assert!(!states_told(&world).contains(&TaskState::Running), "{:?}", states_told(&world));

    world.told.clear();
    let deployment = started.deployment;
    world.cluster.command(Command::Promote { deployment, answer: Answer::nobody() });
    world.run(2);
    assert_eq!(states_shown(&world, "web"), [TaskState::Killing, TaskState::Running]);
    assert_eq!(states_told(&world), [TaskState::Running, TaskState::Killing]);
    world.settle(30);
    assert_eq!(states_shown(&world, "web"), [TaskState::Running]);
}
