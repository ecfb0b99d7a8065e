//! What frameworks say they need: REQUEST given a meaning.
//!
//! A framework may say, role by role, what an offer must hold to be of use, as alternatives. An offer for the role then
//! holds at least one of them in full; an agent that cannot is passed over, and nobody waits for a framework to decline
//! what it has no use for. A framework that asks for more than any agent has gets no offers for the role until it asks
//! for less: that is what it said.
//!
//! This stands beside the least of [`crate::FrameworkFacts::minimum_offers`], and both must be reached. In Mesos the
//! call has no effect; a framework that sends it there and waits is served no worse here.
//!
//! Invariants
//! - What is kept is for roles the framework has subscribed with, at most [`MAX_ALTERNATIVES`] for each.

use lonja_model::resources::Quantities;
use lonja_model::{FrameworkId, Role};

use crate::Allocator;
use crate::clients::Needs;

/// The most alternatives that are kept for one framework and role.
pub const MAX_ALTERNATIVES: usize = 16;

impl Allocator {
    /// From now on offers to the framework for the role, or for all its roles, hold one of `needs` in full; with none of
    /// them any offer will do again. Replaces what was asked before. The first [`MAX_ALTERNATIVES`] count. Ends with the
    /// framework, or when it leaves the role. An unknown framework, or a role it has not subscribed with, is ignored.
    pub fn request(&mut self, framework: &FrameworkId, role: Option<&Role>, needs: Vec<Quantities>) {
        let mut needs = needs;
        needs.truncate(MAX_ALTERNATIVES);
        let Some(known) = self.frameworks.get_mut(framework) else { return };
        match role {
            None => {
                let each = known.facts.roles.iter().map(|role| (role.clone(), needs.clone()));
                known.needs = Needs(each.collect());
            }
            Some(role) if known.facts.roles.contains(role) => {
                known.needs.0.insert(role.clone(), needs);
            }
            Some(_) => return,
        }
        for role in &known.facts.roles.clone() {
            self.sync_needs(framework, role);
        }
        self.agents.all_are_dirty();
    }

    /// What the framework has asked for in the role; nothing: any offer will do.
    pub fn requested(&self, framework: &FrameworkId, role: &Role) -> &[Quantities] {
        let known = self.frameworks.get(framework).filter(|known| known.facts.roles.contains(role));
        known.map_or(&[], |known| known.needs.of(role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cluster, facts, framework, quantities, role};

    #[test]
    fn an_offer_holds_one_of_the_alternatives_in_full() {
        let mut cluster =
            cluster().agent("a", "cpus:1;mem:512").agent("b", "cpus:4;mem:256").framework("f", "web");
        let needs = vec![quantities("cpus:2;mem:512"), quantities("cpus:4")];
        cluster.allocator.request(&framework("f"), Some(&role("web")), needs.clone());
        assert_eq!(cluster.allocator.requested(&framework("f"), &role("web")), needs);
        assert_eq!(cluster.allocate(), ["f web b cpus:4;mem:256"]);
        cluster.allocator.request(&framework("f"), None, vec![quantities("mem:512")]);
        assert_eq!(cluster.allocate(), ["f web a cpus:1;mem:512"]);
    }

    #[test]
    fn what_one_framework_has_no_use_for_goes_to_the_next() {
        let mut cluster = cluster().agent("a", "cpus:1;mem:512").framework("f", "web").framework("g", "web");
        cluster.allocator.request(&framework("f"), None, vec![quantities("cpus:2")]);
        assert_eq!(cluster.allocate(), ["g web a cpus:1;mem:512"]);
    }

    #[test]
    fn a_request_is_replaced_and_an_empty_one_forgets() {
        let mut cluster = cluster().agent("a", "cpus:1;mem:512").framework("f", "web");
        cluster.allocator.request(&framework("f"), None, vec![quantities("cpus:2")]);
        assert!(cluster.allocate().is_empty());
        cluster.allocator.request(&framework("f"), None, vec![]);
        assert_eq!(cluster.allocate(), ["f web a cpus:1;mem:512"]);
    }

    #[test]
    fn a_request_is_kept_over_an_update_and_ends_with_the_role() {
        let mut cluster = cluster().agent("a", "cpus:1;mem:512").framework("f", "web,ops");
        cluster.allocator.request(&framework("f"), None, vec![quantities("cpus:2")]);
        cluster.allocator.update_framework(&framework("f"), facts("web"));
        cluster.allocator.update_framework(&framework("f"), facts("web,ops"));
        assert!(cluster.allocator.requested(&framework("f"), &role("ops")).is_empty());
        assert_eq!(cluster.allocator.requested(&framework("f"), &role("web")).len(), 1);
        assert_eq!(cluster.allocate(), ["f ops a cpus:1;mem:512"]);
    }

    #[test]
    fn alternatives_are_bounded_and_strangers_are_ignored() {
        let mut cluster = cluster().framework("f", "web");
        cluster.allocator.request(&framework("f"), None, vec![quantities("cpus:2"); 1_000]);
        assert_eq!(cluster.allocator.requested(&framework("f"), &role("web")).len(), MAX_ALTERNATIVES);
        cluster.allocator.request(&framework("f"), Some(&role("ops")), vec![quantities("cpus:2")]);
        cluster.allocator.request(&framework("g"), None, vec![quantities("cpus:2")]);
        assert!(cluster.allocator.requested(&framework("f"), &role("ops")).is_empty());
        assert!(cluster.allocator.requested(&framework("g"), &role("web")).is_empty());
    }
}
