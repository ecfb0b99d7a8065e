//! Groups as users see them: `lonja run --with`, what siblings share, one limit for each, and agents that die.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use lonja_sdk::model::ExecutorId;
use lonja_sdk::model::executor::ExecutorInfo;
use lonja_sdk::model::profile::Network;
use lonja_sdk::model::task::Reason;
use lonja_sdk::prelude::*;
use lonja_tests::{Cluster, eventually, lonja, needs_root, stderr, stdout};
use serde_json::Value;

/// Says hello to each who connects.
const SERVER: &str = "exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => \"127.0.0.1\", \
                      LocalPort => 8123, Listen => 5) or die $!; while ($c = $s->accept) { print $c \"hello\\n\"; \
                      close $c }'";

/// Says what the server says, once there is one.
const CLIENT: &str = "until perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(\"127.0.0.1:8123\") or exit 1; \
                      print <$s>'; do sleep 0.05; done";

/// What the CLI says and ends with; `--` may be among the arguments.
fn on(cluster: &Cluster, verb: &str, arguments: &[&str]) -> std::process::Output {
    lonja_tests::run(&[&[verb, "--master", cluster.url()], arguments].concat())
}

fn is_running(task: &&Value) -> bool {
    task["state"] == "TASK_RUNNING"
}

fn id_ending<'a>(tasks: &'a [Value], end: &str) -> &'a str {
    let ids = tasks.iter().map(|task| task["id"].as_str().unwrap());
    ids.into_iter().find(|id| id.ends_with(end)).unwrap()
}

#[test]
fn a_command_meets_the_one_beside_it_on_loopback_and_in_a_folder() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let web = format!("web=echo from web > shared/word; echo up; {SERVER}");
    let script = format!("{CLIENT}; cat shared/word");
    for flags in [&["--network", "none"][..], &["--profile", "hardened"]] {
        let output = on(&cluster, "run", &[flags, &["--with", &web, "--", "sh", "-c", &script]].concat());

        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let said = stdout(&output);
        assert!(said.contains("hello\nfrom web\n") && said.contains("web | up\n"), "{said}");
    }
    // With the command, those beside it have ended, and what they held is free.
    eventually("all is free again", || {
        let agents = cluster.list("agents");
        (agents[0]["resources"]["free"]["cpus"] == agents[0]["resources"]["total"]["cpus"]).then_some(())
    });
}

#[test]
fn the_status_is_that_of_the_command_or_of_who_failed_before() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let run = |beside: &str, command: &str| {
        on(&cluster, "run", &["--with", beside, "--with", "other=sleep 1000", "--", "sh", "-c", command])
    };

    let output = run("side=sleep 1000", "sleep 0.2; exit 5");
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    let output = run("side=sleep 0.2; exit 3", "sleep 1000");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("side: "), "{}", stderr(&output));
    // Who has done its part may go.
    let output = run("side=true", "sleep 0.3; exit 0");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn what_stands_beside_is_described_well_or_refused() {
    for (said, why) in [
        ("nothing", "write NAME=COMMAND"),
        ("=true", "a name has 1 to 63"),
        ("a b=true", "a name has 1 to 63"),
        ("0=true", "that of the command itself"),
        ("a= ", "the command is empty"),
    ] {
        let output = lonja_tests::run(&["run", "--with", said, "--", "true"]);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(stderr(&output).contains(why), "{said}: {}", stderr(&output));
    }
    let output = lonja_tests::run(&["run", "--with", "a=true", "--with", "a=true", "--", "true"]);
    assert!(stderr(&output).contains("give each a name of its own"), "{}", stderr(&output));
    let output = lonja_tests::run(&["run", "--with", "a=true", "--instances", "2", "--", "true"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn commands_enter_a_task_of_a_group_and_see_its_siblings() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let web = format!("web={SERVER}");
    let flags = ["--network", "none", "--with", &web, "--profile", "hardened", "--", "sleep", "1000"];
    let mut run = cluster.spawn_run(&flags);
    let tasks = eventually("both run", || {
        let tasks = cluster.list("tasks");
        (tasks.iter().filter(is_running).count() == 2).then_some(tasks)
    });
    let command = id_ending(&tasks, "-0");
    let look = format!("{CLIENT}; id -u; grep -c lo: /proc/net/dev");
    let exec = |cluster: &Cluster| on(cluster, "exec", &[command, "--", "sh", "-c", &look]);
    let output = exec(&cluster);
    assert_eq!(stdout(&output), "hello\n65534\n1\n", "{}", stderr(&output));

    // Neither the siblings nor what they share hangs on the agent.
    cluster.agent.take().unwrap().kill9();
    cluster.start_agent("cpus:4;mem:2048;ports:[31000-31010]");
    eventually("the agent has its tasks again", || {
        let output = exec(&cluster);
        (stdout(&output) == "hello\n65534\n1\n").then_some(())
    });
    run.kill().unwrap();
    run.wait().unwrap();
}

#[test]
fn a_caller_or_an_agent_that_is_killed_leaves_nothing_of_its_commands() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let mut run = cluster.spawn_run(&["--with", "side=sleep 1000", "--", "sleep", "1000"]);
    let tasks = eventually("both run", || {
        let tasks = cluster.list("tasks");
        (tasks.iter().filter(is_running).count() == 2).then_some(tasks)
    });
    let mark = format!("LEFT={}", cluster.path("mark"));
    let script =
        "for n in 1 2; do setsid sh -c \"trap '' HUP TERM; sleep 1000; sleep 1000\" & done; echo up; wait";
    let begin = |cluster: &Cluster| {
        let mut exec = Command::new(lonja());
        exec.args([
            "exec",
            "--master",
            cluster.url(),
            "-e",
            &mark,
            id_ending(&tasks, "-side"),
            "--",
            "sh",
            "-c",
        ]);
        let mut exec = exec.arg(script).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Read::read_exact(exec.stdout.as_mut().unwrap(), &mut [0; 3]).unwrap();
        eventually("what it starts runs", || (marked(&mark).len() >= 5).then_some(()));
        exec
    };

    let mut exec = begin(&cluster);
    exec.kill().unwrap();
    exec.wait().unwrap();
    eventually("all of it is gone with its caller", || marked(&mark).is_empty().then_some(()));

    let mut exec = begin(&cluster);
    cluster.agent.take().unwrap().kill9();
    eventually("all of it is gone with its agent", || marked(&mark).is_empty().then_some(()));
    exec.wait().unwrap();

    cluster.start_agent("cpus:4;mem:2048;ports:[31000-31010]");
    eventually("the tasks run on", || {
        (cluster.list("tasks").iter().filter(is_running).count() == 2).then_some(())
    });
    run.kill().unwrap();
    run.wait().unwrap();
}

/// Processes of this host with this variable in their environment, the CLI's own words aside.
fn marked(variable: &str) -> Vec<String> {
    let of = |entry: std::fs::DirEntry| {
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        let found = environment.split(|byte| *byte == 0).any(|text| text == variable.as_bytes());
        found.then(|| entry.file_name().to_string_lossy().into_owned())
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(of).collect()
}

/// Launches one group of tasks with memory of their own each, and waits until all have ended.
struct Pod {
    tasks: Vec<(&'static str, f64, &'static str)>,
    launched: bool,
    told: BTreeMap<String, TaskStatus>,
}

impl Scheduler for Pod {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let Some(offer) = offers.first().filter(|_| !self.launched) else { return Plan::new() };
        self.launched = true;
        let tasks = self.tasks.iter().map(|(name, mem, script)| {
            let task = Task::shell(*script).unwrap().cpus(0.1).unwrap().mem_mib(*mem).unwrap();
            let task = task.network(Network::None).group_volume("common", "common", false);
            let resources = Resources::parse(&format!("cpus:0.1;mem:{mem}")).unwrap();
            task.with_resources(&offer.agent, TaskId::new(*name).unwrap(), resources)
        });
        let executor = ExecutorInfo::builtin(ExecutorId::new("pod").unwrap());
        Plan::new().launch_group(offer, executor, tasks)
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        self.told.insert(status.task.to_string(), status.clone());
        let ended = self.told.values().filter(|status| status.state.is_terminal()).count();
        if ended == self.tasks.len() { Plan::new().tear_down() } else { Plan::new() }
    }

    fn wants_offers(&self) -> bool {
        !self.launched
    }
}

#[test]
fn each_of_a_group_has_its_own_limit_and_all_fall_with_who_goes_beyond() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let driver = Driver::new(cluster.url(), FrameworkOptions::named("pods"));
    // What the small one may not have is nothing to the large one, which tells when it has it.
    let tasks = vec![
        ("large", 256.0, "head -c 100000000 /dev/zero | tail | wc -c > common/had; exec sleep 1000"),
        (
            "small",
            32.0,
            "while [ ! -s common/had ]; do sleep 0.05; done; head -c 100000000 /dev/zero | tail; sleep 1000",
        ),
        ("third", 32.0, "exec sleep 1000"),
    ];
    let pod = Pod { tasks, launched: false, told: BTreeMap::new() };

    let ended = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), driver.run(pod)).await.expect("it ends in time")
    });

    let told = ended.unwrap().0.told;
    let small = &told["small"];
    assert_eq!(small.state, TaskState::Failed, "{small:?}");
    assert_eq!(small.reason, Some(Reason::ContainerLimitationMemory), "{small:?}");
    assert!(small.message.as_ref().unwrap().contains("32"), "{small:?}");
    for other in ["large", "third"] {
        assert_eq!(told[other].state, TaskState::Killed, "{:?}", told[other]);
        let message = told[other].message.clone().unwrap();
        assert!(message.starts_with("killed with its group, because task small had ended"), "{message}");
    }
}
