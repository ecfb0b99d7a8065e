//! What master, agents and frameworks are told at birth.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_agent_core::{Agent, Entropy};
use lonja_master_core::Config;
use lonja_model::framework::Capability;
use lonja_model::{AgentInfo, FrameworkInfo, Role};

use super::RunError;
use super::world::{BEGIN, Host};
use crate::lab::{Machine, Tenant, Workload};

pub(super) fn host(number: usize, machine: &Machine, entropy: Entropy) -> Host {
    let info = AgentInfo {
        hostname: machine.name.clone(),
        port: 5051,
        resources: machine.total.clone(),
        attributes: machine.attributes.clone(),
        domain: None,
        id: None,
    };
    let config = lonja_agent_core::Config::new(info, "1.0.0", format!("lab-{number}"));
    Host { core: Agent::new(config, entropy), tick: None, containers: Vec::new() }
}

/// The master's settings: see the module above for those that differ from production, and why.
pub(super) fn config(workload: &Workload, seed: u64) -> Config {
    let never = workload.lasts + BEGIN + Duration::from_secs(24 * 3600);
    Config {
        ping_interval: never,
        heartbeat_interval: never,
        offer_timeout: None,
        calls_per_second: u32::MAX,
        call_burst: u32::MAX,
        max_agents: workload.machines.len(),
        max_frameworks: workload.frameworks.len(),
        completed_tasks: 0,
        completed_frameworks: 0,
        allocator: lonja_master_core::AllocatorOptions { seed, ..Default::default() },
        ..Config::default()
    }
}

pub(super) fn role(tenant: &Tenant) -> Result<Role, RunError> {
    Role::new(&tenant.name).map_err(|why| RunError::NoRole { name: tenant.name.clone(), why })
}

pub(super) fn describe(tenant: &Tenant) -> Result<FrameworkInfo, RunError> {
    let mut info = FrameworkInfo::named(&tenant.name);
    info.capabilities.insert(Capability::GpuResources);
    Ok(FrameworkInfo {
        user: "nobody".to_owned(),
        failover_timeout: Duration::from_secs(3600),
        roles: BTreeSet::from([role(tenant)?]),
        ..info
    })
}
