//! This binary as an agent of its own, for checks that kill agents or run without root.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use lonja_agent::containerizer::{Containerizer, InstanceId, LaunchOutcome};
use lonja_agent::launcher::{Launcher, LauncherOptions};

use crate::host;

/// An agent process with one container `c1`, killed when dropped.
pub struct AgentProcess {
    child: Child,
    /// The task's pid.
    pub task: i32,
    /// The launcher's pid.
    pub launcher: i32,
}

impl AgentProcess {
    /// Starts the agent, and waits until its container runs `line`.
    pub fn start(work: &Path, instance: &InstanceId, ephemeral: bool, line: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["as-agent", work.to_str().unwrap(), instance.as_str()])
            .args([ephemeral.to_string().as_str(), line])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut told).unwrap();
        let mut numbers = told.split_whitespace().map(|number| number.parse().unwrap());
        Self { child, task: numbers.next().unwrap(), launcher: numbers.next().unwrap() }
    }

    /// SIGKILL, as by the kernel when memory is short.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs this process as something else than the test runner, if `mode` says so.
pub fn run_as(mode: &str, arguments: &[String]) -> Option<ExitCode> {
    match (mode, arguments) {
        ("as-agent", [work, instance, ephemeral, line]) => {
            run_agent(work, instance, ephemeral == "true", line);
            Some(ExitCode::SUCCESS)
        }
        ("as-volume-maker", [work, instance]) => {
            crate::volumes::make_and_destroy(Path::new(work), instance);
            Some(ExitCode::SUCCESS)
        }
        ("without-root", [work]) => {
            crate::unprivileged::run(Path::new(work));
            Some(ExitCode::SUCCESS)
        }
        ("attack", [index]) => {
            crate::attacks::run(index);
            Some(ExitCode::SUCCESS)
        }
        ("answer", []) => {
            crate::together::answer();
            Some(ExitCode::SUCCESS)
        }
        ("ask", []) => {
            crate::together::ask();
            Some(ExitCode::SUCCESS)
        }
        ("figures", _) => {
            crate::figures::print();
            Some(ExitCode::SUCCESS)
        }
        _ => None,
    }
}

fn run_agent(work: &str, instance: &str, ephemeral: bool, line: &str) {
    let work = PathBuf::from(work);
    let launcher = Launcher::fork(LauncherOptions {
        ephemeral,
        remove_on_exit: vec![work.join("work"), work.join("sandboxes")],
    })
    .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let instance = InstanceId::new(instance).unwrap();
        let containerizer = host::containerizer(&work, &instance, &launcher);
        let outcome = containerizer.launch(host::spec(&work, "c1", line)).await;
        let LaunchOutcome::Started { pid } = outcome else {
            panic!("not started: {outcome:?}");
        };
        println!("{pid} {}", launcher.pid());
        std::io::stdout().flush().unwrap();
        // Until killed, or until whoever started us has gone without doing so.
        std::future::pending::<()>().await;
    });
}
