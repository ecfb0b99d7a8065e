//! How long it takes to plan one change among many apps: `cargo bench -p lonja-services-core`.
//!
//! 5,000 apps in 500 groups, ten to each of 50 teams, of ten apps each. In a group each app depends on the one before it, each
//! group on the one before it in its team. Goal: 50 ms for one change. `chain`: the last app of a team, below which stand
//! 99 others; `root`: one that depends on all of them; `all`: each app gets another number of instances.

use std::collections::BTreeSet;
use std::sync::Arc;

use divan::Bencher;
use lonja_model::resources::Scalar;
use lonja_services_core::definition::{App, PortDefinition, RunSpec, Version};
use lonja_services_core::groups::Group;
use lonja_services_core::planning::{PlainTree, Tree, plan};
use lonja_services_core::{Change, ChangeOptions, Config, PathId};

fn main() {
    divan::main();
}

const TEAMS: usize = 50;
const GROUPS: usize = 10;
const APPS: usize = 10;

#[divan::bench(sample_size = 1, sample_count = 100)]
fn change_one_of_5k_apps_new(bencher: Bencher) {
    measure(bencher, put([app("/team-20/group-5/new".to_owned(), &[])]));
}

#[divan::bench(sample_size = 1, sample_count = 100)]
fn change_one_of_5k_apps_chain(bencher: Bencher) {
    let last = format!("/team-20/group-{}/app-{}", GROUPS - 1, APPS - 1);
    measure(bencher, put([App { instances: 7, ..app(last, &[]) }]));
}

#[divan::bench(sample_size = 1, sample_count = 100)]
fn change_one_of_5k_apps_root(bencher: Bencher) {
    let teams: Vec<String> = (0..TEAMS).map(|team| format!("/team-{team}")).collect();
    measure(bencher, put([app("/all".to_owned(), &teams.iter().map(String::as_str).collect::<Vec<_>>())]));
}

#[divan::bench(sample_size = 1, sample_count = 20)]
fn change_all_of_5k_apps(bencher: Bencher) {
    let tree = tree();
    let specs = tree.specs().iter().map(|(id, spec)| (id.clone(), Some(spec.with_instances(9))));
    let change = Change { specs: specs.collect(), ..Change::default() };
    measure(bencher, change);
}

fn measure(bencher: Bencher, change: Change) {
    let tree = tree();
    assert_eq!(tree.count(), TEAMS * GROUPS * APPS);
    let (config, options) = (Config::default(), ChangeOptions::default());
    bencher.with_inputs(|| change.clone()).bench_local_values(|change| {
        plan(change, &tree, Version(2), &config, &options).expect("the change is sound")
    });
}

/// All the teams, as one plan makes them.
fn tree() -> PlainTree {
    let mut change = Change::default();
    for team in 0..TEAMS {
        for number in 0..GROUPS {
            let name = format!("/team-{team}/group-{number}");
            let group_id = id(&name);
            let before = number.checked_sub(1).map(|before| id(&format!("/team-{team}/group-{before}")));
            let group = Group {
                dependencies: before.into_iter().collect(),
                ..Group::new(group_id.clone(), Version(1))
            };
            change.groups.insert(group_id, Some(group));
            for place in 0..APPS {
                let before = place.checked_sub(1).map(|before| format!("{name}/app-{before}"));
                let before: Vec<&str> = before.iter().map(String::as_str).collect();
                change.specs.extend(put([app(format!("{name}/app-{place}"), &before)]).specs);
            }
        }
    }
    let mut tree = PlainTree::default();
    let plan = plan(change, &tree, Version(1), &Config::default(), &ChangeOptions::default());
    tree.follow(&plan.expect("the teams are sound"));
    tree
}

fn id(text: &str) -> PathId {
    PathId::absolute(text).expect("a path")
}

fn put(apps: impl IntoIterator<Item = App>) -> Change {
    let specs = apps.into_iter().map(|app| (app.id.clone(), Some(RunSpec::App(Arc::new(app)))));
    Change { specs: specs.collect(), create: BTreeSet::new(), ..Change::default() }
}

/// An app with a service port to be given.
fn app(name: String, dependencies: &[&str]) -> App {
    App {
        cmd: Some("sleep 1000".into()),
        cpus: Scalar::from_units(1).expect("an amount"),
        mem: Scalar::from_units(128).expect("an amount"),
        role: String::new(),
        port_definitions: Some(vec![PortDefinition::default()]),
        dependencies: dependencies.iter().map(|name| id(name)).collect(),
        ..App::new(id(&name))
    }
}
