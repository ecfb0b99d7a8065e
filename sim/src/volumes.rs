//! What becomes of reservations and volumes on agents (INV-8, INV-10).
//!
//! Every volume that ever was is there until somebody has wanted it destroyed; and nothing but its metadata may change
//! about what an agent has.

use std::collections::BTreeSet;

use lonja_model::checkpoint::{Checkpoint, CheckpointOp};
use lonja_model::operation::{OperationState, OperationStatus};
use lonja_model::{Resources, Role};

use crate::invariants::Broken;

/// A volume as its agent tells it from others.
pub(crate) type Volume = (Option<Role>, String);

/// Each volume of an agent; an error if one is there twice.
pub(crate) fn all(total: &Resources) -> Result<BTreeSet<Volume>, Broken> {
    let mut all = BTreeSet::new();
    for resource in total.iter() {
        let disk = resource.metadata().disk.as_ref();
        let Some(persistence) = disk.and_then(|disk| disk.persistence.as_ref()) else { continue };
        if !all.insert((resource.reserved_for().cloned(), persistence.id.clone())) {
            return Err(Broken::new("INV-8", format!("volume {} is there twice", persistence.id)));
        }
    }
    Ok(all)
}

/// An agent makes `ops` durable on top of `before`: no volume goes but the `unwanted`, none is there twice, and no amount
/// changes.
pub(crate) fn keeps(
    before: &Checkpoint,
    ops: &[CheckpointOp],
    unwanted: &BTreeSet<Volume>,
) -> Result<(), Broken> {
    if !ops.iter().any(|op| matches!(op, CheckpointOp::Total(_))) {
        return Ok(());
    }
    let mut last = before.total.clone().or_else(|| Some(before.identity.as_ref()?.info.resources.clone()));
    for op in ops {
        let CheckpointOp::Total(total) = op else { continue };
        let now = all(total)?;
        if let Some(last) = &last {
            if let Some((_, id)) = all(last)?.difference(&now).find(|volume| !unwanted.contains(volume)) {
                return Err(Broken::new("INV-8", format!("volume {id} is gone, and nobody destroyed it")));
            }
            if last.quantities() != total.quantities() {
                let what = format!("{} has become {}", last.quantities(), total.quantities());
                return Err(Broken::new("INV-8", what));
            }
        }
        last = Some(total.clone());
    }
    Ok(())
}

/// A framework is told that an operation is done: what came of it is durable on one of the agents, or was until somebody
/// wanted it destroyed.
pub(crate) fn is_durable<'a>(
    status: &OperationStatus,
    unwanted: &BTreeSet<Volume>,
    mut agents: impl Iterator<Item = &'a Checkpoint>,
) -> Result<(), Broken> {
    let mut made = all(&status.converted)?;
    made.retain(|volume| !unwanted.contains(volume));
    if status.state != OperationState::Finished || made.is_empty() {
        return Ok(());
    }
    let has = |total: &Resources| all(total).is_ok_and(|has| made.is_subset(&has));
    if agents.any(|checkpoint| checkpoint.total.as_ref().is_some_and(has)) {
        return Ok(());
    }
    Err(Broken::new(
        "INV-10",
        format!("a framework is told of volumes {made:?}, which no agent has made durable"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(text: &str, ids: &[&str]) -> Resources {
        use lonja_model::resources::{Disk, Metadata, Persistence, Reservation, Resource};
        let role = Role::new("web").expect("a role");
        let volume = |id: &&str| {
            let persistence = Some(Persistence { id: (*id).to_owned(), principal: None });
            let container_path = Some("data".to_owned());
            let disk = Some(Disk { persistence, container_path, read_only: false, source: None });
            let reservations = vec![Reservation::fixed(role.clone())];
            let metadata = Metadata { reservations, disk, ..Metadata::default() };
            let one: Resources = "disk:1".parse().expect("an amount");
            let value = one.iter().next().expect("one").value().clone();
            Resource::with_metadata("disk", value, metadata).expect("a volume")
        };
        let plain: Resources = text.parse().expect("an amount");
        Resources::of(plain.iter().cloned().chain(ids.iter().map(volume))).expect("they go together")
    }

    fn after(text: &str, ids: &[&str]) -> Result<(), Broken> {
        let before = Checkpoint { total: Some(total("disk:9", &["a"])), ..Checkpoint::default() };
        keeps(&before, &[CheckpointOp::Total(total(text, ids))], &BTreeSet::new())
    }

    #[test]
    fn a_volume_that_goes_or_an_amount_that_changes_is_noticed() {
        assert!(after("disk:8", &["a", "b"]).is_ok());
        assert!(after("disk:10", &[]).is_err());
        assert!(after("disk:9", &["a", "b"]).is_err());
    }

    #[test]
    fn a_volume_that_is_told_of_and_not_durable_is_noticed() {
        let status = OperationStatus {
            operation: None,
            state: OperationState::Finished,
            message: None,
            converted: total("cpus:1", &["a"]),
            update: None,
            agent: None,
        };
        let has = Checkpoint { total: Some(total("disk:9", &["a"])), ..Checkpoint::default() };
        assert!(is_durable(&status, &BTreeSet::new(), [&has].into_iter()).is_ok());
        assert!(is_durable(&status, &all(&status.converted).expect("one"), std::iter::empty()).is_ok());
        assert!(is_durable(&status, &BTreeSet::new(), [&Checkpoint::default()].into_iter()).is_err());
    }
}
