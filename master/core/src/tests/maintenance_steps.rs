//! Steps of operators who take agents out of use and back, and of frameworks that answer, for the properties.

use std::time::Duration;

use lonja_model::AgentId;
use lonja_model::maintenance::{Drain, MachineId, Unavailability, Window};
use lonja_model::offer::Filters;
use lonja_model::scheduler::Call;
use proptest::prelude::*;

use super::fixture::*;
use crate::{MaintenanceCommand, OperatorCommand, StreamId};

/// The hosts of the properties' agents, more than one agent on each.
pub(super) const HOSTS: [&str; 3] = ["h0", "H1", "h2"];

#[derive(Clone, Debug)]
pub(super) enum MaintenanceStep {
    Drain(usize, Option<u64>, bool),
    Deactivate(usize),
    Reactivate(usize),
    MarkGone(usize),
    /// A window for each group of hosts, by bits; a host may stand in two.
    Schedule(Vec<(u8, u64)>),
    Start(u8),
    Stop(u8),
    Answer(usize, bool, u64),
}

pub(super) fn any_maintenance_step() -> impl Strategy<Value = MaintenanceStep> {
    use MaintenanceStep::*;
    prop_oneof![
        3 => (0..8usize, proptest::option::of(0..60u64), proptest::bool::weighted(0.2))
            .prop_map(|(agent, grace, gone)| Drain(agent, grace, gone)),
        1 => (0..8usize).prop_map(Deactivate),
        3 => (0..8usize).prop_map(Reactivate),
        1 => (0..8usize).prop_map(MarkGone),
        4 => proptest::collection::vec((1..8u8, 0..3u64), 0..3).prop_map(Schedule),
        2 => (1..8u8).prop_map(Start),
        3 => (1..8u8).prop_map(Stop),
        8 => (0..8usize, any::<bool>(), 0..10u64)
            .prop_map(|(framework, yes, refuse)| Answer(framework, yes, refuse)),
    ]
}

impl MaintenanceStep {
    /// Takes the step. What is refused is refused whole: the registry is as it was.
    pub(super) fn take(self, cluster: &mut Cluster, agents: &[AgentId], streams: &[Option<StreamId>]) {
        if let Self::Answer(index, yes, refuse) = self {
            let stream = streams.iter().cycle().nth(index).copied().flatten();
            if let Some(stream) = stream {
                answer(cluster, stream, yes, secs(refuse));
            }
            return;
        }
        let Some(command) = self.command(agents) else { return };
        let before = cluster.registry.clone();
        if cluster.operator(OperatorCommand::Maintenance(command)).is_err() {
            assert_eq!(cluster.registry, before, "refused, and yet something was changed");
        }
    }

    fn command(self, agents: &[AgentId]) -> Option<MaintenanceCommand> {
        let agent = |index: usize| agents.iter().cycle().nth(index).cloned();
        Some(match self {
            Self::Drain(index, grace, mark_gone) => {
                let drain = Drain { max_grace: grace.map(secs), mark_gone };
                MaintenanceCommand::Drain { agent: agent(index)?, drain }
            }
            Self::Deactivate(index) => MaintenanceCommand::Deactivate { agent: agent(index)? },
            Self::Reactivate(index) => MaintenanceCommand::Reactivate { agent: agent(index)? },
            Self::MarkGone(index) => MaintenanceCommand::MarkGone { agent: agent(index)? },
            Self::Schedule(windows) => MaintenanceCommand::Schedule {
                windows: windows.into_iter().map(|(bits, start)| window(bits, start)).collect(),
            },
            Self::Start(bits) => MaintenanceCommand::Start { machines: machines(bits) },
            Self::Stop(bits) => MaintenanceCommand::Stop { machines: machines(bits) },
            Self::Answer(..) => return None,
        })
    }
}

fn machines(bits: u8) -> Vec<MachineId> {
    let chosen = HOSTS.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
    chosen.map(|(_, host)| MachineId::named(host)).collect()
}

fn window(bits: u8, start: u64) -> Window {
    let start = lonja_model::Timestamp::ZERO + secs(start);
    Window { machines: machines(bits), unavailability: Unavailability { start, duration: None } }
}

fn answer(cluster: &mut Cluster, stream: StreamId, yes: bool, refuse: Duration) {
    let offers: Vec<_> = cluster.inverse_offers(stream).into_iter().map(|offer| offer.id).collect();
    let filters = Filters { refuse };
    let call = if yes {
        Call::AcceptInverseOffers { offers, filters }
    } else {
        Call::DeclineInverseOffers { offers, filters }
    };
    // The framework may have been removed meanwhile.
    let _ = cluster.call(stream, call);
}
