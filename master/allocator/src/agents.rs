//! One agent: total, allocated, free.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::resources::{Metadata, Resource};
use lonja_model::{FrameworkId, Resources, Role};

use crate::AgentFacts;

/// By whom something is held.
pub(crate) type Holder = (FrameworkId, Role);

/// What the allocator keeps of one agent.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) total: Resources,
    pub(crate) free: Resources,
    /// Never empty for a holder that is listed.
    pub(crate) allocated: BTreeMap<Holder, Held>,
    /// Pieces of what is allocated that the total does not cover.
    pub(crate) debt: Vec<Resources>,
    pub(crate) facts: AgentFacts,
    pub(crate) active: bool,
}

/// What one holder has: pieces as they were charged, since two of them may name one port where an agent
/// came back with more than it has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Vec<Resources>);

impl Held {
    /// All pieces, by name.
    pub(crate) fn quantities(&self) -> lonja_model::resources::Quantities {
        let mut sum = lonja_model::resources::Quantities::default();
        self.0.iter().for_each(|piece| sum.add(&piece.quantities()));
        sum
    }

    fn add(&mut self, resources: &Resources) {
        for piece in &mut self.0 {
            if let Ok(sum) = piece.checked_add(resources) {
                *piece = sum;
                return;
            }
        }
        self.0.push(resources.clone());
    }

    fn remove(&mut self, resources: &Resources) {
        // Usually one piece holds it all; after a messy return each kind may lie in another.
        if take(&mut self.0, resources) {
            return;
        }
        for resource in resources.iter() {
            let one = Resources::of([resource.clone()]).expect("one resource overlaps with nothing");
            assert!(take(&mut self.0, &one), "{resource} is given back, but was not held");
        }
    }
}

fn take(pieces: &mut Vec<Resources>, part: &Resources) -> bool {
    for piece in pieces.iter_mut() {
        if let Some(left) = piece.checked_sub(part) {
            *piece = left;
            pieces.retain(|piece| !piece.is_empty());
            return true;
        }
    }
    false
}

impl Agent {
    pub(crate) fn new(total: Resources, facts: AgentFacts) -> Self {
        let free = total.clone();
        Self { total, free, allocated: BTreeMap::new(), debt: Vec::new(), facts, active: true }
    }

    pub(crate) fn set_total(&mut self, total: Resources) {
        self.total = total;
        self.settle();
    }

    /// Takes free resources for a holder.
    ///
    /// # Panics
    /// If so much is not free.
    pub(crate) fn allocate(&mut self, holder: Holder, resources: &Resources) {
        self.free = self.free.checked_sub(resources).expect("only what is free is allocated");
        self.allocated.entry(holder).or_default().add(resources);
    }

    /// Takes what was found in use, free or not.
    pub(crate) fn charge(&mut self, framework: &FrameworkId, role: &Role, resources: &Resources) {
        self.allocated.entry((framework.clone(), role.clone())).or_default().add(resources);
        match self.free.checked_sub(resources) {
            Some(free) if self.debt.is_empty() => self.free = free,
            Some(_) | None => self.settle(),
        }
    }

    pub(crate) fn recover(&mut self, framework: &FrameworkId, role: &Role, resources: &Resources) {
        if resources.is_empty() {
            return;
        }
        let holder = (framework.clone(), role.clone());
        let held = self.allocated.get_mut(&holder).expect("what is given back was allocated");
        held.remove(resources);
        if held.0.is_empty() {
            self.allocated.remove(&holder);
        }
        if self.debt.is_empty() {
            self.free = self.free.checked_add(resources).expect("what was allocated is not free");
        } else {
            self.settle();
        }
    }

    /// Works out anew what is free and what the total does not cover. A kind that does not suffice has
    /// nothing free.
    fn settle(&mut self) {
        let (mut free, mut debt) = (self.total.clone(), Vec::new());
        let mut short: BTreeSet<(&str, &Metadata)> = BTreeSet::new();
        for resource in self.allocated.values().flat_map(|held| &held.0).flat_map(Resources::iter) {
            let one = Resources::of([resource.clone()]).expect("one resource overlaps with nothing");
            match free.checked_sub(&one) {
                Some(left) => free = left,
                None => {
                    short.insert((resource.name(), resource.metadata()));
                    debt.push(one);
                }
            }
        }
        self.free =
            free.filter(|resource: &Resource| !short.contains(&(resource.name(), resource.metadata())));
        self.debt = debt;
    }

    /// free + allocated = total, exactly, unless there is a debt.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.allocated.values().any(|held| held.0.is_empty() || held.0.iter().any(Resources::is_empty)) {
            return Err("a holder of nothing is listed".to_owned());
        }
        if !self.debt.is_empty() {
            return Ok(());
        }
        let mut sum = self.free.clone();
        for piece in self.allocated.values().flat_map(|held| &held.0) {
            sum = sum.checked_add(piece).map_err(|error| error.to_string())?;
        }
        if sum == self.total {
            Ok(())
        } else {
            Err(format!("the total is {}, free and allocated are {sum}", self.total))
        }
    }
}
