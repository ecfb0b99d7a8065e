//! What quotas allow, weighed over the books of one moment.

use std::collections::BTreeMap;

use lonja_model::resources::{Resource, Scalar, Value};
use lonja_model::{AgentId, FrameworkId, Resources, Role};

use crate::ledger::{Amounts, Ledger, amounts_of, chain, get, is_limited};

/// What roles with quotas consume, and what is left, by the books.
pub(crate) struct Scales<'a> {
    books: &'a Ledger,
    consumed: BTreeMap<Role, Amounts>,
    guarantees: BTreeMap<Role, Amounts>,
    available: Amounts,
}

impl<'a> Scales<'a> {
    pub(crate) fn of(books: &'a Ledger) -> Self {
        let roles = books.quotas.keys().flat_map(chain);
        let consumed = roles.map(|role| (role.clone(), books.consumed(&role))).collect();
        let guarantees = books.quotas.iter();
        let guarantees =
            guarantees.map(|(role, quota)| (role.clone(), amounts_of(&quota.guarantees))).collect();
        Self { books, consumed, guarantees, available: books.available() }
    }

    /// What is still owed to `role` of `name`, were `more` given within `to`: by its own guarantee, or to those below
    /// it together if that is more.
    fn owed(&self, role: &Role, name: &str, to: &[Role], more: i128) -> i128 {
        let below: i128 = self.next_below(Some(role)).map(|below| self.owed(below, name, to, more)).sum();
        let guarantee = self.guarantees.get(role).map_or(0, |amounts| get(amounts, name));
        let given = if to.contains(role) { more } else { 0 };
        below.max(guarantee - get(&self.consumed[role], name) - given).max(0)
    }

    fn next_below(&self, role: Option<&'_ Role>) -> impl Iterator<Item = &Role> {
        let role = role.cloned();
        self.consumed.keys().filter(move |other| chain(other).get(1) == role.as_ref())
    }

    /// What is free of `name` beyond all that is owed, were `more` given to `role`. Below zero: not enough is free.
    pub(crate) fn slack(&self, name: &str, role: &Role, more: i128) -> i128 {
        let to = chain(role);
        let owed: i128 = self.next_below(None).map(|top| self.owed(top, name, &to, more)).sum();
        get(&self.available, name) - more - owed
    }

    /// What is free of `name` beyond all that is owed.
    pub(crate) fn slack_now(&self, name: &str) -> i128 {
        self.slack(name, &Role::default_role(), 0)
    }

    /// Would less be owed in all if the role had more of `name`?
    pub(crate) fn is_owed(&self, role: &Role, name: &str) -> bool {
        self.slack(name, role, 1) == self.slack(name, role, 0)
    }

    /// The most of `name`, up to `most`, that limits and what is owed to others leave to the role.
    pub(crate) fn allowance(&self, role: &Role, name: &str, most: i128) -> i128 {
        let mut most = most;
        for above in chain(role) {
            let Some(quota) = self.books.quotas.get(&above) else { continue };
            if let Some((_, limit)) = quota.limits.iter().find(|(limited, _)| *limited == name) {
                let room = i128::from(limit.thousandths()) - get(&self.consumed[&above], name);
                most = most.min(room.max(0));
            }
        }
        // Slack never rises with what is given, so the most that keeps it is found by halving.
        let floor = self.slack(name, role, 0).min(0);
        if self.slack(name, role, most) >= floor {
            return most;
        }
        let (mut good, mut bad) = (0, most);
        while good + 1 < bad {
            let middle = good + (bad - good) / 2;
            if self.slack(name, role, middle) >= floor { good = middle } else { bad = middle }
        }
        good
    }

    /// What of the agent the client could be offered now, were it its turn. Shared volumes are left out.
    pub(crate) fn could_have(&self, framework: &FrameworkId, role: &Role, agent: &AgentId) -> Resources {
        let usable = self.books.free(agent);
        let usable = usable.filter(|one| self.books.may_have(framework, role, one) && !one.metadata().shared);
        if self.books.quotas.is_empty() {
            return usable;
        }
        let shrunk = usable.iter().filter_map(|resource| match resource.value() {
            Value::Scalar(held) if is_limited(resource) => {
                let allowed = self.allowance(role, resource.name(), i128::from(held.thousandths()));
                let part = Value::Scalar(Scalar::from_thousandths(u64::try_from(allowed).unwrap()).unwrap());
                let part =
                    Resource::with_metadata(resource.name(), part, resource.metadata().clone()).unwrap();
                (allowed > 0).then_some(part)
            }
            Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) | Value::Devices(_) => Some(resource.clone()),
        });
        Resources::of(shrunk).unwrap()
    }
}
