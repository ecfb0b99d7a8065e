//! What always holds in a [`Framework`], checked by property tests and the simulator.

use crate::{Framework, Scheduler};

/// All promises, in order. Errors: the first one broken, in words.
pub fn check<S: Scheduler>(framework: &Framework<S>) -> Result<(), String> {
    no_offer_is_forgotten(framework)?;
    no_offer_outlives_its_subscription(framework)?;
    framework.counts().offers_are_accounted_for()?;
    the_dead_are_forgotten(framework)
}

/// Between two events every offer in hand is one that the scheduler holds: any other was used, declined, or
/// has ended. And none is held for longer than it may be, as long as the deadlines are kept.
fn no_offer_is_forgotten<S: Scheduler>(framework: &Framework<S>) -> Result<(), String> {
    if let Some(offer) = framework.offers.not_held().next() {
        return Err(format!("INV-3: offer {offer} was shown and neither used, held nor declined"));
    }
    let latest = framework.now + framework.max_hold;
    match framework.offers.next_deadline() {
        Some(until) if until > latest => Err(format!("INV-3: an offer is held until {until:?}")),
        Some(_) | None => Ok(()),
    }
}

/// Offers belong to the subscription they were made in (INV-39).
fn no_offer_outlives_its_subscription<S: Scheduler>(framework: &Framework<S>) -> Result<(), String> {
    match framework.offers.iter().next() {
        Some(offer) if !framework.is_subscribed() => {
            Err(format!("INV-39: offer {} is held without a subscription", offer.id))
        }
        Some(_) | None => Ok(()),
    }
}

/// No task that has ended counts as alive.
fn the_dead_are_forgotten<S: Scheduler>(framework: &Framework<S>) -> Result<(), String> {
    match framework.tasks.iter().find(|(_, known)| known.state.is_terminal()) {
        None => Ok(()),
        Some((task, known)) => Err(format!("INV-18: task {task} is {} and counts as alive", known.state)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::Known;
    use crate::tests::fixture::{offer, secs, subscribed, task_id, world};
    use lonja_model::offer::Filters;
    use lonja_model::{AgentId, TaskState};

    fn broken<S: Scheduler>(framework: &Framework<S>, promise: &str) {
        assert!(check(framework).unwrap_err().starts_with(promise), "{:?}", check(framework));
    }

    #[test]
    fn an_offer_that_nobody_answers_is_noticed() {
        let mut world = subscribed();
        world.framework.offers.put(&[offer("o1", "cpus:1")]);
        broken(&world.framework, "INV-3");
    }

    #[test]
    fn an_offer_that_is_held_without_end_is_noticed() {
        let mut world = subscribed();
        let offer = offer("o1", "cpus:1");
        world.framework.offers.put(std::slice::from_ref(&offer));
        let until = world.now + crate::MAX_HOLD + secs(1);
        assert!(world.framework.offers.hold(&offer.id, until, Filters::DEFAULT));
        broken(&world.framework, "INV-3");
    }

    #[test]
    fn an_offer_of_an_earlier_subscription_is_noticed() {
        let mut world = world();
        let offer = offer("o1", "cpus:1");
        world.framework.offers.put(std::slice::from_ref(&offer));
        assert!(world.framework.offers.hold(&offer.id, world.now, Filters::DEFAULT));
        broken(&world.framework, "INV-39");
    }

    #[test]
    fn a_dead_task_that_counts_as_alive_is_noticed() {
        let mut world = world();
        let known = Known::new(AgentId::new("a1").unwrap(), TaskState::Failed);
        world.framework.tasks.insert(task_id("t1"), known);
        broken(&world.framework, "INV-18");
    }
}
