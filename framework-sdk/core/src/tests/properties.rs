//! Whatever master, network and scheduler do, the library keeps its promises.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lonja_model::operation::{LaunchTask, Operation};
use lonja_model::scheduler::{Call, Event as MasterEvent, MasterInfo, Refusal, RefusalCode};
use lonja_model::unplaced::Unplaced;
use lonja_model::{AgentId, ExecutorId, FrameworkId, Offer, OfferId, TaskId, TaskState, Timestamp, UpdateId};
use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::*;
use crate::{Command, Effects, Event, Framework, Options, Plan, Problem, Scheduler};

/// Answers from a list of whims, whether or not they make sense.
struct Fickle {
    whims: Vec<u8>,
    next: usize,
    offers: Vec<Offer>,
    launched: usize,
    shown: BTreeMap<UpdateId, u32>,
    wants: bool,
}

impl Fickle {
    fn whim(&mut self) -> u8 {
        self.next += 1;
        self.whims[self.next % self.whims.len()]
    }

    /// A plan about any offer it has ever seen.
    fn plan(&mut self) -> Plan {
        let mut plan = Plan::new();
        for _ in 0..self.whim() % 4 {
            let pick = usize::from(self.whim());
            let Some(offer) = self.offers.get(pick % self.offers.len().max(1)).cloned() else { break };
            plan = match self.whim() % 8 {
                0 | 1 => {
                    self.launched += usize::from(self.whim() > 64);
                    plan.launch(&offer, [task(&offer, &format!("t{}", self.launched))])
                }
                2 => plan.decline(&offer, secs(1)),
                3 => plan.hold(&offer, secs(u64::from(self.whim()))),
                4 => plan.kill(task_id(&format!("t{}", pick % 5)), None),
                5 => plan.reconcile().unplaced([Unplaced::new(format!("t{}", self.whim()))]),
                6 => plan.revive(),
                _ => plan.remember([(task_id(&format!("t{pick}")), offer.agent.clone())]),
            };
        }
        self.wants = self.whim() > 64;
        plan
    }
}

impl Scheduler for Fickle {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        self.offers.extend(offers.iter().cloned());
        self.plan()
    }
    fn update(&mut self, _now: Timestamp, status: &lonja_model::TaskStatus) -> Plan {
        if let Some(update) = status.update {
            *self.shown.entry(update).or_default() += 1;
        }
        self.plan()
    }
    fn wants_offers(&self) -> bool {
        self.wants
    }
    fn subscribed(&mut self, _: Timestamp, _: &FrameworkId, _: &MasterInfo) -> Plan {
        self.plan()
    }
    fn message(&mut self, _: Timestamp, _: &AgentId, _: &ExecutorId, _: &[u8]) -> Plan {
        self.plan()
    }
    fn refused(&mut self, _now: Timestamp, _problem: &Problem) -> Plan {
        self.plan()
    }
}

/// What may happen next; numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Tick(u16),
    Connect,
    Lose,
    Subscribe,
    Offer(u8),
    Rescind(u8),
    Update { task: u8, state: u8, update: u8 },
    Refuse { call: u8, code: u8 },
    Answer(u8),
    Lost,
    Kill(u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..20_000_u16).prop_map(Step::Tick),
        3 => Just(Step::Connect),
        1 => Just(Step::Lose),
        4 => Just(Step::Subscribe),
        5 => (1..4_u8).prop_map(Step::Offer),
        1 => any::<u8>().prop_map(Step::Rescind),
        6 => (0..8_u8, any::<u8>(), 0..40_u8)
            .prop_map(|(task, state, update)| Step::Update { task, state, update }),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(call, code)| Step::Refuse { call, code }),
        1 => any::<u8>().prop_map(Step::Answer),
        1 => Just(Step::Lost),
        1 => (0..8_u8).prop_map(Step::Kill),
    ]
}

/// What a master and an onlooker know.
struct Onlooker {
    framework: Framework<Fickle>,
    now: Timestamp,
    asked_to_connect: bool,
    /// A stream is there; SUBSCRIBE has gone out on it.
    stream: bool,
    subscribed: bool,
    offers_made: usize,
    /// Offers of this subscription that are not answered yet.
    open: BTreeSet<OfferId>,
    /// Offers of launches that were refused: they may be declined after all.
    refused: BTreeSet<OfferId>,
    calls: BTreeMap<u64, Call>,
    alive: BTreeSet<TaskId>,
}

impl Onlooker {
    fn new(whims: Vec<u8>) -> Self {
        let fickle =
            Fickle { whims, next: 0, offers: vec![], launched: 0, shown: BTreeMap::new(), wants: true };
        let now = Timestamp::ZERO + secs(1_000);
        Self {
            framework: Framework::new(
                now,
                Options { info: info(), id: None, constraints: Default::default(), seed: 1 },
                fickle,
            ),
            now,
            asked_to_connect: false,
            stream: false,
            subscribed: false,
            offers_made: 0,
            open: BTreeSet::new(),
            refused: BTreeSet::new(),
            calls: BTreeMap::new(),
            alive: BTreeSet::new(),
        }
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Tick(millis) => {
                self.now = self.now + Duration::from_millis(u64::from(millis));
                self.event(Event::Tick)
            }
            Step::Connect if self.asked_to_connect && !self.stream => {
                self.stream = true;
                self.event(Event::Connected)
            }
            Step::Lose if self.stream || self.asked_to_connect => {
                self.hangs_up();
                self.event(Event::Disconnected { why: "cut".to_owned() })
            }
            Step::Subscribe if self.stream && !self.subscribed => {
                self.subscribed = true;
                let framework = FrameworkId::new("f1").unwrap();
                let (heartbeat, master) = (secs(15), MasterInfo::default());
                self.hears(MasterEvent::Subscribed { framework, heartbeat, master })
            }
            _ if !self.subscribed => Ok(()),
            Step::Offer(count) => {
                let offers: Vec<Offer> = (0..count)
                    .map(|index| {
                        self.offers_made += 1;
                        let agent = format!("a{}", index % 2);
                        offer_on(&format!("o{}", self.offers_made), &agent, "cpus:2;mem:64")
                    })
                    .collect();
                self.open.extend(offers.iter().map(|offer| offer.id.clone()));
                self.hears(MasterEvent::Offers(offers))
            }
            Step::Rescind(pick) => {
                let Some(id) = nth(&self.open, pick) else { return Ok(()) };
                self.open.remove(&id);
                self.hears(MasterEvent::Rescind(id))
            }
            Step::Update { task, state, update } => self.updates(task, state, update),
            Step::Refuse { call, code } => self.refuses(call, code),
            Step::Answer(pick) => {
                let Some(id) = nth(&self.calls.keys().copied().collect(), pick) else { return Ok(()) };
                self.calls.remove(&id);
                self.event(Event::Answered { id, result: Ok(()) })
            }
            Step::Lost => {
                let agent = AgentId::new("a1").unwrap();
                self.hears(MasterEvent::Failure { agent, executor: None, status: None })
            }
            Step::Kill(task) => {
                let task = task_id(&format!("t{task}"));
                self.event(Event::Command(Command::Kill { task, grace: None }))
            }
            Step::Connect | Step::Lose | Step::Subscribe => Ok(()),
        }
    }

    /// An update, with an id or without; it is acknowledged each time and was shown exactly once.
    fn updates(&mut self, task: u8, state: u8, update: u8) -> Result<(), TestCaseError> {
        let state = TaskState::ALL[usize::from(state) % TaskState::ALL.len()];
        let update = (update > 4).then_some(update);
        let status = status(&format!("t{task}"), state, update);
        let new = status.update.is_none_or(|id| !self.framework.scheduler().shown.contains_key(&id));
        if new && state.is_terminal() {
            self.alive.remove(&status.task);
        } else if new {
            self.alive.insert(status.task.clone());
        }
        let effects = self.handled(Event::Received(MasterEvent::Update(Box::new(status.clone()))))?;
        let acknowledged = effects.send.iter().any(|(_, call)| {
            matches!(call, Call::Acknowledge { task, update, .. }
                if *task == status.task && Some(*update) == status.update)
        });
        prop_assert_eq!(acknowledged, status.update.is_some());
        if let Some(update) = status.update {
            prop_assert_eq!(self.framework.scheduler().shown.get(&update), Some(&1));
        }
        Ok(())
    }

    fn refuses(&mut self, call: u8, code: u8) -> Result<(), TestCaseError> {
        let Some(id) = nth(&self.calls.keys().copied().collect(), call) else { return Ok(()) };
        match self.calls.remove(&id) {
            // A master that takes the subscription in does not refuse it afterwards.
            Some(Call::Subscribe { .. }) | None => return Ok(()),
            Some(Call::Accept { offers, .. }) => self.refused.extend(offers),
            Some(Call::Decline { offers, .. }) => self.refused.extend(offers),
            Some(_) => {}
        }
        let codes = [RefusalCode::RateLimited, RefusalCode::Conflict, RefusalCode::NotFound];
        let refusal = Refusal::new(codes[usize::from(code) % codes.len()], "because");
        self.event(Event::Answered { id, result: Err(refusal) })
    }

    fn hears(&mut self, event: MasterEvent) -> Result<(), TestCaseError> {
        self.event(Event::Received(event))
    }

    fn event(&mut self, event: Event) -> Result<(), TestCaseError> {
        self.handled(event).map(drop)
    }

    fn hangs_up(&mut self) {
        (self.stream, self.subscribed, self.asked_to_connect) = (false, false, false);
        self.open.clear();
        self.refused.clear();
        self.calls.clear();
    }

    fn handled(&mut self, event: Event) -> Result<Effects, TestCaseError> {
        let effects = self.framework.handle(self.now, event);
        crate::invariants::check(&self.framework).map_err(TestCaseError::fail)?;
        prop_assert!(effects.send.is_empty() || self.stream, "sent without a stream: {:?}", effects.send);
        for (id, call) in &effects.send {
            let opens = matches!(call, Call::Subscribe { .. });
            prop_assert!(opens != self.subscribed, "{call:?} at the wrong time");
            prop_assert!(self.calls.insert(*id, call.clone()).is_none(), "number {id} is used twice");
            self.answers(call)?;
        }
        if effects.disconnect {
            self.hangs_up();
        }
        self.asked_to_connect |= effects.connect;
        Ok(effects)
    }

    /// No offer is answered twice, no id is launched while its task is alive.
    fn answers(&mut self, call: &Call) -> Result<(), TestCaseError> {
        match call {
            Call::Accept { offers, operations, .. } => {
                for id in offers {
                    prop_assert!(self.open.remove(id), "{id} is accepted and not open");
                }
                for operation in operations {
                    let Operation::Launch(tasks) = operation else { continue };
                    for task in tasks {
                        let LaunchTask::Valid(info) = task else { continue };
                        prop_assert!(self.alive.insert(info.id.clone()), "{} is launched twice", info.id);
                    }
                }
            }
            Call::Decline { offers, .. } => {
                for id in offers {
                    prop_assert!(self.open.remove(id) || self.refused.contains(id), "{id} is not open");
                }
            }
            Call::Subscribe { .. }
            | Call::Teardown
            | Call::Revive { .. }
            | Call::Suppress { .. }
            | Call::Kill { .. }
            | Call::Acknowledge { .. }
            | Call::Reconcile { .. }
            | Call::UpdateFramework { .. }
            | Call::AcceptInverseOffers { .. }
            | Call::DeclineInverseOffers { .. }
            | Call::Request { .. }
            | Call::AcknowledgeOperation { .. }
            | Call::ReconcileOperations { .. }
            | Call::Message { .. }
            | Call::ShutdownExecutor { .. } => {}
            Call::Unplaced { tasks } => {
                prop_assert!(lonja_model::unplaced::check(tasks).is_ok(), "{tasks:?}");
            }
        }
        Ok(())
    }
}

fn nth<T: Clone + Ord>(set: &BTreeSet<T>, pick: u8) -> Option<T> {
    set.iter().nth(usize::from(pick) % set.len().max(1)).cloned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Offers end once, updates are shown once and acknowledged each time, ids are launched once, calls go
    /// out only where they can be understood. And when all falls silent, every offer has been answered.
    #[test]
    fn a_framework_keeps_its_promises_whatever_happens(
        whims in vec(any::<u8>(), 1..200),
        steps in vec(any_step(), 0..250),
    ) {
        let mut onlooker = Onlooker::new(whims);
        for step in steps {
            onlooker.take(step)?;
        }
        // Heartbeats keep the subscription up, and no new offers come.
        let end = onlooker.now + crate::MAX_HOLD + secs(1);
        while onlooker.subscribed && onlooker.now < end {
            onlooker.hears(MasterEvent::Heartbeat)?;
            let beat = onlooker.now + secs(15);
            while let Some(at) = onlooker.framework.next_deadline().filter(|at| *at <= beat) {
                onlooker.now = at.max(onlooker.now);
                onlooker.event(Event::Tick)?;
                if !onlooker.subscribed { break }
            }
            onlooker.now = beat;
        }
        prop_assert!(onlooker.open.is_empty(), "never answered: {:?}", onlooker.open);
    }
}
