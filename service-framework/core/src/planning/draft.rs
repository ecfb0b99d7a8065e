//! What would be wanted after a change, laid over what is wanted now.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::{self, Cycle, Node, Wanted};
use super::refuse;
use super::tree::{Tree, below};
use crate::command::{Change, Refused};
use crate::config::Config;
use crate::definition::{RunSpec, Version, VersionInfo};
use crate::deployment::{DeploymentPlan, Step};
use crate::groups::Group;
use crate::path_id::PathId;
use crate::validate::Fault;

/// What would be wanted after a change.
pub(super) struct Draft<'a> {
    tree: &'a dyn Tree,
    version: Version,
    specs: BTreeMap<PathId, Option<RunSpec>>,
    groups: BTreeMap<PathId, Option<Group>>,
    restart: BTreeSet<PathId>,
    // It takes a deployment back.
    back: bool,
}

/// Is what the change was made of still there, and what it creates not yet?
pub(super) fn check_base(change: &Change, tree: &dyn Tree) -> Result<(), Refused> {
    for (id, expected) in &change.based_on {
        // Whether the name is another thing's is judged later.
        let spec = tree.spec(id).map(|spec| spec.version().version);
        let group = tree.group(id).map(|group| group.version);
        let version = match (change.specs.contains_key(id), change.groups.contains_key(id)) {
            (true, _) => spec,
            (false, true) => group,
            (false, false) => spec.or(group),
        };
        if version != *expected {
            return Err(Refused::Stale(id.clone()));
        }
    }
    match change.create.iter().find_map(|id| kind(tree, id).map(|kind| (kind, id))) {
        Some((kind, id)) => Err(Refused::Exists { kind, id: id.clone() }),
        None => Ok(()),
    }
}

/// What has this name.
fn kind(tree: &dyn Tree, id: &PathId) -> Option<&'static str> {
    match tree.spec(id) {
        Some(RunSpec::App(_)) => Some("app"),
        Some(RunSpec::Pod(_)) => Some("pod"),
        None if tree.group(id).is_some() => Some("group"),
        None => tree.job_exists(id).then_some("job"),
    }
}

impl<'a> Draft<'a> {
    /// Everything that a change names or removes, with groups on the way to what is new. Errors: names that are unknown, or
    /// of something else.
    pub(super) fn of(
        change: Change,
        tree: &'a dyn Tree,
        version: Version,
        config: &Config,
    ) -> Result<Self, Refused> {
        let Change { specs, groups, restart, back, .. } = change;
        let mut draft = Self { tree, version, specs, groups: BTreeMap::new(), restart, back };
        draft.check_known(&groups)?;
        draft.remove_groups(&groups);
        draft.put_groups(groups, config)?;
        draft.create_groups(config);
        draft.check_names()?;
        Ok(draft)
    }

    fn check_known(&self, groups: &BTreeMap<PathId, Option<Group>>) -> Result<(), Refused> {
        let unknown = |kind, id: &PathId| Refused::Unknown { kind, id: id.to_string(), version: None };
        let removed = self.specs.iter().filter(|(_, spec)| spec.is_none()).map(|(id, _)| id);
        let restarted = self.restart.iter().filter(|id| !matches!(self.specs.get(*id), Some(Some(_))));
        if let Some(id) = removed.chain(restarted).find(|id| self.tree.spec(id).is_none()) {
            return Err(unknown("App", id));
        }
        let removed = groups.iter().filter(|(_, group)| group.is_none()).map(|(id, _)| id);
        match removed.filter(|id| !id.is_root()).find(|id| self.tree.group(id).is_none()) {
            Some(id) => Err(unknown("Group", id)),
            None => Ok(()),
        }
    }

    /// What is in a group that goes, goes too, unless the change says otherwise of it.
    fn remove_groups(&mut self, groups: &BTreeMap<PathId, Option<Group>>) {
        for (group, _) in groups.iter().filter(|(_, new)| new.is_none()) {
            for (id, _) in self.tree.specs_below(group) {
                self.specs.entry(id.clone()).or_insert(None);
            }
            for (id, _) in self.tree.groups_below(group).filter(|(id, _)| !groups.contains_key(*id)) {
                self.groups.insert(id.clone(), None);
            }
            if group.is_root() {
                self.touch(group);
            } else {
                self.groups.insert(group.clone(), None);
            }
        }
    }

    /// Groups as they are to be; `enforceRole` is of top-level ones alone.
    fn put_groups(
        &mut self,
        groups: BTreeMap<PathId, Option<Group>>,
        config: &Config,
    ) -> Result<(), Refused> {
        let mut faults = Vec::new();
        for (id, mut group) in groups.into_iter().filter_map(|(id, group)| Some((id, group?))) {
            let before = self.tree.group(&id);
            let is_top = id.parent().is_some_and(|parent| parent.is_root());
            if group.enforce_role.is_some() && !is_top {
                faults.push(Fault::at(
                    "/enforceRole",
                    format!("{id} is no top-level group; only those enforce a role"),
                ));
                continue;
            }
            match before {
                Some(before) => group.enforce_role = group.enforce_role.or(before.enforce_role),
                None => group.enforce_role = group.enforce_role.or(enforced_when_new(&id, config)),
            }
            group.id = id.clone();
            let version = before.map_or(self.version, |before| before.version);
            let is_same = before.is_some_and(|before| *before == Group { version, ..group.clone() });
            if !is_same {
                self.groups.insert(id, Some(Group { version: self.version, ..group }));
            }
        }
        refuse(faults)
    }

    /// The groups that what is wanted stands in.
    fn create_groups(&mut self, config: &Config) {
        let specs = self.specs.iter().filter(|(_, spec)| spec.is_some()).map(|(id, _)| id);
        let groups = self.groups.iter().filter(|(_, group)| group.is_some()).map(|(id, _)| id);
        let missing: BTreeSet<PathId> = specs
            .chain(groups)
            .flat_map(PathId::ancestors)
            .filter(|id| !id.is_root() && Wanted::group(self, id).is_none())
            .collect();
        for id in missing {
            let enforce_role = enforced_when_new(&id, config);
            self.groups.insert(id.clone(), Some(Group { enforce_role, ..Group::new(id, self.version) }));
        }
    }

    /// One name is of one thing, and nothing but groups has anything below it.
    fn check_names(&self) -> Result<(), Refused> {
        let mut faults = Vec::new();
        let mut fault = |message: String| faults.push(Fault::at("/id", message));
        for (id, spec) in self.specs.iter().filter_map(|(id, spec)| Some((id, spec.as_ref()?))) {
            let is_new = self.tree.spec(id).is_none();
            if spec.id() != id {
                fault(format!("the id {} is not that of its place, {id}", spec.id()));
            } else if id.is_root() {
                fault("the id names no app or pod, only the group of all".to_owned());
            } else if is_new && id.is_reserved() {
                fault(format!(
                    "{id} ends in a word of the API; end it in another than restart, tasks or versions"
                ));
            }
            if self.tree.spec(id).is_some_and(|before| is_pod(before) != is_pod(spec)) {
                let (one, other) = if is_pod(spec) { ("a pod", "an app") } else { ("an app", "a pod") };
                fault(format!(
                    "{id} is {other} and cannot become {one}; remove it first, or take another id"
                ));
            }
            if self.tree.job_exists(id) {
                fault(format!("{id} is a job; take another id"));
            }
        }
        for (id, _) in self.groups.iter().filter(|(_, group)| group.is_some()) {
            if Wanted::spec(self, id).is_some() {
                fault(format!("{id} cannot be a group and an app or pod; take another id"));
            }
            if self.tree.job_exists(id) {
                fault(format!("{id} is a job and cannot be a group; take another id"));
            }
        }
        let wanted = self.specs.iter().filter(|(_, spec)| spec.is_some()).map(|(id, _)| id);
        for id in wanted.filter(|id| !self.groups.contains_key(*id) && self.tree.group(id).is_some()) {
            fault(format!("{id} is a group and cannot be an app or pod; take another id"));
        }
        refuse(faults)
    }

    /// Specs that are as they were are no part of the change, unless they are restarted.
    pub(super) fn leave_out_what_is_the_same(&mut self) {
        let (tree, restart) = (self.tree, &self.restart);
        self.specs.retain(|id, spec| match (tree.spec(id), spec) {
            (Some(before), Some(spec)) => {
                restart.contains(id) || *before != spec.with_version(*before.version())
            }
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        });
        for id in restart {
            if let Some(spec) = tree.spec(id) {
                self.specs.entry(id.clone()).or_insert_with(|| Some(spec.clone()));
            }
        }
    }

    /// A group's rule on roles is not changed together with services: which of the two rules would they be under?
    pub(super) fn check_enforcing(&self) -> Result<(), Refused> {
        if self.specs.is_empty() {
            return Ok(());
        }
        let changes = |(id, group): &(&PathId, &Option<Group>)| {
            let before = self.tree.group(id).map(|before| before.enforce_role.unwrap_or(false));
            let now = group.as_ref().map(|group| group.enforce_role.unwrap_or(false));
            before.is_some() && now.is_some() && before != now
        };
        let fault = |(id, _): (&PathId, &Option<Group>)| {
            Fault::at(
                "/enforceRole",
                format!("the rule of {id} cannot change together with services; change it first"),
            )
        };
        refuse(self.groups.iter().filter(changes).map(fault).collect())
    }

    /// Specs say when they were changed and how; all groups on the way to a change say when.
    pub(super) fn set_versions(&mut self) {
        let version = self.version;
        let ids: Vec<PathId> = self.specs.keys().cloned().collect();
        for id in &ids {
            let Some(Some(spec)) = self.specs.get(id) else { continue };
            let info = match self.tree.spec(id) {
                Some(before) if !self.is_replaced(before, spec) => {
                    let is_scaled = before.instances() != spec.instances();
                    let last_scaling = if is_scaled { version } else { before.version().last_scaling };
                    VersionInfo { version, last_scaling, ..*before.version() }
                }
                // Instances of what comes back that are left are as good as new ones.
                Some(_) if self.back => {
                    VersionInfo { version, last_scaling: version, last_config: spec.version().last_config }
                }
                Some(_) | None => VersionInfo { version, last_scaling: version, last_config: version },
            };
            let spec = spec.with_version(info);
            self.specs.insert(id.clone(), Some(spec));
        }
        let on_the_way: BTreeSet<PathId> =
            ids.iter().chain(self.groups.keys()).flat_map(PathId::ancestors).collect();
        for id in on_the_way {
            self.touch(&id);
        }
    }

    fn touch(&mut self, id: &PathId) {
        let now = match self.groups.get(id) {
            Some(None) => return,
            Some(Some(group)) => group.clone(),
            None => self.tree.group(id).cloned().unwrap_or_else(|| Group::new(id.clone(), self.version)),
        };
        self.groups.insert(id.clone(), Some(Group { version: self.version, ..now }));
    }

    /// Do new instances take the place of all old ones?
    pub(super) fn is_replaced(&self, before: &RunSpec, spec: &RunSpec) -> bool {
        self.restart.contains(spec.id()) || !before.runs_the_same(spec)
    }

    /// On which layer each app and pod that is changed stands. Errors: a cycle that the change makes.
    pub(super) fn layers(&self) -> Result<BTreeMap<PathId, usize>, Cycle> {
        let specs = self.specs.iter().filter(|(_, spec)| spec.is_some());
        let mut nodes: Vec<Node> = specs.map(|(id, _)| Node::Spec(id.clone())).collect();
        let changed = self.groups.iter().filter(|(id, group)| {
            let now = group.as_ref().map(|group| group.dependencies.as_slice()).unwrap_or_default();
            let before = self.tree.group(id).map(|group| group.dependencies.as_slice());
            !now.is_empty() && Some(now) != before
        });
        nodes.extend(changed.map(|(id, _)| Node::Begin(id.clone())));
        graph::depths(self, nodes)
    }

    /// What was there before.
    pub(super) fn before(&self, id: &PathId) -> Option<&'a RunSpec> {
        self.tree.spec(id)
    }

    /// What is to be there after.
    pub(super) fn after(&self, id: &PathId) -> Option<&RunSpec> {
        Wanted::spec(self, id)
    }

    /// What is wanted now.
    pub(super) fn tree(&self) -> &'a dyn Tree {
        self.tree
    }

    /// The apps and pods that are changed; none: it goes.
    pub(super) fn specs(&self) -> impl Iterator<Item = (&PathId, Option<&RunSpec>)> {
        self.specs.iter().map(|(id, spec)| (id, spec.as_ref()))
    }

    /// Those that stay or come, to be filled in.
    pub(super) fn specs_mut(&mut self) -> impl Iterator<Item = (&PathId, &mut RunSpec)> {
        self.specs.iter_mut().filter_map(|(id, spec)| Some((id, spec.as_mut()?)))
    }

    /// Does the top-level group of an app or pod enforce its role?
    pub(super) fn is_role_enforced(&self, top_group: &str) -> bool {
        let group = PathId::absolute(top_group).ok();
        let group = group.as_ref().and_then(|id| Wanted::group(self, id));
        group.and_then(|group| group.enforce_role).unwrap_or(false)
    }

    /// The plan, with these steps.
    pub(super) fn into_plan(self, steps: Vec<Step>) -> DeploymentPlan {
        let tree = self.tree;
        DeploymentPlan {
            version: self.version,
            steps,
            original: self.specs.keys().map(|id| (id.clone(), tree.spec(id).cloned())).collect(),
            target: self.specs,
            original_groups: self.groups.keys().map(|id| (id.clone(), tree.group(id).cloned())).collect(),
            target_groups: self.groups,
        }
    }
}

impl Wanted for Draft<'_> {
    fn spec(&self, id: &PathId) -> Option<&RunSpec> {
        match self.specs.get(id) {
            Some(spec) => spec.as_ref(),
            None => self.tree.spec(id),
        }
    }

    fn group(&self, id: &PathId) -> Option<&Group> {
        match self.groups.get(id) {
            Some(group) => group.as_ref(),
            None => self.tree.group(id),
        }
    }

    fn names_below(&self, group: &PathId) -> Vec<PathId> {
        let new = below(&self.specs, group).filter(|(_, spec)| spec.is_some()).map(|(id, _)| id);
        let old = self.tree.specs_below(group).map(|(id, _)| id).filter(|id| !self.specs.contains_key(*id));
        new.chain(old).cloned().collect()
    }
}

fn is_pod(spec: &RunSpec) -> bool {
    matches!(spec, RunSpec::Pod(_))
}

/// The rule of a group that nobody has said anything of.
fn enforced_when_new(id: &PathId, config: &Config) -> Option<bool> {
    let is_top = id.parent().is_some_and(|parent| parent.is_root());
    is_top.then_some(config.new_groups_enforce_role)
}
