//! A scheduler that keeps so many copies of one command running. Yours starts here: replace the rule, keep the shape.
//!
//! [`Keeper`] decides and does nothing itself: offers and news in, a plan out. `main.rs` runs it against a master,
//! `tests/faults.rs` against a cluster in virtual time whose parts fail.

use std::collections::BTreeMap;

use lonja_sdk::prelude::*;

/// Keeps tasks running: whatever ends is replaced.
pub struct Keeper {
    /// What each runs, and what it needs.
    task: Task,
    /// How many.
    count: usize,
    /// Those that were launched and have not ended, each with where it was launched.
    live: BTreeMap<TaskId, AgentId>,
    /// The number of the next one. Ids are never used twice, so that old news are known for what they are.
    next: u64,
    /// What is to be made durable before anything is sent.
    changes: Vec<Change>,
}

impl Keeper {
    /// As an earlier run left it; from an empty state, the beginning.
    pub fn restore(task: Task, count: usize, state: &State) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let next = state
            .get("next")
            .and_then(|next| text(next)?.parse().ok())
            .unwrap_or(1);
        let live = state
            .below("task/")
            .filter_map(|(id, agent)| Some((id.parse().ok()?, text(agent)?.parse().ok()?)));
        Self {
            task,
            count,
            live: live.collect(),
            next,
            changes: Vec::new(),
        }
    }

    /// Tasks that were launched and have not ended.
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// For `lonja explain`: why those that are missing are not on these offers.
    fn why_not(&self, offers: &[Offer]) -> Vec<Unplaced> {
        let missing = self.count.saturating_sub(self.live.len()) as u64;
        let ids = (self.next..self.next + missing).map(|number| format!("task-{number}"));
        ids.map(|id| self.task.need().why_not_on(id, offers))
            .collect()
    }

    /// Takes the next task's number and writes down where it goes.
    fn start(&mut self, offer: &Offer, resources: Resources) -> TaskInfo {
        let id = TaskId::new(format!("task-{}", self.next)).expect("letters and digits");
        self.next += 1;
        self.changes
            .push(Change::put("next", self.next.to_string()));
        self.changes
            .push(Change::put(format!("task/{id}"), offer.agent.as_str()));
        self.live.insert(id.clone(), offer.agent.clone());
        self.task.with_resources(&offer.agent, id, resources)
    }
}

impl Scheduler for Keeper {
    /// While all run, offers go to those who need them.
    fn wants_offers(&self) -> bool {
        self.live.len() < self.count
    }

    /// Puts what is missing where it fits first.
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let missing = vec![*self.task.need(); self.count.saturating_sub(self.live.len())];
        let placed = lonja_sdk::placement::first_fit(offers, &missing);
        let mut plan = Plan::new();
        for (offer, placed) in offers.iter().zip(placed) {
            let tasks: Vec<_> = placed
                .into_iter()
                .map(|(_, with)| self.start(offer, with))
                .collect();
            if !tasks.is_empty() {
                plan = plan.launch(offer, tasks);
            }
        }
        plan.unplaced(self.why_not(offers))
    }

    /// That no offer has come may take an explanation as well.
    fn subscribed(&mut self, _now: Timestamp, _id: &FrameworkId, _master: &MasterInfo) -> Plan {
        Plan::new().unplaced(self.why_not(&[]))
    }

    /// What has ended is no longer live, so the next offer replaces it. One that is unreachable is waited for: its agent
    /// may come back with it. Of one that is unknown the master knows not even the agent.
    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        let is_over = status.state.is_terminal() || status.state == TaskState::Unknown;
        if is_over && self.live.remove(&status.task).is_some() {
            self.changes
                .push(Change::remove(format!("task/{}", status.task)));
        }
        Plan::new()
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

#[cfg(test)]
mod tests {
    use lonja_sdk::testing::{offer, status};

    use super::*;

    fn keeper(count: usize, state: &State) -> Keeper {
        let task = Task::shell("sleep 3600").expect("a command");
        Keeper::restore(task.cpus(1.0).expect("an amount"), count, state)
    }

    #[test]
    fn what_has_ended_is_replaced_under_another_id() {
        let mut keeper = keeper(2, &State::default());

        let plan = keeper.offers(Timestamp::ZERO, &[offer("o1", "a1", "cpus:4;mem:1024")]);
        assert!(!plan.is_empty() && !keeper.wants_offers());
        keeper.update(Timestamp::ZERO, &status("task-1", TaskState::Failed));
        assert!(keeper.wants_offers());
        keeper.offers(Timestamp::ZERO, &[offer("o2", "a1", "cpus:4;mem:1024")]);

        let live: Vec<_> = keeper.live.keys().map(TaskId::as_str).collect();
        assert_eq!(live, ["task-2", "task-3"]);
    }

    #[test]
    fn what_has_no_place_says_why() {
        let mut keeper = keeper(1, &State::default());
        let small = offer("o1", "a1", "cpus:0.5;mem:1024");

        let plan = keeper.offers(Timestamp::ZERO, std::slice::from_ref(&small));

        let why = keeper.task.need().why_not_on("task-1", [&small]);
        assert_eq!(plan, Plan::new().unplaced([why]));
    }

    #[test]
    fn one_started_anew_knows_what_runs() {
        let (mut first, mut state) = (keeper(2, &State::default()), State::default());
        first.offers(Timestamp::ZERO, &[offer("o1", "a1", "cpus:1;mem:1024")]);
        first
            .changes()
            .into_iter()
            .for_each(|change| state.apply(change));

        let second = keeper(2, &state);

        assert_eq!((second.live(), second.next), (1, 2));
    }
}
