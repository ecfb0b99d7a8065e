//! `lonja dev`.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;

use super::Signals;
use crate::args::Dev;
use crate::dev::{Cluster, Prepared, Shape};
use crate::output;

/// Where clients of Marathon look.
const SERVICES_PORT: u16 = 8080;

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
        services: services(&dev).await,
    };
    let launcher = prepared.launcher.as_ref().context("a dev cluster needs a launcher")?;
    let mut signals = Signals::new()?;
    let mut cluster = Cluster::start(shape, launcher).await?;
    let url = cluster.url().to_owned();
    let mut lines = vec![format!("lonja dev: master at {url}")];
    for (index, address) in cluster.agents().iter().enumerate() {
        lines.push(format!("           agent {} at http://{address}", index + 1));
    }
    if let Some(address) = cluster.services() {
        lines.push(format!("           services at http://{address}"));
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

/// Where the services listen, if they are wanted: where that is not said and the usual port is taken, a free one will do.
async fn services(dev: &Dev) -> Option<SocketAddr> {
    if dev.no_services {
        return None;
    }
    let usual = match (dev.services_listen, dev.listen.port()) {
        (Some(address), _) => return Some(address),
        (None, 0) => return Some(SocketAddr::new(dev.listen.ip(), 0)),
        (None, _) => SocketAddr::new(dev.listen.ip(), SERVICES_PORT),
    };
    match tokio::net::TcpListener::bind(usual).await {
        Ok(_free) => Some(usual),
        Err(_) => {
            output::warn(&format!(
                "{usual} is taken: the services listen on a free port; say where with --services-listen"
            ));
            Some(SocketAddr::new(usual.ip(), 0))
        }
    }
}
