//! The containers of all machines: they start, run for as long as the workload says, and end.

use std::time::Duration;

use lonja_agent_core::{ContainerExit, Event as AgentEvent, LaunchContainer, WaitStatus};
use lonja_model::{ContainerId, Resources, TaskId, Timestamp};

use super::queue::Happening;
use super::world::{LAUNCH, World};

/// A container that lives.
pub(super) struct Live {
    pub(super) number: u64,
    pub(super) agent: u32,
    pub(super) framework: usize,
    pub(super) container: ContainerId,
    pub(super) resources: Resources,
    /// How long it runs; none: to the end.
    pub(super) runs: Option<Duration>,
}

impl World<'_> {
    pub(super) fn launch(
        &mut self,
        agent: u32,
        launch: LaunchContainer,
        durable: Timestamp,
    ) -> Result<(), String> {
        let index = index_of(&launch.task.id).filter(|index| *index < self.launched.len());
        let arrival = index.map(|index| &self.workload.arrivals[index]);
        let mut runs = arrival.and_then(|arrival| arrival.runs);
        if let Some(rule) = &self.runs {
            runs = rule(&launch.task);
            (self.result.arrived, self.result.placed) = (self.result.arrived + 1, self.result.placed + 1);
        }
        let framework = self.seats.iter().position(|seat| seat.core.id() == Some(&launch.framework));
        let framework = framework.expect("agents run what frameworks launched");
        self.books.take(agent, framework, &launch.task.resources)?;
        if let (Some(index), Some(arrival)) = (index, arrival)
            && !std::mem::replace(&mut self.launched[index], true)
        {
            self.result.placed += 1;
            self.books.waiting -= 1;
            self.result.waits.push(self.since_begin().saturating_sub(arrival.at).as_secs_f64());
        }
        self.note(6, u64::from(agent), index.map_or(u64::MAX, |index| index as u64));
        self.launches += 1;
        let live = Live {
            number: self.launches,
            agent,
            framework,
            container: launch.container.clone(),
            resources: launch.task.resources.clone(),
            runs,
        };
        let place = match self.unused.pop() {
            Some(place) => {
                self.live[place] = Some(live);
                place
            }
            None => {
                self.live.push(Some(live));
                self.live.len() - 1
            }
        };
        self.hosts[agent as usize].containers.push((launch.container, place));
        self.queue.push(durable + LAUNCH, Happening::Started { live: place });
        Ok(())
    }

    pub(super) fn started(&mut self, place: usize) -> Result<(), String> {
        let Some(live) = &self.live[place] else { return Ok(()) };
        if let Some(runs) = live.runs {
            let ended = Happening::Ended { live: place, number: live.number, killed: false };
            self.queue.push(self.now + runs, ended);
        }
        let event = AgentEvent::ContainerStarted { container: live.container.clone(), pid: 1 + place as u32 };
        let agent = live.agent;
        self.tell_agent(agent, event)
    }

    pub(super) fn ended(&mut self, place: usize, number: u64, killed: bool) -> Result<(), String> {
        let Some(live) = self.live[place].take_if(|live| live.number == number) else { return Ok(()) };
        let Live { agent, framework, container, resources, .. } = live;
        self.unused.push(place);
        self.hosts[agent as usize].containers.retain(|(_, other)| *other != place);
        self.books.give_back(agent, framework, &resources);
        self.result.preempted += u64::from(killed);
        self.note(7, u64::from(agent), number);
        let status = if killed { WaitStatus::Signaled(15) } else { WaitStatus::Exited(0) };
        let exit = ContainerExit { killed_by_request: killed, ..ContainerExit::new(status) };
        self.tell_agent(agent, AgentEvent::ContainerExited { container, exit })
    }
}

/// The id under which a task of the workload is launched: its place.
pub(super) fn task_id(index: usize) -> TaskId {
    TaskId::new(format!("t{index}")).expect("letters and digits")
}

fn index_of(id: &TaskId) -> Option<usize> {
    id.as_str().strip_prefix('t')?.parse().ok()
}
