//! Taking what an instance needs out of what an agent's offers hold.
//!
//! Invariants
//! - What is taken is in the offers, and what is left is what is not taken.

use std::collections::BTreeSet;

use lonja_model::Resources;
use lonja_sdk_core::Step;
use lonja_sdk_core::placement::fit;
use lonja_sdk_core::task::Need;

use super::accepted::Accepted;
use super::needs::Needs;
use super::ports;
use crate::draws::Draws;
use crate::instance::LocalVolume;
use crate::waiting::Reason;

/// What an instance gets.
#[derive(Debug)]
pub(super) struct Taken {
    /// For its executor.
    pub(super) executor: Resources,
    /// For each of its tasks.
    pub(super) tasks: Vec<Resources>,
    /// For each port of the definition the agent's, if it has one.
    pub(super) ports: Vec<Option<u16>>,
    /// What is to be done before it is launched.
    pub(super) before: Vec<Step>,
    /// Its data there.
    pub(super) volumes: Vec<LocalVolume>,
    /// What is left for others.
    pub(super) left: Resources,
}

/// Why an offer will not do after all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Miss {
    pub(super) reason: Reason,
    pub(super) detail: String,
}

impl Miss {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// What an instance takes for its needs, its persistent volumes aside, out of `available`.
pub(super) struct Parts {
    pub(super) executor: Resources,
    pub(super) tasks: Vec<Resources>,
    pub(super) ports: Vec<Option<u16>>,
    /// All of it together.
    pub(super) all: Resources,
    /// What of `available` is left.
    pub(super) rest: Resources,
}

/// Takes the parts of an instance out of what it may use.
pub(super) fn parts(
    available: &Resources,
    needs: &Needs,
    former: &[u16],
    draws: &mut Draws,
) -> Result<Parts, Miss> {
    let ports = ports::choose(&available.ranges("ports"), &needs.ports, former, draws)
        .map_err(|why| Miss::new(Reason::InsufficientPorts, why))?;
    let mut rest = available.clone();
    let mut all = Resources::new();
    let mut take = |need: &Need, ports: &BTreeSet<u16>| {
        // Whoever asks has seen that the amounts are there; GPUs may still be of several kinds.
        let short = || Miss::new(Reason::InsufficientGpus, "what is free there cannot be put together");
        let mut taken = fit(&rest, need).ok_or_else(short)?;
        if !ports.is_empty() {
            let ports = ports::take(&rest, ports).ok_or_else(short)?;
            taken = taken.checked_add(&ports).map_err(|_| short())?;
        }
        rest = rest.checked_sub(&taken).ok_or_else(short)?;
        all = all.checked_add(&taken).map_err(|_| short())?;
        Ok(taken)
    };
    let executor = take(&needs.executor, &BTreeSet::new())?;
    let mut tasks = Vec::with_capacity(needs.tasks.len());
    for (index, task) in needs.tasks.iter().enumerate() {
        let of_task = needs.ports.iter().zip(&ports).filter(|(wish, _)| wish.task == index);
        let of_task: BTreeSet<u16> = of_task.filter_map(|(_, port)| *port).collect();
        tasks.push(take(task, &of_task)?);
    }
    Ok(Parts { executor, tasks, ports, all, rest })
}

/// Takes what an instance without data needs.
pub(super) fn stateless(
    left: &Resources,
    accepted: Accepted,
    needs: &Needs,
    draws: &mut Draws,
) -> Result<Taken, Miss> {
    let Parts { executor, tasks, ports, all, .. } = parts(&accepted.of_all(left), needs, &[], draws)?;
    let short = || Miss::new(Reason::InsufficientCpus, "what is free there is not enough");
    let left = left.checked_sub(&all).ok_or_else(short)?;
    Ok(Taken { executor, tasks, ports, before: Vec::new(), volumes: Vec::new(), left })
}
