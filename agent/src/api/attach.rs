//! `AgentApi.Attach`: what a task writes, and its terminal.
//!
//! Output is read from the task's log, input goes to its terminal: any number of callers see the same, and each may
//! type. Nobody who leaves takes the task along.

use futures::StreamExt;
use lonja_proto::lonja::attach_input::Input;
use lonja_proto::lonja::attach_output::{Attached, Ended, Output};
use lonja_proto::lonja::{AttachInput, AttachOutput, LogChunk};
use tokio::sync::watch;
use tonic::{Status, Streaming};

use super::logs::{self, From};
use super::sessions::{self, Answers, Caller, Place, Sessions};
use crate::Handle;
use crate::containerizer::{NestedInput, Terminal};
use crate::containers::chain;
use crate::handle::TaskFiles;
use crate::sandbox::Sandboxes;

/// Attaches to a task. Errors: it does not run, or its terminal cannot be had.
pub(super) async fn attach(
    handle: &Handle,
    sessions: &Sessions,
    sandboxes: Sandboxes,
    mut calls: Streaming<AttachInput>,
    stop: watch::Receiver<bool>,
) -> Result<Answers<AttachOutput>, Status> {
    let first = sessions::first(&mut calls).await?;
    let Some(Input::Start(start)) = first.input else {
        return Err(Status::invalid_argument("start: must come first"));
    };
    let window = start.window.map(sessions::window).transpose()?;
    let (files, container) = sessions::find(handle, start.framework_id, start.task_id).await?;
    let place = sessions.enter(&container)?;
    let terminal = sessions.containerizer.terminal(&container).await;
    let terminal = terminal.map_err(|error| Status::unavailable(chain(&error)))?;
    if let (Some(terminal), Some(size)) = (&terminal, window) {
        terminal.resize(size);
    }
    let input = if start.stdin && terminal.is_none() {
        let taken = sessions.containerizer.take_input(&container).await;
        taken.map_err(|error| Status::unavailable(chain(&error)))?
    } else {
        None
    };
    let typed = Typed { terminal, input };
    let (caller, answers) = Caller::new();
    let from = From::LastLines(start.tail_lines.unwrap_or(0));
    let session = Session { caller, typed, sandboxes, files, from, _place: place };
    tokio::spawn(run(session, calls, stop));
    Ok(answers)
}

/// Where what the caller types goes.
struct Typed {
    terminal: Option<Terminal>,
    /// Dropped, it ends.
    input: Option<NestedInput>,
}

struct Session {
    caller: Caller<AttachOutput>,
    typed: Typed,
    sandboxes: Sandboxes,
    files: TaskFiles,
    from: From,
    _place: Place,
}

async fn run(session: Session, calls: Streaming<AttachInput>, mut stop: watch::Receiver<bool>) {
    let Session { caller, typed, sandboxes, files, from, _place } = session;
    let attached = Attached { tty: typed.terminal.is_some(), stdin: typed.input.is_some() };
    let served = tokio::select! {
        () = show(&caller, attached, sandboxes, files, from) => Ok(()),
        refused = take(calls, typed) => Err(refused),
        _ = stop.wait_for(|stop| *stop) => Err(Status::unavailable("the agent stops; the task runs on")),
        () = caller.gone() => Ok(()),
    };
    if let Err(status) = served {
        let _gone = caller.say(Err(status)).await;
    }
}

/// Hands the task's output on until it ends or the caller is cut.
async fn show(
    caller: &Caller<AttachOutput>,
    attached: Attached,
    sandboxes: Sandboxes,
    files: TaskFiles,
    from: From,
) {
    let answer = |output| Ok(AttachOutput { output: Some(output) });
    if caller.say(answer(Output::Attached(attached))).await.is_err() {
        return;
    }
    let errors = TaskFiles { sandbox: files.sandbox.clone(), container: None, ended: files.ended.clone() };
    let output = logs::read(sandboxes.clone(), files, "stdout", from, true).map(|chunk| (true, chunk));
    let errors = logs::read(sandboxes, errors, "stderr", from, true).map(|chunk| (false, chunk));
    let mut chunks = Box::pin(futures::stream::select(output, errors));
    while let Some((is_stdout, chunk)) = chunks.next().await {
        let said = match chunk {
            Ok(LogChunk { data, .. }) if data.is_empty() => continue,
            Ok(LogChunk { data, .. }) if is_stdout => answer(Output::Stdout(data)),
            Ok(LogChunk { data, .. }) => answer(Output::Stderr(data)),
            Err(error) => Err(Status::internal(format!("cannot read the log: {error}"))),
        };
        if caller.say(said).await.is_err() {
            return;
        }
    }
    let _gone = caller.say(answer(Output::Ended(Ended {}))).await;
}

/// Hands what the caller types on. Resolves when the caller says something wrong.
async fn take(mut calls: Streaming<AttachInput>, mut typed: Typed) -> Status {
    let had_input = typed.input.is_some();
    loop {
        let call = match calls.message().await {
            Ok(Some(call)) => call,
            // Nothing more will be typed; the caller looks on.
            Ok(None) => {
                typed.input = None;
                return std::future::pending().await;
            }
            Err(status) => return status,
        };
        match (call.input, &typed.terminal) {
            (Some(Input::Stdin(data)), terminal) => {
                if let Err(status) = sessions::check_input(&data) {
                    return status;
                }
                if let Some(terminal) = terminal {
                    // A terminal that is gone: the task ends.
                    let _gone = terminal.write_all(&data).await;
                } else if let Some(input) = &mut typed.input {
                    if input.write_all(&data).await.is_err() {
                        // The task has closed its input: what comes is thrown away.
                        typed.input = None;
                    }
                } else if !had_input {
                    let why =
                        "stdin: the task has no terminal to type into, and no input that you have taken";
                    return Status::failed_precondition(why);
                }
            }
            (Some(Input::CloseStdin(_)), _) => typed.input = None,
            (Some(Input::Window(size)), Some(terminal)) => match sessions::window(size) {
                Ok(size) => terminal.resize(size),
                Err(status) => return status,
            },
            (Some(Input::Start(_)), _) => return Status::invalid_argument("start: must come once"),
            (Some(Input::Window(_)) | None, _) => {}
        }
    }
}
