//! A containerizer that follows a script: no process, no file, every call noted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::{
    ContainerExit, ContainerId, ContainerSpec, Containerizer, ContainerizerError, ExitRecord, Failure,
    FailureReason, LaunchOutcome, Nested, NestedProcess, Recovered, Recovery, TaskEnd, Terminal,
};

/// One call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordedCall {
    /// `launch`, with the whole description.
    Launch(Box<ContainerSpec>),
    /// `kill`, with the grace asked for.
    Kill(ContainerId, Option<Duration>),
    /// `recover`, with the expected containers.
    Recover(Vec<ContainerId>),
    /// `run_inside`.
    RunInside(ContainerId, Box<Nested>),
    /// `destroy`.
    Destroy(ContainerId),
    /// `cleanup`.
    Cleanup(ContainerId),
}

#[derive(Default)]
struct State {
    calls: Vec<RecordedCall>,
    outcomes: VecDeque<LaunchOutcome>,
    nested: VecDeque<Result<NestedProcess, Failure>>,
    containers: BTreeMap<ContainerId, watch::Sender<Option<ContainerExit>>>,
    ignores_kill: bool,
    next_pid: i32,
    recovered_at: Option<Instant>,
}

/// Launches succeed unless scripted otherwise; a kill ends a container by SIGTERM at once.
#[derive(Default)]
pub struct RecordedContainerizer {
    state: Mutex<State>,
}

impl RecordedContainerizer {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next launch without a scripted outcome resolves to; several queue up.
    pub fn script_launch(&self, outcome: LaunchOutcome) {
        self.state().outcomes.push_back(outcome);
    }

    /// What the next `run_inside` resolves to; several queue up. Unscripted ones fail.
    pub fn script_nested(&self, outcome: Result<NestedProcess, Failure>) {
        self.state().nested.push_back(outcome);
    }

    /// From now on kills are noted and have no effect; end containers by [`Self::finish`].
    pub fn ignore_kills(&self) {
        self.state().ignores_kill = true;
    }

    /// A container that `recover` will find running.
    pub fn add_running(&self, container: ContainerId) {
        let (sender, _) = watch::channel(None);
        self.state().containers.insert(container, sender);
    }

    /// Ends a container. One that has ended keeps its first end; an unknown one stays unknown.
    pub fn finish(&self, container: &ContainerId, exit: ContainerExit) {
        if let Some(ended) = self.state().containers.get(container) {
            ended.send_if_modified(|end| {
                let first = end.is_none();
                if first {
                    *end = Some(exit);
                }
                first
            });
        }
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.state().calls.clone()
    }

    /// When `recover` was called last.
    pub fn recovered_at(&self) -> Option<Instant> {
        self.state().recovered_at
    }

    /// An exit record for scripts: ended by itself, or on request when by SIGTERM or SIGKILL.
    pub fn record(status: TaskEnd) -> ExitRecord {
        let kill_requested = matches!(status, TaskEnd::Signaled(libc::SIGTERM | libc::SIGKILL));
        ExitRecord {
            status: Some(status),
            kill_requested,
            memory_breach: None,
            failure: None,
            finished_at_unix_ms: 0,
            refused_forks: None,
        }
    }

    fn start(&self, spec: ContainerSpec) -> LaunchOutcome {
        let mut state = self.state();
        let container = spec.container_id.clone();
        state.calls.push(RecordedCall::Launch(Box::new(spec)));
        if state.containers.contains_key(&container) {
            let message = format!("container {container} was launched before");
            return LaunchOutcome::Failed(Failure::new(FailureReason::Duplicate, message));
        }
        state.next_pid += 1;
        let pid = 100_000 + state.next_pid;
        let scripted = state.outcomes.pop_front();
        let outcome = scripted.unwrap_or(LaunchOutcome::Started { pid });
        let ended = match &outcome {
            LaunchOutcome::Started { .. } => None,
            LaunchOutcome::Failed(failure) => Some(ContainerExit::Ended(ExitRecord {
                status: None,
                kill_requested: false,
                memory_breach: None,
                failure: Some(failure.clone()),
                finished_at_unix_ms: 0,
                refused_forks: None,
            })),
        };
        state.containers.insert(container, watch::channel(ended).0);
        outcome
    }

    fn end(&self, container: &ContainerId) -> Result<(), ContainerizerError> {
        let state = self.state();
        if !state.containers.contains_key(container) {
            return Err(ContainerizerError::NotFound(container.clone()));
        }
        let ignored = state.ignores_kill;
        drop(state);
        if !ignored {
            let record = Self::record(TaskEnd::Signaled(libc::SIGTERM));
            self.finish(container, ContainerExit::Ended(record));
        }
        Ok(())
    }
}

impl Containerizer for RecordedContainerizer {
    fn launch(&self, spec: ContainerSpec) -> BoxFuture<'_, LaunchOutcome> {
        futures::future::lazy(move |_| self.start(spec)).boxed()
    }

    fn kill<'a>(
        &'a self,
        container: &'a ContainerId,
        grace: Option<Duration>,
    ) -> BoxFuture<'a, Result<(), ContainerizerError>> {
        async move {
            let call = RecordedCall::Kill(container.clone(), grace);
            self.state().calls.push(call);
            self.end(container)
        }
        .boxed()
    }

    fn run_inside<'a>(
        &'a self,
        container: &'a ContainerId,
        nested: Nested,
    ) -> BoxFuture<'a, Result<NestedProcess, Failure>> {
        async move {
            let mut state = self.state();
            state.calls.push(RecordedCall::RunInside(container.clone(), Box::new(nested)));
            let unscripted = || Err(Failure::new(FailureReason::Killed, "the container does not run"));
            state.nested.pop_front().unwrap_or_else(unscripted)
        }
        .boxed()
    }

    fn terminal<'a>(
        &'a self,
        _: &'a ContainerId,
    ) -> BoxFuture<'a, Result<Option<Terminal>, ContainerizerError>> {
        async move { Ok(None) }.boxed()
    }

    fn wait<'a>(
        &'a self,
        container: &'a ContainerId,
    ) -> BoxFuture<'a, Result<ContainerExit, ContainerizerError>> {
        async move {
            let not_found = || ContainerizerError::NotFound(container.clone());
            let sender = self.state().containers.get(container).cloned();
            let mut end = sender.ok_or_else(not_found)?.subscribe();
            let ended = end.wait_for(Option::is_some).await;
            let exit = ended.ok().and_then(|exit| exit.clone());
            exit.ok_or_else(not_found)
        }
        .boxed()
    }

    fn recover<'a>(
        &'a self,
        expected: &'a [ContainerId],
    ) -> BoxFuture<'a, Result<Recovery, ContainerizerError>> {
        async move {
            let mut state = self.state();
            state.calls.push(RecordedCall::Recover(expected.to_vec()));
            state.recovered_at = Some(Instant::now());
            let mut recovery = Recovery::default();
            for container in expected {
                let found = match state.containers.get(container) {
                    None => Recovered::NeverStarted,
                    Some(end) => match end.borrow().clone() {
                        None => Recovered::Running { pid: None },
                        Some(exit) => Recovered::Exited(exit),
                    },
                };
                recovery.containers.push((container.clone(), found));
            }
            let strays = state.containers.keys().filter(|name| !expected.contains(name));
            recovery.destroyed = strays.map(ToString::to_string).collect();
            state.containers.retain(|name, _| expected.contains(name));
            Ok(recovery)
        }
        .boxed()
    }

    fn destroy<'a>(
        &'a self,
        container: &'a ContainerId,
    ) -> BoxFuture<'a, Result<ContainerExit, ContainerizerError>> {
        async move {
            let call = RecordedCall::Destroy(container.clone());
            self.state().calls.push(call);
            let record = Self::record(TaskEnd::Signaled(libc::SIGKILL));
            self.finish(container, ContainerExit::Ended(record));
            let exit = self.wait(container).await?;
            self.state().containers.remove(container);
            Ok(exit)
        }
        .boxed()
    }

    fn cleanup<'a>(&'a self, container: &'a ContainerId) -> BoxFuture<'a, Result<(), ContainerizerError>> {
        async move {
            let mut state = self.state();
            state.calls.push(RecordedCall::Cleanup(container.clone()));
            state.containers.remove(container);
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::plain_spec as plain;

    #[tokio::test]
    async fn a_script_is_followed_and_every_call_noted() {
        let containerizer = RecordedContainerizer::default();
        let failure = Failure::new(FailureReason::Command, "cannot run 'nosuch'");
        containerizer.script_launch(LaunchOutcome::Failed(failure.clone()));

        let first = containerizer.launch(plain("c1")).await;
        let second = containerizer.launch(plain("c2")).await;
        let c2 = ContainerId::new("c2").unwrap();
        containerizer.kill(&c2, None).await.unwrap();
        let exit = containerizer.wait(&c2).await.unwrap();

        assert_eq!(first, LaunchOutcome::Failed(failure));
        assert!(matches!(second, LaunchOutcome::Started { .. }));
        let record = RecordedContainerizer::record(TaskEnd::Signaled(libc::SIGTERM));
        assert_eq!(exit, ContainerExit::Ended(record));
        assert_eq!(containerizer.calls().len(), 3);
    }
}
