//! Whatever is asked for.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::deployment::Action;
use crate::planning::{layers, revert};

const NAMES: [&str; 9] = ["/a", "/b", "/g/c", "/g/d", "/g/h/e", "/g/h/f", "/i/j", "/i/k/l", "/i/k/m"];
const TARGETS: [&str; 6] = ["/g", "/g/h", "/i", "/i/k", "/nowhere", "/"];

#[derive(Clone, Debug)]
enum Step {
    Put { name: usize, instances: u32, cmd: bool, dependencies: Vec<usize>, ports: usize },
    Remove(usize),
    RemoveGroup(usize),
    Depend { group: usize, on: usize },
    Restart(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let all = NAMES.len() + TARGETS.len();
    prop_oneof![
        4 => (0..NAMES.len(), 0..4_u32, any::<bool>(), vec(0..all, 0..3), 0..3_usize).prop_map(
            |(name, instances, cmd, dependencies, ports)| Step::Put { name, instances, cmd, dependencies, ports }
        ),
        1 => (0..NAMES.len()).prop_map(Step::Remove),
        1 => (0..4_usize).prop_map(Step::RemoveGroup),
        1 => (0..4_usize, 0..all).prop_map(|(group, on)| Step::Depend { group, on }),
        1 => (0..NAMES.len()).prop_map(Step::Restart),
    ]
}

fn target(number: usize) -> PathId {
    id(NAMES.get(number).copied().unwrap_or_else(|| TARGETS[number - NAMES.len()]))
}

fn change(steps: &[Step]) -> Change {
    let mut change = Change::default();
    for step in steps {
        match step {
            Step::Put { name, instances, cmd, dependencies, ports } => {
                let app = App {
                    instances: *instances,
                    cmd: cmd.then(|| "true".to_owned()),
                    dependencies: dependencies.iter().map(|one| target(*one)).collect(),
                    ..with_ports(NAMES[*name], &vec![0; *ports])
                };
                change.specs.extend(put([app]).specs);
            }
            Step::Remove(name) => change.specs.extend(remove(NAMES[*name]).specs),
            Step::RemoveGroup(group) => change.groups.extend([(id(TARGETS[*group]), None)]),
            Step::Depend { group: name, on } => {
                change.groups.extend([group(TARGETS[*name], &[target(*on).as_str()])]);
            }
            Step::Restart(name) => change.restart.extend([id(NAMES[*name])]),
        }
    }
    change
}

/// What depends on what, each pair by itself, as the rule says it: a slow second opinion.
fn pairs(tree: &PlainTree) -> Vec<(PathId, PathId)> {
    let members = |target: &PathId| -> Vec<PathId> {
        match tree.spec(target) {
            Some(_) => vec![target.clone()],
            None if tree.group(target).is_some() => {
                tree.specs().keys().filter(|id| id.is_below(target)).cloned().collect()
            }
            None => Vec::new(),
        }
    };
    let mut pairs = Vec::new();
    for (id, spec) in tree.specs() {
        let groups = id.ancestors().filter_map(|group| tree.group(&group));
        let dependencies = spec.dependencies().iter().chain(groups.flat_map(|group| &group.dependencies));
        pairs.extend(dependencies.flat_map(members).map(|other| (id.clone(), other)));
    }
    pairs
}

/// Taking away what depends on nothing leaves nothing, unless there is a cycle.
fn is_cyclic(tree: &PlainTree) -> bool {
    let mut pairs = pairs(tree);
    loop {
        let before = pairs.len();
        let sources: Vec<PathId> = pairs.iter().map(|(one, _)| one.clone()).collect();
        pairs.retain(|(_, other)| sources.contains(other));
        if pairs.len() == before {
            return before > 0;
        }
    }
}

fn check(world: &World, before: &PlainTree, plan: &DeploymentPlan) -> Result<(), TestCaseError> {
    let tree = &world.tree;
    prop_assert!(!is_cyclic(tree));
    for id in tree.specs().keys() {
        prop_assert!(id.ancestors().all(|group| tree.group(&group).is_some()), "{} stands in no group", id);
        prop_assert!(tree.group(id).is_none());
    }
    let mut ports: Vec<u16> = tree.specs().keys().flat_map(|id| world.ports(id.as_str())).collect();
    let all = ports.len();
    ports.sort_unstable();
    ports.dedup();
    prop_assert_eq!((ports.len(), ports.contains(&0)), (all, false), "ports are given twice");

    let step_of = |id: &PathId, wanted: &[Action]| {
        let is_in = |step: &crate::deployment::Step| {
            step.actions.get(id).is_some_and(|action| wanted.contains(action))
        };
        plan.steps.iter().position(is_in)
    };
    for (one, other) in pairs(tree) {
        let work = [Action::Scale, Action::Restart];
        if let (Some(one), Some(other)) = (step_of(&one, &work), step_of(&other, &work)) {
            prop_assert!(other < one, "{:?}", plan.steps);
        }
    }
    for id in NAMES.map(id) {
        let (then, now) = (before.spec(&id), tree.spec(&id));
        prop_assert_eq!(step_of(&id, &[Action::Stop]).is_some(), then.is_some() && now.is_none());
        prop_assert_eq!(step_of(&id, &[Action::Start]).is_some(), then.is_none() && now.is_some());
        prop_assert!(plan.target.contains_key(&id) || then == now);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// No sequence of changes makes a tree that breaks a rule, and what is refused for a cycle has one.
    #[test]
    fn the_tree_keeps_its_rules(changes in vec(vec(any_step(), 1..5), 1..12)) {
        let mut world = World::default();
        for steps in changes {
            let before = world.tree.clone();
            match world.plan(change(&steps)) {
                Ok(plan) => {
                    world.clock += 1;
                    world.tree.follow(&plan);
                    check(&world, &before, &plan)?;
                    let ids: Vec<PathId> = world.tree.specs().keys().cloned().collect();
                    prop_assert_eq!(layers(&world.tree, &ids).unwrap().len(), ids.len());
                }
                Err(Refused::Invalid(faults)) => prop_assert!(faults.iter().all(|one| one.path == "/dependencies")),
                Err(Refused::Unknown { .. }) => {}
                Err(other) => prop_assert!(false, "{other:?}"),
            }
        }
    }

    /// A deployment that is taken back at once leaves what was wanted before it, but for the times of change.
    #[test]
    fn taking_back_restores(first in vec(any_step(), 1..9), second in vec(any_step(), 1..6)) {
        let mut world = World::default();
        let _ = world.plan(change(&first)).map(|plan| world.tree.follow(&plan));
        let bare = |tree: &PlainTree| {
            let specs = tree.specs().values().map(|spec| spec.with_version(VersionInfo::default())).collect::<Vec<_>>();
            let groups = tree.groups().values().map(|group| (group.id.clone(), group.dependencies.clone()));
            (specs, groups.filter(|(id, _)| !id.is_root()).collect::<Vec<_>>())
        };
        let before = bare(&world.tree);
        world.clock = 1;
        if let Ok(plan) = world.plan(change(&second)) {
            world.clock = 2;
            world.tree.follow(&plan);
            let back = world.plan(revert(&plan, &world.tree)).unwrap();
            world.tree.follow(&back);
            prop_assert_eq!(bare(&world.tree), before);
        }
    }
}
