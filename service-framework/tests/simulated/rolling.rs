//! Old ones give way to new ones, and keep their bounds whatever is bad, silent or begun anew meanwhile.

use std::time::Duration;

use lonja_sdk::testing::TaskOutcome;
use lonja_services_core::definition::{
    App, Rollout, RunSpec, Strategy, UnreachableStrategy, UpgradeStrategy,
};
use lonja_services_core::instance::{Goal, Instance};
use lonja_services_core::{ChangeOptions, Config};

use crate::promises::{EACH, instances, resident};
use crate::world::{World, app, checked, path, put};

const FORCE: ChangeOptions = ChangeOptions { force: true, strategy: None };

fn web(count: u32, cmd: &str, minimum_health_capacity: f64, maximum_over_capacity: f64) -> App {
    let upgrade = UpgradeStrategy { minimum_health_capacity, maximum_over_capacity };
    App { cmd: Some(cmd.to_owned()), upgrade, ..checked(app("web", count), 0) }
}

fn runs(one: &Instance, cmd: &str) -> bool {
    matches!(&one.spec, RunSpec::App(app) if app.cmd.as_deref() == Some(cmd))
}

fn is_good(app: &App) -> bool {
    app.cmd.as_deref() != Some("bad")
}

/// Goes on for so long; health is looked at every second.
fn run(world: &mut World, secs: u64, mut each: impl FnMut(&World)) {
    for _ in 0..secs {
        world.run(1);
        if world.is_up() {
            world.check("web", is_good);
            each(world);
        }
    }
}

fn alive(world: &World, cmd: &str) -> usize {
    let all = instances(&world.cluster, "web");
    all.iter().filter(|one| one.goal == Goal::Running && one.is_active() && runs(one, cmd)).count()
}

/// Nothing is under way, and so many serve, all of this command.
fn is_all(world: &World, cmd: &str, count: usize) -> bool {
    world.cluster.scheduler().deployments().is_empty()
        && alive(world, cmd) == count
        && world.serving("web") == count
}

#[test]
fn a_daemon_that_begins_anew_kills_none_of_which_it_has_not_heard() {
    let mut world = World::new(31, 3, EACH);
    world.apply(put(web(4, "old", 1.0, 1.0)));
    run(&mut world, 20, |_world| {});
    assert!(is_all(&world, "old", 4));
    world.apply(put(web(4, "bad", 1.0, 1.0)));
    for _ in 0..3 {
        run(&mut world, 15, |world| assert_eq!(alive(world, "old"), 4));
        world.cluster.kill_scheduler();
        // Nobody looks at anybody's health for a while.
        world.run(20);
        assert_eq!(alive(&world, "old"), 4);
    }
}

#[test]
fn what_is_bad_is_mended_also_where_there_is_no_room() {
    for (count, minimum, over) in [(1, 0.0, 0.0), (3, 1.0, 0.0), (3, 0.5, 0.0), (2, 1.0, 1.0)] {
        let mut world = World::new(32, 3, EACH);
        world.apply(put(web(count, "bad", minimum, over)));
        run(&mut world, 20, |_world| {});
        assert_eq!(world.serving("web"), 0);
        world.change(put(web(count, "good", minimum, over)), FORCE).unwrap();
        run(&mut world, 60, |_world| {});
        assert!(is_all(&world, "good", count as usize), "{count} {minimum} {over}");
    }
}

#[test]
fn a_replacement_goes_on_within_its_bounds_whenever_the_daemon_begins_anew() {
    for (minimum, over, least, most) in
        [(1.0, 0.0, 3, 4), (0.5, 0.0, 2, 3), (1.0, 0.5, 3, 4), (0.0, 0.0, 0, 3)]
    {
        for at in 1..12 {
            let mut world = World::new(33, 3, EACH);
            world.apply(put(web(3, "old", minimum, over)));
            run(&mut world, 20, |_world| {});
            let within = |world: &World| {
                let (old, new) = (alive(world, "old"), alive(world, "new"));
                assert!(old + new <= most, "{minimum} {over} at {at}: {old} old, {new} new");
                assert!(old + new >= least, "{minimum} {over} at {at}: {old} old, {new} new");
            };
            world.apply(put(web(3, "new", minimum, over)));
            for _ in 0..at {
                world.run(1);
                within(&world);
                if at % 2 == 0 {
                    world.check("web", is_good);
                }
            }
            world.cluster.kill_scheduler();
            run(&mut world, 60, within);
            assert!(is_all(&world, "new", 3), "{minimum} {over} at {at}");
        }
    }
}

#[test]
fn more_in_the_place_of_a_silent_canary_come_to_rest() {
    let mut world = World::new(34, 4, EACH);
    let rollout = Rollout {
        strategy: Strategy::Canary { fraction: 0.5, promote_after: None },
        max_failures: Some(20),
        ..Rollout::default()
    };
    let inactive_after = Duration::from_secs(3);
    let unreachable = UnreachableStrategy::Enabled { inactive_after, expunge_after: inactive_after * 200 };
    let spread = |cmd: &str| App { rollout: rollout.clone(), unreachable, ..web(2, cmd, 1.0, 1.0) };
    world.apply(put(spread("old")));
    run(&mut world, 20, |_world| {});
    world.apply(put(spread("new")));
    run(&mut world, 20, |_world| {});
    let canary = |world: &World| {
        let all = instances(&world.cluster, "web");
        let one = all.iter().find(|one| runs(one, "new") && !one.is_silent()).expect("it is tried");
        let hostname = one.place.as_ref().expect("it has a place").hostname.clone();
        (one.id.clone(), hostname.trim_start_matches("host-").parse::<usize>().unwrap())
    };
    let (first, agent) = canary(&world);
    world.cluster.partition(agent);
    run(&mut world, 200, |_world| {});
    let (second, _) = canary(&world);
    assert_ne!(first, second, "another took its place");
    world.cluster.heal(agent);
    for _ in 0..3 {
        // Both are there, and one of them is no longer healthy.
        run(&mut world, 5, |_world| {});
        world.check("web", |_app| false);
        world.run(5);
    }
    run(&mut world, 60, |_world| {});
    assert_eq!(alive(&world, "new"), 1, "as many as are to be tried");
}

fn data(count: u32, cmd: &str, minimum_health_capacity: f64) -> App {
    let upgrade = UpgradeStrategy { minimum_health_capacity, maximum_over_capacity: 0.0 };
    App { instances: count, cmd: Some(cmd.to_owned()), upgrade, ..resident() }
}

fn database() -> World {
    let config = Config { default_role: "db".to_owned(), ..Config::default() };
    World::in_role(35, 3, EACH, config, "db", |_task| TaskOutcome::runs_on())
}

#[test]
fn those_with_data_are_replaced_in_turn_where_their_data_are() {
    for minimum in [0.0, 0.5, 1.0] {
        let mut world = database();
        world.apply(put(data(3, "old", minimum)));
        world.settle(60);
        let homes = |world: &World| {
            let all = instances(&world.cluster, "db");
            let home =
                |one: &&Instance| (one.id.clone(), one.place.as_ref().map(|place| place.volumes.clone()));
            all.iter().map(home).collect::<Vec<_>>()
        };
        let before = homes(&world);
        world.apply(put(data(3, "new", minimum)));
        world.settle(120);
        assert_eq!(homes(&world), before, "the same instances on the same volumes");
        assert!(instances(&world.cluster, "db").iter().all(|one| runs(one, "new")));
    }
}

#[test]
fn data_stay_when_fewer_are_wanted_and_are_come_back_to() {
    for minimum in [0.0, 0.5, 1.0] {
        let mut world = database();
        world.apply(put(data(3, "old", minimum)));
        world.settle(60);
        let ids = |world: &World| {
            instances(&world.cluster, "db").iter().map(|one| one.id.clone()).collect::<Vec<_>>()
        };
        let before = ids(&world);
        world.apply(put(data(1, "new", minimum)));
        world.run(120);
        assert!(world.cluster.scheduler().deployments().is_empty(), "{minimum}");
        world.cluster.assert_running(1);
        assert_eq!(ids(&world), before, "none is forgotten");
        world.apply(put(data(3, "new", minimum)));
        world.settle(60);
        assert_eq!(ids(&world), before);
        assert!(world.cluster.scheduler().service(&path("db")).is_some());
    }
}
