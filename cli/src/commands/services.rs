//! `lonja services`.

use std::process::ExitCode;

use lonja_services::discovery::NetConfig;
use lonja_services::{CoreConfig, ServicesConfig};

use super::run::current_user;
use super::{open_files, until_stopped};
use crate::args::ServicesDaemon;
use crate::output;

/// Runs the services until they are asked to stop; their tasks run on.
pub(crate) async fn run(services: ServicesDaemon) -> anyhow::Result<ExitCode> {
    if !services.listen.ip().is_loopback() {
        output::warn(
            "listening beyond loopback without TLS and authentication: anyone who reaches this port can run programs on the cluster",
        );
    }
    if services.local_port_min > services.local_port_max {
        anyhow::bail!("--local-port-min is above --local-port-max: no service port would be left");
    }
    let core = core(&services);
    let files = open_files();
    let net = NetConfig {
        dns: services.dns_listen,
        zone: services.dns_zone,
        ttl: services.dns_ttl,
        proxy: services.proxy.then(|| services.proxy_bind.unwrap_or(services.listen.ip())),
        ..NetConfig::default()
    }
    .within(files);
    let config = ServicesConfig {
        hostname: services.hostname,
        framework_name: services.framework_name,
        user: Some(services.user.unwrap_or_else(current_user)),
        roles: services.also_role.into_iter().collect(),
        failover_timeout: services.failover_timeout,
        net,
        core,
        ..ServicesConfig::new(services.master, services.listen, services.work_dir)
    };
    let running = lonja_services::start(config).await?;
    let mut lines = vec![format!("lonja services listening on http://{}", running.address())];
    if let Some(address) = running.discovery().dns_address() {
        lines.push(format!("               names at {address}"));
    }
    output::print_lines(&lines);
    let stopper = running.stopper();
    until_stopped(|| stopper.stop(), running.stopped()).await
}

fn core(services: &ServicesDaemon) -> CoreConfig {
    CoreConfig {
        default_role: services.role.clone(),
        local_port_min: services.local_port_min,
        local_port_max: services.local_port_max,
        max_running_deployments: services.max_running_deployments,
        max_apps: services.max_apps,
        max_instances: services.max_instances,
        max_versions: services.max_versions,
        max_instances_per_offer: services.max_instances_per_offer,
        kill_chunk_size: services.kill_chunk_size,
        progress_deadline: services.progress_deadline,
        launch_timeout: services.launch_timeout,
        drain: services.drain,
        gpus_restricted: !services.share_gpu_agents,
        env_vars_prefix: services.env_vars_prefix.clone(),
        new_groups_enforce_role: services.new_groups_enforce_role,
    }
}
