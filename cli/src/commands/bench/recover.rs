//! `lonja bench recover`: many containers at rest, and an agent that is killed and comes back to them.
//!
//! The agent and the master are processes of their own, as operators run them. The containers sleep; a framework of
//! this process launched them and is told of every one that ends, so that a container that did not outlive its
//! agent would be seen.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use lonja_agent::containerizer::InstanceId;
use lonja_agent::isolation::Layout;
use lonja_agent::supervisor::Owner;
use lonja_sdk::prelude::*;

use super::memory::{Daemon, field_kib};
use crate::client::Client;
use crate::output;

/// How long the launches, and a recovery, may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long an agent is watched at rest.
const REST: Duration = Duration::from_secs(10);

/// What the framework has seen.
#[derive(Default)]
struct Seen {
    running: AtomicU32,
    ended: AtomicU32,
}

/// Launches sleeping tasks until there are enough.
struct Sleepers {
    task: Task,
    left: u32,
    seen: Arc<Seen>,
}

impl Scheduler for Sleepers {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let mut plan = Plan::new();
        for offer in offers {
            let mut tasks = Vec::new();
            // As many as an agent's queue takes well; the rest of the offer comes back at once.
            while self.left > 0 && tasks.len() < 50 {
                let Ok(id) = TaskId::new(format!("sleeper-{}", self.left)) else { break };
                let Some(resources) = "cpus:0.001;mem:4".parse().ok() else { break };
                self.left -= 1;
                tasks.push(self.task.with_resources(&offer.agent, id, resources));
            }
            plan = if tasks.is_empty() {
                plan.decline(offer, Duration::from_secs(3600))
            } else {
                plan.launch(offer, tasks).refuse_leftovers(Duration::ZERO)
            };
        }
        plan
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        if status.state == TaskState::Running {
            self.seen.running.fetch_add(1, Relaxed);
        } else if status.state.is_terminal() {
            self.seen.ended.fetch_add(1, Relaxed);
        }
        Plan::new()
    }
}

/// Measures with so many containers.
pub(super) async fn run(containers: u32, work_dir: &Path) -> anyhow::Result<()> {
    let dir = |name: &str| work_dir.join(name).display().to_string();
    let (master_dir, agent_dir) = (dir("master"), dir("agent"));
    let master = Daemon::start(&["master", "--work-dir", &master_dir, "--listen", "127.0.0.1:0"])?;
    let resources = format!("cpus:{};mem:{};disk:1024", containers.max(1), containers.max(16) * 8);
    let arguments = [
        "agent",
        "--work-dir",
        &agent_dir,
        "--listen",
        "127.0.0.1:0",
        "--master",
        &master.url,
        "--resources",
        &resources,
    ];
    let agent = Daemon::start(&arguments)?;
    let seen = Arc::new(Seen::default());
    let sleepers =
        Sleepers { task: Task::argv(["sleep", "100000"])?, left: containers, seen: Arc::clone(&seen) };
    let driver = Driver::new(&master.url, FrameworkOptions::named("bench"));
    let handle = driver.handle();
    let framework = tokio::spawn(driver.run(sleepers));
    let measured = measure(containers, &seen, agent, &arguments, &master, &agent_dir).await;
    handle.tear_down().await;
    let ended = framework.await?;
    // The agent that came back ends its tasks with their framework, before it is asked to end itself.
    if measured.is_ok() {
        until("the containers end", || supervisors(&agent_dir).is_empty()).await?;
    }
    let agent = measured?;
    drop(agent);
    ended.context("the bench's framework")?;
    if let Ok(instance) = std::fs::read_to_string(Path::new(&agent_dir).join("instance")) {
        Layout::detect().remove_instance(&InstanceId::new(instance.trim())?)?;
    }
    Ok(())
}

async fn measure(
    containers: u32,
    seen: &Seen,
    agent: Daemon,
    arguments: &[&str],
    master: &Daemon,
    agent_dir: &str,
) -> anyhow::Result<Daemon> {
    let began = Instant::now();
    until("every container runs", || seen.running.load(Relaxed) >= containers).await?;
    let rate = f64::from(containers) / began.elapsed().as_secs_f64();
    output::print_lines(&[format!("launched by a framework: {containers} containers, {rate:.0}/s")]);
    at_rest(&agent, agent_dir).await?;

    let before = supervisors(agent_dir);
    let mut client = Client::connect(&master.url).await?;
    let old = registered_at(&mut client).await?;
    agent.kill9();
    let began = Instant::now();
    let agent = Daemon::start(arguments)?;
    let give_up = Instant::now() + PATIENCE;
    while [0, old].contains(&registered_at(&mut client).await?) {
        if Instant::now() > give_up {
            bail!("the agent did not register again within {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed();
    let kept = supervisors(agent_dir) == before;
    let ended = seen.ended.load(Relaxed);
    output::print_lines(&[format!(
        "killed and started again with {containers} containers: registered again after {:.2} s (goal 3 s at 1,000); \
         the same processes: {}; ended meanwhile: {ended}",
        took.as_secs_f64(),
        if kept { "yes" } else { "NO" },
    )]);
    if !kept || ended > 0 {
        bail!("containers did not outlive their agent");
    }
    Ok(agent)
}

/// What the agent needs while nothing happens.
async fn at_rest(agent: &Daemon, agent_dir: &str) -> anyhow::Result<()> {
    let pid = agent.pid().as_raw();
    let supervisors = supervisors(agent_dir);
    let mut pss = 0;
    for supervisor in &supervisors {
        pss += field_kib(&format!("/proc/{supervisor}/smaps_rollup"), "Pss:")?;
    }
    let each = pss as f64 / 1024.0 / supervisors.len().max(1) as f64;
    let resident = field_kib(&format!("/proc/{pid}/status"), "VmRSS:")? as f64 / 1024.0;
    let spent = super::processor_ticks(&pid.to_string(), 14..16)?;
    tokio::time::sleep(REST).await;
    let spent = super::processor_ticks(&pid.to_string(), 14..16)? - spent;
    // A tick is a hundredth of a second.
    let share = spent as f64 / REST.as_secs_f64();
    output::print_lines(&[format!(
        "at rest: agent {resident:.0} MiB resident (goal 80 MiB at 1,000), {share:.1} % of a core over {} s (goal 2 %); \
         supervisor {each:.2} MiB proportional (goal 1 MiB)",
        REST.as_secs()
    )]);
    Ok(())
}

/// The supervisors of the agent's containers that are alive, ordered by pid.
fn supervisors(agent_dir: &str) -> Vec<i32> {
    let runs = std::fs::read_dir(Path::new(agent_dir).join("run")).into_iter().flatten().flatten();
    let owners = runs.filter_map(|run| match Owner::read(&run.path()) {
        Ok(Some(Owner::Supervisor(supervisor))) => Some(supervisor.process.pid),
        _ => None,
    });
    let mut pids: Vec<i32> =
        owners.filter(|pid| std::fs::exists(format!("/proc/{pid}")).unwrap_or_default()).collect();
    pids.sort_unstable();
    pids
}

/// When the one agent registered last, in nanoseconds; 0: it is not connected.
async fn registered_at(client: &mut Client) -> anyhow::Result<i64> {
    let agents = client.agents().await?.agents;
    let agent = agents.iter().find(|agent| agent.active);
    let time = agent.and_then(|agent| agent.reregistered_time.or(agent.registered_time));
    Ok(time.map_or(0, |time| time.nanoseconds))
}

async fn until(what: &str, holds: impl Fn() -> bool) -> anyhow::Result<()> {
    let give_up = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > give_up {
            bail!("waited {PATIENCE:?} in vain: {what}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
