//! `lonja run`: a command on the cluster by the ordinary offer cycle.
//!
//! Its scheduler is a [`lonja_sdk::Scheduler`] like anyone's; this file is what stands around it: a cluster
//! of its own if asked for, the task's output, Ctrl-C, the exit status.

mod endings;
mod files;
mod group;
mod scheduler;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use indicatif::ProgressBar;
use lonja_proto::lonja::AttachStart;
use lonja_proto::lonja::logs_request::Stream;
use lonja_proto::mesos;
use lonja_sdk::model::container::WindowSize;
use lonja_sdk::{Driver, FrameworkOptions, Handle, Need, Notice, Outcome, Task};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::attach::{self, RawSlot};
use super::logs::Way;
use super::{Signals, logs};
use crate::args::Run;
use crate::client::{Client, connect_agent};
use crate::dev::{Cluster, Prepared, Shape};
use crate::{output, terminal};
use endings::Ending;
use group::{Beside, Named};
use scheduler::{News, RunScheduler};

/// How long a lost framework's tasks go on: long enough for a restart of the master, short enough that a
/// killed `lonja run` does not leave its tasks running.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the last of a task's output may take after its end.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the master may take to hear that the run is over.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the command; returns what it exited with.
pub(crate) async fn run(run: Run, prepared: &Prepared) -> anyhow::Result<ExitCode> {
    let task = task_of(&run)?;
    let beside = group::beside(&run, |task| surround(&run, task))?;
    let tasks = Tasks { task, beside };
    if !run.dev {
        let url = run.master.master.clone();
        return on_cluster(&run, &url, tasks).await;
    }
    let launcher = prepared.launcher.as_ref().context("a cluster of one's own needs a launcher")?;
    let work_dir = prepared.temporary.as_deref().context("a cluster of one's own needs a folder")?;
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    // The cluster is the caller's own, and so is the choice.
    let profile = run.separation.profile.unwrap_or_default();
    let shape =
        Shape { listen, agents: 1, agent_resources: None, work_dir, durable: false, profile, services: None };
    let mut cluster = Cluster::start(shape, launcher).await?;
    let url = cluster.url().to_owned();
    let result = tokio::select! {
        result = on_cluster(&run, &url, tasks) => result,
        error = cluster.failed() => Err(error),
    };
    let stopped = cluster.stop().await;
    let code = result?;
    stopped?;
    Ok(code)
}

/// The task as the command line describes it. Errors: which flag, and what to do.
fn task_of(run: &Run) -> anyhow::Result<Task> {
    let mut task = Task::argv(run.command.clone())?
        .cpus(run.cpus)
        .context("--cpus")?
        .mem_mib(run.mem)
        .context("--mem")?
        .disk_mib(run.disk)
        .context("--disk")?
        .ports(run.ports);
    task = run.limits.apply(task)?;
    if run.interactive && run.tty && !terminal::is_terminal() {
        bail!("-t: input comes from no terminal; leave out -t, or -i");
    }
    if run.interactive && !run.tty {
        task = task.stdin();
    }
    if run.tty {
        let size = terminal::window().unwrap_or_default();
        let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
        task = task.terminal(WindowSize { rows: side(size.rows), columns: side(size.columns) });
        if let Ok(kind) = std::env::var("TERM") {
            task = task.env("TERM", kind);
        }
    }
    task = run.watching.on(task, run.ports)?;
    task = files::bring(&run.files, task)?;
    task = surround(run, task)?;
    if !run.with.is_empty() {
        task = group::share(task);
    }
    Ok(task.name(run.name.as_ref().unwrap_or(&run.command[0])))
}

/// What the command and those beside it have alike: volumes, variables, how they are kept apart.
fn surround(run: &Run, mut task: Task) -> anyhow::Result<Task> {
    for volume in &run.volumes {
        let parts: Vec<&str> = volume.split(':').collect();
        let (host, inside, read_only) = match parts[..] {
            [host, inside] | [host, inside, "rw"] => (host, inside, false),
            [host, inside, "ro"] => (host, inside, true),
            _ => bail!("-v {volume}: write HOST:PATH, or HOST:PATH:ro"),
        };
        task = task.volume(host, inside, read_only).with_context(|| format!("-v {volume}"))?;
    }
    for variable in &run.env {
        let (name, value) = variable.split_once('=').with_context(|| format!("-e {variable}: write K=V"))?;
        task = task.env(name, value);
    }
    if let Some(profile) = run.separation.profile {
        task = task.profile(profile);
    }
    task = task.network(run.separation.network.into());
    Ok(task.privileges(run.privileges.asked(run.separation.profile)?))
}

/// What is run.
struct Tasks {
    task: Task,
    /// Beside it, if anything.
    beside: Vec<Beside>,
}

async fn on_cluster(run: &Run, url: &str, tasks: Tasks) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect_within(url, run.wait).await?;
    let Tasks { task, beside } = tasks;
    too_large_for_all(&mut client, &group::need(&task, &beside)).await?;
    let user = match &run.user {
        Some(user) => user.clone(),
        None => current_user(),
    };
    let name = run.name.clone().unwrap_or_else(|| run.command[0].clone());
    let options = FrameworkOptions::named(format!("run {name}"))
        .user(user)
        .role(&run.role)
        .context("--role")?
        .failover_timeout(FAILOVER_TIMEOUT);
    let driver = Driver::new(url, options).wait_for_master(run.wait);
    let handle = driver.handle();
    let (news, inbox) = mpsc::unbounded_channel();
    let cancelled = Arc::new(AtomicBool::new(false));
    let scheduler = RunScheduler::new(task, beside, run.instances, cancelled.clone(), news);
    let mut signals = Signals::new()?;
    let driven = tokio::spawn(driver.run(scheduler));
    let ending = follow(run, url, handle, &cancelled, &mut signals, inbox).await?;
    let driven = tokio::select! {
        driven = driven => driven,
        // The tasks have ended, or the master is away: its failover timeout sees to the rest.
        () = signals.asked() => return Ok(ending.unwrap_or_else(Ending::interrupted).report(run)),
        () = tokio::time::sleep(GOODBYE_TIMEOUT), if ending.is_some() => {
            return Ok(ending.unwrap_or_else(Ending::interrupted).report(run));
        }
    };
    let (_, outcome) = driven.context("the driver ended unexpectedly")??;
    match (ending, outcome) {
        (Some(ending), _) => Ok(ending.report(run)),
        (None, Outcome::EndedByMaster { why }) => Err(anyhow!("the master ended this framework: {why}")),
        (None, Outcome::TornDown | Outcome::Left { .. }) => Err(anyhow!("ended before the command did")),
    }
}

/// Follows the tasks to their end: streams their output, passes Ctrl-C on. `None`: the framework ended first.
async fn follow(
    run: &Run,
    url: &str,
    handle: Handle,
    cancelled: &AtomicBool,
    signals: &mut Signals,
    mut inbox: mpsc::UnboundedReceiver<News>,
) -> anyhow::Result<Option<Ending>> {
    let mut outputs: JoinSet<()> = JoinSet::new();
    // Declared first and so dropped last: whatever happens, the terminal is as it was.
    let raw = RawSlot::default();
    let mut worst: Option<Ending> = None;
    let (mut running, mut ended) = (0, 0);
    let mut interrupted = false;
    // No more than instances, which are bounded, or commands beside, which are.
    let all = run.instances + u32::try_from(run.with.len()).unwrap_or(u32::MAX);
    let waiting = Waiting::new();
    let mut notices = handle.notices();
    // Until one hears otherwise: before the first subscription nothing runs.
    let mut connected = true;
    loop {
        tokio::select! {
            Some(notice) = notices.next() => match notice {
                Ok(Notice::Subscribed { .. }) => connected = true,
                Ok(Notice::Disconnected { .. }) => connected = false,
                Ok(_) | Err(_) => {}
            },
            news = inbox.recv() => match news {
                // Not all have ended, and no more will be heard of them.
                None => return Ok(None),
                Some(News::Waiting { why }) => waiting.say(&why),
                Some(News::Running { framework, task, host, port, beside }) => {
                    waiting.clear();
                    running += 1;
                    if (run.tty || run.interactive) && beside.is_none() {
                        let manner = attach::Manner {
                            typing: run.tty && run.interactive,
                            detachable: false,
                            stdin: run.interactive && !run.tty,
                        };
                        attach_output(&mut outputs, url, (framework, task), (host, port), manner, raw.clone());
                    } else {
                        stream_output(&mut outputs, url, (framework, task), (host, port), beside);
                    }
                }
                Some(News::Ended { status, framework, streamed, host, port, beside, counts }) => {
                    waiting.clear();
                    running += u32::from(!streamed);
                    if !streamed && let Some((host, port)) = host.zip(port) {
                        let task = status.task.to_string();
                        stream_output(&mut outputs, url, (framework, task), (host, port), beside.clone());
                    }
                    let ending = Ending::of(&status, interrupted).of_one_called(beside.as_deref());
                    worst = match worst {
                        before if !counts => before,
                        None => Some(ending),
                        Some(before) => Some(before.or_worse(ending)),
                    };
                    ended += 1;
                }
                Some(News::Refused { why }) => output::warn(&why),
            },
            () = signals.asked() => {
                waiting.clear();
                if interrupted || running == ended {
                    handle.tear_down().await;
                    return Ok(Some(Ending::interrupted()));
                }
                // Asked once, the tasks get their grace period; asked twice, they do not.
                interrupted = true;
                cancelled.store(true, Ordering::Relaxed);
                for index in 0..run.instances {
                    handle.kill(scheduler::task_id(index)?, None).await;
                }
            }
        }
        if interrupted && !connected && ended < running {
            // Nobody is there who could end them, and nobody knows when there will be.
            output::warn(&left_behind(url, running - ended));
            raw.restore();
            handle.leave().await;
            return Ok(Some(Ending::interrupted()));
        }
        if ended == all || (interrupted && running == ended) {
            // What was written before the end is shown before it is told.
            let drained = async { while outputs.join_next().await.is_some() {} };
            let _in_time = tokio::time::timeout(OUTPUT_TIMEOUT, drained).await;
            raw.restore();
            handle.tear_down().await;
            return Ok(worst);
        }
    }
}

/// What goes on when a run is ended without its master.
fn left_behind(url: &str, tasks: u32) -> String {
    let (tasks, go, end) = if tasks == 1 {
        ("1 task".to_owned(), "it goes", "ends it")
    } else {
        (format!("{tasks} tasks"), "they go", "ends them")
    };
    format!(
        "no master answers at {url}, so {tasks} could not be ended: {go} on, and a master that is back {end} after {}",
        humantime::format_duration(FAILOVER_TIMEOUT)
    )
}

/// Copies both streams of a task to ours until it has ended, with a name before each line of one beside the command.
fn stream_output(
    outputs: &mut JoinSet<()>,
    master: &str,
    (framework, task): (String, String),
    (host, port): (String, u16),
    beside: Option<String>,
) {
    for stream in [Stream::Stdout, Stream::Stderr] {
        let (framework, task, host, beside) = (framework.clone(), task.clone(), host.clone(), beside.clone());
        let master = master.to_owned();
        outputs.spawn(async move {
            let mut to: Box<dyn Write + Send> = if stream == Stream::Stdout {
                Box::new(std::io::stdout())
            } else {
                Box::new(std::io::stderr())
            };
            if let Some(name) = beside {
                to = Box::new(Named::new(to, &name));
            }
            let way = Way { first: Some((host, port)), master };
            let copied = logs::follow(way, &framework, &task, stream, &mut to);
            if let Err(error) = copied.await {
                output::warn(&format!("output of {task} is not shown to its end: {error:#}"));
            }
        });
    }
}

/// Puts a task's terminal, or its input and output, through to ours until it has ended.
fn attach_output(
    outputs: &mut JoinSet<()>,
    master: &str,
    (framework, task): (String, String),
    (host, port): (String, u16),
    manner: attach::Manner,
    raw: RawSlot,
) {
    let master = master.to_owned();
    outputs.spawn(async move {
        let start = AttachStart {
            framework_id: Some(mesos::FrameworkId { value: framework.clone() }),
            task_id: Some(mesos::TaskId { value: task.clone() }),
            window: None,
            // All of it: it has only just begun.
            tail_lines: Some(u64::MAX),
            stdin: false,
        };
        let attached = async {
            let agent = connect_agent(&host, i32::from(port)).await?;
            attach::follow(agent, start, manner, raw).await
        };
        if attached.await.is_err() {
            if manner.stdin {
                output::warn(&format!("the input of {task} has ended, for its agent went away"));
            }
            // It may have ended already; its log tells the rest.
            let mut stdout = std::io::stdout();
            let way = Way { first: Some((host, port)), master };
            let copied = logs::follow(way, &framework, &task, Stream::Stdout, &mut stdout);
            if let Err(error) = copied.await {
                output::warn(&format!("output of {task} is not shown to its end: {error:#}"));
            }
        }
    });
}

/// A task that no agent could ever hold is refused at once, with the nearest miss. Without agents nobody can
/// tell.
async fn too_large_for_all(client: &mut Client, need: &Need) -> anyhow::Result<()> {
    let agents = client.agents().await?;
    let mut nearest: Option<(usize, String)> = None;
    for agent in &agents.agents {
        let resources = agent.total_resources.clone();
        let total = lonja_proto::convert::resources::resources_from_wire(resources)?;
        let missing = scheduler::missing(&total, need);
        if missing.is_empty() {
            return Ok(());
        }
        let id = agent.agent_info.id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
        let miss = format!(
            "agent {id} ({}:{}) lacks {}",
            agent.agent_info.hostname,
            agent.agent_info.port(),
            missing.join(", ")
        );
        if nearest.as_ref().is_none_or(|(fewest, _)| missing.len() < *fewest) {
            nearest = Some((missing.len(), miss));
        }
    }
    match nearest {
        None => Ok(()),
        Some((_, miss)) => {
            bail!("the task is larger than every agent; nearest: {miss}; ask for less, or add an agent")
        }
    }
}

pub(crate) fn current_user() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    user.map_or_else(|| nix::unistd::geteuid().to_string(), |user| user.name)
}

/// What is said while the task waits: a spinner on a terminal, a line otherwise.
struct Waiting {
    spinner: ProgressBar,
}

impl Waiting {
    fn new() -> Self {
        Self { spinner: ProgressBar::hidden() }
    }

    fn say(&self, why: &str) {
        use std::io::IsTerminal;
        if std::io::stderr().is_terminal() {
            self.spinner.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            self.spinner.set_message(why.to_owned());
            self.spinner.enable_steady_tick(Duration::from_millis(100));
        } else {
            output::note(why);
        }
    }

    fn clear(&self) {
        self.spinner.disable_steady_tick();
        self.spinner.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
}
