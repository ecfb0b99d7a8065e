//! What processes beside the task leave behind: nothing, on any kind of control groups, and none of it uncounted.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lonja_agent::containerizer::{
    Command, Containerizer, Limits, LinuxContainerizer, Nested, NestedEvent, NestedProcess, TaskEnd,
};
use lonja_agent::isolation::Layout;
use lonja_agent::launcher::Launcher;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::{Host, eventually, name, need_root, processes_with};

type Verdict = Result<(), String>;

const WAITS: &str = "exec sleep 300";

/// Leaves processes in sessions of their own that want to be left alone, and does not wait for them.
const LEAVES: &str = "for n in 1 2 3; do setsid sh -c \"trap '' HUP TERM; (sleep 300 & sleep 300)\" & done; \
                      setsid sleep 300 & echo over";

/// A shell whose processes can be told from the task's.
fn marked(host: &Host, line: &str) -> (Nested, String) {
    let mark = format!("{}/nested", host.dir.path().display());
    let environment = [("MARK".to_owned(), mark.clone())].into();
    (Nested { environment, ..Nested::new(Command::Shell(line.to_owned())) }, mark)
}

async fn up(process: &mut NestedProcess) {
    assert!(matches!(process.next().await, Some(NestedEvent::Output(_, _))));
}

/// Where a container's groups are, one for each hierarchy.
fn groups_of(host: &Host, layout: &Layout, id: &str) -> Vec<PathBuf> {
    let group = host.owner(id).group;
    let roots: Vec<&PathBuf> = match layout {
        Layout::V1(roots) => [&roots.cpuacct, &roots.pids, &roots.memory].into_iter().flatten().collect(),
        Layout::Hybrid { unified, .. } => vec![unified],
        Layout::V2 { root } => vec![root],
        Layout::Unlimited { .. } => Vec::new(),
    };
    let below = |root: &PathBuf| root.join("lonja").join(host.instance.as_str()).join(group.as_str());
    roots.into_iter().map(below).collect()
}

fn nested_groups(host: &Host, layout: &Layout, id: &str) -> usize {
    let groups = groups_of(host, layout, id);
    let entries = groups.iter().filter_map(|group| fs::read_dir(group).ok()).flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("exec-")).count()
}

pub async fn what_it_leaves_behind_ends_with_it(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let task = host.start_shell("c1", WAITS).await;
    leave_nothing(&host, &host.containerizer, &host.layout, "c1").await;
    assert!(fs::exists(format!("/proc/{task}")).unwrap(), "the task lives on");
    Ok(())
}

pub async fn on_v1_alone_nothing_is_left_either(launcher: &Launcher) -> Verdict {
    need_root()?;
    let mut host = Host::new(launcher);
    let Layout::Hybrid { limits, .. } = host.layout.clone() else {
        return Err("this host has not both versions of control groups".to_owned());
    };
    host.layout = Layout::V1(limits);
    let containerizer = host.containerizer_of_its_own(launcher);
    let task = host.start_with(&containerizer, host.spec("c1", WAITS)).await;
    leave_nothing(&host, &containerizer, &host.layout, "c1").await;
    assert!(fs::exists(format!("/proc/{task}")).unwrap(), "the task lives on");
    containerizer.destroy(&name("c1")).await.unwrap();
    Ok(())
}

async fn leave_nothing(host: &Host, containerizer: &LinuxContainerizer, layout: &Layout, id: &str) {
    // By its own end,
    let (nested, mark) = marked(host, LEAVES);
    let ran = containerizer.run_inside(&name(id), nested).await.unwrap().collect(100).await.unwrap();
    assert_eq!((ran.stdout.as_slice(), ran.end.status), (&b"over\n"[..], TaskEnd::Exited(0)));
    assert_eq!(processes_with(&mark), Vec::<i32>::new(), "left behind");
    // by that of who asked for it,
    let (nested, mark) = marked(host, &format!("{LEAVES}; exec sleep 300"));
    let mut process = containerizer.run_inside(&name(id), nested).await.unwrap();
    up(&mut process).await;
    assert!(nested_groups(host, layout, id) > 0, "it has a group of its own");
    drop(process);
    eventually("all of it is gone", || processes_with(&mark).is_empty()).await;
    // and by its time limit.
    let (nested, mark) = marked(host, &format!("{LEAVES}; exec sleep 300"));
    let nested = Nested { time_limit: Some(Duration::from_millis(200)), ..nested };
    let ran = containerizer.run_inside(&name(id), nested).await.unwrap().collect(100).await.unwrap();
    assert!(ran.end.timed_out);
    assert_eq!(processes_with(&mark), Vec::<i32>::new(), "left behind");
    eventually("no group is left", || nested_groups(host, layout, id) == 0).await;
}

pub async fn what_a_killed_custodian_leaves_behind_ends_too(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let task = host.start_shell("c1", WAITS).await;
    let (nested, mark) = marked(&host, &format!("{LEAVES}; exec sleep 300"));
    let mut process = host.containerizer.run_inside(&name("c1"), nested).await.unwrap();
    up(&mut process).await;
    let custodians = custodians(launcher.pid());
    assert_eq!(custodians.len(), 1, "{custodians:?}");

    kill(Pid::from_raw(custodians[0]), Signal::SIGKILL).unwrap();

    let mut last = process.next().await;
    while let Some(NestedEvent::Output(_, _)) = last {
        last = process.next().await;
    }
    assert!(matches!(last, Some(NestedEvent::Lost(_))), "{last:?}");
    assert_eq!(nested_groups(&host, &host.layout, "c1"), 0, "before its loss is told");
    eventually("all of it is gone", || processes_with(&mark).is_empty()).await;
    assert!(fs::exists(format!("/proc/{task}")).unwrap(), "the task lives on");
    Ok(())
}

pub async fn what_it_uses_counts_for_the_task(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    host.start_shell("c1", WAITS).await;
    let usage = || host.containerizer.usage(&name("c1")).unwrap();
    let before = usage();

    let (nested, _) = marked(&host, "sleep 300 & echo up; while :; do :; done");
    let mut process = host.containerizer.run_inside(&name("c1"), nested).await.unwrap();
    up(&mut process).await;

    let now = usage();
    assert!(now.pids.unwrap() >= before.pids.unwrap() + 2, "{before:?} {now:?}");
    let spent = || usage().cpu_ns.unwrap() - before.cpu_ns.unwrap();
    eventually("its processor time is the task's", || spent() > 200_000_000).await;
    Ok(())
}

pub async fn the_tasks_limits_hold_for_it(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", WAITS);
    spec.limits = Limits { pids_max: Some(8), memory_bytes: Some(64 << 20), ..spec.limits };
    host.start(spec).await;

    let (nested, _) = marked(&host, "for n in 1 2 3 4 5 6 7 8 9; do sleep 300 & done; echo all");
    let ran = host.containerizer.run_inside(&name("c1"), nested).await.unwrap();
    let ran = ran.collect(1_000).await.unwrap();
    assert!(!String::from_utf8_lossy(&ran.stdout).contains("all"), "{ran:?}");

    // More memory than the task may have, and it is the task that falls, as for a child of its own.
    let (nested, _) = marked(&host, "head -c 200000000 /dev/zero | tail");
    let ran = host.containerizer.run_inside(&name("c1"), nested).await.unwrap();
    let _ended = ran.collect(1_000).await;
    let record = host.end_of("c1").await;
    assert!(record.memory_breach.is_some(), "{record:?}");
    host.assert_no_traces();
    Ok(())
}

pub async fn a_killed_agent_leaves_the_task_and_nothing_beside_it(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let task = host.start_shell("c1", WAITS).await;
    let (nested, mark) = marked(&host, &format!("{LEAVES}; exec sleep 300"));
    let mut process = host.containerizer.run_inside(&name("c1"), nested).await.unwrap();
    up(&mut process).await;
    let custodians = custodians(launcher.pid());
    assert_eq!(custodians.len(), 1, "{custodians:?}");

    // All that a dying agent does for its custodians is to hang up.
    drop(process);

    eventually("all of it is gone", || processes_with(&mark).is_empty()).await;
    eventually("the custodian too", || !fs::exists(format!("/proc/{}", custodians[0])).unwrap()).await;
    assert!(fs::exists(format!("/proc/{task}")).unwrap(), "the task lives on");
    assert_eq!(nested_groups(&host, &host.layout, "c1"), 0);
    Ok(())
}

fn custodians(launcher: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).unwrap();
    let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.filter(|pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with("lonja-nested"))
    })
    .collect()
}
