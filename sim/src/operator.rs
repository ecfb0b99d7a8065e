//! What an operator does meanwhile, drawn from the seed: weights, quotas, draining, maintenance.
//!
//! A command reaches the master or, if that is down, nobody; an operator who gets no answer looks and says it again,
//! as this one does at the end: once the faults are over it takes everything back that could keep work waiting for
//! ever, several times, so that liveness must follow.

use std::time::Duration;

use lonja_master_core::{Event, MaintenanceCommand, OperatorCommand, RequestId};
use lonja_model::maintenance::{Drain, MachineId, Unavailability, Window};
use lonja_model::quota::Quota;
use lonja_model::resources::Scalar;
use lonja_model::{AgentId, Resources, Role, Timestamp};

use crate::faults;
use crate::happening::Queue;
use crate::invariants::Broken;
use crate::random::Random;
use crate::steps::Step;
use crate::world::{Happening, Node, World};

/// How often everything is taken back once the faults are over, and at what distance.
const TAKEN_BACK: u32 = 8;
const APART: Duration = Duration::from_secs(45);

/// One thing that an operator wants. Agents are told by their number, since their ids are not known beforehand.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Weight(Role, Scalar),
    Quota(Role, Option<Quota>),
    Drain(usize, Drain),
    Deactivate(usize),
    Reactivate(usize),
    /// This agent will never return.
    Gone(AgentId),
    /// Agents that the master waits for and no machine calls itself by will never return.
    TidyUp,
    /// These agents' machines, and no others, are to be maintained.
    Schedule(Vec<usize>),
    Start(usize),
    Stop(usize),
}

/// The wishes of one run, in order, all between the two times.
pub(crate) fn draw(
    random: &mut Random,
    between: (Timestamp, Timestamp),
    agents: usize,
    roles: &[Role],
) -> Vec<(Timestamp, Wish)> {
    // A third of the runs have an idle operator: the calm ones show what the busy ones hide.
    if random.below(3) == 0 {
        return Vec::new();
    }
    let moments = faults::moments(random, between);
    moments.into_iter().map(|at| (at, wish(random, agents, roles))).collect()
}

/// What takes all wishes back once the faults are over.
pub(crate) fn take_back(queue: &mut Queue, until: Timestamp, agents: usize, roles: &[Role]) {
    for round in 0..TAKEN_BACK {
        let at = until + APART * round;
        for role in roles {
            queue.at(at, Happening::Operate(Wish::Quota(role.clone(), None)));
        }
        for agent in 0..agents {
            queue.at(at, Happening::Operate(Wish::Stop(agent)));
        }
        queue.at(at, Happening::Operate(Wish::Schedule(Vec::new())));
        for agent in 0..agents {
            queue.at(at, Happening::Operate(Wish::Reactivate(agent)));
        }
    }
}

fn wish(random: &mut Random, agents: usize, roles: &[Role]) -> Wish {
    let role = roles[random.index(roles.len())].clone();
    let agent = random.index(agents);
    match random.below(9) {
        0 => Wish::Weight(role, Scalar::from_thousandths(1 + random.below(5_000)).unwrap_or(Scalar::MAX)),
        1 => Wish::Quota(role, Some(quota(random))),
        2 => Wish::Quota(role, None),
        3 => {
            let max_grace = random.chance(50).then(|| random.millis(0, 5_000));
            Wish::Drain(agent, Drain { max_grace, mark_gone: false })
        }
        4 => Wish::Deactivate(agent),
        5 => Wish::Reactivate(agent),
        6 => Wish::Schedule((0..agents).filter(|_| random.chance(40)).collect()),
        7 => Wish::Start(agent),
        _ => Wish::Stop(agent),
    }
}

fn quota(random: &mut Random) -> Quota {
    let amounts = |cpus: u64, mem: u64| {
        let text = format!("cpus:{}.{};mem:{mem}", cpus / 10, cpus % 10);
        Resources::parse(&text).map(|resources| resources.quantities()).unwrap_or_default()
    };
    let (cpus, mem) = (random.below(30), random.below(1_024));
    let guarantees = if random.chance(50) { amounts(cpus, mem) } else { Default::default() };
    let limits = if random.chance(70) {
        amounts(cpus + random.below(40), mem + random.below(4_096))
    } else {
        Default::default()
    };
    Quota { guarantees, limits }
}

impl World {
    /// The operator says something, if there is a master to hear it.
    pub(crate) fn operate(&mut self, wish: &Wish) -> Result<Option<Node>, Broken> {
        if self.master.process.is_none() || self.dies_at(Node::Master, Step::MasterHearsOperator)? {
            return Ok(None);
        }
        if let Wish::TidyUp = wish {
            self.tidy_up();
        }
        Ok(self.say(wish))
    }

    fn say(&mut self, wish: &Wish) -> Option<Node> {
        let mut command = self.command(wish)?;
        let meant = match wish {
            Wish::Drain(agent, _) | Wish::Start(agent) => Some(*agent),
            Wish::Gone(id) => (0..self.agents.len()).find(|agent| self.agent_id(*agent).as_ref() == Some(id)),
            _ => None,
        };
        meant.into_iter().for_each(|agent| self.partitions.wants_empty(agent));
        let process = self.master.process.as_mut()?;
        let words = || format!("operator -> master: {command:?}");
        self.journal.note(self.now, "operator", [self.requests, 0], words);
        self.requests += 1;
        if let OperatorCommand::UpdateQuotas { quotas, .. } = &command {
            self.ledger.quotas_asked(self.requests, quotas);
        }
        self.mutant.master_hears_operator(&mut command);
        process.take(Event::Operator { request: RequestId(self.requests), command });
        Some(Node::Master)
    }

    fn command(&self, wish: &Wish) -> Option<OperatorCommand> {
        use MaintenanceCommand::{Deactivate, Drain, Reactivate, Schedule, Start, Stop};
        let maintenance = |command| Some(OperatorCommand::Maintenance(command));
        match wish {
            Wish::Weight(role, weight) => {
                Some(OperatorCommand::SetWeights { weights: vec![(role.clone(), *weight)] })
            }
            Wish::Quota(role, quota) => {
                let quotas = vec![(role.clone(), quota.clone())];
                Some(OperatorCommand::UpdateQuotas { quotas, force: true })
            }
            Wish::Drain(agent, drain) => maintenance(Drain { agent: self.agent_id(*agent)?, drain: *drain }),
            Wish::Deactivate(agent) => maintenance(Deactivate { agent: self.agent_id(*agent)? }),
            Wish::TidyUp => None,
            Wish::Gone(agent) => Some(Self::gone_command(agent)),
            Wish::Reactivate(agent) => maintenance(Reactivate { agent: self.agent_id(*agent)? }),
            Wish::Schedule(agents) => {
                let unavailability = Unavailability {
                    start: self.local(Node::Master) + Duration::from_secs(60),
                    duration: None,
                };
                let machines: Vec<MachineId> = agents.iter().map(|agent| self.machine(*agent)).collect();
                let windows = (!machines.is_empty()).then_some(Window { machines, unavailability });
                maintenance(Schedule { windows: windows.into_iter().collect() })
            }
            Wish::Start(agent) => maintenance(Start { machines: vec![self.machine(*agent)] }),
            Wish::Stop(agent) => maintenance(Stop { machines: vec![self.machine(*agent)] }),
        }
    }

    fn agent_id(&self, agent: usize) -> Option<AgentId> {
        Some(self.agents[agent].disk.committed().identity.as_ref()?.agent.clone())
    }

    fn machine(&self, agent: usize) -> MachineId {
        MachineId { hostname: crate::hosts::agent::hostname(agent), ip: None }
    }
}
