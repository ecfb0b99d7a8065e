//! A framework that launches as it is told and acknowledges whatever it hears.

use std::collections::VecDeque;

use anyhow::{Context, bail};
use lonja_proto::mesos::framework_info::capability::Type as Capability;
use lonja_proto::mesos::offer::operation::{Launch, Type as OperationType};
use lonja_proto::mesos::scheduler::call::{Accept, Acknowledge, Decline, Revive, Subscribe, Type};
use lonja_proto::mesos::scheduler::{Call, Event};
use lonja_proto::mesos::{self, TaskState, TaskStatus, offer};

use super::agent::scalar;
use super::door::{Answers, Door};

/// What each task needs.
const CPUS: f64 = 0.1;
const MEM: f64 = 64.0;

/// For good, as far as a bench goes, in seconds.
pub(super) const FOR_GOOD: f64 = 100_000.0;

/// An offer that waits for an answer.
pub(super) struct Held {
    pub(super) offer: mesos::OfferId,
    agent: mesos::AgentId,
    /// How many tasks it has room for.
    room: u64,
}

/// What a framework is to launch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Aim {
    /// Tasks that are still to be launched.
    pub(super) wanted: u64,
    /// Tasks that may be there at once.
    pub(super) at_once: u64,
    /// Tasks for one offer, at most.
    pub(super) per_offer: u64,
    /// For how long what is left of an offer is refused.
    pub(super) refuse_seconds: f64,
}

/// One framework.
pub(super) struct Framework {
    pub(super) door: Door,
    pub(super) id: Option<mesos::FrameworkId>,
    number: usize,
    pub(super) aim: Aim,
    pub(super) held: VecDeque<Held>,
    named: u64,
    in_flight: u64,
    /// Tasks that it was told to run.
    pub(super) running: u64,
    /// Tasks that it was told to have ended well.
    pub(super) finished: u64,
    pub(super) answers: Answers,
    events: Vec<Event>,
}

impl Framework {
    /// Subscribes; `suppressed`: nothing is offered before it revives.
    pub(super) fn subscribe(mut door: Door, number: usize, suppressed: bool) -> Self {
        let role = role(number);
        let suppressed_roles = if suppressed { vec![role.clone()] } else { Vec::new() };
        let capabilities =
            [Capability::MultiRole, Capability::PartitionAware, Capability::ReservationRefinement];
        let framework_info = mesos::FrameworkInfo {
            user: "root".to_owned(),
            name: format!("bench-{number}"),
            roles: vec![role],
            capabilities: capabilities
                .iter()
                .map(|kind| mesos::framework_info::Capability { r#type: Some((*kind).into()) })
                .collect(),
            ..Default::default()
        };
        door.call(Call {
            r#type: Some(Type::Subscribe.into()),
            subscribe: Some(Subscribe { framework_info, suppressed_roles, offer_constraints: None }),
            ..Default::default()
        });
        Self {
            door,
            id: None,
            number,
            aim: Aim::default(),
            held: VecDeque::new(),
            named: 0,
            in_flight: 0,
            running: 0,
            finished: 0,
            answers: Answers::default(),
            events: Vec::new(),
        }
    }

    /// Asks for offers.
    pub(super) fn revive(&mut self) {
        self.call(Type::Revive, |call| call.revive = Some(Revive::default()));
    }

    /// Gives back all offers it holds but so many.
    pub(super) fn decline_all_but(&mut self, kept: usize, refuse_seconds: f64) {
        let count = self.held.len().saturating_sub(kept);
        let offer_ids: Vec<_> = self.held.drain(..count).map(|held| held.offer).collect();
        if !offer_ids.is_empty() {
            let filters = Some(mesos::Filters { refuse_seconds: Some(refuse_seconds) });
            self.call(Type::Decline, |call| call.decline = Some(Decline { offer_ids, filters }));
        }
    }

    /// A call that changes nothing and costs little.
    pub(super) fn idle_call(&mut self) {
        let filters = Some(mesos::Filters { refuse_seconds: Some(0.0) });
        let offer_ids = vec![mesos::OfferId { value: "bench-none".to_owned() }];
        self.call(Type::Decline, |call| call.decline = Some(Decline { offer_ids, filters }));
    }

    fn call(&mut self, kind: Type, fill: impl FnOnce(&mut Call)) {
        let mut call =
            Call { framework_id: self.id.clone(), r#type: Some(kind.into()), ..Default::default() };
        fill(&mut call);
        self.door.call(call);
    }

    /// Takes in what is there.
    pub(super) fn receive(&mut self, socket: usize, scratch: &mut [u8]) -> anyhow::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        let received = self.door.receive(socket, scratch, &mut self.answers, &mut events);
        for event in events.drain(..) {
            self.handle(event)?;
        }
        self.events = events;
        received
    }

    fn handle(&mut self, event: Event) -> anyhow::Result<()> {
        if let Some(update) = event.update {
            self.told(update.status)?;
        } else if let Some(offers) = event.offers {
            for offer in offers.offers {
                self.held.push_back(held(offer));
            }
        } else if let Some(subscribed) = event.subscribed {
            self.id = Some(subscribed.framework_id);
        } else if let Some(rescind) = event.rescind {
            self.held.retain(|held| held.offer != rescind.offer_id);
        } else if let Some(error) = event.error {
            bail!("the master ends a framework: {}", error.message);
        }
        Ok(())
    }

    fn told(&mut self, status: TaskStatus) -> anyhow::Result<()> {
        match status.state() {
            TaskState::TaskRunning => self.running += 1,
            TaskState::TaskFinished => {
                self.finished += 1;
                self.in_flight = self.in_flight.saturating_sub(1);
            }
            other => bail!(
                "a task of the bench came to {}: {}",
                other.as_str_name(),
                status.message.unwrap_or_default()
            ),
        }
        let agent_id = status.agent_id.context("an update names no agent")?;
        let (task_id, uuid) = (status.task_id, status.uuid.context("an agent's update has no id")?);
        let acknowledge = Some(Acknowledge { agent_id, task_id, uuid });
        self.call(Type::Acknowledge, |call| call.acknowledge = acknowledge);
        Ok(())
    }

    /// Launches what it may on the offers that it holds, and gives back those it will not need.
    pub(super) fn place(&mut self) {
        if self.aim.at_once == 0 {
            return;
        }
        loop {
            let left = self.aim.wanted.min(self.aim.at_once.saturating_sub(self.in_flight));
            if left == 0 {
                break;
            }
            let Some(held) = self.held.pop_front() else { break };
            let count = left.min(self.aim.per_offer).min(held.room);
            self.aim.wanted -= count;
            self.in_flight += count;
            self.launch(held, count);
        }
        if self.aim.wanted == 0 {
            self.decline_all_but(0, FOR_GOOD);
        }
    }

    fn launch(&mut self, held: Held, count: u64) {
        let task = |number: u64| mesos::TaskInfo {
            name: "bench".to_owned(),
            task_id: mesos::TaskId { value: format!("bench-{}-{number}", self.number) },
            agent_id: held.agent.clone(),
            resources: vec![scalar("cpus", CPUS), scalar("mem", MEM)],
            command: Some(mesos::CommandInfo { value: Some("sleep 1000".to_owned()), ..Default::default() }),
            ..Default::default()
        };
        let task_infos = (self.named..self.named + count).map(task).collect();
        self.named += count;
        let launch = offer::Operation {
            r#type: Some(OperationType::Launch.into()),
            launch: Some(Launch { task_infos }),
            ..Default::default()
        };
        let accept = Accept {
            offer_ids: vec![held.offer],
            operations: vec![launch],
            filters: Some(mesos::Filters { refuse_seconds: Some(self.aim.refuse_seconds) }),
        };
        self.call(Type::Accept, |call| call.accept = Some(accept));
    }
}

/// The role of the framework of this number.
fn role(number: usize) -> String {
    format!("bench-{number}")
}

fn held(offer: mesos::Offer) -> Held {
    let amount = |name: &str| -> f64 {
        let named = offer.resources.iter().filter(|resource| resource.name == name);
        named.filter_map(|resource| resource.scalar.as_ref()).map(|scalar| scalar.value).sum()
    };
    // A little more than there is to one place: halves of a thousandth are rounded away.
    let room = ((amount("cpus") + 0.0005) / CPUS).min((amount("mem") + 0.0005) / MEM);
    Held { room: room as u64, offer: offer.id, agent: offer.agent_id }
}
