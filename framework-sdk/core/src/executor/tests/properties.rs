//! Whatever the agent and the network do, nothing said is lost and nothing is run twice.

use std::collections::{BTreeMap, BTreeSet};

use lonja_model::execution::{Call, Event as AgentEvent};
use lonja_model::{TaskId, TaskState, TaskStatus, UpdateId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::*;
use crate::executor::{Event, Options, Plan, Update};

#[derive(Clone, Debug)]
enum Step {
    /// The agent hands out a task, perhaps again.
    Launch(u8),
    LaunchGroup(Vec<u8>),
    Kill(u8),
    /// The work says something, possible or not.
    Say(u8, TaskState),
    /// The agent stores the oldest updates that reached it, and says so.
    Acknowledge(u8),
    /// It stores them, and the answer is lost with the connection.
    StoreAndCut(u8),
    /// It says again that it stored something long ago.
    AcknowledgeAgain,
    Cut,
    Pass(u16),
    Message,
}

fn any_step() -> impl Strategy<Value = Step> {
    let states = prop::sample::select(TaskState::ALL.to_vec());
    let ends = prop::sample::select(vec![TaskState::Running, TaskState::Finished, TaskState::Failed]);
    prop_oneof![
        4 => (0..12_u8).prop_map(Step::Launch),
        1 => vec(0..12_u8, 1..4).prop_map(Step::LaunchGroup),
        1 => (0..12_u8).prop_map(Step::Kill),
        6 => (0..12_u8, ends).prop_map(|(task, state)| Step::Say(task, state)),
        1 => (0..12_u8, states).prop_map(|(task, state)| Step::Say(task, state)),
        4 => (1..6_u8).prop_map(Step::Acknowledge),
        2 => (1..6_u8).prop_map(Step::StoreAndCut),
        1 => Just(Step::AcknowledgeAgain),
        2 => Just(Step::Cut),
        2 => (0..20_000_u16).prop_map(Step::Pass),
        1 => Just(Step::Message),
    ]
}

/// An agent as executors know it: it stores each update once, in order, and may die at any moment.
#[derive(Default)]
struct Agent {
    /// What reached it on this connection and is not stored.
    inbox: Vec<TaskStatus>,
    stored: BTreeSet<UpdateId>,
    /// What it has stored of each launch of a task, in order; a new entry when an id is used again.
    stories: BTreeMap<TaskId, Vec<TaskState>>,
    acknowledged: Vec<(TaskId, UpdateId)>,
}

impl Agent {
    fn hears(&mut self, sent: &[Call]) {
        self.inbox.extend(updates(sent));
    }

    /// Stores one; returns what it acknowledges.
    fn store(&mut self) -> Option<(TaskId, UpdateId)> {
        if self.inbox.is_empty() {
            return None;
        }
        let status = self.inbox.remove(0);
        let id = status.update.expect("updates have ids");
        if self.stored.insert(id) {
            self.stories.entry(status.task.clone()).or_default().push(status.state);
        }
        Some((status.task, id))
    }

    /// Does it take the task for running, or not begun?
    fn may_launch(&self, task: &TaskId) -> bool {
        self.stories.get(task).is_none_or(|story| story.is_empty())
    }
}

struct Play {
    world: World,
    agent: Agent,
    /// What the work said and was not told is impossible, per task.
    said: BTreeMap<TaskId, Vec<TaskState>>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let world = world_of(Options { seed, ..options() });
        let mut play = Self { world, agent: Agent::default(), said: BTreeMap::new() };
        play.connect();
        play
    }

    fn connect(&mut self) {
        let sent = self.world.connects();
        assert!(matches!(sent.first(), Some(Call::Subscribe { .. })));
        self.agent.inbox.clear();
        self.agent.hears(&sent);
    }

    fn cut(&mut self) {
        self.world.loses_connection();
        self.agent.inbox.clear();
    }

    fn take(&mut self, step: Step) {
        let id = |number: u8| format!("t{number}");
        let sent = match step {
            Step::Launch(number) if self.agent.may_launch(&task_id(&id(number))) => {
                self.world.launches(&id(number))
            }
            Step::LaunchGroup(numbers) => {
                let fresh = numbers.into_iter().map(id).filter(|id| self.agent.may_launch(&task_id(id)));
                let tasks: BTreeSet<String> = fresh.collect();
                self.world.hears(AgentEvent::LaunchGroup(tasks.iter().map(|id| task(id)).collect()))
            }
            Step::Kill(number) => {
                self.world.will(Plan::new());
                let sent = self.world.hears(AgentEvent::Kill { task: task_id(&id(number)), grace: None });
                self.world.executor().plans.clear();
                sent
            }
            Step::Say(number, state) => self.say(task_id(&id(number)), state),
            Step::Acknowledge(count) => {
                for _ in 0..count {
                    let Some((task, update)) = self.agent.store() else { break };
                    self.agent.acknowledged.push((task.clone(), update));
                    self.world.acknowledges(&task, update);
                }
                Vec::new()
            }
            Step::StoreAndCut(count) => {
                (0..count).for_each(|_| drop(self.agent.store()));
                self.cut();
                Vec::new()
            }
            Step::AcknowledgeAgain => {
                if let Some((task, update)) = self.agent.acknowledged.first().cloned() {
                    self.world.acknowledges(&task, update);
                }
                Vec::new()
            }
            Step::Cut => {
                self.cut();
                Vec::new()
            }
            Step::Pass(milliseconds) => {
                let sent = self.world.passes(std::time::Duration::from_millis(milliseconds.into()));
                if self.world.last.connect {
                    let sent = self.world.is_let_in();
                    self.agent.hears(&sent);
                }
                sent
            }
            Step::Message => self.world.hears(AgentEvent::Message(vec![1])),
            Step::Launch(_) => Vec::new(),
        };
        self.agent.hears(&sent);
    }

    fn say(&mut self, task: TaskId, state: TaskState) -> Vec<Call> {
        let before = self.world.executor().problems.len();
        let sent = self.world.says(Update::new(task.clone(), state));
        if self.world.executor().problems.len() == before {
            self.said.entry(task).or_default().push(state);
        }
        sent
    }

    /// The agent is there for good, and stores all that comes.
    fn settle(&mut self) {
        self.cut();
        self.connect();
        while let Some((task, update)) = self.agent.store() {
            self.world.acknowledges(&task, update);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_said_is_stored_in_order_and_once_and_no_task_is_shown_twice(
        seed: u64,
        steps in vec(any_step(), 0..120),
    ) {
        let mut play = Play::new(seed);
        for step in steps {
            play.take(step);
        }
        play.settle();

        prop_assert_eq!(&play.agent.stories, &play.said);
        let launched = &play.world.execution.executor().launched;
        let distinct: BTreeSet<_> = launched.iter().collect();
        prop_assert_eq!(distinct.len(), launched.len());
        // Nothing waits, and nothing is left of tasks that have ended.
        let sent = { play.cut(); play.world.connects() };
        let (tasks, said) = opening(&sent);
        prop_assert!(said.is_empty());
        let live: BTreeSet<_> = play.world.execution.live_tasks().map(TaskId::to_string).collect();
        prop_assert!(tasks.iter().all(|task| live.contains(task)));
        let ended = |id: &String| {
            play.agent.stories.get(&task_id(id)).is_some_and(|story| story.last().unwrap().is_terminal())
        };
        prop_assert!(!live.iter().any(ended));
    }

    #[test]
    fn whatever_happens_a_shutdown_ends_it_within_its_grace(
        seed: u64,
        steps in vec(any_step(), 0..60),
        later in vec(any_step(), 0..20),
        is_slow_to_end: bool,
    ) {
        let mut play = Play::new(seed);
        for step in steps {
            play.take(step);
        }
        play.cut();
        play.connect();
        play.world.executor().is_slow_to_end = is_slow_to_end;
        let asked = play.world.now;
        play.world.hears(AgentEvent::Shutdown);
        let mut is_over = play.world.outcome().is_some();
        for step in later {
            if is_over {
                break;
            }
            if play.world.execution.is_subscribed() || matches!(step, Step::Pass(_) | Step::Say(..)) {
                play.take(step);
                is_over = play.world.outcome().is_some() || play.world.execution.next_deadline().is_none();
            }
        }
        while !is_over {
            play.world.passes(secs(1));
            is_over = play.world.outcome().is_some();
            if play.world.last.connect {
                play.world.event(Event::Disconnected { why: "gone".to_owned() });
            }
        }
        prop_assert!(play.world.now.since(asked) <= secs(10) + secs(20), "{:?}", play.world.now.since(asked));
    }

    #[test]
    fn ids_of_updates_are_never_repeated(seeds in (any::<u64>(), any::<u64>())) {
        prop_assume!(seeds.0 != seeds.1);
        let mut ids = BTreeSet::new();
        for seed in [seeds.0, seeds.1] {
            let mut world = world_of(Options { seed, ..options() });
            world.connects();
            for number in 0..20 {
                world.launches(&format!("t{number}"));
                let sent = world.says(Update::running(task_id(&format!("t{number}"))));
                prop_assert!(ids.insert(updates(&sent)[0].update.unwrap()));
            }
        }
    }
}
