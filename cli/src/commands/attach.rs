//! `lonja attach`.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow};
use lonja_proto::lonja::agent_api_client::AgentApiClient;
use lonja_proto::lonja::attach_input::{Input, StdinClosed};
use lonja_proto::lonja::attach_output::Output;
use lonja_proto::lonja::{AttachInput, AttachOutput, AttachStart};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::transport::Channel;

use super::Signals;
use super::exec::{next, write};
use crate::args::Attach;
use crate::client::Client;
use crate::output;
use crate::terminal::{self, Raw};

/// Ctrl-P Ctrl-Q.
const DETACH: [u8; 2] = [0x10, 0x11];

/// How an attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detached {
    /// The task has ended.
    TaskEnded,
    /// By the keys for that.
    ByKeys,
    /// This process is asked to end.
    Asked,
}

/// How to attach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// What is typed goes to the task's terminal, if it has one.
    pub(crate) typing: bool,
    /// Some keys leave the task alone again, and so does Ctrl-C.
    pub(crate) detachable: bool,
    /// What is typed goes to the task's standard input, if it has one that nobody else writes.
    pub(crate) stdin: bool,
}

/// Keeps the terminal's former mode where whoever started the attachment can restore it, even if that is given up.
#[derive(Clone, Default)]
pub(crate) struct RawSlot(Arc<Mutex<Option<Raw>>>);

impl RawSlot {
    /// The terminal, if input comes from one, hands every key on from now on.
    fn enter(&self) -> std::io::Result<()> {
        let raw = terminal::is_terminal().then(Raw::enter).transpose()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = raw;
        Ok(())
    }

    /// The terminal is as it was.
    pub(crate) fn restore(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for RawSlot {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Attaches to a task until it ends or somebody leaves it.
pub(crate) async fn run(attach: &Attach) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(&attach.master.master).await?;
    let task = client.find_task(&attach.task, attach.framework.as_deref()).await?;
    let agent = client.agent(&task.agent_id.value).await?;
    let start = AttachStart {
        framework_id: Some(task.framework_id),
        task_id: Some(task.task_id),
        window: None,
        tail_lines: attach.tail,
        stdin: false,
    };
    let raw = RawSlot::default();
    let manner = Manner { typing: !attach.no_stdin, detachable: true, stdin: false };
    let detached = follow(agent, start, manner, raw.clone()).await;
    raw.restore();
    match detached? {
        Detached::ByKeys => output::note(&format!("detached; {} runs on", attach.task)),
        Detached::Asked => return Ok(ExitCode::from(130)),
        Detached::TaskEnded => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what a task writes; with `typing`, types into its terminal if it has one.
pub(crate) async fn follow(
    mut agent: AgentApiClient<Channel>,
    start: AttachStart,
    Manner { typing, detachable, stdin }: Manner,
    raw: RawSlot,
) -> anyhow::Result<Detached> {
    let mut signals = Signals::new()?;
    let mut resized = signal(SignalKind::window_change())?;
    let (calls, receiver) = mpsc::channel(4);
    let start = AttachStart { window: terminal::window().filter(|_| typing), stdin, ..start };
    calls.send(AttachInput { input: Some(Input::Start(start)) }).await?;
    let started = agent.attach(tokio_stream::wrappers::ReceiverStream::new(receiver)).await;
    let mut answers = started.map_err(|status| anyhow!("{}", status.message()))?.into_inner();
    let say = async |input| {
        // An agent that is gone is noticed by what it answers.
        let _gone = calls.send(AttachInput { input: Some(input) }).await;
    };
    let (mut input, mut keys) = (None, Keys::default());
    loop {
        tokio::select! {
            answer = next_answer(&mut answers) => match answer? {
                Output::Attached(attached) if attached.tty && typing => {
                    raw.enter().context("the terminal")?;
                    input = Some(terminal::input());
                }
                Output::Attached(attached) if attached.stdin => input = Some(terminal::input()),
                Output::Attached(_) => {}
                Output::Stdout(data) => write(&mut std::io::stdout(), &data),
                Output::Stderr(data) => write(&mut std::io::stderr(), &data),
                Output::Ended(_) => return Ok(Detached::TaskEnded),
            },
            piece = next(input.as_mut()) => match piece {
                Some(piece) => {
                    let (piece, detach) = keys.filter(piece, detachable && terminal::is_terminal());
                    if !piece.is_empty() {
                        say(Input::Stdin(piece)).await;
                    }
                    if detach {
                        return Ok(Detached::ByKeys);
                    }
                }
                None => {
                    input = None;
                    if stdin {
                        say(Input::CloseStdin(StdinClosed {})).await;
                    }
                }
            },
            _ = resized.recv(), if typing => {
                if let Some(size) = terminal::window() {
                    say(Input::Window(size)).await;
                }
            }
            () = signals.asked(), if detachable => return Ok(Detached::Asked),
        }
    }
}

async fn next_answer(answers: &mut Streaming<AttachOutput>) -> anyhow::Result<Output> {
    loop {
        let answer = answers.message().await;
        let answer = answer.map_err(|status| anyhow!("the session broke off: {}", status.message()))?;
        if let Some(output) = answer.context("the session broke off")?.output {
            return Ok(output);
        }
    }
}

/// Looks for the keys that detach.
#[derive(Default)]
struct Keys {
    /// The first of them was the last key pressed, and is held back.
    begun: bool,
}

impl Keys {
    /// What is to be sent of a piece, and whether to detach after it.
    fn filter(&mut self, piece: Vec<u8>, watched: bool) -> (Vec<u8>, bool) {
        if !watched {
            return (piece, false);
        }
        let mut sent = Vec::with_capacity(piece.len() + 1);
        for byte in piece {
            if self.begun && byte == DETACH[1] {
                return (sent, true);
            }
            if std::mem::take(&mut self.begun) {
                sent.push(DETACH[0]);
            }
            if byte == DETACH[0] {
                self.begun = true;
            } else {
                sent.push(byte);
            }
        }
        (sent, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_detach_also_one_by_one_and_other_keys_go_through() {
        let mut keys = Keys::default();
        assert_eq!(keys.filter(b"a\x10".to_vec(), true), (b"a".to_vec(), false));
        assert_eq!(keys.filter(b"b".to_vec(), true), (b"\x10b".to_vec(), false));
        assert_eq!(keys.filter(b"\x10\x10".to_vec(), true), (b"\x10".to_vec(), false));
        assert_eq!(keys.filter(b"\x11c".to_vec(), true), (Vec::new(), true));
        let mut piped = Keys::default();
        assert_eq!(piped.filter(b"\x10\x11".to_vec(), false), (b"\x10\x11".to_vec(), false));
    }
}
