//! `lonja master`.

use std::process::ExitCode;
use std::time::Duration;

use lonja_master::{Config, StoreKind};

use super::{open_files, until_stopped};
use crate::args::{Master, RoleSorter};
use crate::output;

/// Below so many files that may be open, a word is said.
const FEW_FILES: usize = 10_000;

/// Runs a master until it is asked to stop.
pub(crate) async fn run(master: Master) -> anyhow::Result<ExitCode> {
    if !master.listen.ip().is_loopback() {
        output::warn(
            "listening beyond loopback without TLS and authentication: anyone who reaches this port owns the cluster",
        );
    }
    let files = open_files();
    if files < FEW_FILES {
        output::warn(&format!(
            "this process may have {files} files open, and each agent and framework has one: raise the hard limit \
             (`ulimit -Hn`, `LimitNOFILE=`) to some more than the cluster has machines"
        ));
    }
    let core = lonja_master_core(&master);
    let config = Config {
        listen: master.listen,
        hostname: master.hostname,
        store: StoreKind::WorkDir(master.work_dir),
        core,
    };
    let running = lonja_master::start(config).await?;
    output::print_lines(&[format!("lonja master listening on http://{}", running.address())]);
    let stopper = running.stopper();
    until_stopped(|| stopper.stop(), running.stopped()).await
}

fn lonja_master_core(master: &Master) -> lonja_master::CoreConfig {
    let defaults = lonja_master::CoreConfig::default();
    let allocator = lonja_master::AllocatorOptions {
        // An alternative that asks for nothing is reached by every offer.
        minimum: master.min_offer.iter().filter(|one| !one.is_empty()).cloned().collect(),
        reserve_gpu_agents: !master.share_gpu_agents,
        excluded_from_fairness: master.fair_sharing_excluded_resources.iter().cloned().collect(),
        sorter: match master.role_sorter {
            RoleSorter::Drf => lonja_master::Sorter::DominantShare,
            RoleSorter::Random => lonja_master::Sorter::Random,
        },
        seed: uuid::Uuid::new_v4().as_u64_pair().0,
        most_slices: master.most_slices,
        ..defaults.allocator.clone()
    };
    lonja_master::CoreConfig {
        domain: master.domain.clone(),
        require_agent_domain: master.require_agent_domain,
        recovery_quorum_percent: master.recovery_quorum,
        recovery_pause: master.recovery_pause,
        allocator,
        ping_interval: master.agent_ping_timeout,
        max_missed_pings: master.max_agent_ping_timeouts,
        agent_reregister_timeout: master.agent_reregister_timeout,
        allocation_window: master.allocation_window,
        offer_timeout: Some(master.offer_timeout).filter(|timeout| *timeout > Duration::ZERO),
        removal_brake_percent: master.removal_brake,
        removal_rate: master.removal_rate,
        calls_per_second: master.calls_per_second,
        call_burst: master.calls_per_second * 2,
        max_agents: master.max_agents,
        completed_frameworks: master.max_completed_frameworks,
        completed_tasks: master.max_completed_tasks,
        ..defaults
    }
}
