//! What is wanted now, as a plan needs to see it.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::definition::RunSpec;
use crate::groups::Group;
use crate::path_id::PathId;

/// What is wanted now. Apps and pods that are to go are not in it, though instances of them may be left.
pub trait Tree {
    /// This app or pod.
    fn spec(&self, id: &PathId) -> Option<&RunSpec>;
    /// All apps and pods below a group, ordered by id.
    fn specs_below<'a>(&'a self, group: &PathId) -> Specs<'a>;
    /// This group.
    fn group(&self, id: &PathId) -> Option<&Group>;
    /// All groups below a group, ordered by id; not itself.
    fn groups_below<'a>(&'a self, group: &PathId) -> Groups<'a>;
    /// How many apps and pods there are. O(1).
    fn count(&self) -> usize;
    /// Is this the name of a job?
    fn job_exists(&self, id: &PathId) -> bool;
    /// Has any app this service port? At most logarithmic: it is asked for one port after the other.
    fn service_port_taken(&self, port: u16) -> bool;
}

/// Apps and pods by their names.
pub type Specs<'a> = Box<dyn Iterator<Item = (&'a PathId, &'a RunSpec)> + 'a>;

/// Groups by their names.
pub type Groups<'a> = Box<dyn Iterator<Item = (&'a PathId, &'a Group)> + 'a>;

/// The entries of a map that are below a group, ordered by id. O(log n) and what is there.
pub(crate) fn below<'a, T>(
    map: &'a BTreeMap<PathId, T>,
    group: &PathId,
) -> impl Iterator<Item = (&'a PathId, &'a T)> + use<'a, T> {
    let (from, to) = group.below_range();
    map.range::<str, _>((Bound::Included(from.as_str()), Bound::Excluded(to.as_str())))
        .filter(|(id, _)| !id.is_root())
}

/// A tree as plain maps, for tests and for plans that nothing runs of.
#[derive(Clone, Debug, Default)]
pub struct PlainTree {
    specs: BTreeMap<PathId, RunSpec>,
    groups: BTreeMap<PathId, Group>,
    ports: BTreeMap<u16, usize>,
    jobs: std::collections::BTreeSet<PathId>,
}

impl PlainTree {
    /// An app or pod is as the plan says, or is no more.
    pub fn set(&mut self, id: &PathId, spec: Option<RunSpec>) {
        let before = match spec.clone() {
            Some(spec) => self.specs.insert(id.clone(), spec),
            None => self.specs.remove(id),
        };
        for port in before.iter().flat_map(RunSpec::service_ports) {
            if let Some(count) = self.ports.get_mut(&port) {
                *count -= 1;
                if *count == 0 {
                    self.ports.remove(&port);
                }
            }
        }
        for port in spec.iter().flat_map(RunSpec::service_ports) {
            *self.ports.entry(port).or_default() += 1;
        }
    }

    /// A group is as the plan says, or is no more.
    pub fn set_group(&mut self, id: &PathId, group: Option<Group>) {
        match group {
            Some(group) => self.groups.insert(id.clone(), group),
            None => self.groups.remove(id),
        };
    }

    /// There is a job of this name.
    pub fn add_job(&mut self, id: PathId) {
        self.jobs.insert(id);
    }

    /// All is as a plan says that it is to be.
    pub fn follow(&mut self, plan: &crate::deployment::DeploymentPlan) {
        for (id, spec) in &plan.target {
            self.set(id, spec.clone());
        }
        for (id, group) in &plan.target_groups {
            self.set_group(id, group.clone());
        }
    }

    /// All apps and pods.
    pub fn specs(&self) -> &BTreeMap<PathId, RunSpec> {
        &self.specs
    }

    /// All groups.
    pub fn groups(&self) -> &BTreeMap<PathId, Group> {
        &self.groups
    }
}

impl Tree for PlainTree {
    fn spec(&self, id: &PathId) -> Option<&RunSpec> {
        self.specs.get(id)
    }

    fn specs_below<'a>(&'a self, group: &PathId) -> Specs<'a> {
        Box::new(below(&self.specs, group))
    }

    fn group(&self, id: &PathId) -> Option<&Group> {
        self.groups.get(id)
    }

    fn groups_below<'a>(&'a self, group: &PathId) -> Groups<'a> {
        Box::new(below(&self.groups, group))
    }

    fn count(&self) -> usize {
        self.specs.len()
    }

    fn job_exists(&self, id: &PathId) -> bool {
        self.jobs.contains(id)
    }

    fn service_port_taken(&self, port: u16) -> bool {
        self.ports.contains_key(&port)
    }
}
