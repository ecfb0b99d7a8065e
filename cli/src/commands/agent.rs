//! `lonja agent`.

use std::process::ExitCode;

use anyhow::Context;
use lonja_agent::isolation::Layout;
use lonja_agent::{Config, Grants, HostPaths, Policy, configured, detect};
use lonja_model::AgentInfo;
use lonja_model::attributes::Attributes;

use super::until_stopped;
use crate::args::{Agent, Reconfiguration};
use crate::dev::Prepared;
use crate::output;

/// Runs an agent until it is asked to stop; its tasks run on.
pub(crate) async fn run(agent: Agent, prepared: &Prepared) -> anyhow::Result<ExitCode> {
    if agent.check {
        return Ok(check());
    }
    if !agent.listen.ip().is_loopback() {
        output::warn(
            "listening beyond loopback without TLS and authentication: anyone who reaches this port reads all logs",
        );
    }
    let config = config(agent)?;
    let launcher = prepared.launcher.as_ref().context("an agent needs a launcher")?;
    let running = lonja_agent::start(config, launcher).await?;
    output::print_lines(&[format!("lonja agent listening on http://{}", running.address())]);
    let stopper = running.stopper();
    until_stopped(|| stopper.stop(), running.stopped()).await
}

fn config(agent: Agent) -> anyhow::Result<Config> {
    let work_dir = agent.work_dir.context("--work-dir is needed")?;
    let resources = match &agent.resources {
        Some(text) => configured::resources(text).context("--resources")?,
        None => detect::share(detect::host(&work_dir), 0, 1)?,
    };
    let resources = match &agent.oversubscribe {
        Some(text) => configured::oversubscribed(&resources, text).context("--oversubscribe")?,
        None => resources,
    };
    let attributes = Attributes::parse(&agent.attributes).context("--attributes")?;
    let mut allowed = Vec::with_capacity(agent.allow_host_path.len());
    for path in &agent.allow_host_path {
        let real = path.canonicalize();
        allowed.push(real.with_context(|| format!("--allow-host-path {}", path.display()))?);
    }
    Ok(Config {
        listen: agent.listen,
        hostname: agent.hostname,
        master: agent.master,
        work_dir,
        info: AgentInfo {
            hostname: String::new(),
            port: 0,
            resources,
            attributes,
            domain: agent.domain,
            id: None,
        },
        reconfiguration: match agent.reconfiguration_policy {
            Reconfiguration::Equal => Policy::Equal,
            Reconfiguration::Additive => Policy::Additive,
        },
        kill_grace: agent.kill_grace,
        pids_limit: agent.pids_limit,
        host_paths: HostPaths::Below(allowed),
        require_isolation: agent.require_isolation,
        logs: crate::args::log_limits(agent.log_max_size, agent.log_files),
        limits: agent.limits.settings()?,
        disk: agent.disk.settings(),
        separation: agent.separation.into(),
        grants: Grants { capabilities: agent.allow_capability.into_iter().collect(), rlimits: agent.rlimit },
    })
}

/// Says what this host can enforce. Exits with 0 if all of it.
fn check() -> ExitCode {
    let mut all = true;
    let mut lines = Vec::new();
    for one in Layout::detect().what_is_enforced() {
        let limit = format!("{:?}", one.limit).to_lowercase();
        match one.not_enforced {
            None => lines.push(format!("{limit:<12} enforced")),
            Some(why) => {
                all = false;
                lines.push(format!("{limit:<12} not enforced: {why}"));
            }
        }
    }
    output::print_lines(&lines);
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
