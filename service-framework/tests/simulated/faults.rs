//! Whatever goes wrong: what was acknowledged is kept (INV-48), there are as many as wanted and never more than allowed (INV-49),
//! and each deployment ends (INV-50).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_sdk::prelude::{TaskId, TaskState};
use lonja_sdk::testing::{Faults, TaskOutcome, fuzz};
use lonja_services_core::definition::{
    App, Rollout, RunSpec, SINGLE_INSTANCE, Strategy, UpgradeStrategy, Version,
};
use lonja_services_core::deployment::DeploymentId;
use lonja_services_core::instance::{Goal, Instance};
use lonja_services_core::{Change, ChangeOptions, PathId, Services, What};

use crate::world::{World, app, checked, put, remove, restart, unsettled};

/// Small numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

const APPS: [&str; 4] = ["/a", "/shop/b", "/shop/c", "/single"];

fn any_app(id: &str, dice: &mut Dice) -> App {
    let strategies = [
        Strategy::Rolling,
        Strategy::Rolling,
        Strategy::Canary { fraction: 0.5, promote_after: Some(Duration::from_secs(10)) },
        Strategy::BlueGreen { promote_after: Some(Duration::from_secs(10)) },
    ];
    let rollout = Rollout {
        strategy: strategies[dice.below(4) as usize].clone(),
        progress_deadline: Some(Duration::from_secs(120 + dice.below(600))),
        max_failures: (dice.below(3) == 0).then_some(3),
        auto_rollback: dice.below(3) == 0,
    };
    let upgrades = [(1.0, 1.0), (0.5, 0.0), (1.0, 0.0), (0.0, 0.0), (0.5, 0.5)];
    let (minimum_health_capacity, maximum_over_capacity) = upgrades[dice.below(5) as usize];
    let upgrade = UpgradeStrategy { minimum_health_capacity, maximum_over_capacity };
    let cmd = Some(format!("serve {}", dice.below(3)));
    if id == "/single" {
        let labels = BTreeMap::from([(SINGLE_INSTANCE.to_owned(), "true".to_owned())]);
        let upgrade = UpgradeStrategy { minimum_health_capacity: 0.0, maximum_over_capacity: 0.0 };
        return App { cmd, labels, upgrade, rollout, ..app(id, 1) };
    }
    let dependencies = if id == "/shop/c" { vec![PathId::absolute("/shop/b").unwrap()] } else { Vec::new() };
    let plain = App { cmd, rollout, upgrade, dependencies, ..app(id, dice.below(4) as u32) };
    if dice.below(2) == 0 { checked(plain, 3) } else { plain }
}

fn any_change(dice: &mut Dice) -> Change {
    let id = APPS[dice.below(4) as usize];
    match dice.below(8) {
        0 => remove(id),
        1 => restart(id),
        _ => put(any_app(id, dice)),
    }
}

/// No deployment touches what another touches, and what it touches says so.
fn locks_are_whole(services: &Services) -> Result<(), String> {
    for (id, deployment) in services.deployments() {
        for path in deployment.plan.affected() {
            let service = services.services().get(path).ok_or(format!("{path} of {id} is unknown"))?;
            if service.deployment() != Some(id) {
                return Err(format!("{path} is not locked by {id}"));
            }
        }
    }
    for (path, service) in services.services() {
        if let Some(id) = service.deployment().filter(|id| !services.deployments().contains_key(id)) {
            return Err(format!("{path} is locked by {id}, which has ended"));
        }
        // One that is to end and was silent comes back before it ends; nobody can help that.
        let lives = |one: &&Instance| one.goal == Goal::Running && one.is_active() && !one.is_silent();
        let active = service.instances().values().filter(lives).count();
        let spec = service.spec();
        // Of the target and of what was before: as many as either, twice over, and one. The bounds of each upgrade are looked
        // at where nothing is given up by force: in `rolling`.
        let before = service.versions().values().map(RunSpec::instances).max().unwrap_or(0);
        let most = 2 * spec.instances().max(before) as usize + 1;
        if active > most {
            return Err(format!("{active} instances of {path} are active, of at most {most}"));
        }
    }
    Ok(())
}

/// Goes on for some time; health is looked at all the while. Of two commands in three it is good; `all_good`: of all.
fn pass(world: &mut World, secs: u64, all_good: bool) {
    for _ in 0..secs.div_ceil(5) {
        world.run(5);
        for id in APPS {
            if !world.is_up() {
                break;
            }
            world.check(id, |app| all_good || app.cmd.as_deref() != Some("serve 2"));
        }
    }
}

/// One cluster through faults and changes.
fn ordeal(seed: u64) {
    let mut dice = Dice(seed);
    let outcome = move |task: &lonja_sdk::model::TaskInfo| {
        // Some programs are bad, some fail now and then.
        let hash = task
            .id
            .as_str()
            .bytes()
            .fold(seed, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(byte)));
        match hash % 12 {
            0 => TaskOutcome::exits(1).after(Duration::from_secs(hash % 40)),
            1 => TaskOutcome::cannot_start(),
            _ => TaskOutcome::runs_on(),
        }
    };
    let mut world = World::with(seed, 4, "cpus:4;mem:4096;ports:[31000-31999]", outcome);
    world.cluster = world.cluster.invariant(locks_are_whole);
    world.cluster.random_faults(Faults::ALL, Duration::from_secs(240));

    // What was told to be taken in, in the order of the versions.
    let mut answers = Vec::new();
    for _ in 0..12 {
        pass(&mut world, 5 + dice.below(25), false);
        if !world.is_up() {
            continue;
        }
        let change = any_change(&mut dice);
        let options = ChangeOptions { force: dice.below(2) == 0, strategy: None };
        answers.push((world.ask(change.clone(), options), change));
    }
    // From now on programs are good.
    world.cluster.set_outcome(|_task| TaskOutcome::runs_on());
    let single = |world: &World| {
        let is_single = |task: &&lonja_sdk::model::TaskId| task.as_str().starts_with("single.");
        world.cluster.running_tasks().iter().filter(is_single).count()
    };
    for _ in 0..60 {
        pass(&mut world, 5, true);
        // Who declares an agent gone that is not takes it upon himself.
        let declared = world.told.iter().any(|event| match &event.what {
            What::StatusUpdate { task, state, .. } => {
                *state == TaskState::GoneByOperator && task.as_str().starts_with("single.")
            }
            _ => false,
        });
        let heard: Vec<String> = world
            .told
            .iter()
            .filter_map(|event| match &event.what {
                What::StatusUpdate { task, state, message, .. } if task.as_str().starts_with("single.") => {
                    Some(format!("{:?} {task} {state} {message}", event.at))
                }
                _ => None,
            })
            .collect();
        assert!(declared || single(&world) <= 1, "two of a single-instance app run at once: {heard:#?}");
    }
    // Of tasks on agents that do not come back the master says nothing before it has given these up: 10 minutes.
    pass(&mut world, 660, true);
    let settled = |world: &World| world.cluster.try_scheduler().map(unsettled);
    for _ in 0..180 {
        if matches!(settled(&world), Some(None)) {
            break;
        }
        pass(&mut world, 60, true);
    }
    assert_eq!(settled(&world), Some(None), "it has not come to rest within three hours");
    world.run(1);

    // Told is what is durable; an answer in a test comes before. Of one that was not told nobody knows what came of it.
    let told: BTreeSet<&DeploymentId> =
        world.told.iter().filter_map(|event| deployment_of(&event.what)).collect();
    let asked: BTreeMap<(Version, bool), Change> = answers
        .into_iter()
        .filter_map(|(answer, change)| {
            let started = answer.lock().unwrap().take()?.ok()?;
            Some(((started.version, told.contains(&started.deployment)), change))
        })
        .collect();
    // The last word on each app that was taken in holds, but for what a later deployment took back.
    let services = world.cluster.scheduler();
    for id in APPS {
        let path = PathId::absolute(id).unwrap();
        // The last that was asked for decides, if it is known to have been done to its end.
        let Some(((version, told), change)) = asked.iter().rfind(|(_, change)| touches(change, &path)) else {
            continue;
        };
        let done = world.told.iter().any(
            |event| matches!(&event.what, What::DeploymentSuccess { plan, .. } if plan.version == *version),
        );
        if !told || !done {
            continue;
        }
        match change.specs.get(&path) {
            Some(None) => assert!(services.service(&path).is_none(), "{id} was to go"),
            Some(Some(RunSpec::App(wanted))) => {
                let Some(RunSpec::App(now)) = services.service(&path).map(|one| one.spec()) else {
                    panic!("{id} was wanted and is not there")
                };
                assert_eq!(
                    (&now.cmd, now.instances),
                    (&wanted.cmd, wanted.instances),
                    "{id} is as it was wanted last"
                );
            }
            _ => {}
        }
    }
    let known: BTreeSet<_> = services
        .services()
        .values()
        .flat_map(|one| one.instances().values().flat_map(|one| &one.tasks))
        .map(|task| task.id.clone())
        .collect();
    let running: BTreeSet<_> = world.cluster.running_tasks().into_iter().collect();
    let heard = |task: &TaskId| -> Vec<String> {
        let told = world.cluster.history(task.as_str());
        told.iter().map(|one| format!("{:?} {} {:?}", one.at, one.status.state, one.status.reason)).collect()
    };
    // On an agent that was declared gone they end when it hears of that.
    let declared = |task: &&TaskId| {
        let told = world.cluster.history(task.as_str());
        told.last().is_some_and(|one| one.status.state == TaskState::GoneByOperator)
    };
    let running: BTreeSet<_> = running.into_iter().filter(|task| !declared(&task)).collect();
    let strangers: Vec<_> = running.difference(&known).map(|task| (task, heard(task))).collect();
    assert!(strangers.is_empty(), "tasks run that nobody wants: {strangers:#?}");
    assert_eq!(running, known, "all that is wanted runs");
}

/// Which deployment begins or ends, if one does.
fn deployment_of(what: &What) -> Option<&DeploymentId> {
    match what {
        What::DeploymentInfo { id, .. }
        | What::DeploymentSuccess { id, .. }
        | What::DeploymentFailed { id, .. } => Some(id),
        _ => None,
    }
}

fn touches(change: &Change, path: &PathId) -> bool {
    change.specs.contains_key(path) || change.restart.contains(path)
}

#[test]
fn whatever_goes_wrong_all_promises_are_kept() {
    fuzz(0..60, ordeal);
}
