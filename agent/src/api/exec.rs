//! `AgentApi.Exec`: a process beside a task, by a stream each way.

use std::time::Duration;

use lonja_proto::lonja::exec_input::Input;
use lonja_proto::lonja::exec_output::{Output, Started};
use lonja_proto::lonja::session_end::Status as EndStatus;
use lonja_proto::lonja::{ExecInput, ExecOutput, ExecStart, SessionEnd};
use tokio::sync::watch;
use tonic::{Status, Streaming};

use super::sessions::{self, Answers, Caller, Gone, Place, Sessions};
use super::stdin::Stdin;
use crate::Handle;
use crate::containerizer::{
    Command, FailureReason, Nested, NestedControl, NestedEnd, NestedEvent, NestedProcess, OutputStream,
    TaskEnd,
};

/// Starts the process. Errors: it cannot be started, and why.
pub(super) async fn exec(
    handle: &Handle,
    sessions: &Sessions,
    mut calls: Streaming<ExecInput>,
    stop: watch::Receiver<bool>,
) -> Result<Answers<ExecOutput>, Status> {
    let first = sessions::first(&mut calls).await?;
    let Some(Input::Start(mut start)) = first.input else {
        return Err(Status::invalid_argument("start: must come first"));
    };
    let (_, container) = sessions::find(handle, start.framework_id.take(), start.task_id.take()).await?;
    let place = sessions.enter(&container)?;
    let nested = nested_of(start)?;
    let mut process = sessions.containerizer.run_inside(&container, nested).await.map_err(|failure| {
        match failure.reason {
            FailureReason::InvalidSpec => Status::invalid_argument(failure.message),
            FailureReason::Internal | FailureReason::LauncherGone => Status::internal(failure.message),
            _ => Status::failed_precondition(failure.message),
        }
    })?;
    let (caller, answers) = Caller::new();
    let (stdin, taken) = Stdin::feed(process.take_input());
    let session = Session { control: process.control(), process, caller, stdin, taken, _place: place };
    tokio::spawn(session.run(calls, stop));
    Ok(answers)
}

fn nested_of(start: ExecStart) -> Result<Nested, Status> {
    let ExecStart { command, environment, user, tty, working_dir, time_limit, .. } = start;
    let mut words = command.into_iter();
    let program = words.next().ok_or_else(|| Status::invalid_argument("command: is empty"))?;
    let time_limit = match time_limit {
        None => None,
        Some(limit) => match u64::try_from(limit.nanoseconds) {
            Ok(nanoseconds) => Some(Duration::from_nanos(nanoseconds)),
            Err(_) => return Err(Status::invalid_argument("time_limit: is negative")),
        },
    };
    let nested = Nested {
        command: Command::Argv { program, args: words.collect() },
        environment,
        user,
        tty: tty.map(sessions::window).transpose()?,
        time_limit,
        working_dir: working_dir.map(Into::into),
    };
    sessions::check_size(&nested).map_err(Status::invalid_argument)?;
    Ok(nested)
}

struct Session {
    process: NestedProcess,
    control: NestedControl,
    caller: Caller<ExecOutput>,
    stdin: Stdin,
    taken: watch::Receiver<u64>,
    _place: Place,
}

fn output(output: Output) -> Result<ExecOutput, Status> {
    Ok(ExecOutput { output: Some(output) })
}

impl Session {
    /// Dropping the process at the end kills it, if it has not ended.
    async fn run(mut self, calls: Streaming<ExecInput>, mut stop: watch::Receiver<bool>) {
        let served = tokio::select! {
            served = self.serve(calls) => served,
            _ = stop.wait_for(|stop| *stop) => Err(Status::unavailable("the agent stops; the process ends")),
        };
        if let Err(status) = served {
            let _gone = self.caller.say(Err(status)).await;
        }
    }

    async fn serve(&mut self, calls: Streaming<ExecInput>) -> Result<(), Status> {
        let mut calls = Some(calls);
        if self.caller.say(output(Output::Started(Started {}))).await.is_err() {
            return Ok(());
        }
        loop {
            let said = tokio::select! {
                event = self.process.next() => match event {
                    Some(event) => {
                        let (answer, last) = answer_of(event);
                        if self.caller.say(output(answer)).await.is_err() || last {
                            return Ok(());
                        }
                        continue;
                    }
                    None => return Err(Status::internal("the process was lost")),
                },
                Ok(()) = self.taken.changed() => {
                    let taken = *self.taken.borrow_and_update();
                    self.caller.say(output(Output::StdinTaken(taken))).await
                }
                call = next_call(calls.as_mut()) => match call? {
                    Some(ExecInput { input: Some(Input::CloseStdin(_)) }) => {
                        self.stdin.close();
                        Ok(())
                    }
                    Some(call) => self.take(call).map(|()| Ok(()))?,
                    None => {
                        calls = None;
                        self.stdin.close();
                        Ok(())
                    }
                },
                () = self.stdin.hand_on() => Ok(()),
                () = self.caller.gone() => Err(Gone),
            };
            if said.is_err() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, call: ExecInput) -> Result<(), Status> {
        match call.input {
            Some(Input::Stdin(data)) => self.stdin.take(&data, *self.taken.borrow())?,
            Some(Input::Window(size)) => self.control.resize(sessions::window(size)?),
            Some(Input::Signal(signal @ 1..=64)) => self.control.signal(signal),
            Some(Input::Signal(signal)) => {
                return Err(Status::invalid_argument(format!("signal: there is no signal {signal}")));
            }
            Some(Input::Start(_)) => return Err(Status::invalid_argument("start: must come once")),
            Some(Input::CloseStdin(_)) | None => {}
        }
        Ok(())
    }
}

/// What the caller says next, `None` when it says nothing more; never resolves after that.
async fn next_call(calls: Option<&mut Streaming<ExecInput>>) -> Result<Option<ExecInput>, Status> {
    match calls {
        Some(calls) => calls.message().await,
        None => std::future::pending().await,
    }
}

/// The answer, and whether it is the last.
fn answer_of(event: NestedEvent) -> (Output, bool) {
    match event {
        NestedEvent::Output(OutputStream::Stdout, data) => (Output::Stdout(data), false),
        NestedEvent::Output(OutputStream::Stderr, data) => (Output::Stderr(data), false),
        NestedEvent::Ended(NestedEnd { status, timed_out }) => {
            let status = match status {
                TaskEnd::Exited(status) => EndStatus::ExitStatus(status),
                TaskEnd::Signaled(signal) => EndStatus::Signal(signal),
            };
            (Output::End(SessionEnd { status: Some(status), timed_out }), true)
        }
        NestedEvent::Lost(failure) => {
            let status = Some(EndStatus::Unknown(failure.message));
            (Output::End(SessionEnd { status, timed_out: false }), true)
        }
    }
}
