//! Keeps so many tasks running, whatever happens: the smallest scheduler that has to remember something.

use std::collections::BTreeSet;

use lonja_sdk::prelude::*;

/// The scheduler.
#[derive(Debug)]
pub(crate) struct Keeper {
    wanted: usize,
    /// The number of the next task.
    next: u64,
    /// Tasks that are not known to have ended. The library keeps them for it.
    tasks: BTreeSet<TaskId>,
    changes: Vec<Change>,
}

impl Keeper {
    /// One that keeps `wanted` tasks running and remembers what was kept.
    pub(crate) fn restore(wanted: usize, state: &State) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it was written so");
        let next = state.get("next").map_or(0, |bytes| text(bytes).parse().expect("a number"));
        let tasks = state.tasks().map(|(task, _agent)| task.clone()).collect();
        Self { wanted, next, tasks, changes: Vec::new() }
    }

    /// Has it launched all that it wants?
    pub(crate) fn is_content(&self) -> bool {
        self.tasks.len() == self.wanted
    }

    /// It never has more tasks than it wants.
    pub(crate) fn keeps_its_word(&self) -> Result<(), String> {
        let (has, wants) = (self.tasks.len(), self.wanted);
        if has <= wants { Ok(()) } else { Err(format!("{has} tasks, {wants} are wanted")) }
    }
}

impl Scheduler for Keeper {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let task = Task::shell("sleep inf").and_then(|task| task.cpus(1.0)).expect("a task");
        let mut plan = Plan::new();
        for offer in offers {
            if self.tasks.len() >= self.wanted {
                break;
            }
            let id = TaskId::new(format!("keep-{}", self.next)).expect("an id");
            let Some(info) = task.on(offer, id.clone()) else { continue };
            self.next += 1;
            self.changes.push(Change::put("next", self.next.to_string()));
            self.tasks.insert(id);
            plan = plan.launch(offer, [info]);
        }
        plan
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        if status.state.is_terminal() {
            self.tasks.remove(&status.task);
        }
        Plan::new()
    }

    fn wants_offers(&self) -> bool {
        self.tasks.len() < self.wanted
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}
