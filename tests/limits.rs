//! Requests and limits apart, devices and rates, through real daemons.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lonja_tests::{Cluster, needs_root, run, stderr, stdout};

#[test]
fn memory_is_stopped_at_its_limit_and_not_at_the_request() {
    if needs_root() {
        return;
    }
    // 48 MiB is more than it asks for and less than its limit.
    let script = "head -c 50331648 /dev/zero | tail -c 50331648 | wc -c";
    let within = ["run", "--dev", "--mem", "32", "--mem-limit", "128", "--", "sh", "-c", script];
    let output = run(&within);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output).trim(), "50331648");

    let beyond = ["run", "--dev", "--mem", "32", "--mem-limit", "64", "--", "tail", "/dev/zero"];
    let output = run(&beyond);
    assert_eq!(output.status.code(), Some(137));
    assert!(stderr(&output).contains("memory limit 64 MiB"), "{}", stderr(&output));
}

/// The process that runs exactly `sleep SECONDS`, once there is one.
fn sleeper(seconds: &str) -> PathBuf {
    let wanted = format!("sleep\0{seconds}\0");
    let started = Instant::now();
    loop {
        let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let mut sleepers = processes
            .filter(|path| std::fs::read(path.join("cmdline")).is_ok_and(|text| text == wanted.as_bytes()));
        if let Some(found) = sleepers.next() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no task came up");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the hard CPU limit of the process's control group is, on v1 or v2, as the kernel shows it.
fn quota_of(process: &Path) -> Option<String> {
    let groups = std::fs::read_to_string(process.join("cgroup")).unwrap();
    let files = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        let group = group.trim_start_matches('/');
        let v1 = controllers.split(',').any(|name| name == "cpu");
        let root = Path::new("/sys/fs/cgroup");
        Some(if v1 {
            root.join(controllers).join(group).join("cpu.cfs_quota_us")
        } else {
            root.join(group).join("cpu.max")
        })
    });
    let texts = files.filter_map(|file| std::fs::read_to_string(file).ok());
    texts.filter_map(|text| text.split_whitespace().next().map(str::to_owned)).next()
}

#[test]
fn cpu_limits_reach_the_kernel_by_their_own_number() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    for (number, flags, quota) in
        [(1, &["--cpu-limit", "0.75"][..], "75000"), (2, &["--cpu-limit", "unlimited"], "-1"), (3, &[], "-1")]
    {
        let seconds = format!("9876{number}.{}", std::process::id());
        let arguments = [&["--cpus", "0.1"], flags, &["--", "sleep", &seconds]].concat();
        let mut run = cluster.spawn_run(&arguments);
        let found = quota_of(&sleeper(&seconds));
        run.kill().unwrap();
        run.wait().unwrap();
        assert_eq!(found.map(|found| found.replace("max", "-1")).as_deref(), Some(quota), "{flags:?}");
    }
}

#[test]
fn a_limit_below_the_request_is_refused_by_its_flag() {
    let output = run(&["run", "--dev", "--mem", "64", "--mem-limit", "32", "--", "true"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("--mem-limit 32 MiB is below --mem 64"), "{}", stderr(&output));
}

#[test]
fn a_device_that_is_not_listed_cannot_be_opened_unless_the_agent_allows_it() {
    if needs_root() {
        return;
    }
    let script = "echo x >/dev/null && echo minimal; head -c 0 /dev/kmsg 2>/dev/null && echo kmsg; true";
    let output = run(&["run", "--dev", "--", "sh", "-c", script]);
    assert_eq!(stdout(&output), "minimal\n", "{}", stderr(&output));
}

#[test]
fn a_rate_that_no_disk_has_is_refused_with_the_reason() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let weighing = cluster.spawn_run(&["--io-weight", "1001", "--", "true"]).wait_with_output().unwrap();
    assert_eq!(weighing.status.code(), Some(2), "{}", stderr(&weighing));
    let limited = cluster.spawn_run(&["--io-write-bps", "1MiB", "--", "true"]).wait_with_output().unwrap();
    // In memory there is no disk to be slow.
    if limited.status.code() != Some(0) {
        assert!(stderr(&limited).contains("no block device"), "{}", stderr(&limited));
    }
}
