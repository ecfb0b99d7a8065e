//! Checking what is to be done with offers before it is sent: the scheduler's mistakes are named here, not guessed
//! from what the master makes of them.

use std::collections::BTreeSet;

use lonja_model::executor::ExecutorInfo;
use lonja_model::operation::Conversion;
use lonja_model::{AgentId, ExecutorId, Offer, OfferId, OperationId, Resources, TaskId, TaskInfo};

use crate::plan::{PlanError, Step};

/// Tasks in one launch, at most: what a master takes in one call.
pub const MAX_TASKS: usize = 1_000;

/// What is in use already, and so cannot be named again.
pub(crate) trait InUse {
    /// Is a task of that id alive?
    fn task(&self, id: &TaskId) -> bool;
    /// Has an operation of that id not ended?
    fn operation(&self, id: &OperationId) -> bool;
}

/// Checks the steps of one ACCEPT against the offers in hand: all of one agent and role, and enough for each step
/// after those before it.
pub(crate) fn check_steps<'a>(
    in_hand: impl Fn(&OfferId) -> Option<&'a Offer>,
    offers: &[OfferId],
    steps: &[Step],
    in_use: &impl InUse,
) -> Result<(), PlanError> {
    let (first, pool) = together(in_hand, offers)?;
    let tasks = steps.iter().map(|step| match step {
        Step::Launch(tasks) | Step::LaunchGroup { tasks, .. } => tasks.len(),
        Step::Convert { .. } => 0,
    });
    let tasks = tasks.sum();
    if tasks > MAX_TASKS {
        return Err(PlanError::TooManyTasks(tasks));
    }
    let mut check = Check {
        agent: &first.agent,
        left: pool,
        tasks: BTreeSet::new(),
        operations: BTreeSet::new(),
        executors: first.executors.iter().collect(),
    };
    steps.iter().try_for_each(|step| match step {
        Step::Launch(tasks) => tasks.iter().try_for_each(|task| {
            task.executor.as_deref().map_or(Ok(()), |executor| check.executor(executor))?;
            check.task(task, in_use)
        }),
        Step::LaunchGroup { executor, tasks } => {
            check.executor(executor)?;
            tasks.iter().try_for_each(|task| check.task(task, in_use))
        }
        Step::Convert { id, conversion } => check.conversion(id.as_ref(), conversion, in_use),
    })
}

/// What is left of the offers, and what was named, as the steps are gone through.
struct Check<'a> {
    agent: &'a AgentId,
    left: Resources,
    tasks: BTreeSet<&'a TaskId>,
    operations: BTreeSet<&'a OperationId>,
    /// Those that run on the agent, or will by then.
    executors: BTreeSet<&'a ExecutorId>,
}

impl<'a> Check<'a> {
    /// What a new executor needs is taken with its first task.
    fn executor(&mut self, executor: &'a ExecutorInfo) -> Result<(), PlanError> {
        if self.executors.insert(&executor.id) {
            let left = self.left.checked_sub(&executor.resources);
            self.left = left.ok_or_else(|| PlanError::ExecutorExceeds {
                executor: executor.id.clone(),
                needed: executor.resources.clone(),
                left: self.left.clone(),
            })?;
        }
        Ok(())
    }

    fn task(&mut self, task: &'a TaskInfo, in_use: &impl InUse) -> Result<(), PlanError> {
        if in_use.task(&task.id) || !self.tasks.insert(&task.id) {
            return Err(PlanError::TaskIdInUse(task.id.clone()));
        }
        if task.agent != *self.agent {
            let (task, agent) = (task.id.clone(), task.agent.clone());
            return Err(PlanError::WrongAgent { task, agent, offered: self.agent.clone() });
        }
        if task.resources.is_empty() {
            return Err(PlanError::NoResources(task.id.clone()));
        }
        // A shared volume can be used as often as one likes: it stays.
        let once = task.resources.filter(|resource| !resource.metadata().shared);
        let left = self.left.checked_sub(&once).filter(|_| self.left.contains(&task.resources));
        self.left = left.ok_or_else(|| PlanError::Exceeds {
            task: task.id.clone(),
            needed: task.resources.clone(),
            left: self.left.clone(),
        })?;
        Ok(())
    }

    fn conversion(
        &mut self,
        id: Option<&'a OperationId>,
        conversion: &Conversion,
        in_use: &impl InUse,
    ) -> Result<(), PlanError> {
        if let Some(id) = id.filter(|id| in_use.operation(id) || !self.operations.insert(id)) {
            return Err(PlanError::OperationIdInUse(id.clone()));
        }
        self.left = conversion.apply(&self.left).ok_or_else(|| PlanError::NothingToConvert {
            conversion: conversion.name(),
            needed: conversion.before().clone(),
            left: self.left.clone(),
        })?;
        Ok(())
    }
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
