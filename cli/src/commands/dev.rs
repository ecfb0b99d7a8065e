//! `lonja dev`.

use std::process::ExitCode;

use anyhow::Context;

use super::Signals;
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
        profile: dev.profile,
    };
    let launcher = prepared.launcher.as_ref().context("a dev cluster needs a launcher")?;
    let mut signals = Signals::new()?;
    let mut cluster = Cluster::start(shape, launcher).await?;
    let url = cluster.url().to_owned();
    let mut lines = vec![format!("lonja dev: master at {url}")];
    for (index, address) in cluster.agents().iter().enumerate() {
        lines.push(format!("           agent {} at http://{address}", index + 1));
    }
    let elsewhere =
        if url == crate::args::DEFAULT_MASTER { String::new() } else { format!(" --master {url}") };
    lines.push(format!("try elsewhere: lonja agents{elsewhere}; lonja run{elsewhere} -- hostname"));
    lines.push("Ctrl-C ends the cluster and its tasks".to_owned());
    output::print_lines(&lines);
    let failure = tokio::select! {
        () = signals.asked() => None,
        error = cluster.failed() => Some(error),
    };
    let stopped = cluster.stop().await;
    match failure {
        Some(error) => Err(error),
        None => stopped.map(|()| ExitCode::SUCCESS),
    }
}
