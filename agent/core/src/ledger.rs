//! What of the agent's resources is spoken for.
//!
//! Two sums are kept. **Promised** is what the master gave to tasks that have not ended: it is what the
//! master counts too. **Held** is what containers have in their hands. They differ for a moment only: a
//! task whose framework was shut down is no longer promised anything, yet holds its share until its
//! container has ended; and a task that got that share waits, promised but not holding.
//!
//! A shared volume may be in as many hands as like: however often it is held, it is needed once.
//!
//! Invariants
//! - Neither sum is above the total, unless the agent came back with less than its tasks need.

use lonja_model::Resources;
use lonja_model::resources::{AddError, Resource};

/// The agent's resources and the two sums over its tasks.
#[derive(Debug)]
pub(crate) struct Ledger {
    total: Resources,
    promised: Resources,
    held: Resources,
    /// The agent came back with less than its tasks need, and too few of them have ended yet.
    in_debt: bool,
}

/// Which of the two sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    Promised,
    Held,
}

impl Ledger {
    /// Nothing is spoken for.
    pub(crate) fn new(total: Resources) -> Self {
        Self { total, promised: Resources::new(), held: Resources::new(), in_debt: false }
    }

    /// Everything there is.
    pub(crate) fn total(&self) -> &Resources {
        &self.total
    }

    /// One of the sums.
    pub(crate) fn sum(&self, sum: Sum) -> &Resources {
        match sum {
            Sum::Promised => &self.promised,
            Sum::Held => &self.held,
        }
    }

    /// What the sum leaves of the total; nothing if the sum is above the total. A shared volume is always left.
    pub(crate) fn free(&self, sum: Sum) -> Resources {
        if !self.total.contains(&once(self.sum(sum))) {
            return Resources::new();
        }
        let taken = self.sum(sum).filter(|resource| !resource.metadata().shared);
        self.total.checked_sub(&taken).unwrap_or_default()
    }

    /// Would `part` fit beside the sum? O(kinds).
    pub(crate) fn fits(&self, sum: Sum, part: &Resources) -> bool {
        self.sum(sum).checked_add(part).is_ok_and(|needed| self.total.contains(&once(&needed)))
    }

    /// Are both sums in `total`?
    pub(crate) fn would_be_covered_by(&self, total: &Resources) -> bool {
        total.contains(&once(&self.promised)) && total.contains(&once(&self.held))
    }

    /// `total` is everything there is from now on.
    pub(crate) fn replace_total(&mut self, total: Resources) {
        self.total = total;
        self.in_debt &= !self.is_covered();
    }

    /// Counts `part` in. The caller has asked [`Ledger::fits`], or takes on what it must: then the only
    /// error left is that something that has one holder would have two, and nothing is changed.
    pub(crate) fn take(&mut self, sum: Sum, part: &Resources) -> Result<(), AddError> {
        let more = self.sum(sum).checked_add(part)?;
        *self.sum_mut(sum) = more;
        Ok(())
    }

    /// Counts `part`, which was taken, out again.
    pub(crate) fn give_back(&mut self, sum: Sum, part: &Resources) {
        let less = self.sum(sum).checked_sub(part).expect("what is given back was taken");
        *self.sum_mut(sum) = less;
        self.in_debt &= !self.is_covered();
    }

    /// A sum above the total is right from now on, until it no longer is one.
    pub(crate) fn admit_debt(&mut self) {
        self.in_debt = !self.is_covered();
    }

    /// Is neither sum above the total, or is that known and admitted?
    pub(crate) fn is_sound(&self) -> bool {
        self.in_debt || self.is_covered()
    }

    fn is_covered(&self) -> bool {
        self.would_be_covered_by(&self.total)
    }

    fn sum_mut(&mut self, sum: Sum) -> &mut Resources {
        match sum {
            Sum::Promised => &mut self.promised,
            Sum::Held => &mut self.held,
        }
    }
}

/// `resources` with each shared volume once, however often it is held.
pub(crate) fn once(resources: &Resources) -> Resources {
    if resources.iter().all(|resource| resource.copies() == 1) {
        return resources.clone();
    }
    let single = |resource: &Resource| {
        Resource::with_metadata(resource.name(), resource.value().clone(), resource.metadata().clone())
    };
    let all: Result<Vec<Resource>, _> = resources.iter().map(single).collect();
    Resources::of(all.expect("what was a resource is one")).expect("kinds that stood side by side still do")
}
