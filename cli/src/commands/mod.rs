//! One file for each noun or verb.

mod agent;
mod agents;
mod attach;
pub(crate) mod bench;
mod dev;
mod exec;
mod explain;
mod files;
mod init;
mod kill;
mod list;
mod logs;
mod maintenance;
mod master;
mod reservations;
pub(crate) mod run;
mod service;
mod services;
mod sharing;
mod sim;
mod stats;
mod volumes;

use std::process::ExitCode;

use clap::CommandFactory;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{Command, Lonja};
use crate::dev::Prepared;
use crate::output;

/// What a process may have open where nobody says.
const FEW_FILES: usize = 1_024;

/// How many files this process may have open, once that is as many as the kernel lets it ask for. Each connection and each
/// service port is one.
fn open_files() -> usize {
    let Ok((before, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return FEW_FILES };
    let raised = before == most || setrlimit(Resource::RLIMIT_NOFILE, most, most).is_ok();
    let files = if raised { most } else { before };
    usize::try_from(files).unwrap_or(usize::MAX)
}

/// Carries out a command; returns what the process exits with.
pub(crate) async fn run(lonja: Lonja, prepared: &Prepared) -> anyhow::Result<ExitCode> {
    match lonja.command {
        Command::Dev(dev) => dev::run(dev, prepared).await,
        Command::Master(master) => master::run(master).await,
        Command::Agent(agent) => agent::run(*agent, prepared).await,
        Command::Services(services) => services::run(*services).await,
        Command::Run(run) => run::run(*run, prepared).await,
        Command::Agents(agents) => agents::run(&agents).await,
        Command::Frameworks(list) => list::frameworks(&list).await,
        Command::Roles(list) => list::roles(&list).await,
        Command::Tasks(list) => list::tasks(&list).await,
        Command::Offers(list) => list::offers(&list).await,
        Command::Quota(quota) => sharing::quota(&quota).await,
        Command::Explain(explain) => explain::explain(&explain).await,
        Command::Weights(weights) => sharing::weights(&weights).await,
        Command::Reservations(reservations) => reservations::run(&reservations).await,
        Command::Volumes(volumes) => volumes::run(&volumes).await,
        Command::Drain(drain) => agents::drain(&drain).await,
        Command::Maintenance(maintenance) => maintenance::run(&maintenance).await,
        Command::Logs(logs) => logs::run(&logs).await,
        Command::Exec(exec) => exec::run(exec).await,
        Command::Attach(attach) => attach::run(&attach).await,
        Command::Stats(stats) => stats::run(&stats).await,
        Command::Files(files) => files::run(&files).await,
        Command::Kill(kill) => kill::run(&kill).await,
        Command::Service(service) => service::run(*service).await,
        Command::Sim(sim) => sim::run(&sim),
        Command::Bench(bench) => bench::run(&bench, prepared).await,
        Command::Init(init) => init::run(&init),
        Command::Version => {
            output::print_lines(&[format!("lonja {}", env!("CARGO_PKG_VERSION"))]);
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Lonja::command(), "lonja", &mut script);
            output::print_lines(&[String::from_utf8_lossy(&script).trim_end().to_owned()]);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Waits for a daemon to end, by itself or because somebody asks this process to.
pub(crate) async fn until_stopped<E: Into<anyhow::Error>>(
    stop: impl FnOnce(),
    stopped: impl Future<Output = Result<(), E>>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let mut stopped = std::pin::pin!(stopped);
    tokio::select! {
        result = &mut stopped => result.map_err(Into::into)?,
        () = signals.asked() => {
            stop();
            stopped.await.map_err(Into::into)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Those who ask this process to end: SIGTERM or Ctrl-C. Made once, so that none is missed.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes the signals over from now on.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Resolves when somebody asks.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
