//! Custom executors on real daemons: many tasks in one process, which outlives its agent and is let in by its token alone.
//!
//! The executor is this very test program, mounted into the container and told to [`act`].

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lonja_proto::lonja::executors_client::ExecutorsClient;
use lonja_sdk::executor::{self, Environment, Executor, Update};
use lonja_sdk::model::executor::ExecutorInfo;
use lonja_sdk::model::profile::Network;
use lonja_sdk::model::task::Reason;
use lonja_sdk::prelude::*;
use lonja_sdk::wire::execution::Call;
use lonja_tests::{Cluster, PATIENCE, eventually, needs_root, start_time};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tonic::Code;

pub(crate) const RESOURCES: &str = "cpus:4;mem:2048;ports:[31000-31010]";

/// Does what the data of each task says.
struct Act;

impl Executor for Act {
    fn launched(&mut self, _now: Timestamp, task: &TaskInfo) -> executor::Plan {
        let id = task.id.clone();
        let running = executor::Plan::new().running(id.clone());
        match task.data.as_slice() {
            b"finish" => running.update(Update::finished(id).with_data("result")),
            b"crash" => std::process::exit(3),
            _ => running,
        }
    }

    fn kill(&mut self, _now: Timestamp, task: &TaskId, _grace: Option<Duration>) -> executor::Plan {
        executor::Plan::new().update(Update::killed(task.clone()))
    }

    fn message(&mut self, _now: Timestamp, data: &[u8]) -> executor::Plan {
        executor::Plan::new().message([b"echo ", data].concat())
    }
}

/// Not a test: the executor of the others, when an agent has started it.
#[test]
fn act() {
    if !Environment::is_here() {
        return;
    }
    let driver = executor::Driver::from_environment().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(driver.run(Act)).unwrap();
}

/// What the framework heard.
#[derive(Debug)]
pub(crate) enum Heard {
    Update(Box<TaskStatus>),
    Message(Vec<u8>),
    Lost(Option<i32>),
}

/// Launches its tasks on the first offer that comes, and passes on whatever it hears.
struct Launcher {
    tasks: Vec<(ExecutorTask, TaskId)>,
    heard: Sender<Heard>,
}

impl Scheduler for Launcher {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let Some(offer) = offers.first().filter(|_| !self.tasks.is_empty()) else { return Plan::new() };
        let each = Resources::parse("cpus:0.01;mem:8").unwrap();
        let tasks = std::mem::take(&mut self.tasks).into_iter();
        let tasks = tasks.map(|(task, id)| task.with_resources(&offer.agent, id, each.clone()));
        Plan::new().launch(offer, tasks)
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        let agent = status.agent.clone();
        let wants_echo = status.state == TaskState::Running && status.task.as_str() == "talk";
        let _over = self.heard.send(Heard::Update(Box::new(status.clone())));
        match (agent, &status.executor) {
            (Some(agent), Some(executor)) if wants_echo => {
                Plan::new().message(agent, executor.clone(), "hello")
            }
            _ => Plan::new(),
        }
    }

    fn wants_offers(&self) -> bool {
        !self.tasks.is_empty()
    }

    fn executor_lost(
        &mut self,
        _now: Timestamp,
        _agent: &AgentId,
        _executor: &ExecutorId,
        status: Option<i32>,
    ) -> Plan {
        let _over = self.heard.send(Heard::Lost(status));
        Plan::new()
    }

    fn message(&mut self, _now: Timestamp, _agent: &AgentId, _executor: &ExecutorId, data: &[u8]) -> Plan {
        let _over = self.heard.send(Heard::Message(data.to_vec()));
        Plan::new()
    }
}

/// A framework that runs in a thread of its own, torn down with its handle.
pub(crate) struct Framework {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    heard: Receiver<Heard>,
    before: Vec<Heard>,
}

impl Framework {
    /// Launches tasks, by id and what they are to do, in this executor.
    pub(crate) fn launch(cluster: &Cluster, tasks: &[(&ExecutorInfo, &str, &str)]) -> Self {
        let task = |(executor, id, what): &(&ExecutorInfo, &str, &str)| {
            let task = ExecutorTask::new((*executor).clone()).unwrap().data(*what).unwrap();
            (task, TaskId::new(*id).unwrap())
        };
        let (sender, heard) = channel();
        let launcher = Launcher { tasks: tasks.iter().map(task).collect(), heard: sender };
        let driver = Driver::new(cluster.url(), FrameworkOptions::named("executors"));
        let handle = driver.handle();
        let thread = std::thread::spawn(move || {
            block_on(async { driver.run(launcher).await.map(|_| ()).unwrap() });
        });
        Self { handle, thread: Some(thread), heard, before: Vec::new() }
    }

    /// The first of what was heard, or will be, that `wanted` takes.
    pub(crate) fn hear<T>(&mut self, what: &str, mut wanted: impl FnMut(&Heard) -> Option<T>) -> T {
        if let Some(found) = self.before.iter().find_map(&mut wanted) {
            return found;
        }
        let until = Instant::now() + PATIENCE;
        while let Ok(heard) = self.heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            let found = wanted(&heard);
            self.before.push(heard);
            if let Some(found) = found {
                return found;
            }
        }
        panic!("{what}: not heard, but {:?}", self.before);
    }

    /// The task comes to be in this state.
    pub(crate) fn told(&mut self, task: &str, state: TaskState) -> TaskStatus {
        self.hear(&format!("task {task} is {state}"), |heard| match heard {
            Heard::Update(status) if status.task.as_str() == task && status.state == state => {
                Some((**status).clone())
            }
            _ => None,
        })
    }

    pub(crate) fn kill(&self, task: &str) {
        block_on(self.handle.kill(TaskId::new(task).unwrap(), None));
    }

    pub(crate) fn lost(&mut self) -> Option<i32> {
        self.hear("the executor is lost", |heard| match heard {
            Heard::Lost(status) => Some(*status),
            _ => None,
        })
    }
}

impl Drop for Framework {
    fn drop(&mut self) {
        block_on(self.handle.tear_down());
        if let Some(thread) = self.thread.take() {
            let _its_own_failure = thread.join();
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// An executor under this id that acts.
fn acting(cluster: &Cluster, id: &str) -> ExecutorInfo {
    acting_as(cluster, id, "executors::act", &[])
}

/// An executor under this id that is that test, with these variables.
pub(crate) fn acting_as(cluster: &Cluster, id: &str, test: &str, variables: &[(&str, &str)]) -> ExecutorInfo {
    let folder = cluster.path("gates");
    let own = std::env::current_exe().unwrap();
    let program = format!("{folder}/act");
    if std::fs::hard_link(&own, &program).is_err() && std::fs::metadata(&program).is_err() {
        std::fs::copy(&own, &program).unwrap();
    }
    let words = ["program/act", "--exact", test, "--nocapture"];
    let task = Task::argv(words).unwrap().cpus(0.1).unwrap().mem_mib(128.0).unwrap();
    let mut task = task.volume(folder, "program", true).unwrap();
    for (name, value) in variables {
        task = task.env(*name, *value);
    }
    task.as_executor(ExecutorId::new(id).unwrap()).unwrap()
}

/// Nothing of any executor is left on the agent or set aside at the master.
pub(crate) fn is_clean(cluster: &Cluster) {
    eventually("all is free again", || {
        let agents = cluster.list("agents");
        (agents[0]["resources"]["free"]["cpus"] == agents[0]["resources"]["total"]["cpus"]).then_some(())
    });
    let runs = cluster.path("agent/run");
    eventually("no container is left", || {
        let left = std::fs::read_dir(&runs).into_iter().flatten().flatten().count();
        (left == 0).then_some(())
    });
}

#[test]
fn many_tasks_run_in_one_process_whatever_its_network() {
    if needs_root() {
        return;
    }
    for network in [Network::Host, Network::None] {
        let cluster = Cluster::start(&[]);
        let mut own = acting(&cluster, "own");
        own.container.network = network;
        let names: Vec<String> = (0..20).map(|number| format!("t{number}")).collect();
        let mut tasks: Vec<_> = names.iter().map(|name| (&own, name.as_str(), "run")).collect();
        tasks.extend([(&own, "quick", "finish"), (&own, "talk", "run")]);
        let mut framework = Framework::launch(&cluster, &tasks);

        let mut pids = BTreeMap::new();
        for name in &names {
            let running = framework.told(name, TaskState::Running);
            assert_eq!(running.executor.as_ref().map(ExecutorId::as_str), Some("own"));
            pids.insert(running.pid.unwrap(), running.container);
        }
        assert_eq!(pids.len(), 1, "one process");
        assert_eq!(framework.told("quick", TaskState::Finished).data, b"result");
        let echo = framework.hear("an echo", |heard| match heard {
            Heard::Message(data) => Some(data.clone()),
            _ => None,
        });
        assert_eq!(echo, b"echo hello");
        framework.kill("t0");
        framework.told("t0", TaskState::Killed);
        drop(framework);
        is_clean(&cluster);
    }
}

/// A number of the control group that holds a process to its memory, under its name in v1 or in v2; `None`: memory is not
/// held to anything here.
fn memory_of(pid: u32, names: [&str; 2]) -> Option<u64> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        let file = match controllers {
            "" => format!("/sys/fs/cgroup/{path}/{}", names[1]),
            all if all.split(',').any(|one| one == "memory") => {
                format!("/sys/fs/cgroup/memory/{path}/{}", names[0])
            }
            _ => return None,
        };
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    })
}

#[test]
fn the_container_grows_and_shrinks_with_the_tasks_in_it() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let own = acting(&cluster, "own");
    let mut framework =
        Framework::launch(&cluster, &[(&own, "a", "run"), (&own, "b", "run"), (&own, "c", "run")]);
    for task in ["a", "b", "c"] {
        framework.told(task, TaskState::Running);
    }
    let pid = framework.told("a", TaskState::Running).pid.unwrap();
    let limit = || memory_of(pid, ["memory.limit_in_bytes", "memory.max"]);
    let request = || memory_of(pid, ["memory.soft_limit_in_bytes", "memory.low"]);
    let mib = |mib: u64| Some(mib << 20);
    if limit().is_none() {
        eprintln!("skipped: needs a memory controller");
        return;
    }
    assert_eq!((limit(), request()), (mib(128 + 3 * 8), mib(128 + 3 * 8)));
    framework.kill("a");
    framework.told("a", TaskState::Killed);
    eventually("the container shrinks", || (request() == mib(128 + 2 * 8)).then_some(()));
    assert_eq!(limit(), mib(128 + 3 * 8), "what may be in use is not taken back");
}

#[test]
fn an_executor_outlives_its_agent_with_the_same_process_and_its_tasks_go_on() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let own = acting(&cluster, "own");
    let mut framework = Framework::launch(&cluster, &[(&own, "a", "run"), (&own, "b", "run")]);
    framework.told("b", TaskState::Running);
    let pid = framework.told("a", TaskState::Running).pid.unwrap();
    let started = start_time(u64::from(pid)).unwrap();

    for _ in 0..3 {
        cluster.agent.take().unwrap().kill9();
        cluster.start_agent(RESOURCES);
        assert_eq!(start_time(u64::from(pid)).as_ref(), Some(&started));
    }
    framework.kill("a");
    framework.told("a", TaskState::Killed);
    assert_eq!(start_time(u64::from(pid)), Some(started), "the executor stays, and so does its other task");
    drop(framework);
    is_clean(&cluster);
}

#[test]
fn an_executor_that_ends_fails_its_tasks_and_leaves_nothing_behind() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let own = acting(&cluster, "own");
    let mut framework = Framework::launch(&cluster, &[(&own, "a", "run"), (&own, "b", "crash")]);
    for task in ["a", "b"] {
        let failed = framework.told(task, TaskState::Failed);
        assert_eq!(failed.reason, Some(Reason::ExecutorTerminated));
        assert_eq!(failed.message.as_deref(), Some("executor own has ended: exited with status 3"));
    }
    assert_eq!(framework.lost(), Some(3 << 8));
    is_clean(&cluster);

    let mut framework = Framework::launch(&cluster, &[(&own, "c", "run")]);
    let pid = framework.told("c", TaskState::Running).pid.unwrap();
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!(framework.told("c", TaskState::Failed).reason, Some(Reason::ExecutorTerminated));
    assert_eq!(framework.lost(), Some(9));
    is_clean(&cluster);
}

#[test]
fn an_executor_that_does_not_subscribe_in_time_is_ended() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::without_agent(&[]);
    cluster.start_agent_in(RESOURCES, &[("LONJA_AGENT_EXECUTOR_REGISTRATION_TIMEOUT", "1s")]);
    let mute = Task::argv(["sleep", "1000"]).unwrap().cpus(0.1).unwrap().mem_mib(32.0).unwrap();
    let mute = mute.as_executor(ExecutorId::new("mute").unwrap()).unwrap();
    let mut framework = Framework::launch(&cluster, &[(&mute, "a", "run")]);
    let failed = framework.told("a", TaskState::Failed);
    assert_eq!(failed.reason, Some(Reason::ExecutorRegistrationTimeout));
    is_clean(&cluster);
}

/// The token in the environment of a process.
pub(crate) fn token_of(pid: u32) -> String {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let name = b"MESOS_EXECUTOR_AUTHENTICATION_TOKEN=";
    let variable = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(name));
    String::from_utf8(variable.expect("an executor has a token").to_vec()).unwrap()
}

/// What becomes of a SUBSCRIBE as `executor` with this token.
fn knock(cluster: &Cluster, framework: &FrameworkId, executor: &str, token: Option<&str>) -> Code {
    let url = cluster.agent.as_ref().unwrap().url.clone();
    let subscribe = Call::Subscribe { unacknowledged_tasks: Vec::new(), unacknowledged_updates: Vec::new() };
    let executor = ExecutorId::new(executor).unwrap();
    let call = lonja_proto::convert::execution::execution_call_to_wire(framework, &executor, &subscribe);
    block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        let mut client = ExecutorsClient::new(channel);
        let mut request = tonic::Request::new(tokio_stream::once(call));
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        match client.connect(request).await {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        }
    })
}

#[test]
fn a_token_lets_in_its_own_executor_alone_and_only_while_it_lives() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let (one, two) = (acting(&cluster, "one"), acting(&cluster, "two"));
    let mut framework = Framework::launch(&cluster, &[(&one, "a", "run"), (&two, "b", "run")]);
    let first = framework.told("a", TaskState::Running);
    let second = framework.told("b", TaskState::Running);
    let id = cluster.list("frameworks")[0]["id"].as_str().map(|id| FrameworkId::new(id).unwrap()).unwrap();
    let (first_token, second_token) = (token_of(first.pid.unwrap()), token_of(second.pid.unwrap()));

    let mut garbled = first_token.clone();
    let last = if garbled.pop() == Some('0') { '1' } else { '0' };
    garbled.push(last);
    for bad in [None, Some(""), Some("x"), Some(garbled.as_str())] {
        assert_eq!(knock(&cluster, &id, "one", bad), Code::Unauthenticated, "{bad:?}");
    }
    assert_eq!(knock(&cluster, &id, "one", Some(&second_token)), Code::PermissionDenied);
    let other = FrameworkId::new("other").unwrap();
    assert_eq!(knock(&cluster, &other, "one", Some(&first_token)), Code::PermissionDenied);

    kill(Pid::from_raw(i32::try_from(first.pid.unwrap()).unwrap()), Signal::SIGKILL).unwrap();
    framework.told("a", TaskState::Failed);
    assert_eq!(knock(&cluster, &id, "one", Some(&first_token)), Code::PermissionDenied, "after its end");
    assert!(start_time(u64::from(second.pid.unwrap())).is_some(), "the other one goes on");
}
