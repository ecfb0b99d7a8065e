//! A task's share of the disk, and what becomes of its files.

use std::path::{Path, PathBuf};

use lonja_tests::{Cluster, eventually, needs_root, stderr, stdout};
use serde_json::Value;

const RESOURCES: &str = "cpus:4;mem:2048;disk:1000";

/// A cluster whose agent was told this about disks.
fn cluster(settings: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::without_agent(&[]);
    cluster.start_agent_in(RESOURCES, settings);
    cluster
}

pub(crate) fn work_dir(cluster: &Cluster) -> PathBuf {
    Path::new(&cluster.path("agent")).canonicalize().unwrap()
}

/// How much is mounted below the agent's work dir, and how many loop devices show files of it.
pub(crate) fn mounts_and_loops(cluster: &Cluster) -> (usize, usize) {
    let below = work_dir(cluster).display().to_string();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap().matches(&below).count();
    let devices = std::fs::read_dir("/sys/block").unwrap().flatten();
    let files =
        devices.filter_map(|device| std::fs::read_to_string(device.path().join("loop/backing_file")).ok());
    (mounts, files.filter(|file| file.starts_with(&below)).count())
}

pub(crate) fn sandboxes(cluster: &Cluster) -> usize {
    let folders = |path: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let frameworks = folders(&work_dir(cluster).join("sandboxes"));
    let tasks = frameworks.iter().flat_map(|framework| folders(framework));
    tasks.map(|task| folders(&task).len()).sum()
}

/// The host has what loop images need.
pub(crate) fn has_loops() -> bool {
    let has = Path::new("/dev/loop-control").exists() && Path::new("/usr/sbin/mkfs.ext4").exists();
    if !has {
        eprintln!("skipped: needs loop devices and e2fsprogs");
    }
    has
}

fn the_task(cluster: &Cluster) -> Value {
    let tasks = cluster.done(&["tasks", "--all"]);
    tasks.into_iter().next().unwrap()
}

#[test]
fn a_sandbox_over_its_limit_ends_its_task_alone_with_limit_and_use() {
    if needs_root() {
        return;
    }
    let cluster =
        cluster(&[("LONJA_AGENT_DISK_LIMIT", "poll"), ("LONJA_AGENT_CONTAINER_DISK_WATCH_INTERVAL", "20ms")]);
    let neighbour = cluster.spawn_run(&["--name", "neighbour", "--disk", "4", "--", "sleep", "1000"]);
    cluster.task_in("TASK_RUNNING");
    let script = "dd if=/dev/zero of=large bs=1M count=20 2>/dev/null; sleep 1000";
    let output = cluster.spawn_run(&["--disk", "4", "--", "sh", "-c", script]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(137), "{}", stderr(&output));
    assert!(stderr(&output).contains("disk limit 4 MiB exceeded (at least "), "{}", stderr(&output));

    let many = "i=0; while [ $i -lt 20000 ]; do : > f$i; i=$((i+1)); done; sleep 1000";
    let output = cluster.spawn_run(&["--disk", "1", "--", "sh", "-c", many]).wait_with_output().unwrap();
    assert!(stderr(&output).contains("disk limit 1 MiB exceeded"), "{}", stderr(&output));
    assert_eq!(cluster.task_in("TASK_RUNNING")["name"], "neighbour");
    drop_run(neighbour);
}

/// Ends a run in the background.
fn drop_run(mut run: lonja_tests::Running) {
    run.kill().unwrap();
    run.wait().unwrap();
}

#[test]
fn without_enforcement_a_limit_is_only_measured() {
    if needs_root() {
        return;
    }
    let cluster = cluster(&[
        ("LONJA_AGENT_DISK_LIMIT", "poll"),
        ("LONJA_AGENT_CONTAINER_DISK_WATCH_INTERVAL", "20ms"),
        ("LONJA_AGENT_ENFORCE_CONTAINER_DISK_QUOTA", "false"),
    ]);
    let script = "dd if=/dev/zero of=large bs=1M count=9 2>/dev/null; sleep 1000";
    let run = cluster.spawn_run(&["--disk", "4", "--", "sh", "-c", script]);
    let task = cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();
    eventually("the use is measured", || {
        let stats = cluster.done(&["stats", &task, "--interval", "10ms"]);
        (stats.first()?["disk_used_bytes"].as_u64()? > 4 << 20).then_some(())
    });
    assert_eq!(cluster.task_in("TASK_RUNNING")["id"].as_str(), Some(task.as_str()));
    drop_run(run);
}

/// Takes off what a failed test leaves mounted below a folder.
pub(crate) struct TakenOff(pub(crate) PathBuf);

impl Drop for TakenOff {
    fn drop(&mut self) {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for point in mounts.lines().rev().filter_map(|line| line.split(' ').nth(4)) {
            if Path::new(point).starts_with(&self.0) {
                let _busy = nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH);
            }
        }
    }
}

#[test]
fn a_sandbox_on_an_image_is_full_survives_its_agent_and_leaves_nothing_mounted() {
    if needs_root() || !has_loops() {
        return;
    }
    let settings = [("LONJA_AGENT_DISK_LIMIT", "loop")];
    let mut cluster = cluster(&settings);
    let _taken_off = TakenOff(work_dir(&cluster));
    let script = "dd if=/dev/zero of=large bs=1M count=20; echo \"dd said $?\"; rm large; echo lives > here; \
                  while [ ! -e end ]; do sleep 0.05; done";
    let run = cluster.spawn_run(&["--disk", "4", "--", "sh", "-c", script]);
    let task = cluster.task_in("TASK_RUNNING");
    let id = task["id"].as_str().unwrap().to_owned();
    eventually("the task goes on when its disk is full", || {
        stdout(&cluster.lonja(&["logs", &id])).contains("dd said 1").then_some(())
    });
    let errors = stdout(&cluster.lonja(&["logs", &id, "--stderr"]));
    assert!(errors.contains("No space left on device"), "{errors}");
    assert_eq!(mounts_and_loops(&cluster), (1, 1));
    let stats = cluster.done(&["stats", &id, "--interval", "10ms"]);
    assert!(stats[0]["disk_used_bytes"].as_u64().unwrap() < 4 << 20, "{stats:?}");

    let (pid, started) = cluster.running_process();
    cluster.agent.take().unwrap().kill9();
    cluster.start_agent_in(RESOURCES, &settings);
    assert_eq!(mounts_and_loops(&cluster), (1, 1));
    assert_eq!(lonja_tests::start_time(pid), Some(started), "the task runs on");
    let seen = stdout(&cluster.lonja(&["files", &id, "here", "--cat"]));
    assert_eq!(seen, "lives\n");

    let state = cluster.agent.as_ref().unwrap().get("/state");
    let state: Value = serde_json::from_str(state.split_once("\r\n\r\n").unwrap().1).unwrap();
    std::fs::write(format!("{}/end", state["tasks"][0]["directory"].as_str().unwrap()), "").unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    eventually("nothing is mounted", || (mounts_and_loops(&cluster) == (0, 0)).then_some(()));
    assert_eq!(
        stdout(&cluster.lonja(&["files", &id, "here", "--cat"])),
        "lives\n",
        "its files are still there"
    );
    eventually("nothing stays mounted", || (mounts_and_loops(&cluster) == (0, 0)).then_some(()));
}

/// A disk of its own, taken off with its handle.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// 48 MiB of this kind.
    fn mount(kind: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("lonja-test-disk-").tempdir().unwrap();
        let disk = Self { folder };
        std::fs::create_dir(disk.path()).unwrap();
        let script = match kind {
            "tmpfs" => "mount -t tmpfs -o size=48m,mode=755 tmpfs \"$1\"",
            _ => {
                "truncate -s 48M \"$1.img\" && mkfs.ext4 -q -m 0 \"$1.img\" && mount -o loop \"$1.img\" \"$1\""
            }
        };
        let status =
            std::process::Command::new("sh").args(["-c", script, "sh"]).arg(disk.path()).status().unwrap();
        assert!(status.success(), "{kind} cannot be mounted");
        disk
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _not_mounted = nix::mount::umount2(&self.path(), nix::mount::MntFlags::MNT_DETACH);
    }
}

/// Fills a disk to the last byte; the file that does.
fn fill(dir: &Path) -> PathBuf {
    use std::io::Write;
    let path = dir.join("filler");
    let mut file = std::fs::File::create(&path).unwrap();
    for size in [1 << 20, 4096, 512, 1] {
        let piece = vec![1; size];
        // What the disk takes late, it takes now.
        while file.write_all(&piece).and_then(|()| file.sync_all()).is_ok() {}
    }
    path
}

#[test]
fn on_a_full_disk_the_agent_keeps_its_tasks_tells_their_ends_takes_no_others_and_resumes() {
    if needs_root() {
        return;
    }
    survives_a_full_disk("tmpfs");
    if has_loops() {
        survives_a_full_disk("ext4");
    }
}

fn survives_a_full_disk(kind: &str) {
    let settings = [("LONJA_AGENT_DISK_FLOOR", "4MiB"), ("LONJA_AGENT_DISK_LIMIT", "none")];
    // Taken off when nothing of the cluster is left.
    let disk = SmallDisk::mount(kind);
    let mut cluster = Cluster::without_agent(&[]);
    std::os::unix::fs::symlink(disk.path(), cluster.path("agent")).unwrap();
    cluster.start_agent_in(RESOURCES, &settings);
    let neighbour = cluster.spawn_run(&["--name", "neighbour", "--", "sleep", "1000"]);
    let (pid, started) = cluster.running_process();
    let gate = cluster.gate();
    let script = format!("{}; head -c 100000 /dev/zero; exit 7", lonja_tests::Gate::WAIT);
    let ending: Vec<_> = (0..6)
        .map(|_| cluster.spawn_run(&["-v", &gate.volume(), "--cpus", "0.1", "--", "sh", "-c", &script]))
        .collect();
    eventually("all run", || {
        let tasks = cluster.list("tasks");
        (tasks.iter().filter(|task| task["state"] == "TASK_RUNNING").count() == 7).then_some(())
    });

    let filler = fill(&disk.path());
    gate.open();
    for run in ending {
        let output = run.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{kind}: {}", stderr(&output));
        // Whatever their ends made free.
        fill_up(&filler);
    }

    // So much is written down of them that the checkpoints outgrow their file.
    let large = format!("LARGE={}", "x".repeat(60_000));
    let flags = ["--name", "refused", "--cpus", "0.1", "--mem", "32", "--instances", "20", "-e", &large];
    let mut refused = cluster.spawn_run(&[&flags[..], &["--", "true"]].concat());
    eventually("the launches are refused", || {
        let tasks = cluster.done(&["tasks", "--all"]);
        let dropped = tasks.iter().filter(|task| task["state"] == "TASK_DROPPED");
        (dropped.count() >= 20).then_some(())
    });
    let _ended = refused.kill();
    refused.wait().unwrap();

    fill_up(&filler);
    cluster.agent.take().unwrap().kill9();
    cluster.start_agent_in(RESOURCES, &settings);
    assert_eq!(lonja_tests::start_time(pid), Some(started.clone()), "{kind}: the task runs on");
    assert_eq!(cluster.task_in("TASK_RUNNING")["name"], "neighbour");

    std::fs::remove_file(&filler).unwrap();
    let output = cluster.spawn_run(&["--", "true"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{kind}: with room it goes on: {}", stderr(&output));
    assert_eq!(lonja_tests::start_time(pid), Some(started), "{kind}: the task runs on");
    drop_run(neighbour);
}

/// Fills what has become free since.
fn fill_up(filler: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::options().append(true).open(filler).unwrap();
    while file.write_all(&[1; 4096]).and_then(|()| file.sync_all()).is_ok() {}
}

#[test]
fn below_the_floor_nothing_is_launched_and_the_reason_is_told() {
    if needs_root() {
        return;
    }
    let mut cluster = cluster(&[("LONJA_AGENT_DISK_FLOOR", "1000000TiB")]);
    let mut run = cluster.spawn_run(&["--", "true"]);
    eventually("the task is turned away", || {
        let task = cluster.done(&["tasks", "--all"]).into_iter().next()?;
        (task["state"] == "TASK_DROPPED").then_some(())
    });
    let _ended = run.kill();
    run.wait().unwrap();
    let said = the_task(&cluster).to_string();
    assert!(said.contains("TASK_DROPPED"), "{said}");

    cluster.agent.take().unwrap().kill9();
    cluster.start_agent_in(RESOURCES, &[]);
    assert!(cluster.spawn_run(&["--", "true"]).wait().unwrap().success(), "with room it goes on");
}

#[test]
fn files_of_ended_tasks_go_when_their_time_has_come_whatever_is_in_them() {
    if needs_root() {
        return;
    }
    let cluster = cluster(&[("LONJA_AGENT_GC_DELAY", "0s"), ("LONJA_AGENT_DISK_WATCH_INTERVAL", "20ms")]);
    let script = "mkdir -p a/b/c; touch a/b/c/file; chmod 000 a; ln -s /etc out; mkfifo pipe; \
                  i=0; while [ $i -lt 300 ]; do mkdir d; cd d; i=$((i+1)); done; touch -d 2100-01-01 \"$MESOS_SANDBOX\"";
    assert!(cluster.spawn_run(&["--", "sh", "-c", script]).wait().unwrap().success());
    eventually("the sandbox goes", || (sandboxes(&cluster) == 0).then_some(()));
    assert!(Path::new("/etc/passwd").exists());
    // It is counted when it is gone.
    let metrics = || cluster.agent.as_ref().unwrap().get("/metrics");
    let counted = || metrics().contains("lonja_agent_gc_path_removals_succeeded 1").then_some(());
    eventually("the removal is counted", counted);
}
