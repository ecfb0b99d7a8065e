//! `lonja`: every daemon and the command line in one binary.
//!
//! What needs a process with a single thread happens first: the arguments are read, and the launcher that
//! agents need is forked (`docs/design.md`, D6). Then the runtime starts.

mod args;
mod client;
mod commands;
mod config_file;
mod dev;
mod logging;
mod output;
mod terminal;

use std::process::ExitCode;

use mimalloc::MiMalloc;

use args::{Command, Lonja};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Everything of ours that goes wrong while running a command on the cluster.
pub(crate) const EXIT_OURS: u8 = 125;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == lonja_agent::fetcher::CHILD_ARGUMENT) {
        // Not for people: an agent has this program fetch files, in a process of its own.
        return lonja_agent::fetcher::run_child();
    }
    let lonja = match config_file::parse() {
        Ok(lonja) => lonja,
        Err(exit) => return exit,
    };
    logging::start(&lonja);
    let ours = matches!(lonja.command, Command::Run(_) | Command::Exec(_) | Command::Attach(_));
    match run(lonja) {
        Ok(code) => code,
        Err(error) => {
            output::complain(&error);
            if ours { ExitCode::from(EXIT_OURS) } else { ExitCode::FAILURE }
        }
    }
}

fn run(lonja: Lonja) -> anyhow::Result<ExitCode> {
    // Before the runtime: a launcher is forked while there is one thread.
    let prepared = dev::prepare(&lonja)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(commands::run(lonja, &prepared));
    // Threads that still read a log or a terminal must not hold the process back.
    runtime.shutdown_background();
    let cleaned = prepared.clean_up();
    let code = result?;
    cleaned?;
    Ok(code)
}
