//! What a task sees, and what ends it.

use lonja_tests::{Cluster, needs_root, run, stderr, stdout};

fn inside(script: &str) -> String {
    let output = run(&["run", "--dev", "--", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

#[test]
fn a_task_has_its_own_processes_and_sandbox() {
    if needs_root() {
        return;
    }
    let said = inside(
        "echo $$; ls /proc | grep -c '^[0-9]'; [ \"$PWD\" = \"$MESOS_SANDBOX\" ] && ls; echo $MESOS_TASK_ID",
    );
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].parse::<u32>().unwrap() < 10 && lines[1].parse::<u32>().unwrap() < 10, "{said}");
    assert_eq!(&lines[2..4], ["stderr", "stdout"]);
    assert!(lines[4].starts_with("run-"));
}

#[test]
fn memory_over_the_limit_ends_the_whole_task_and_says_so() {
    if needs_root() {
        return;
    }
    let output = run(&["run", "--dev", "--mem", "32", "--", "sh", "-c", "tail /dev/zero; sleep 1000"]);
    assert_eq!(output.status.code(), Some(137));
    assert!(stderr(&output).contains("memory limit 32 MiB"), "{}", stderr(&output));
}

#[test]
fn daemons_do_not_outlive_their_task() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let mark = format!("98765.{}", std::process::id());
    let script = format!("setsid sleep {mark} & exit 0");
    assert!(cluster.spawn_run(&["--", "sh", "-c", &script]).wait().unwrap().success());
    let alive = std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&mark) && command.starts_with(b"sleep")
    });
    assert!(!alive);
}

#[test]
fn an_agent_lets_tasks_mount_only_what_it_was_told_to() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let output = cluster.spawn_run(&["-v", "/etc:etc:ro", "--", "true"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("--allow-host-path"), "{}", stderr(&output));
}
