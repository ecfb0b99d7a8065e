//! Whose turn it is, and how long anybody waits for it.
//!
//! The bound: N frameworks of equal claim wait, S slices are there at once, and the master ends an offer that is not
//! answered within T. Then each is offered something within ⌈(N − 1) / S⌉ · T, again and again; and at once where the
//! others decline.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_allocator::{Allocation, FrameworkFacts, Options};
use lonja_model::resources::Scalar;
use lonja_model::{FrameworkId, Role};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::ledger::Holder;
use crate::steps::resources;
use crate::world::{World, agent, framework, role};

/// How the frameworks of a run are spread over roles. All have an equal claim.
#[derive(Clone, Copy, Debug)]
enum Roles {
    One,
    Each,
    /// Under one role, each in its own.
    Below,
}

fn any_roles() -> impl Strategy<Value = Roles> {
    prop_oneof![Just(Roles::One), Just(Roles::Each), Just(Roles::Below)]
}

impl Roles {
    fn of(self, at: usize) -> Role {
        match self {
            Self::One => role("all"),
            Self::Each => role(&format!("r{at:02}")),
            Self::Below => role(&format!("all/r{at:02}")),
        }
    }
}

fn name(at: usize) -> FrameworkId {
    framework(&format!("f{at:02}"))
}

/// Agents of these numbers of CPUs, and so many frameworks that wait.
fn crowd(cpus: &[u64], frameworks: usize, roles: Roles, most_slices: u32) -> World {
    let mut world = World::with(Options { most_slices, ..Options::default() });
    for (at, cpus) in cpus.iter().enumerate() {
        world.add_agent(agent(&format!("a{at}")), resources(&format!("cpus:{cpus};mem:{}", cpus * 1024)));
    }
    for at in 0..frameworks {
        let facts = FrameworkFacts { roles: BTreeSet::from([roles.of(at)]), ..FrameworkFacts::default() };
        world.add_framework(name(at), facts);
    }
    world
}

fn holder(allocation: &Allocation) -> Holder {
    (allocation.agent.clone(), allocation.framework.clone(), allocation.role.clone())
}

fn ceil_div(one: usize, other: usize) -> usize {
    one.div_ceil(other.max(1))
}

/// Slices that so many agents make when they are looked at together.
fn slices(agents: usize, frameworks: usize, most_slices: u32) -> usize {
    let most = usize::try_from(most_slices).unwrap();
    agents * ceil_div(frameworks, agents).clamp(1, most)
}

/// Runs `turns` times T with frameworks that never answer, each agent's offers ending at a time of its own; the
/// longest that anybody was without an offer, in T, rounded up.
fn longest_wait(world: &mut World, frameworks: usize, ends: &[u8], turns: u32) -> Result<u32, TestCaseError> {
    const STEPS: u32 = 8;
    let mut offered: Vec<(u32, Allocation)> = Vec::new();
    // Since when each has held nothing.
    let mut without: BTreeMap<FrameworkId, u32> = (0..frameworks).map(|at| (name(at), 0)).collect();
    let mut longest = 0;
    for step in 0..turns * STEPS {
        let over = |since: u32, allocation: &Allocation| {
            // The first offers of an agent end early, so that agents come free at different times.
            let at: usize = allocation.agent.as_str()[1..].parse().unwrap();
            let first = u32::from(ends[at % ends.len()]) % STEPS + 1;
            if since == 0 { step >= first } else { step - since >= STEPS }
        };
        let (ended, open): (Vec<_>, Vec<_>) = offered.drain(..).partition(|(since, one)| over(*since, one));
        offered = open;
        for (_, allocation) in ended {
            world.give_back(&holder(&allocation), &allocation.resources, None);
            if !offered.iter().any(|(_, other)| other.framework == allocation.framework) {
                without.entry(allocation.framework).or_insert(step);
            }
        }
        for allocation in world.allocate()? {
            if let Some(since) = without.remove(&allocation.framework) {
                longest = longest.max(step - since);
            }
            offered.push((step, allocation));
        }
        world.advance(Duration::from_secs(1));
    }
    let still = without.values().map(|since| turns * STEPS - since).max().unwrap_or(0);
    Ok(longest.max(still).div_ceil(STEPS))
}

proptest! {
    #![proptest_config(crate::config(150))]

    /// Nobody answers: everybody is offered something within the bound, again and again.
    #[test]
    fn who_waits_is_served_within_the_bound(
        cpus in vec(8..64_u64, 1..5),
        frameworks in 2..24_usize,
        roles in any_roles(),
        most_slices in 1..9_u32,
    ) {
        let mut world = crowd(&cpus, frameworks, roles, most_slices);
        let bound = ceil_div(frameworks - 1, slices(cpus.len(), frameworks, most_slices));
        let bound = u32::try_from(bound).unwrap();
        let longest = longest_wait(&mut world, frameworks, &[7], 4 * bound + 2)?;
        prop_assert!(longest <= bound, "somebody waited {longest} T, {bound} are promised");
    }

    /// The same where offers end one by one, not all at a time, so that a round looks at fewer agents.
    #[test]
    fn offers_that_end_one_by_one_starve_nobody(
        cpus in vec(8..64_u64, 1..5),
        ends in vec(any::<u8>(), 1..5),
        frameworks in 2..24_usize,
        roles in any_roles(),
        most_slices in 1..9_u32,
    ) {
        let mut world = crowd(&cpus, frameworks, roles, most_slices);
        let bound = ceil_div(frameworks - 1, slices(cpus.len(), frameworks, most_slices));
        let bound = u32::try_from(bound).unwrap();
        let longest = longest_wait(&mut world, frameworks, &ends, 4 * bound + 2)?;
        prop_assert!(longest <= bound, "somebody waited {longest} T, {bound} are promised");
    }

    /// All others decline at once, even without a filter: nobody waits for time to pass, only for as many rounds as
    /// there are turns before its own.
    #[test]
    fn who_declines_does_not_burn_anothers_turn(
        cpus in vec(8..64_u64, 1..4),
        frameworks in 2..16_usize,
        patient in 0..16_usize,
        refuse in prop_oneof![Just(None), Just(Some(0)), Just(Some(5))],
        roles in any_roles(),
        most_slices in 1..9_u32,
    ) {
        let mut world = crowd(&cpus, frameworks, roles, most_slices);
        let patient = name(patient % frameworks);
        for _ in 0..frameworks {
            let round = world.allocate()?;
            if round.iter().any(|allocation| allocation.framework == patient) {
                return Ok(());
            }
            for allocation in round {
                world.give_back(&holder(&allocation), &allocation.resources, refuse.map(Duration::from_secs));
            }
        }
        prop_assert!(false, "{patient} was never offered anything");
    }

    /// Everybody is served at once where there are slices enough.
    #[test]
    fn all_are_served_in_the_first_round_where_slices_are_enough(
        cpus in vec(32..64_u64, 1..5),
        frameworks in 1..24_usize,
        roles in any_roles(),
    ) {
        let frameworks = frameworks.min(cpus.len() * 8);
        let mut world = crowd(&cpus, frameworks, roles, 8);
        let round = world.allocate()?;
        let served: BTreeSet<_> = round.iter().map(|allocation| &allocation.framework).collect();
        prop_assert_eq!(served.len(), frameworks);
    }
}

fn cpus_of(allocation: &Allocation) -> Scalar {
    allocation.resources.scalar("cpus")
}

#[test]
fn a_slice_holds_what_a_framework_says_it_needs() {
    let mut world = crowd(&[16], 4, Roles::Each, 8);
    world.allocator.request(&name(2), None, vec![resources("cpus:7").quantities()]);

    let round = world.allocator.allocate(world.books.now);

    let third: Vec<_> = round.iter().filter(|allocation| allocation.framework == name(2)).collect();
    assert_eq!(third.len(), 1, "{round:?}");
    assert!(cpus_of(third[0]) >= Scalar::from_units(7).unwrap(), "{round:?}");
}

#[test]
fn who_needs_more_than_an_agent_has_is_offered_none_of_it() {
    let mut world = crowd(&[4], 1, Roles::Each, 8);
    world.allocator.request(&name(0), None, vec![resources("cpus:5").quantities()]);
    assert!(world.allocator.allocate(world.books.now).is_empty());

    world.allocator.request(&name(0), None, Vec::new());

    assert_eq!(world.allocator.allocate(world.books.now).len(), 1);
}

#[test]
fn who_declines_slices_is_given_larger_ones_up_to_the_whole() {
    let mut world = crowd(&[16], 2, Roles::Each, 8);
    for at in 2..16 {
        let facts = FrameworkFacts { roles: BTreeSet::from([role("crowd")]), ..FrameworkFacts::default() };
        world.add_framework(name(at), facts);
    }
    let mut largest = Scalar::ZERO;
    for _ in 0..12 {
        let round = world.allocate().unwrap();
        for allocation in round {
            if allocation.framework == name(0) {
                largest = largest.max(cpus_of(&allocation));
            }
            world.give_back(&holder(&allocation), &allocation.resources, Some(Duration::ZERO));
        }
    }
    assert_eq!(largest, Scalar::from_units(16).unwrap());
}
