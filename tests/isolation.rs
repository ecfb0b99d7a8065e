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

#[test]
fn a_task_sees_a_root_of_its_own_and_nothing_of_the_host() {
    if needs_root() {
        return;
    }
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::write(home.path().join("mine"), "").unwrap();
    let script = format!(
        "id -u; test -e /etc/shadow && echo shadow; test -e {} && echo home; ls /root /home; \
         awk '$3 != 4294967295 {{ print \"mapped\" }}' /proc/self/uid_map; touch $MESOS_SANDBOX/own /tmp/own && echo wrote; \
         touch /usr/own 2> /dev/null || echo read-only",
        home.path().display()
    );
    assert_eq!(inside(&script), "0\n/home:\n\n/root:\nmapped\nwrote\nread-only\n");
}

#[test]
fn a_folder_of_the_callers_is_there_once_it_is_mounted() {
    if needs_root() {
        return;
    }
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::write(home.path().join("mine"), "text\n").unwrap();
    let path = home.path().to_str().unwrap();
    let read = format!("cat {path}/mine; echo x > {path}/other");
    let output = run(&["run", "--dev", "-v", &format!("{path}:{path}:ro"), "--", "sh", "-c", &read]);
    assert_eq!(stdout(&output), "text\n");
    assert!(stderr(&output).contains("Read-only file system"), "{}", stderr(&output));

    let write = "echo new > in/mine";
    let output = run(&["run", "--dev", "-v", &format!("{path}:in"), "--", "sh", "-c", write]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(home.path().join("mine")).unwrap(), "new\n");
}

#[test]
fn a_task_without_network_has_a_loopback_and_cannot_reach_the_master() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let script = "ls /sys/class/net; tail -n +2 /proc/net/route | wc -l";
    let output =
        cluster.spawn_run(&["--network", "none", "--", "sh", "-c", script]).wait_with_output().unwrap();
    assert_eq!(stdout(&output), "lo\n0\n", "{}", stderr(&output));
}

#[test]
fn a_hardened_task_is_nobody_without_network_who_cannot_write_its_root() {
    if needs_root() {
        return;
    }
    let script = "id -u; tail -n +3 /proc/net/dev | wc -l; touch /x 2> /dev/null || echo read-only; touch own && echo wrote";
    let output = run(&["run", "--dev", "--profile", "hardened", "--", "sh", "-c", script]);
    assert_eq!(stdout(&output), "65534\n1\nread-only\nwrote\n", "{}", stderr(&output));
}

#[test]
fn a_task_may_not_ask_for_less_than_its_agent_demands() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let output = cluster.spawn_run(&["--profile", "host", "--", "true"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    let said = stderr(&output);
    assert!(said.contains("'host'") && said.contains("'default'"), "{said}");
    // In a cluster of one's own it is one's own choice.
    let output = run(&["run", "--dev", "--profile", "host", "--", "test", "-e", "/etc/shadow"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_task_has_the_capabilities_and_limits_that_it_asks_for_and_its_agent_allows() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let run = |flags: &[&str], line: &str| {
        let arguments = [flags, &["--", "sh", "-c", line]].concat();
        cluster.spawn_run(&arguments).wait_with_output().unwrap()
    };
    let line = "grep CapBnd /proc/self/status; ulimit -Sn; ulimit -Hn; chown 1:1 . 2> /dev/null || echo mine";
    let flags = ["--user", "root", "--cap-drop", "ALL", "--cap-add", "KILL", "--ulimit", "nofile=100:200"];
    let output = run(&flags, line);
    assert_eq!(stdout(&output), "CapBnd:\t0000000000000020\n100\n200\nmine\n", "{}", stderr(&output));
    let output = run(&["--cap-add", "NET_RAW"], "true");
    let said = stderr(&output);
    assert!(said.contains("NET_RAW") && said.contains("--allow-capability"), "{said}");
    let output = run(&["--cap-add", "ROOT"], "true");
    assert!(stderr(&output).contains("--cap-add: 'ROOT' is no capability"), "{}", stderr(&output));
}

#[test]
fn a_sandbox_belongs_to_its_user_whether_named_or_numbered() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    for user in ["1", "daemon"] {
        let line = "id -u; stat -c %u . stdout; touch own && stat -c %u own";
        let flags = ["--user", user, "--", "sh", "-c", line];
        let output = cluster.spawn_run(&flags).wait_with_output().unwrap();
        assert_eq!(stdout(&output), "1\n1\n1\n1\n", "{user}: {}", stderr(&output));
    }
}

#[test]
fn an_agent_refuses_parts_of_isolation_that_do_not_exist() {
    let dir = tempfile::tempdir().unwrap();
    let work_dir = dir.path().to_str().unwrap();
    let output = run(&["agent", "--work-dir", work_dir, "--isolation", "namespaces/pid,docker/volume"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("docker/volume"), "{}", stderr(&output));
}
