//! What always holds in a [`Framework`], checked by property tests and the simulator.

use crate::{Framework, Scheduler};

/// All promises, in order. Errors: the first one broken, in words.
pub fn check<S: Scheduler>(framework: &Framework<S>) -> Result<(), String> {
    no_offer_is_kept(framework)?;
    the_dead_are_forgotten(framework)
}

/// Between two events no offer is in hand: each was used, declined, or has ended.
fn no_offer_is_kept<S: Scheduler>(framework: &Framework<S>) -> Result<(), String> {
    match framework.offers.in_hand.keys().next() {
        None => Ok(()),
        Some(offer) => Err(format!("INV-3: offer {offer} was shown and neither used nor declined")),
    }
}

/// No task that has ended counts as alive.
fn the_dead_are_forgotten<S: Scheduler>(framework: &Framework<S>) -> Result<(), String> {
    match framework.tasks.iter().find(|(_, known)| known.state.is_terminal()) {
        None => Ok(()),
        Some((task, known)) => Err(format!("INV-18: task {task} is {} and counts as alive", known.state)),
    }
}
