//! `lonja dev`.

use std::process::ExitCode;

use anyhow::Context;

use super::asked_to_stop;
use crate::args::Dev;
use crate::dev::{Cluster, Prepared, Shape};
use crate::output;

/// Brings a cluster up and keeps it until asked to stop; its tasks end with it.
pub(crate) async fn run(dev: Dev, prepared: &Prepared) -> anyhow::Result<ExitCode> {
    if !dev.listen.ip().is_loopback() {
        output::warn(
            "listening beyond loopback without TLS and authentication: anyone who reaches these ports owns the cluster",
        );
    }
    let shape = Shape {
        listen: dev.listen,
        agents: dev.agents,
        agent_resources: dev.agent_resources.as_deref(),
        work_dir: &dev.work_dir,
        durable: true,
    };
    let launcher = prepared.launcher.as_ref().context("a dev cluster needs a launcher")?;
    let cluster = Cluster::start(shape, launcher).await?;
    let url = cluster.url();
    let mut lines = vec![format!("lonja dev: master at {url}")];
    for (index, agent) in cluster.agents.iter().enumerate() {
        lines.push(format!("           agent {} at http://{}", index + 1, agent.address()));
    }
    let elsewhere =
        if url == crate::args::DEFAULT_MASTER { String::new() } else { format!(" --master {url}") };
    lines.push(format!("try elsewhere: lonja agents{elsewhere}; lonja run{elsewhere} -- hostname"));
    lines.push("Ctrl-C ends the cluster and its tasks".to_owned());
    output::print_lines(&lines);
    asked_to_stop().await?;
    cluster.stop().await?;
    Ok(ExitCode::SUCCESS)
}
