//! Who may stand in line: a framework in one of its roles.
//!
//! Invariants
//! - There is a client for each role that a framework is subscribed with, and for each in which it holds something.
//! - `in_line` names exactly the clients whose framework is active, subscribed with the role and has not suppressed it.

use std::collections::BTreeMap;

use lonja_model::resources::Quantities;
use lonja_model::{FrameworkId, Role};

use crate::amounts::Parts;
use crate::eligibility::Sight;
use crate::ids::{Bits, Ids, index};
use crate::role_tree::Entry;

/// A framework in one of its roles.
pub(crate) type Name = (FrameworkId, Role);

/// What is known of one client beside what it holds.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) entry: Entry,
    pub(crate) sight: Sight,
    /// What an offer must hold at least, as alternatives; none: any will do.
    pub(crate) minimum: Vec<Parts>,
    /// Is that the cluster's own?
    pub(crate) minimum_is_common: bool,
    /// What it says an offer must hold to be of use, as alternatives; none: it has not said.
    pub(crate) needs: Vec<Parts>,
    /// How many slices it is given in place of one.
    pub(crate) appetite: u32,
}

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    ids: Ids<Name>,
    clients: Vec<Option<Client>>,
    pub(crate) in_line: Bits,
    /// Those that have said what they need, or have a minimum of their own.
    pub(crate) particular: Bits,
    /// Those that have offer constraints.
    pub(crate) constrained: Bits,
}

impl Clients {
    pub(crate) fn number(&self, framework: &FrameworkId, role: &Role) -> Option<u32> {
        self.ids.number(&(framework.clone(), role.clone()))
    }

    pub(crate) fn name(&self, client: u32) -> &Name {
        self.ids.name(client)
    }

    pub(crate) fn get(&self, client: u32) -> &Client {
        self.clients[index(client)].as_ref().expect("a client in use is known")
    }

    pub(crate) fn get_mut(&mut self, client: u32) -> &mut Client {
        self.clients[index(client)].as_mut().expect("a client in use is known")
    }

    /// The client's number; `place` gives a new one its place in the tree.
    pub(crate) fn intern(&mut self, name: &Name, place: impl FnOnce(u32) -> Client) -> (u32, bool) {
        let (client, is_new) = self.ids.intern(name);
        if is_new {
            if self.clients.len() <= index(client) {
                self.clients.resize_with(index(client) + 1, || None);
            }
            self.clients[index(client)] = Some(place(client));
        }
        (client, is_new)
    }

    pub(crate) fn remove(&mut self, client: u32) {
        self.in_line.set(client, false);
        self.particular.set(client, false);
        self.constrained.set(client, false);
        self.clients[index(client)] = None;
        self.ids.release(client);
    }

    pub(crate) fn note_particular(&mut self, client: u32) {
        let known = self.get(client);
        let particular = !known.needs.is_empty() || !known.minimum_is_common;
        self.particular.set(client, particular);
    }

    /// By framework, then role.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, u32)> {
        self.ids.iter()
    }

    /// Those of one framework.
    pub(crate) fn of<'a>(&'a self, framework: &'a FrameworkId) -> impl Iterator<Item = (&'a Role, u32)> {
        let all = self.ids.iter().filter(move |((owner, _), _)| owner == framework);
        all.map(|((_, role), client)| (role, client))
    }
}

/// What one framework has asked for by REQUEST, role by role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs(pub(crate) BTreeMap<Role, Vec<Quantities>>);

impl Needs {
    pub(crate) fn of(&self, role: &Role) -> &[Quantities] {
        self.0.get(role).map_or(&[], Vec::as_slice)
    }
}
