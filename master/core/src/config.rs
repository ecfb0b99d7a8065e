//! What an operator can set.

use std::time::Duration;

use lonja_model::agent::Domain;

/// The master's settings. [`Config::default`] is what Mesos has, made safe where Mesos is off by default.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the master is reached by name.
    pub hostname: String,
    /// Its port.
    pub port: u16,
    /// Its version, three whole numbers parted by dots.
    pub version: String,
    /// How often each agent is asked whether it is there. Mesos: 15 s.
    pub ping_interval: Duration,
    /// After so many intervals of silence an agent is unreachable. Mesos: 5, so 75 s.
    pub max_missed_pings: u32,
    /// How long the master waits after its start for agents it knows. Mesos: 10 min.
    pub agent_reregister_timeout: Duration,
    /// After its start the master gives a framework that was connected at least this long to come back, be its
    /// failover timeout ever so short: the framework did not go, the master did.
    pub framework_return: Duration,
    /// How often each framework hears from the master. Mesos: 15 s.
    pub heartbeat_interval: Duration,
    /// Changes within this time are allocated together.
    pub allocation_window: Duration,
    /// So many agents are allocated at once at most; what came in meanwhile is looked at before the next.
    pub allocation_portion: u32,
    /// An offer not answered for so long is rescinded; `None`: never. Mesos: never.
    pub offer_timeout: Option<Duration>,
    /// After a restart with quotas, nothing is offered until so many per cent of the known agents are back ...
    pub recovery_quorum_percent: u32,
    /// ... or so much time has passed. Zero: no pause.
    pub recovery_pause: Duration,
    /// The longest failover timeout that a framework gets; a longer one is cut.
    pub max_failover_timeout: Duration,
    /// The removal brake (INV-35): when more than this many per cent of the agents are silent together, none is
    /// declared unreachable: more likely the master is cut off than all of them dead.
    pub removal_brake_percent: u32,
    /// The brake needs at least so many silent agents; below, nobody can tell a cut from a coincidence.
    pub removal_brake_least: usize,
    /// At most so many agents are declared unreachable ...
    pub removal_rate: u32,
    /// ... within this time.
    pub removal_rate_period: Duration,
    /// Calls a second that one framework may make in the long run; a call over is refused.
    pub calls_per_second: u32,
    /// Calls that one framework may make at once.
    pub call_burst: u32,
    /// Frameworks that may be subscribed or awaited at once.
    pub max_frameworks: usize,
    /// Agents that may be known at once.
    pub max_agents: usize,
    /// Operations of one framework, and on one agent, that may wait for their outcome or its acknowledgement.
    pub max_operations: usize,
    /// Kinds of resources that one agent may be cut into by reservations and volumes.
    pub max_pieces: usize,
    /// Removed frameworks that are remembered with their tasks.
    pub completed_frameworks: usize,
    /// Ended tasks that are remembered for each framework.
    pub completed_tasks: usize,
    /// Ids of removed frameworks that stay refused.
    pub removed_framework_ids: usize,
    /// Unreachable and gone agents that are remembered ...
    pub removed_agents: usize,
    /// ... and for how long. Mesos: 2 weeks.
    pub removed_agent_age: Duration,
    /// Where the master is. Agents may say where they are only if it does; those of other regions are offered to
    /// region-aware frameworks alone. Mesos: `--domain`.
    pub domain: Option<Domain>,
    /// Are agents refused that do not say where they are? Mesos: `--require_agent_domain`.
    pub require_agent_domain: bool,
    /// The allocator's own; where the master is, is taken from above.
    pub allocator: lonja_allocator::Options,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            port: 5050,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ping_interval: Duration::from_secs(15),
            max_missed_pings: 5,
            agent_reregister_timeout: Duration::from_secs(600),
            framework_return: Duration::from_secs(60),
            heartbeat_interval: Duration::from_secs(15),
            allocation_window: Duration::from_millis(5),
            allocation_portion: 1_000,
            offer_timeout: Some(Duration::from_secs(60)),
            recovery_quorum_percent: 80,
            recovery_pause: Duration::from_secs(600),
            max_failover_timeout: Duration::from_secs(365 * 24 * 3600),
            removal_brake_percent: 50,
            removal_brake_least: 3,
            removal_rate: 100,
            removal_rate_period: Duration::from_secs(60),
            calls_per_second: 10_000,
            call_burst: 20_000,
            max_frameworks: 10_000,
            max_agents: 200_000,
            max_operations: 10_000,
            max_pieces: 4_096,
            completed_frameworks: 50,
            completed_tasks: 1_000,
            removed_framework_ids: 10_000,
            removed_agents: 102_400,
            removed_agent_age: Duration::from_secs(14 * 24 * 3600),
            domain: None,
            require_agent_domain: false,
            allocator: lonja_allocator::Options::default(),
        }
    }
}

impl Config {
    /// How long an agent may be silent.
    pub fn silence_limit(&self) -> Duration {
        self.ping_interval * self.max_missed_pings
    }
}
