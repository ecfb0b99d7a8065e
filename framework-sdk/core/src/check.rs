//! Checking a launch before it is sent: the scheduler's mistakes are named here, not guessed from what the
//! master makes of them.

use lonja_model::{Offer, OfferId, Resources, TaskId, TaskInfo};

use crate::plan::PlanError;

/// Tasks in one launch, at most: what a master takes in one call.
pub const MAX_TASKS: usize = 1_000;

/// Checks one launch against the offers in hand: all of one agent and role, and enough for the tasks.
pub(crate) fn check_launch<'a>(
    in_hand: impl Fn(&OfferId) -> Option<&'a Offer>,
    offers: &[OfferId],
    tasks: &[TaskInfo],
    in_use: impl Fn(&TaskId) -> bool,
) -> Result<(), PlanError> {
    let (first, pool) = together(in_hand, offers)?;
    if tasks.len() > MAX_TASKS {
        return Err(PlanError::TooManyTasks(tasks.len()));
    }
    let mut left = pool;
    for (index, task) in tasks.iter().enumerate() {
        if in_use(&task.id) || tasks[..index].iter().any(|other| other.id == task.id) {
            return Err(PlanError::TaskIdInUse(task.id.clone()));
        }
        if task.agent != first.agent {
            let (task, agent) = (task.id.clone(), task.agent.clone());
            return Err(PlanError::WrongAgent { task, agent, offered: first.agent.clone() });
        }
        if task.resources.is_empty() {
            return Err(PlanError::NoResources(task.id.clone()));
        }
        left = left.checked_sub(&task.resources).ok_or_else(|| PlanError::Exceeds {
            task: task.id.clone(),
            needed: task.resources.clone(),
            left: left.clone(),
        })?;
    }
    Ok(())
}

/// The first of the offers, and what all of them hold together.
fn together<'a>(
    in_hand: impl Fn(&OfferId) -> Option<&'a Offer>,
    offers: &[OfferId],
) -> Result<(&'a Offer, Resources), PlanError> {
    let mut first: Option<&Offer> = None;
    let mut pool = Resources::new();
    for (index, id) in offers.iter().enumerate() {
        let twice = offers[..index].contains(id);
        let offer = in_hand(id).filter(|_| !twice).ok_or_else(|| PlanError::OfferGone(id.clone()))?;
        let with = first.get_or_insert(offer);
        let differ = || PlanError::OffersDiffer(with.id.clone(), id.clone());
        if (&with.agent, &with.role) != (&offer.agent, &offer.role) {
            return Err(differ());
        }
        pool = pool.checked_add(&offer.resources).map_err(|_| differ())?;
    }
    first.map(|first| (first, pool)).ok_or(PlanError::NoOffer)
}
