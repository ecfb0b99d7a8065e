//! Reservations made and undone, volumes made and destroyed: what the master asks for, and what came of it.
//!
//! An operation is done whole or not at all. Its outcome is recorded together with the new total, told the master,
//! and told again with growing waits until it is acknowledged; an operation that comes twice is done once. For new
//! volumes the folders are made first; while that takes, `orders` holds back what might rest on them.
//!
//! Invariants
//! - An outcome is durable before it is told, and the total with it (INV-10).
//! - A volume is in the total only if its folder was made, and its folder goes only once it is not (INV-8).
//! - Of each recorded outcome one telling is under way whenever the agent is registered.
//!
//! Source: Mesos agent, `ApplyOperationMessage`, operation status update manager: 10 s, doubling to 10 min.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::OperationUuid;
use lonja_model::checkpoint::CheckpointOp;
use lonja_model::link::FromAgent;
use lonja_model::operation::{
    AgentOperation, ConversionKind, OperationRecord, OperationState, OperationStatus,
};
use lonja_model::resources::Resources;

use crate::deadlines::Deadline;
use crate::effects::{Effects, Note, VolumeOrder};
use crate::orders::{self, Orders};
use crate::registration::SHORTEST_WAIT;
use crate::total;
use crate::turn::Turn;

/// One operation that has come to its end here.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What the checkpoint holds.
    pub(crate) record: OperationRecord,
    /// It was told over the present link; the wait before it is told again.
    retry_after: Option<Duration>,
}

/// Every operation whose outcome is not acknowledged, the one whose folders are being made, and the orders behind it.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    outcomes: BTreeMap<OperationUuid, Outcome>,
    /// With the number of the order to the shell.
    making: Option<(u64, AgentOperation)>,
    makings: u64,
    pub(crate) orders: Orders,
    changed: BTreeSet<OperationUuid>,
}

impl Operations {
    /// The outcomes of a checkpoint.
    pub(crate) fn recovered(records: BTreeMap<OperationUuid, OperationRecord>) -> Self {
        let outcome = |(uuid, record)| (uuid, Outcome { record, retry_after: None });
        Self { outcomes: records.into_iter().map(outcome).collect(), ..Self::default() }
    }

    /// Every outcome that is not acknowledged.
    pub(crate) fn records(&self) -> impl Iterator<Item = &OperationRecord> {
        self.outcomes.values().map(|outcome| &outcome.record)
    }

    /// Is that outcome recorded?
    pub(crate) fn has(&self, uuid: OperationUuid) -> bool {
        self.outcomes.contains_key(&uuid)
    }

    /// The operation whose folders are being made.
    pub(crate) fn making(&self) -> Option<&AgentOperation> {
        self.making.as_ref().map(|(_, operation)| operation)
    }

    /// Spoils a record, to see that it is noticed.
    #[cfg(test)]
    pub(crate) fn forge(&mut self, uuid: OperationUuid, change: impl FnOnce(&mut OperationRecord)) {
        change(&mut self.outcomes.get_mut(&uuid).expect("an outcome to spoil").record);
    }

    /// Forgets whose folders are being made, to see that it is noticed.
    #[cfg(test)]
    pub(crate) fn forget_making(&mut self) {
        self.making = None;
    }

    /// Says what the checkpoint must take in.
    pub(crate) fn flush(&mut self, effects: &mut Effects) {
        for uuid in std::mem::take(&mut self.changed) {
            let record = self.outcomes.get(&uuid).map(|outcome| Box::new(outcome.record.clone()));
            effects.persist.push(CheckpointOp::Operation(uuid, record));
        }
    }
}

/// The master asks for an operation, and nothing that came before it is still to be done.
pub(crate) fn apply(turn: &mut Turn<'_>, operation: AgentOperation) {
    if turn.operations.has(operation.uuid) {
        tell(turn, operation.uuid);
        return;
    }
    let most = turn.config.max_operations;
    if turn.operations.outcomes.len() >= most {
        turn_away(turn, operation, format!("this agent holds {most} outcomes already, the most it may"));
        return;
    }
    match total::convert(turn.book, &operation.conversion) {
        Err(reason) => finish(turn, operation, Err(reason)),
        Ok(_) if operation.conversion.kind() == ConversionKind::Create => {
            let volumes = operation.conversion.after().clone();
            turn.operations.makings += 1;
            let number = turn.operations.makings;
            turn.effects.volumes.push(VolumeOrder::Make { number, volumes });
            turn.operations.making = Some((number, operation));
        }
        Ok(total) => finish(turn, operation, Ok(total)),
    }
}

/// The folders of new volumes are there, or could not be made.
pub(crate) fn volumes_made(turn: &mut Turn<'_>, number: u64, result: Result<(), String>) {
    let awaited = turn.operations.making.take_if(|(awaited, _)| *awaited == number);
    let Some((_, operation)) = awaited else {
        // The link broke meanwhile, and the master was told that nothing came of it.
        let keep = volumes_to_keep(turn);
        turn.effects.volumes.push(VolumeOrder::Sweep { keep });
        return;
    };
    match result {
        Err(error) => finish(turn, operation, Err(format!("its folder cannot be made: {error}"))),
        Ok(()) => match total::convert(turn.book, &operation.conversion) {
            Ok(total) => finish(turn, operation, Ok(total)),
            Err(reason) => {
                let made = operation.conversion.after().clone();
                turn.effects.volumes.push(VolumeOrder::Remove(made));
                finish(turn, operation, Err(reason));
            }
        },
    }
    orders::proceed(turn);
}

/// The volumes that are there or about to be.
fn volumes_to_keep(turn: &Turn<'_>) -> Resources {
    let keep = total::volumes(turn.book.ledger().total());
    match turn.operations.making() {
        Some(making) => keep.checked_add(making.conversion.after()).unwrap_or(keep),
        None => keep,
    }
}

/// Records the outcome: the new total, or why there is none.
fn finish(turn: &mut Turn<'_>, operation: AgentOperation, result: Result<Resources, String>) {
    let conversion = &operation.conversion;
    let mut status = status(turn, &operation, OperationState::Failed);
    status.update = Some(turn.draws.update());
    match result {
        Ok(total) => {
            status.state = OperationState::Finished;
            status.converted = conversion.after().clone();
            turn.book.replace_total(total);
            if conversion.kind() == ConversionKind::Destroy {
                turn.effects.volumes.push(VolumeOrder::Remove(conversion.before().clone()));
            }
        }
        Err(reason) => {
            status.message = Some(reason.clone());
            let (operation, name) = (operation.uuid, conversion.name());
            turn.note(Note::OperationFailed { operation, name, reason });
        }
    }
    let uuid = operation.uuid;
    let record = OperationRecord { operation, status };
    turn.operations.outcomes.insert(uuid, Outcome { record, retry_after: None });
    turn.operations.changed.insert(uuid);
    tell(turn, uuid);
}

fn status(turn: &Turn<'_>, operation: &AgentOperation, state: OperationState) -> OperationStatus {
    OperationStatus {
        operation: operation.id.clone(),
        state,
        message: None,
        converted: Resources::new(),
        update: None,
        agent: turn.agent().cloned(),
    }
}

/// Answers an operation that leaves no record. If the answer is lost, the next registration tells as much.
pub(crate) fn turn_away(turn: &mut Turn<'_>, operation: AgentOperation, reason: String) {
    let mut status = status(turn, &operation, OperationState::Dropped);
    status.message = Some(reason.clone());
    let (uuid, name) = (operation.uuid, operation.conversion.name());
    let record = Box::new(OperationRecord { operation, status });
    let total = turn.book.ledger().total().clone();
    turn.effects.send.push(FromAgent::OperationUpdate { record, total });
    turn.note(Note::OperationFailed { operation: uuid, name, reason });
}

/// Tells an outcome now, as if for the first time.
fn tell(turn: &mut Turn<'_>, uuid: OperationUuid) {
    if let Some(outcome) = turn.operations.outcomes.get_mut(&uuid) {
        outcome.retry_after = None;
    }
    tell_again(turn, uuid);
}

/// Tells an outcome, if the agent is registered, and doubles the wait.
pub(crate) fn tell_again(turn: &mut Turn<'_>, uuid: OperationUuid) {
    if !turn.registration.is_registered() {
        return;
    }
    let Some(outcome) = turn.operations.outcomes.get_mut(&uuid) else { return };
    let wait = match outcome.retry_after {
        None => turn.config.update_retry,
        Some(last) => last.saturating_mul(2).min(turn.config.update_retry_max),
    };
    let wait = wait.max(SHORTEST_WAIT);
    outcome.retry_after = Some(wait);
    let record = Box::new(outcome.record.clone());
    let total = turn.book.ledger().total().clone();
    turn.effects.send.push(FromAgent::OperationUpdate { record, total });
    turn.deadlines.set(Deadline::ResendOperation(uuid), turn.now + wait);
}

/// The outcome is known to whom it concerns. One that is not known here was acknowledged before.
pub(crate) fn acknowledge(turn: &mut Turn<'_>, uuid: OperationUuid) {
    turn.deadlines.clear(&Deadline::ResendOperation(uuid));
    if turn.operations.outcomes.remove(&uuid).is_some() {
        turn.operations.changed.insert(uuid);
    }
}

/// The link is gone, or the master wants to hear of the agent anew: nothing is told until [`resume`], and what was
/// asked for and not done yet never will be, for the next registration tells the master so.
pub(crate) fn pause(turn: &mut Turn<'_>) {
    for uuid in turn.operations.outcomes.keys() {
        turn.deadlines.clear(&Deadline::ResendOperation(*uuid));
    }
    turn.operations.making = None;
    orders::drop_all(turn);
}

/// The agent is registered: tells every outcome now.
pub(crate) fn resume(turn: &mut Turn<'_>) {
    let uuids: Vec<OperationUuid> = turn.operations.outcomes.keys().copied().collect();
    for uuid in uuids {
        tell(turn, uuid);
    }
}

#[cfg(test)]
mod tests {
    use lonja_model::TaskState;
    use lonja_model::link::ToAgent;
    use lonja_model::operation::Conversion;

    use super::*;
    use crate::Event;
    use crate::fixture::*;

    fn uuid(number: u8) -> OperationUuid {
        OperationUuid([number; 16])
    }

    fn failure(effects: &Effects) -> String {
        let status = only_outcome(effects);
        assert_eq!((status.state, &status.converted), (OperationState::Failed, &Resources::new()));
        status.message.unwrap()
    }

    #[test]
    fn a_reservation_is_durable_with_its_outcome_before_it_is_told() {
        let mut stage = agent("cpus:4");
        let effects = stage.apply(1, reserve("cpus:1", "eng"));
        let [CheckpointOp::Total(total), CheckpointOp::Operation(recorded, Some(record))] =
            &effects.persist[..]
        else {
            panic!("{effects:?}")
        };
        assert_eq!((*recorded, &record.status), (uuid(1), &only_outcome(&effects)));
        assert_eq!(record.status.state, OperationState::Finished);
        assert_eq!(record.status.converted, reserved("cpus:1", "eng"));
        assert_eq!(record.status.agent.as_ref(), stage.agent.id());
        let expected = resources("cpus:3").checked_add(&reserved("cpus:1", "eng")).unwrap();
        assert_eq!((total, stage.agent.total()), (&expected, &expected));
        let [FromAgent::OperationUpdate { total, .. }] = &effects.send[..] else { panic!("{effects:?}") };
        assert_eq!(*total, expected);
    }

    #[test]
    fn what_cannot_be_converted_changes_nothing_and_says_why() {
        let mut stage = agent("cpus:4");
        let effects = stage.apply(1, reserve("cpus:5", "eng"));
        assert_eq!(failure(&effects), "it takes away cpus:5, of which this agent has cpus:4");
        assert!(matches!(effects.persist[..], [CheckpointOp::Operation(_, Some(_))]));
        assert_eq!(*stage.agent.total(), resources("cpus:4"));
    }

    #[test]
    fn an_operation_that_comes_twice_is_done_once_and_answered_again() {
        let mut stage = agent("cpus:4");
        let first = only_outcome(&stage.apply(1, reserve("cpus:1", "eng")));
        let again = stage.apply(1, reserve("cpus:1", "eng"));
        assert_eq!((only_outcome(&again), again.persist.len()), (first, 0));
    }

    #[test]
    fn an_outcome_is_told_again_after_10_s_doubling_to_10_min_until_acknowledged() {
        let mut stage = agent("cpus:4");
        let first = only_outcome(&stage.apply(1, reserve("cpus:1", "eng")));
        for wait in [10, 20, 40, 80, 160, 320, 600, 600] {
            for _ in 0..10 {
                let _ = stage.receive(ToAgent::Ping { sequence: 0 });
                assert_eq!(outcomes(&stage.after(secs(wait) / 10 - millis(1))), []);
            }
            assert_eq!(only_outcome(&stage.after(millis(10))), first);
        }
        let effects = stage.receive(ToAgent::AcknowledgeOperation { operation: uuid(1) });
        assert_eq!(effects.persist, [CheckpointOp::Operation(uuid(1), None)]);
        assert!(stage.receive(ToAgent::AcknowledgeOperation { operation: uuid(1) }).persist.is_empty());
        assert!(stage.checkpoint.operations.is_empty() && stage.checkpoint.total.is_some());
    }

    #[test]
    fn a_restart_keeps_reservations_and_tells_outcomes_again() {
        let mut stage = agent("cpus:4");
        let first = only_outcome(&stage.apply(1, reserve("cpus:1", "eng")));
        let total = stage.agent.total().clone();
        let _ = stage.restart(&[]);
        assert_eq!(*stage.agent.total(), total);
        let effects = stage.link_up();
        let [FromAgent::Reregister { total: told, operations, info, .. }] = &effects.send[..] else {
            panic!("{effects:?}")
        };
        assert_eq!((told, &info.resources), (&total, &resources("cpus:4")));
        assert_eq!(operations[0].status, first);
        assert_eq!(only_outcome(&stage.registered()), first);
    }

    #[test]
    fn a_volume_is_in_the_total_only_when_its_folder_is_made() {
        let mut stage = agent("disk:100");
        let _ = stage.apply(1, reserve("disk:50", "eng"));
        let effects = stage.apply(2, create("disk:20", "eng", "v1", false));
        let volumes = volume("disk:20", "eng", "v1", false);
        assert_eq!(effects.volumes, [VolumeOrder::Make { number: 1, volumes: volumes.clone() }]);
        assert!(effects.persist.is_empty() && effects.send.is_empty());
        assert!(stage.agent.volumes().is_empty());
        let again = stage.apply(2, create("disk:20", "eng", "v1", false));
        assert!(again.volumes.is_empty() && again.send.is_empty(), "its turn has come already");
        let effects = stage.made(1);
        assert_eq!(only_outcome(&effects).state, OperationState::Finished);
        assert_eq!(stage.agent.volumes(), volumes);
        assert_eq!(stage.checkpoint.total.as_ref(), Some(stage.agent.total()));
    }

    #[test]
    fn a_folder_that_cannot_be_made_fails_the_operation_with_the_systems_words() {
        let mut stage = agent("disk:100");
        let _ = stage.apply(1, reserve("disk:50", "eng"));
        let _ = stage.apply(2, create("disk:20", "eng", "v1", false));
        let result = Err("/volumes/v1: No space left on device".to_owned());
        let effects = stage.handle(Event::VolumesMade { number: 1, result });
        let said = "its folder cannot be made: /volumes/v1: No space left on device";
        assert_eq!(failure(&effects), said);
        assert!(stage.agent.volumes().is_empty());
    }

    #[test]
    fn a_volumes_id_is_its_own_within_its_role() {
        for (shared, size) in [(false, "disk:10"), (false, "disk:20"), (true, "disk:10"), (true, "disk:20")] {
            let mut stage = agent("disk:100").with_volume("disk:20", shared);
            let _ = stage.apply(1, reserve("disk:20", "eng"));
            let refused = failure(&stage.apply(2, create(size, "eng", "v1", shared)));
            assert!(refused.contains("role eng has a volume \"v1\" on this agent already"), "{refused}");
        }
        let mut stage = agent("disk:100").with_volume("disk:20", false);
        let _ = stage.apply(3, reserve("disk:20", "ops"));
        let _ = stage.apply(4, create("disk:10", "ops", "v1", false));
        assert_eq!(only_outcome(&stage.made(2)).state, OperationState::Finished);
    }

    #[test]
    fn a_destroyed_volume_is_out_of_the_checkpoint_before_its_folder_goes() {
        let mut stage = agent("disk:100").with_volume("disk:20", false);
        let gone = volume("disk:20", "eng", "v1", false);
        let effects = stage.apply(1, Conversion::destroy(gone.clone()).unwrap());
        assert!(matches!(effects.persist[..], [CheckpointOp::Total(_), CheckpointOp::Operation(..)]));
        assert_eq!(effects.volumes, [VolumeOrder::Remove(gone)]);
        assert!(stage.agent.volumes().is_empty());
    }

    #[test]
    fn what_a_task_uses_is_not_taken_away_and_the_task_is_named() {
        let mut stage = agent("cpus:4;disk:100").with_volume("disk:20", false);
        let needs = volume("disk:20", "eng", "v1", false).checked_add(&resources("cpus:1")).unwrap();
        assert_eq!(stage.run_for("eng", "t1", needs).launch.len(), 1);
        let _ = stage.started("t1");
        let destroy = || Conversion::destroy(volume("disk:20", "eng", "v1", false)).unwrap();
        let refused = failure(&stage.apply(1, destroy()));
        assert!(refused.contains("[v1]:20 is in use, by task t1 of f1"), "{refused}");
        let refused = failure(&stage.apply(2, reserve("cpus:4", "eng")));
        assert!(refused.contains("cpus:4 is in use, by task t1 of f1"), "{refused}");
        let _ = stage.shutdown_framework("f1");
        assert!(failure(&stage.apply(3, destroy())).contains("task t1"), "its container is still there");
        let _ = stage.exited("t1", by_request(signaled(15)));
        assert_eq!(only_outcome(&stage.apply(4, destroy())).state, OperationState::Finished);
    }

    #[test]
    fn a_volume_grows_and_shrinks_without_its_folder_being_touched() {
        let mut stage = agent("disk:100").with_volume("disk:20", false);
        let _ = stage.apply(1, reserve("disk:30", "eng"));
        let only = |all: Resources| all.iter().next().unwrap().clone();
        let grow =
            Conversion::grow(only(volume("disk:20", "eng", "v1", false)), only(reserved("disk:30", "eng")));
        let effects = stage.apply(2, grow.unwrap());
        assert_eq!((only_outcome(&effects).state, effects.volumes), (OperationState::Finished, Vec::new()));
        assert_eq!(stage.agent.volumes(), volume("disk:50", "eng", "v1", false));
        let by = lonja_model::resources::Scalar::from_units(40).unwrap();
        let shrink = Conversion::shrink(only(volume("disk:50", "eng", "v1", false)), by).unwrap();
        assert!(stage.apply(3, shrink).volumes.is_empty());
        assert_eq!(stage.agent.volumes(), volume("disk:10", "eng", "v1", false));
    }

    #[test]
    fn a_volume_whose_link_broke_meanwhile_never_comes_to_be() {
        let mut stage = agent("disk:100").with_volume("disk:20", false);
        let _ = stage.apply(1, reserve("disk:50", "eng"));
        let _ = stage.apply(2, create("disk:20", "eng", "v2", false));
        let _ = stage.back_online();
        let effects = stage.made(2);
        let keep = volume("disk:20", "eng", "v1", false);
        assert_eq!(effects.volumes, [VolumeOrder::Sweep { keep }]);
        assert!(effects.persist.is_empty() && outcomes(&effects).is_empty());
        assert_eq!(stage.agent.volumes(), volume("disk:20", "eng", "v1", false));
    }

    #[test]
    fn a_late_folder_does_not_take_the_next_one_with_it() {
        let mut stage = agent("disk:100");
        let _ = stage.apply(1, reserve("disk:50", "eng"));
        let _ = stage.apply(2, create("disk:20", "eng", "v1", false));
        let _ = stage.back_online();
        // The same operation, or another for the same volume: both are made anew.
        let _ = stage.apply(2, create("disk:20", "eng", "v1", false));
        let keep = volume("disk:20", "eng", "v1", false);
        assert_eq!(stage.made(1).volumes, [VolumeOrder::Sweep { keep }]);
        assert!(stage.agent.volumes().is_empty());
        assert_eq!(only_outcome(&stage.made(2)).state, OperationState::Finished);
    }

    #[test]
    fn a_shared_volume_is_used_by_several_tasks_another_by_one() {
        for (shared, second) in [(true, TaskState::Starting), (false, TaskState::Dropped)] {
            let mut stage = agent("cpus:4;disk:100").with_volume("disk:20", shared);
            let needs = || volume("disk:20", "eng", "v1", shared).checked_add(&resources("cpus:1")).unwrap();
            assert_eq!(states(&stage.run_for("eng", "t1", needs())), [TaskState::Starting]);
            assert_eq!(states(&stage.run_for("eng", "t2", needs())), [second]);
            let destroy = Conversion::destroy(volume("disk:20", "eng", "v1", shared)).unwrap();
            assert!(failure(&stage.apply(1, destroy)).contains("task t1 of f1"));
            assert_eq!(stage.agent.free().contains(&volume("disk:20", "eng", "v1", true)), shared);
        }
    }

    #[test]
    fn outcomes_are_bounded_and_an_operation_too_many_is_turned_away_without_one() {
        let mut stage = newborn("cpus:4");
        stage.config.max_operations = 1;
        let _ = stage.restart(&[]);
        let _ = stage.back_online();
        let _ = stage.apply(1, reserve("cpus:1", "eng"));
        let effects = stage.apply(2, reserve("cpus:1", "eng"));
        let status = only_outcome(&effects);
        assert_eq!((status.state, status.update), (OperationState::Dropped, None));
        assert!(effects.persist.is_empty());
    }
}
