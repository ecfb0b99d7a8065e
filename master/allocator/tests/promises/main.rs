//! What the allocator promises, judged from outside.
//!
//! A [`ledger::Ledger`] is told everything that the allocator is told, and keeps plain books of its own: no index, no
//! order kept up to date, no number for a name. [`judge`] holds what the allocator answers against these books, one plain
//! function for each promise; [`mutants`] shows that each of them catches the fault it is for; [`turns`] proves how
//! long anybody waits. Nothing here knows how the allocator is made, so it stays when that is made anew.
//!
//! Source: `docs/invariants.md`, INV-1, 2 and 4 to 8.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that cannot go on fails")]

mod judge;
mod ledger;
mod mutants;
mod scales;
mod steps;
mod turns;
mod world;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::steps::{Step, any_answer, any_step};
use crate::world::World;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(300))]

    /// Whatever happens, every promise is kept, after every step and every round.
    #[test]
    fn any_steps_keep_every_promise(steps in vec(any_step(), 0..60)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step)?;
        }
    }

    /// Where only answers, returns and time change anything, too: nothing comes by that would have everything looked
    /// at again, so whatever is overlooked stays so.
    #[test]
    fn answers_and_time_alone_keep_every_promise(
        start in vec(any_step(), 0..12),
        steps in vec(any_answer(), 0..50),
    ) {
        let mut world = World::peopled();
        for step in start.iter().chain(&[Step::Allocate]) {
            world.take(step)?;
        }
        for step in &steps {
            world.take(step)?;
            world.take(&Step::Allocate)?;
        }
    }

    /// The same calls, the same allocations in the same order.
    #[test]
    fn a_run_can_be_repeated(steps in vec(any_step(), 0..60)) {
        let run = || {
            let mut world = World::peopled();
            steps.iter().try_for_each(|step| world.take(step)).map(|()| world.told)
        };
        prop_assert_eq!(run()?, run()?);
    }
}
