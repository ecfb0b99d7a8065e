//! Deployments when all goes well, and when what is deployed is bad.

use std::time::Duration;

use lonja_sdk::testing::TaskOutcome;
use lonja_services_core::definition::{App, Rollout, Strategy, UpgradeStrategy};
use lonja_services_core::deployment::{DeploymentEnd, Phase};
use lonja_services_core::{Answer, ChangeOptions, Command, Refused};

use crate::world::{World, app, checked, path, put, remove, restart};

const EACH: &str = "cpus:4;mem:4096;ports:[31000-31999]";

fn with_command(app: App, command: &str) -> App {
    App { cmd: Some(command.to_owned()), ..app }
}

#[test]
fn an_app_is_started_scaled_replaced_and_removed() {
    let mut world = World::new(1, 3, EACH);

    world.apply(put(app("web", 3)));
    world.settle(30);
    assert_eq!(world.serving("web"), 3);

    world.apply(put(app("web", 7)));
    world.settle(30);
    world.cluster.assert_running(7);

    world.apply(put(with_command(app("web", 7), "serve 2")));
    world.settle(60);
    world.cluster.assert_running(7);
    let versions = world.cluster.scheduler().service(&path("web")).unwrap().versions().len();
    assert_eq!(versions, 3);

    world.apply(restart("web"));
    world.settle(60);
    world.apply(put(with_command(app("web", 2), "serve 2")));
    world.settle(60);
    world.cluster.assert_running(2);

    world.apply(remove("web"));
    world.settle(60);
    world.cluster.assert_running(0);
    assert!(world.cluster.scheduler().service(&path("web")).is_none());
    assert_eq!(world.kinds().into_iter().filter(|kind| *kind == "deployment_success").count(), 6);
    assert!(world.kinds().contains(&"app_terminated_event"));
}

#[test]
fn a_second_change_is_refused_while_the_first_is_under_way_unless_it_is_forced() {
    let mut world = World::new(2, 1, EACH);
    let first = world
        .apply(put(App { cpus: lonja_model::resources::Scalar::from_units(100).unwrap(), ..app("big", 1) }));
    world.run(10);

    let refused = world.change(put(app("big", 1)), ChangeOptions::default()).unwrap_err();
    assert_eq!(refused, Refused::Locked(vec![first.deployment.clone()]));

    world.change(put(app("big", 1)), ChangeOptions { force: true, ..ChangeOptions::default() }).unwrap();
    world.settle(30);
    assert_eq!(world.serving("big"), 1);
    assert!(world.kinds().contains(&"deployment_failed"));
}

#[test]
fn a_deployment_that_gets_no_better_fails_by_its_deadline() {
    let mut world = World::new(3, 1, EACH);
    let too_large = lonja_model::resources::Scalar::from_units(100).unwrap();
    let started = world.apply(put(App { cpus: too_large, ..app("big", 1) }));
    world.run(700);

    let services = world.cluster.scheduler();
    assert!(services.deployments().is_empty());
    let ended = services.ended_deployments().back().unwrap();
    assert_eq!(ended.id, started.deployment);
    assert!(
        matches!(&ended.end, DeploymentEnd::Failed { reason } if reason.contains("nothing got better for 600 s")),
        "{ended:?}"
    );
}

#[test]
fn a_rolling_replacement_keeps_to_its_bounds() {
    for (minimum, over) in [(1.0, 0.0), (1.0, 1.0), (0.5, 0.0), (0.5, 0.25), (0.0, 0.0)] {
        let upgrade = UpgradeStrategy { minimum_health_capacity: minimum, maximum_over_capacity: over };
        let mut world = World::new(4, 3, EACH);
        let web = || checked(App { upgrade, ..app("web", 4) }, 1);
        world.apply(put(web()));
        world.run(2);
        world.check("web", |_| true);
        world.settle(30);

        world.apply(put(with_command(web(), "serve 2")));
        let (mut least, mut most) = (usize::MAX, 0);
        for _ in 0..400 {
            world.cluster.run_for(Duration::from_millis(100));
            world.check("web", |_| true);
            let service = world.cluster.scheduler().service(&path("web")).unwrap();
            least = least.min(service.instances().values().filter(|one| one.is_healthy()).count());
            most = most.max(service.instances().values().filter(|one| one.is_active()).count());
        }
        world.settle(10);
        let n = 4.0;
        let floor = (n * minimum).ceil() as usize;
        let mut ceiling = (n * (1.0 + over)).floor() as usize;
        ceiling += usize::from(floor == ceiling);
        assert!(
            least >= floor && most <= ceiling,
            "{minimum} {over}: {least} to {most} of {floor} to {ceiling}"
        );
        assert!(world.kinds().iter().all(|kind| *kind != "deployment_failed"));
    }
}

#[test]
fn a_canary_that_nobody_looks_at_has_to_run_for_a_while() {
    let rollout =
        Rollout { strategy: Strategy::Canary { fraction: 0.5, promote_after: None }, ..Rollout::default() };
    let web = || App { rollout: rollout.clone(), ..app("web", 2) };
    let mut world = World::new(6, 2, EACH);
    world.apply(put(web()));
    world.settle(10);
    let canary = world.apply(put(with_command(web(), "new")));
    let phase = |world: &World| {
        world.cluster.scheduler().deployments()[&canary.deployment].rollouts[&path("web")].phase
    };
    let step = Duration::from_millis(100);
    let mut running = 0;
    while world.serving("web") < 3 {
        world.cluster.run_for(step);
        running += 1;
        assert!(running < 50, "it starts");
    }
    for _ in 0..18 {
        assert_eq!(phase(&world), Phase::Trial);
        world.cluster.run_for(step);
    }
    world.run(1);
    assert_eq!(phase(&world), Phase::Waiting);
}

#[test]
fn a_canary_waits_to_be_promoted_and_a_bad_one_is_taken_back() {
    let rollout =
        Rollout { strategy: Strategy::Canary { fraction: 0.25, promote_after: None }, ..Rollout::default() };
    let web = || checked(App { rollout: rollout.clone(), ..app("web", 4) }, 1);
    let mut world = World::new(5, 3, EACH);
    world.apply(put(web()));
    for _ in 0..5 {
        world.run(1);
        world.check("web", |_| true);
    }
    world.settle(10);

    let canary = world.apply(put(with_command(web(), "good")));
    for _ in 0..10 {
        world.run(1);
        world.check("web", |_| true);
    }
    let phase = world.cluster.scheduler().deployments()[&canary.deployment].rollouts[&path("web")].phase;
    assert_eq!(phase, Phase::Waiting);
    assert_eq!(world.serving("web"), 5, "one beside the old four");
    world
        .cluster
        .command(Command::Promote { deployment: canary.deployment.clone(), answer: Answer::nobody() });
    for _ in 0..20 {
        world.run(1);
        world.check("web", |_| true);
    }
    world.settle(10);

    let good = world.cluster.running_tasks();
    let bad = world.apply(put(with_command(web(), "bad")));
    for _ in 0..30 {
        world.run(1);
        world.check("web", |app| app.cmd.as_deref() != Some("bad"));
    }
    world.settle(30);
    let services = world.cluster.scheduler();
    let ended = services.ended_deployments().iter().find(|one| one.id == bad.deployment).unwrap();
    assert!(matches!(ended.end, DeploymentEnd::RolledBack { .. }), "{ended:?}");
    let lonja_services_core::definition::RunSpec::App(now) = services.service(&path("web")).unwrap().spec()
    else {
        panic!("it is an app")
    };
    assert_eq!(now.cmd.as_deref(), Some("good"));
    assert_eq!(world.cluster.running_tasks(), good, "those that are good stay");
}

#[test]
fn green_takes_no_requests_before_it_is_promoted() {
    let strategy = Strategy::BlueGreen { promote_after: Some(Duration::from_secs(60)) };
    let web =
        || App { rollout: Rollout { strategy: strategy.clone(), ..Rollout::default() }, ..app("web", 3) };
    let mut world = World::new(6, 3, EACH);
    world.apply(put(web()));
    world.settle(30);

    world.apply(put(with_command(web(), "green")));
    world.run(30);
    let service = world.cluster.scheduler().service(&path("web")).unwrap();
    assert_eq!(service.instances().len(), 6);
    assert_eq!(service.endpoints().iter().filter(|one| one.accepts).count(), 3);

    world.settle(120);
    let service = world.cluster.scheduler().service(&path("web")).unwrap();
    assert_eq!(service.endpoints().iter().filter(|one| one.accepts).count(), 3);
}

#[test]
fn an_instance_that_fails_comes_back_later_and_later() {
    let mut world = World::with(7, 1, EACH, |_task| TaskOutcome::exits(1).after(Duration::from_millis(100)));
    world.apply(put(app("crash", 1)));
    world.run(60);
    let launches = world.cluster.tasks().len();
    // 1 s, 1.15 times more each time: the sum of sixteen is 55 s.
    assert!((12..=20).contains(&launches), "{launches} launches in a minute");
    let service = world.cluster.scheduler().service(&path("crash")).unwrap();
    assert_eq!(service.last_failure().unwrap().state, "TASK_FAILED");
}

#[test]
fn a_restart_of_the_framework_goes_on_where_it_was() {
    let mut world = World::new(8, 3, EACH);
    world.apply(put(app("web", 5)));
    world.settle(30);
    let before = world.cluster.running_tasks();
    world.cluster.kill_scheduler();
    world.settle(60);
    assert_eq!(world.cluster.running_tasks(), before, "running instances are adopted");

    world.apply(put(with_command(app("web", 5), "serve 2")));
    world.cluster.run_for(Duration::from_millis(30));
    world.cluster.kill_scheduler();
    world.settle(60);
    world.cluster.assert_running(5);
    assert!(world.cluster.running_tasks().iter().all(|task| !before.contains(task)));
}
