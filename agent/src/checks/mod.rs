//! Looking at tasks from inside their containers: commands, HTTP requests, connections.
//!
//! The core says when to look and what a result means; here is only how. A command runs beside the task by
//! [`Containerizer::run_inside`], with the task's confinement and limits, as its user, in its environment. A request or
//! connection goes to the loopback address of the task's own network namespace, which is entered for making the socket
//! alone ([`network`]).
//!
//! Invariants
//! - Each look is answered once, unless it is stopped, and no later than its timeout and a little.
//! - So many looks are under way at once and no more; the others wait, the looks of each kind for themselves. No
//!   framework has more than half of the places, so that one with slow checks holds up nobody else. A look that waits in
//!   vain is answered by `NotBegun`, which is nobody's failure.
//! - Of what a look brings in no more is kept than a status needs.
//!
//! Source: docs/design.md, D2; Mesos `checks_runtime`; attack A-81 of the list in docs/isolation.md.

mod http;
mod network;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lonja_agent_core::{CheckOrder, CheckResult, RunCheck};
use lonja_model::ContainerId;
use lonja_model::check::{CheckKind, Probe, Scheme};
use lonja_model::container::Program;
use tokio::task::AbortHandle;

use crate::containerizer::{self, Command, Containerizer, FailureReason, Nested, TaskEnd};
use crate::handle::{Handle, Input};
use crate::places::Places;

/// Commands under way at once. Each costs a process of ours beside those of the task.
const COMMANDS: usize = 256;

/// Requests and connections under way at once.
const REQUESTS: usize = 2_048;

/// Requests over TLS under way at once. Each costs a thread.
const TLS_REQUESTS: usize = 64;

/// Bytes of a command's output that are kept while it runs.
const OUTPUT: usize = 4 << 10;

/// So much later than its timeout a look is given up whatever holds it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Carries out looks at tasks.
pub(crate) struct Checks {
    containerizer: Arc<dyn Containerizer>,
    commands: Places,
    requests: Places,
    tls_requests: Places,
    under_way: Arc<Mutex<BTreeMap<(ContainerId, CheckKind), Look>>>,
}

/// One look that is under way.
struct Look {
    number: u64,
    task: AbortHandle,
}

impl Checks {
    pub(crate) fn new(containerizer: Arc<dyn Containerizer>) -> Self {
        Self {
            containerizer,
            commands: Places::new(COMMANDS),
            requests: Places::new(REQUESTS),
            tls_requests: Places::new(TLS_REQUESTS),
            under_way: Arc::default(),
        }
    }

    /// Begins a look, whose result goes to `handle`, or gives one up.
    pub(crate) fn carry_out(&self, order: CheckOrder, handle: Handle) {
        match order {
            CheckOrder::Run(order) => self.begin(*order, handle),
            CheckOrder::Stop { container, kind } => {
                if let Some(look) = self.lock().remove(&(container, kind)) {
                    // What it holds goes with it: its socket, its process.
                    look.task.abort();
                }
            }
        }
    }

    fn begin(&self, order: RunCheck, handle: Handle) {
        let (key, number) = ((order.container.clone(), order.kind), order.number);
        let (under_way, containerizer) = (self.under_way.clone(), self.containerizer.clone());
        let places = self.places_for(&order.probe).clone();
        // Held until the look is in the table, so that it cannot end before it is there.
        let mut table = self.lock();
        let task = tokio::spawn(async move {
            let result = look(containerizer, &places, &order).await;
            tracing::trace!(container = %order.container, kind = %order.kind, ?result, "looked at a task");
            let key = (order.container, order.kind);
            forget(&under_way, &key, number);
            let (container, kind) = key;
            // The agent has stopped: nobody waits for it.
            let _stopped = handle.put(Input::CheckEnded { container, kind, number, result }).await;
        });
        table.insert(key, Look { number, task: task.abort_handle() });
    }

    fn places_for(&self, probe: &Probe) -> &Places {
        match probe {
            Probe::Command(_) => &self.commands,
            Probe::Http(http) if http.scheme == Scheme::Https => &self.tls_requests,
            Probe::Http(_) | Probe::Tcp { .. } => &self.requests,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(ContainerId, CheckKind), Look>> {
        lock(&self.under_way)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The look of that number has ended.
fn forget(
    under_way: &Mutex<BTreeMap<(ContainerId, CheckKind), Look>>,
    key: &(ContainerId, CheckKind),
    number: u64,
) {
    let mut table = lock(under_way);
    if table.get(key).is_some_and(|look| look.number == number) {
        table.remove(key);
    }
}

/// Waits for a place, and looks.
async fn look(containerizer: Arc<dyn Containerizer>, places: &Places, order: &RunCheck) -> CheckResult {
    let timeout = order.timeout;
    let Ok(_place) = tokio::time::timeout(timeout, places.take(&order.framework)).await else {
        return CheckResult::NotBegun(format!(
            "no place among the looks at tasks became free in {timeout:?}"
        ));
    };
    match &order.probe {
        // Its own time limit ends it: this one is for what is in the way of that.
        Probe::Command(command) => {
            let limit = timeout + PATIENCE;
            let run = run(containerizer.as_ref(), &order.container, command, timeout);
            match tokio::time::timeout(limit, run).await {
                Ok(result) => result,
                Err(_) => CheckResult::NotBegun(format!("the command neither ran nor ended in {limit:?}")),
            }
        }
        Probe::Http(probe) => {
            let request = async {
                match probe.scheme {
                    Scheme::Http => http::get(order.pid, probe).await,
                    Scheme::Https => http::get_over_tls(order.pid, probe, timeout).await,
                }
            };
            in_time(timeout, request).await
        }
        Probe::Tcp { port, family } => in_time(timeout, network::opens(order.pid, *family, *port)).await,
    }
}

async fn in_time(timeout: Duration, look: impl Future<Output = CheckResult>) -> CheckResult {
    tokio::time::timeout(timeout, look).await.unwrap_or_else(|_| CheckResult::Failed(too_slow(timeout)))
}

fn too_slow(timeout: Duration) -> String {
    format!("it took longer than {timeout:?}")
}

/// Runs a command beside the task.
async fn run(
    containerizer: &dyn Containerizer,
    container: &ContainerId,
    command: &lonja_model::container::Command,
    timeout: Duration,
) -> CheckResult {
    let container = match containerizer::ContainerId::new(container.as_str()) {
        Ok(container) => container,
        Err(error) => return CheckResult::NotBegun(error.to_string()),
    };
    let program = match &command.program {
        Program::Shell(line) => Command::Shell(line.clone()),
        Program::Exec { path, arguments } => {
            Command::Argv { program: path.clone(), args: arguments.iter().skip(1).cloned().collect() }
        }
    };
    let nested = Nested {
        environment: command.environment.clone(),
        user: command.user.clone(),
        time_limit: Some(timeout),
        ..Nested::new(program)
    };
    let process = match containerizer.run_inside(&container, nested).await {
        Ok(process) => process,
        // The task named something that cannot be executed; all else is not its fault.
        Err(failure) if failure.reason == FailureReason::Command || failure.reason == FailureReason::User => {
            return CheckResult::Failed(failure.message);
        }
        Err(failure) => return CheckResult::NotBegun(failure.message),
    };
    match process.collect(OUTPUT).await {
        Ok(ended) if ended.end.timed_out => CheckResult::Failed(too_slow(timeout)),
        Ok(ended) => match ended.end.status {
            TaskEnd::Exited(status) => CheckResult::Exited(status),
            TaskEnd::Signaled(signal) => CheckResult::Exited(128 + signal),
        },
        Err(failure) => CheckResult::NotBegun(failure.message),
    }
}

#[cfg(test)]
mod tests;
