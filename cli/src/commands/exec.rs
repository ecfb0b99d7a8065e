//! `lonja exec`.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use lonja_proto::lonja::exec_input::{Closed, Input};
use lonja_proto::lonja::exec_output::Output;
use lonja_proto::lonja::session_end::Status;
use lonja_proto::lonja::{ExecInput, ExecOutput, ExecStart, SessionEnd};
use nix::libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tonic::Streaming;

use crate::args::Exec;
use crate::client::Client;
use crate::terminal::{self, Raw};
use crate::{EXIT_OURS, output};

/// How many bytes of input may be on the way; the agent takes no more.
const MOST_INPUT: u64 = 256 << 10;

/// Signals that go on to a command without a terminal. Of one with a terminal, the terminal sends them.
const FORWARDED: [i32; 6] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];

/// Runs a command beside a task; returns what it exited with.
pub(crate) async fn run(exec: Exec) -> anyhow::Result<ExitCode> {
    if exec.tty && exec.interactive && !terminal::is_terminal() {
        bail!("-t: input comes from no terminal; leave out -t, or -i");
    }
    let mut client = Client::connect(&exec.master.master).await?;
    let task = client.find_task(&exec.task, exec.framework.as_deref()).await?;
    let mut agent = client.agent(&task.agent_id.value).await?;
    // Before anything is sent, so that none is missed.
    let mut signals = Forwarded::new()?;
    let mut resized = signal(SignalKind::window_change())?;
    let (calls, receiver) = mpsc::channel(4);
    let start = ExecStart {
        framework_id: Some(task.framework_id.clone()),
        task_id: Some(task.task_id.clone()),
        command: exec.command.clone(),
        environment: environment(&exec)?,
        user: exec.user.clone(),
        tty: exec.tty.then(|| terminal::window().unwrap_or_default()),
        working_dir: exec.working_dir.clone(),
        time_limit: None,
    };
    let call = |input| ExecInput { input: Some(input) };
    calls.send(call(Input::Start(start))).await?;
    let started = agent.exec(tokio_stream::wrappers::ReceiverStream::new(receiver)).await;
    let answers = started.map_err(|status| anyhow!("{}", status.message()))?.into_inner();
    let raw = (exec.tty && exec.interactive).then(Raw::enter).transpose().context("the terminal")?;
    let (input, open) = if exec.interactive { (Some(terminal::input()), true) } else { (None, false) };
    if !open {
        // A command that has ended already reads nothing; the answers tell.
        let _ended = calls.send(call(Input::CloseStdin(Closed {}))).await;
    }
    let mut session = Session { tty: exec.tty, calls, input, sent: 0, taken: 0, interrupted: false };
    let end = session.run(answers, &mut signals, &mut resized).await;
    drop(raw);
    report(&exec, end?)
}

fn environment(exec: &Exec) -> anyhow::Result<BTreeMap<String, String>> {
    let mut environment = BTreeMap::new();
    if let (true, Ok(kind)) = (exec.tty, std::env::var("TERM")) {
        environment.insert("TERM".to_owned(), kind);
    }
    for variable in &exec.env {
        let (name, value) = variable.split_once('=').with_context(|| format!("-e {variable}: write K=V"))?;
        environment.insert(name.to_owned(), value.to_owned());
    }
    Ok(environment)
}

/// How it ended.
enum End {
    Told(SessionEnd),
    /// We were asked to end; by this signal.
    Asked(i32),
}

fn report(exec: &Exec, end: End) -> anyhow::Result<ExitCode> {
    let code = |number: i32| ExitCode::from(u8::try_from(number).unwrap_or(EXIT_OURS));
    match end {
        End::Asked(signal) => Ok(code(128 + signal)),
        End::Told(SessionEnd { status: Some(Status::ExitStatus(status)), .. }) => Ok(code(status)),
        End::Told(SessionEnd { status: Some(Status::Signal(signal)), .. }) => {
            output::note(&format!("lonja exec: {}: terminated by signal {signal}", exec.command[0]));
            Ok(code(128 + signal))
        }
        End::Told(SessionEnd { status: Some(Status::Unknown(why)), .. }) => Err(anyhow!("{why}")),
        End::Told(SessionEnd { status: None, .. }) => bail!("the agent does not say how the command ended"),
    }
}

struct Session {
    tty: bool,
    calls: mpsc::Sender<ExecInput>,
    /// What is typed; `None` once that has ended.
    input: Option<mpsc::Receiver<Vec<u8>>>,
    sent: u64,
    taken: u64,
    /// Somebody has asked us to end already.
    interrupted: bool,
}

impl Session {
    async fn run(
        &mut self,
        mut answers: Streaming<ExecOutput>,
        signals: &mut Forwarded,
        resized: &mut Signal,
    ) -> anyhow::Result<End> {
        loop {
            let room = self.sent - self.taken + (16 << 10) <= MOST_INPUT;
            tokio::select! {
                answer = answers.message() => {
                    let answer = answer.map_err(|status| anyhow!("the session broke off: {}", status.message()))?;
                    match answer.context("the session broke off")?.output {
                        Some(Output::Stdout(data)) => write(&mut std::io::stdout(), &data),
                        Some(Output::Stderr(data)) => write(&mut std::io::stderr(), &data),
                        Some(Output::StdinTaken(taken)) => self.taken = taken.min(self.sent),
                        Some(Output::End(end)) => return Ok(End::Told(end)),
                        Some(Output::Started(_)) | None => {}
                    }
                }
                piece = next(self.input.as_mut()), if room => match piece {
                    Some(piece) => {
                        self.sent += piece.len() as u64;
                        self.say(Input::Stdin(piece)).await;
                    }
                    None => {
                        self.input = None;
                        self.say(Input::CloseStdin(Closed {})).await;
                    }
                },
                _ = resized.recv(), if self.tty => {
                    if let Some(size) = terminal::window() {
                        self.say(Input::Window(size)).await;
                    }
                }
                signal = signals.next() => {
                    let ends = matches!(signal, SIGINT | SIGTERM | SIGHUP);
                    // With a terminal, Ctrl-C is a key; a signal is then meant for us. Asked twice, we go.
                    if ends && (self.tty || self.interrupted) {
                        return Ok(End::Asked(signal));
                    }
                    self.interrupted |= ends;
                    self.say(Input::Signal(signal)).await;
                }
            }
        }
    }

    async fn say(&self, input: Input) {
        // An agent that is gone is noticed by what it answers.
        let _gone = self.calls.send(ExecInput { input: Some(input) }).await;
    }
}

/// The next piece; never resolves for `None`.
pub(crate) async fn next(input: Option<&mut mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match input {
        Some(input) => input.recv().await,
        None => std::future::pending().await,
    }
}

/// Writes to one of our outputs. Nobody reading is no reason to end the command.
pub(crate) fn write(to: &mut impl Write, data: &[u8]) {
    // Whoever reads may be slow: the other tasks of this process go on.
    let _unread = tokio::task::block_in_place(|| to.write_all(data).and_then(|()| to.flush()));
}

/// The signals that are taken over.
struct Forwarded(Vec<(i32, Signal)>);

impl Forwarded {
    fn new() -> std::io::Result<Self> {
        let taken = FORWARDED.map(|number| Ok((number, signal(SignalKind::from_raw(number))?)));
        taken.into_iter().collect::<std::io::Result<_>>().map(Self)
    }

    async fn next(&mut self) -> i32 {
        std::future::poll_fn(|context| {
            for (number, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}
