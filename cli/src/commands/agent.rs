//! `lonja agent`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use lonja_agent::check::{self, Subject};
use lonja_agent::fetcher::{Addresses, Authorities, Fetching};
use lonja_agent::secrets::{SecretResolver, SecretsDir};
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
        return check(agent, prepared).await;
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
        secrets: secrets(agent.files.secrets_dir.as_deref())?,
        fetching: Fetching {
            addresses: Addresses::PublicAnd(agent.files.fetch_allow),
            cache_size: agent.files.fetch_cache_size,
            most_bytes: agent.files.fetch_limit,
            timeout: agent.files.fetch_timeout,
            authorities: authorities(agent.files.fetch_ca.as_deref())?,
        },
        logs: crate::args::log_limits(agent.log_max_size, agent.log_files),
        limits: agent.limits.settings()?,
        disk: agent.disk.settings(),
        separation: agent.separation.into(),
        grants: Grants { capabilities: agent.allow_capability.into_iter().collect(), rlimits: agent.rlimit },
        executors: agent.executors.into(),
    })
}

fn authorities(file: Option<&Path>) -> anyhow::Result<Option<Arc<Authorities>>> {
    let read = file.map(|file| Authorities::read(file).map_err(anyhow::Error::msg).context("--fetch-ca"));
    Ok(read.transpose()?.map(Arc::new))
}

fn secrets(folder: Option<&Path>) -> anyhow::Result<Option<Arc<dyn SecretResolver>>> {
    let Some(folder) = folder else { return Ok(None) };
    Ok(Some(Arc::new(SecretsDir::open(folder).context("--secrets-dir")?)))
}

/// Says what this host can enforce. Exits with 0 if all of it.
async fn check(agent: Agent, prepared: &Prepared) -> anyhow::Result<ExitCode> {
    let launcher = prepared.launcher.as_ref().context("a check needs a launcher")?;
    let folder = prepared.temporary.as_ref().context("a check needs a folder")?;
    let grants = Grants { capabilities: agent.allow_capability.into_iter().collect(), rlimits: agent.rlimit };
    let subject = Subject { separation: agent.separation.into(), grants, work_dir: agent.work_dir };
    let audit = check::audit(&subject, launcher, folder).await;
    let all = audit.all_is_enforced();
    let rows = audit.lines.iter().map(row).collect::<anyhow::Result<_>>()?;
    let columns = vec!["part", "state", "how"];
    let listing = output::Listing { what: "isolation", columns, wide_from: 3, rows };
    listing.print(agent.output, false);
    if all {
        return Ok(ExitCode::SUCCESS);
    }
    output::note("parts are missing: --require-isolation would refuse to start an agent with these settings");
    Ok(ExitCode::FAILURE)
}

fn row(line: &check::Line) -> anyhow::Result<output::Row> {
    let object = serde_json::to_value(line)?;
    let state = match line.state {
        check::State::Enforced => "enforced",
        check::State::Off => "off",
        check::State::Missing => "MISSING",
        check::State::Note => "-",
    };
    let cells = vec![line.part.clone(), state.to_owned(), line.how.clone()];
    Ok(output::Row { id: line.part.clone(), cells, object })
}
