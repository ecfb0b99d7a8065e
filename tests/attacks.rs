//! Attacks by tasks and by calls, against real daemons. The whole table is the agent's own test, `attacks::`.

use lonja_proto::mesos;
use lonja_tests::{Cluster, needs_root, stderr, stdout};

use crate::bad_input::{Raw, accept, task};

const RESOURCES: &str = "cpus:4;mem:2048;ports:[31000-31010]";

/// Attacks that a shell can express; each must fail. `$AGENT` is the agent's process, `$WORK` its work dir.
const BY_SHELL: &[(&str, &str)] = &[
    ("A-1", ": >> /proc/sys/kernel/core_pattern"),
    ("A-2", ": >> /proc/sysrq-trigger"),
    ("A-3", "mount -t tmpfs none /tmp"),
    ("A-3", "mount -o remount,rw /proc/sys"),
    ("A-3", "umount /proc/keys"),
    ("A-5", "mknod memory c 1 1 && head -c 1 memory"),
    ("A-15", "hostname $(hostname)"),
    ("A-16", "dmesg"),
    ("A-20", "mkdir -p groups && mount -t cgroup -o memory cgroup groups"),
    ("A-22", "unshare -U true"),
    ("A-22", "unshare -m true"),
    ("A-22", "nsenter -t 1 -m true"),
    ("A-30", "kill -0 $AGENT"),
    ("A-32", "cat /proc/1/environ"),
    ("A-36", "renice -n -5 $$"),
    ("A-36", "chrt -f 1 true"),
    ("A-37", "ulimit -Hn 10000000"),
    ("A-37", "echo -1000 > /proc/self/oom_score_adj"),
    ("A-41", ": >> /proc/1/exe"),
    ("A-60", "cat /etc/shadow"),
    ("A-60", "ls /proc/1/root/"),
    ("A-60", "ls $WORK/run"),
];

fn try_by_shell(profile: &str) {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::without_agent(&[]);
    cluster.start_agent_in(RESOURCES, &[("LONJA_AGENT_PROFILE", profile)]);
    let agent = format!("AGENT={}", cluster.agent.as_ref().unwrap().pid());
    let work = format!("WORK={}", cluster.path("agent"));
    // In functions' own shells: some of the lines would end the one that runs them all.
    let lines: Vec<String> = BY_SHELL
        .iter()
        .map(|(id, line)| format!("(({line}) > /dev/null 2>&1) && echo '{id} done: {line}'"))
        .collect();
    let script = format!("{}\necho over; exit 0", lines.join("\n"));

    let said = cluster.spawn_run(&["-e", &agent, "-e", &work, "--", "sh", "-c", &script]);
    let said = said.wait_with_output().unwrap();

    assert_eq!(stdout(&said), "over\n", "{}", stderr(&said));
    assert!(cluster.agent.as_ref().unwrap().get("/health").starts_with("HTTP/1.1 200"));
}

#[test]
fn attacks_by_shell_fail_in_the_default_profile() {
    try_by_shell("default");
}

#[test]
fn attacks_by_shell_fail_in_the_hardened_profile() {
    try_by_shell("hardened");
}

fn capabilities(numbers: &[i32]) -> mesos::CapabilityInfo {
    mesos::CapabilityInfo { capabilities: numbers.to_vec() }
}

fn with_linux(offer: &mesos::Offer, id: &str, linux_info: mesos::LinuxInfo) -> mesos::TaskInfo {
    let container = mesos::ContainerInfo {
        r#type: mesos::container_info::Type::Mesos.into(),
        linux_info: Some(linux_info),
        ..Default::default()
    };
    mesos::TaskInfo { container: Some(container), ..task(offer, id, 0.1) }
}

/// The last word on a task of these.
async fn end_of(raw: &mut Raw, offer: &mesos::Offer, task: mesos::TaskInfo) -> mesos::TaskStatus {
    let id = task.task_id.value.clone();
    let mut status = raw.status_of(offer, task).await;
    loop {
        use mesos::TaskState::{TaskRunning, TaskStaging, TaskStarting};
        if status.task_id.value == id && !matches!(status.state(), TaskStaging | TaskStarting | TaskRunning) {
            return status;
        }
        status = raw.next_status().await;
    }
}

/// What a call asks for beyond what it may have, the field or thing that the answer names.
type Asking = (fn(&mesos::Offer) -> mesos::TaskInfo, &'static str);

#[tokio::test(flavor = "multi_thread")]
async fn what_a_task_may_not_have_is_refused_by_its_name() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let mut raw = Raw::subscribed(cluster.url()).await;
    let asking: [Asking; 6] = [
        (
            |offer| {
                let bounding_capabilities = Some(capabilities(&[1000, 1021]));
                with_linux(offer, "a", mesos::LinuxInfo { bounding_capabilities, ..Default::default() })
            },
            "SYS_ADMIN",
        ),
        (
            |offer| {
                let effective_capabilities = Some(capabilities(&[1016]));
                with_linux(offer, "b", mesos::LinuxInfo { effective_capabilities, ..Default::default() })
            },
            "SYS_MODULE",
        ),
        (
            |offer| {
                let bounding_capabilities = Some(capabilities(&[1099]));
                with_linux(offer, "c", mesos::LinuxInfo { bounding_capabilities, ..Default::default() })
            },
            "linux_info.bounding_capabilities.capabilities[0]",
        ),
        (
            |offer| {
                let seccomp = Some(mesos::SeccompInfo { unconfined: Some(true), ..Default::default() });
                with_linux(offer, "d", mesos::LinuxInfo { seccomp, ..Default::default() })
            },
            "linux_info.seccomp",
        ),
        (
            |offer| {
                let share_pid_namespace = Some(true);
                with_linux(offer, "e", mesos::LinuxInfo { share_pid_namespace, ..Default::default() })
            },
            "linux_info.share_pid_namespace",
        ),
        (
            |offer| {
                let limit = mesos::r_limit_info::RLimit {
                    r#type: Some(mesos::r_limit_info::r_limit::Type::RlmtNofile.into()),
                    soft: Some(2),
                    hard: Some(1),
                };
                let container = mesos::ContainerInfo {
                    r#type: mesos::container_info::Type::Mesos.into(),
                    rlimit_info: Some(mesos::RLimitInfo { rlimits: vec![limit] }),
                    ..Default::default()
                };
                mesos::TaskInfo { container: Some(container), ..task(offer, "f", 0.1) }
            },
            "rlimit_info.rlimits[0]",
        ),
    ];
    for (make, named) in asking {
        let offer = raw.offer().await;
        let status = end_of(&mut raw, &offer, make(&offer)).await;
        let refused = [mesos::TaskState::TaskError, mesos::TaskState::TaskFailed].contains(&status.state());
        assert!(refused && status.message().contains(named), "{named}: {status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_and_values_harm_nobody() {
    let cluster = Cluster::start(&[]);
    let mut raw = Raw::subscribed(cluster.url()).await;
    let variable = |name: &str, value: &str| mesos::environment::Variable {
        name: name.into(),
        value: Some(value.into()),
        ..Default::default()
    };
    let command = |change: &dyn Fn(&mut mesos::CommandInfo)| {
        let mut command = mesos::CommandInfo { value: Some("true".into()), ..Default::default() };
        change(&mut command);
        Some(command)
    };
    let hostname = |name: &str| {
        let kind = mesos::container_info::Type::Mesos.into();
        Some(mesos::ContainerInfo { r#type: kind, hostname: Some(name.into()), ..Default::default() })
    };
    let environment = |name: &str, value: &str| {
        let variables = vec![variable(name, value)];
        command(&|command| command.environment = Some(mesos::Environment { variables: variables.clone() }))
    };
    let large = "x".repeat(1 << 20);
    type Change<'a> = Box<dyn Fn(&mut mesos::TaskInfo) + Send + 'a>;
    let odd: Vec<Change<'_>> = vec![
        Box::new(|task| task.container = hostname("a\u{1b}[31mb")),
        Box::new(|task| task.container = hostname("../../etc")),
        Box::new(|task| task.command = environment("A=B", "c")),
        Box::new(|task| task.command = environment("A", "b\0c")),
        Box::new(|task| task.command = environment("LARGE", &large)),
        Box::new(|task| task.command = command(&|command| command.user = Some("no\nbody\u{7}".into()))),
        Box::new(|task| task.command = command(&|command| command.user = Some("../root".into()))),
        Box::new(|task| task.command = command(&|command| command.value = Some("true\0false".into()))),
    ];
    for (index, change) in odd.iter().enumerate() {
        let offer = raw.offer().await;
        let mut task = task(&offer, &format!("odd{index}"), 0.1);
        change(&mut task);
        let status = end_of(&mut raw, &offer, task).await;
        let refused = [mesos::TaskState::TaskError, mesos::TaskState::TaskFailed].contains(&status.state());
        assert!(refused, "{index}: {status:?}");
        assert!(
            !status.message().contains(['\u{1b}', '\n', '\0', '\u{7}']),
            "{index}: {:?}",
            status.message()
        );
        assert!(status.message().len() < 4_096, "{index}");
    }
    // Of a task without a name there can be no word: the call itself is refused.
    let offer = raw.offer().await;
    for name in ["../../escape", "with\nline"] {
        let refusal = raw.refusal(accept(&[&offer], vec![task(&offer, name, 0.1)])).await;
        assert!(refusal.message.contains("task_id"), "{refusal:?}");
        assert!(!refusal.message.contains('\n'), "{refusal:?}");
    }
    assert!(cluster.agent.as_ref().unwrap().get("/health").starts_with("HTTP/1.1 200"));
}

#[test]
fn the_check_of_a_host_agrees_with_what_an_agent_is_held_to() {
    let output = lonja_tests::run(&["agent", "--check", "-o", "json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = said["isolation"].as_array().unwrap();
    let missing = lines.iter().any(|line| line["state"] == "missing");
    assert_eq!(output.status.code(), Some(i32::from(missing)), "{}", stderr(&output));
    for part in
        ["limit/memory", "seccomp", "capabilities", "rlimits", "disk", "network", "cgroups", "container"]
    {
        assert!(lines.iter().any(|line| line["part"] == part), "{part}: {said}");
    }
    let host = lonja_tests::run(&["agent", "--check", "--profile", "host"]);
    assert_eq!(host.status.code(), Some(1), "a profile without a root of its own is not all there is");
}
