//! Limits hold, and a breach ends the whole container.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lonja_agent::containerizer::{Confinement, ContainerSpec, Containerizer, Limits, TaskEnd};
use lonja_agent::isolation::{DeviceAccess, DeviceRule, IoThrottle, Layout, Swap, V1Roots, disk_of};
use lonja_agent::launcher::Launcher;
use lonja_model::profile::Profile;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::host::{Host, eventually, name, need_root};

type Verdict = Result<(), String>;

const MIB: u64 = 1024 * 1024;

pub async fn a_fork_bomb_stays_inside_and_dies_whole(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let pids_of = match &host.layout {
        Layout::V1(roots) | Layout::Hybrid { limits: roots, .. } => roots.pids.clone().unwrap(),
        Layout::V2 { root } => root.clone(),
        Layout::Unlimited { why } => return Err(why.clone()),
    };
    // A shell that cannot fork ends, so that a mere bomb may fizzle out; what it leaves behind stays.
    let line = "bomb() { sleep 1000 & bomb | bomb; }; (bomb 2>/dev/null) & exec sleep 1000";
    let mut spec = host.spec("c1", line);
    spec.limits.pids_max = Some(32);
    host.start(spec).await;
    let events = pids_of.join(format!("lonja/{}/{}/pids.events", host.instance, host.owner("c1").group));
    let refused = || !std::fs::read_to_string(&events).unwrap().starts_with("max 0");
    eventually("a fork is refused", refused).await;

    let pids = host.containerizer.usage(&name("c1")).unwrap().pids.unwrap();
    assert!(pids <= 33, "32 and init, found {pids}");
    host.kill("c1", Duration::ZERO).await;
    host.end_of("c1").await;

    host.assert_no_traces();
    Ok(())
}

pub async fn a_memory_breach_ends_every_process(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "setsid sleep 1000 & tail /dev/zero & sleep 1000");
    spec.limits.memory_bytes = Some(32 * MIB);
    host.start(spec).await;

    let record = host.end_of("c1").await;

    let breach = record.memory_breach.unwrap();
    assert_eq!(breach.limit_bytes, 32 * MIB);
    assert!(breach.peak_bytes > 16 * MIB && breach.peak_bytes <= 32 * MIB, "{breach:?}");
    assert_eq!(record.status, Some(TaskEnd::Signaled(libc::SIGKILL)));
    assert!(!record.kill_requested);
    host.assert_no_traces();
    Ok(())
}

/// As when the host is out of memory: no limit of the container's own is reached, and the kernel takes one process.
pub async fn a_process_that_the_host_had_no_memory_for_takes_its_container_along(
    launcher: &Launcher,
) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let group = |id: &str| group_of(&host, id, |roots| &roots.memory).ok_or("needs v1 memory".to_owned());
    let alone = host.start_shell("alone", "sleep 1000").await;
    let mut spec = host.spec("c1", "mkfifo go; (cat go; exec tail /dev/zero) & sleep 1000 & wait; wait");
    spec.limits.memory_bytes = None;
    host.start(spec).await;
    let above = group("c1")?.parent().unwrap().to_owned();
    if !above.join("memory.limit_in_bytes").exists() {
        return Err("needs control groups v1".to_owned());
    }
    std::fs::write(above.join("memory.limit_in_bytes"), (48 * MIB).to_string()).unwrap();
    let count = group("c1")?.join("memory.oom_control");
    let killed = || {
        let text = std::fs::read_to_string(&count).unwrap_or_default();
        text.lines().any(|line| line.starts_with("oom_kill ") && line != "oom_kill 0")
    };
    let go = host.sandbox("c1").join("go");
    eventually("it waits", || go.exists()).await;
    std::fs::write(&go, "").unwrap();
    eventually("the kernel kills", killed).await;

    host.containerizer.look_for_breach(&name("c1")).unwrap();

    let record = host.end_of("c1").await;
    let breach = record.memory_breach.unwrap();
    assert!(breach.host_was_short && !record.kill_requested, "{record:?}");
    assert_eq!(record.status, Some(TaskEnd::Signaled(libc::SIGKILL)));
    // To look is to harm nobody.
    host.containerizer.look_for_breach(&name("alone")).unwrap();
    host.containerizer.look_for_breach(&name("c1")).unwrap();
    assert!(std::path::Path::new(&format!("/proc/{alone}")).exists());
    host.kill("alone", Duration::ZERO).await;
    host.end_of("alone").await;
    host.assert_no_traces();
    Ok(())
}

pub async fn a_memory_breach_of_the_task_itself_is_told(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "exec tail /dev/zero");
    spec.limits.memory_bytes = Some(16 * MIB);
    host.start(spec).await;

    let record = host.end_of("c1").await;

    let breach = record.memory_breach.unwrap();
    assert!(breach.limit_bytes == 16 * MIB && !breach.host_was_short, "{breach:?}");
    assert_eq!(record.status, Some(TaskEnd::Signaled(libc::SIGKILL)));
    Ok(())
}

pub async fn limits_reach_the_kernel(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "sleep 1000");
    spec.limits = Limits {
        cpus_thousandths: Some(500),
        cpu_limit_thousandths: Some(500),
        memory_bytes: Some(64 * MIB),
        pids_max: Some(10),
        ..Limits::default()
    };
    let task = host.start(spec).await;

    let groups = [
        group_of(&host, "c1", |roots| &roots.cpu),
        group_of(&host, "c1", |roots| &roots.memory),
        group_of(&host, "c1", |roots| &roots.pids),
    ];
    let memory = (64 * MIB).to_string();
    let expected = match &host.layout {
        Layout::V2 { .. } => [
            (0, "cpu.weight", "20"),
            (0, "cpu.max", "50000 100000"),
            (1, "memory.max", &memory),
            (1, "memory.oom.group", "1"),
            (2, "pids.max", "11"),
        ],
        _ => [
            (0, "cpu.shares", "512"),
            (0, "cpu.cfs_quota_us", "50000"),
            (1, "memory.limit_in_bytes", &memory),
            (1, "memory.use_hierarchy", "1"),
            (2, "pids.max", "11"),
        ],
    };
    for (group, file, value) in expected {
        let Some(group) = &groups[group] else { return Err("needs the v1 controllers".to_owned()) };
        let text = std::fs::read_to_string(group.join(file)).unwrap();
        assert_eq!(text.trim(), value, "{file}");
    }
    // Born there, also beside v1.
    if matches!(host.layout, Layout::V2 { .. } | Layout::Hybrid { .. }) {
        let theirs = std::fs::read_to_string(format!("/proc/{task}/cgroup")).unwrap();
        let unified = format!("0::/lonja/{}/{}", host.instance, host.owner("c1").group);
        assert!(theirs.lines().any(|line| line == unified), "{theirs}");
    }
    host.kill("c1", Duration::ZERO).await;
    host.end_of("c1").await;
    host.assert_no_traces();
    Ok(())
}

/// Root of the host's own users, with all that it may do there.
fn as_the_host_does(spec: &mut ContainerSpec) {
    spec.profile = Profile::Host;
    spec.confinement = Confinement::host();
}

/// The container's directory in the hierarchy of a controller: its own on v1, everyone's on v2.
fn group_of(host: &Host, id: &str, v1: fn(&V1Roots) -> &Option<PathBuf>) -> Option<PathBuf> {
    let below = format!("lonja/{}/{}", host.instance, host.owner(id).group);
    let root = match &host.layout {
        Layout::V1(roots) | Layout::Hybrid { limits: roots, .. } => v1(roots).clone()?,
        Layout::V2 { root } => root.clone(),
        Layout::Unlimited { .. } => return None,
    };
    Some(root.join(below))
}

///
pub async fn a_hard_cpu_limit_holds_many_threads_back(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let spin = "i=0; while [ $i -lt 8 ]; do (while :; do :; done) & i=$((i+1)); done; wait";
    let mut spec = host.spec("c1", spin);
    spec.limits.cpu_limit_thousandths = Some(200);
    host.start(spec).await;
    let used = || host.containerizer.usage(&name("c1")).unwrap().cpu;
    eventually("ten periods have passed", || used().periods.unwrap() >= 10).await;

    let cpu = used();
    assert_eq!(cpu.limit_thousandths, Some(200));
    assert!(cpu.throttled_periods.unwrap() * 2 >= cpu.periods.unwrap(), "{cpu:?}");
    assert!(cpu.throttled_ns.unwrap() > 0 && cpu.user_ns.unwrap() > 0);
    // 20 ms of each period of 100 ms, and what a timer tick on each processor may be late by.
    let usage = host.containerizer.usage(&name("c1")).unwrap();
    let allowed = (usage.cpu.periods.unwrap() + 2) * 40_000_000;
    assert!(usage.cpu_ns.unwrap() <= allowed, "{usage:?}");
    host.kill("c1", Duration::ZERO).await;
    host.end_of("c1").await;
    host.assert_no_traces();
    Ok(())
}

pub async fn a_request_weighs_and_sets_aside(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "exec sleep 1000");
    spec.limits.cpus_thousandths = Some(500);
    spec.limits.memory_bytes = Some(128 * MIB);
    spec.limits.memory_request_bytes = Some(64 * MIB);
    host.start(spec).await;

    let usage = host.containerizer.usage(&name("c1")).unwrap();

    assert_eq!(usage.memory.limit_bytes, Some(128 * MIB));
    assert_eq!(usage.memory.soft_limit_bytes, Some(64 * MIB));
    assert_eq!(usage.cpu.limit_thousandths, None);
    assert_eq!((usage.pids_limit, usage.pids_refused), (Some(257), Some(0)));
    assert!(usage.memory.rss_bytes.is_some() && usage.memory.peak_bytes > Some(0), "{usage:?}");
    assert!(usage.cpu.user_ns.is_some() && usage.cpu.system_ns.is_some(), "{usage:?}");
    assert_eq!(usage.network, None, "the network is the host's");
    host.kill("c1", Duration::ZERO).await;
    host.end_of("c1").await;
    Ok(())
}

pub async fn there_is_no_swap_unless_the_agent_says_so(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    for (id, swap, beside) in [("c1", Swap::None, 0), ("c2", Swap::Bytes(32 * MIB), 32 * MIB)] {
        let mut spec = host.spec(id, "exec sleep 1000");
        spec.limits.memory_bytes = Some(64 * MIB);
        spec.limits.swap = swap;
        host.start(spec).await;
        let group = group_of(&host, id, |roots| &roots.memory).ok_or("needs a memory controller")?;
        let read = |file: &str| std::fs::read_to_string(group.join(file)).map(|text| text.trim().to_owned());
        match (read("memory.memsw.limit_in_bytes"), read("memory.swap.max")) {
            (Ok(together), _) => assert_eq!(together, (64 * MIB + beside).to_string()),
            (_, Ok(swap)) => assert_eq!(swap, beside.to_string()),
            _ => return Err("needs a kernel that counts swap".to_owned()),
        }
        host.kill(id, Duration::ZERO).await;
        host.end_of(id).await;
    }
    Ok(())
}

/// a fork beyond the limit fails, the task lives, and the count is kept.
pub async fn a_fork_beyond_the_limit_fails_and_is_counted(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let line = "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done 2>/dev/null; exec sleep 1000";
    // A shell ends when it cannot fork; one of its own tries here, and another stays.
    let mut spec = host.spec("c1", &format!("sh -c '{line}'; exec sleep 1000"));
    spec.limits.pids_max = Some(4);
    host.start(spec).await;
    let usage = || host.containerizer.usage(&name("c1")).unwrap();
    eventually("a fork is refused", || usage().pids_refused.unwrap() > 0).await;

    assert!(usage().pids.unwrap() <= 5);
    host.kill("c1", Duration::ZERO).await;
    let record = host.end_of("c1").await;
    assert!(record.kill_requested, "it lived until it was killed");
    let refused = record.refused_forks.unwrap();
    assert!(refused.limit == 4 && refused.count > 0, "{refused:?}");
    host.assert_no_traces();
    Ok(())
}

pub async fn only_listed_devices_can_be_made_or_opened(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let line = "echo x >/dev/null && head -c 1 /dev/zero >/dev/null && echo minimal; \
                mknod null c 1 3 && echo made-null; \
                mknod mem c 1 1 2>/dev/null && echo made-mem; \
                mknod disk b 7 0 2>/dev/null && echo made-disk; \
                head -c 1 disk 2>/dev/null && echo read-disk; \
                head -c 1 kmsg >/dev/null 2>&1 && echo read-kmsg; true";
    // Root of the host's users, whom nothing but the list keeps from devices.
    let mut spec = host.spec("c1", line);
    as_the_host_does(&mut spec);
    spec.limits.devices = Some(DeviceRule::minimal());
    // Nodes that are there already cannot be opened either.
    let sandbox = host.sandbox("c1");
    for (name, number) in [("disk", (7, 0)), ("kmsg", (1, 11))] {
        let kind = if name == "disk" { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
        mknod(&sandbox.join(name), kind, Mode::from_bits_truncate(0o666), makedev(number.0, number.1))
            .unwrap();
    }

    assert_eq!(host.output(spec).await, "minimal\nmade-null\n");

    let mut free = host.spec("c2", "mknod mem c 1 1 && echo made");
    as_the_host_does(&mut free);
    free.limits.devices = None;
    assert_eq!(host.output(free).await, "made\n", "without a list nothing is refused");
    host.assert_no_traces();
    Ok(())
}

pub async fn an_allowed_device_has_a_node(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let node = Path::new("/dev/fuse");
    let rule =
        DeviceRule::of_node(node, DeviceAccess::OPEN).map_err(|_| "needs a device such as /dev/fuse")?;
    let line = "[ -c /dev/fuse ] && echo there";
    let mut spec = host.spec("c1", line);
    spec.limits.devices = Some([DeviceRule::minimal(), vec![rule.clone()]].concat());
    assert_eq!(host.output(spec).await, "there\n");

    let mut without = host.spec("c2", line);
    without.limits.devices = Some(DeviceRule::minimal());
    assert_eq!(host.output(without).await, "");

    let mut opening = host.spec("c3", ": <>/dev/fuse && echo opened");
    as_the_host_does(&mut opening);
    opening.limits.devices = Some([DeviceRule::minimal(), vec![rule]].concat());
    assert_eq!(host.output(opening).await, "opened\n");
    host.assert_no_traces();
    Ok(())
}

pub async fn rates_of_a_disk_reach_the_kernel(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let (major, minor) = match disk_of(host.dir.path()) {
        Ok(disk) => disk,
        Err(_) => first_disk().ok_or("needs a block device")?,
    };
    let mut spec = host.spec("c1", "exec sleep 1000");
    let throttle = IoThrottle {
        major,
        minor,
        read_bps: Some(MIB),
        write_bps: Some(2 * MIB),
        read_iops: Some(100),
        write_iops: Some(200),
    };
    spec.limits.io.throttles.push(throttle);
    host.start(spec).await;

    let group = group_of(&host, "c1", |roots| &roots.blkio).ok_or("needs the v1 controllers")?;
    let read = |file: &str| std::fs::read_to_string(group.join(file)).map(|text| text.trim().to_owned());
    if let Ok(line) = read("io.max") {
        assert_eq!(line, format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=100 wiops=200"));
    } else {
        for (file, rate) in [
            ("read_bps_device", "1048576"),
            ("write_bps_device", "2097152"),
            ("read_iops_device", "100"),
            ("write_iops_device", "200"),
        ] {
            let line = read(&format!("blkio.throttle.{file}")).unwrap();
            assert_eq!(line, format!("{major}:{minor} {rate}"), "{file}");
        }
    }
    host.kill("c1", Duration::ZERO).await;
    host.end_of("c1").await;
    Ok(())
}

/// Any whole disk of this host, for one whose file systems are all in memory.
fn first_disk() -> Option<(u32, u32)> {
    let disk = std::fs::read_dir("/sys/block").ok()?.flatten().next()?;
    let text = std::fs::read_to_string(disk.path().join("dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

pub async fn huge_pages_are_none_unless_allowed(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "exec sleep 1000");
    spec.limits.huge_pages = Some([("2MB".to_owned(), 4 * MIB)].into());
    host.start(spec).await;

    let below = format!("lonja/{}/{}", host.instance, host.owner("c1").group);
    let root = match &host.layout {
        Layout::Hybrid { limits, unified } => limits.hugetlb.as_ref().unwrap_or(unified),
        Layout::V1(limits) => limits.hugetlb.as_ref().ok_or("needs the v1 controllers")?,
        Layout::V2 { root } => root,
        Layout::Unlimited { why } => return Err(why.clone()),
    };
    let read = |size: &str| {
        let files =
            ["max", "limit_in_bytes"].map(|end| root.join(&below).join(format!("hugetlb.{size}.{end}")));
        files.iter().find_map(|file| std::fs::read_to_string(file).ok())
    };
    let Some(allowed) = read("2MB") else {
        return Err("needs huge pages".to_owned());
    };
    assert_eq!(allowed.trim(), (4 * MIB).to_string());
    if let Some(none) = read("1GB") {
        assert_eq!(none.trim(), "0");
    }
    host.kill("c1", Duration::ZERO).await;
    host.end_of("c1").await;
    Ok(())
}

/// files in memory are memory.
pub async fn files_in_memory_count_as_memory(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let fill = "mkdir m && mount -t tmpfs -o size=200m tmpfs m && exec head -c 104857600 /dev/zero >m/fill";
    let mut spec = host.spec("c1", fill);
    as_the_host_does(&mut spec);
    spec.limits.memory_bytes = Some(32 * MIB);
    host.start(spec).await;

    let record = host.end_of("c1").await;

    assert_eq!(record.memory_breach.unwrap().limit_bytes, 32 * MIB);
    host.assert_no_traces();
    Ok(())
}

pub async fn a_breach_leaves_the_neighbour_alone(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let neighbour = host.start_shell("c2", "exec sleep 1000").await;
    let mut spec = host.spec("c1", "sleep 1000 & tail /dev/zero");
    spec.limits.memory_bytes = Some(16 * MIB);
    host.start(spec).await;

    assert!(host.end_of("c1").await.memory_breach.is_some());

    assert!(Path::new(&format!("/proc/{neighbour}")).exists());
    assert_eq!(host.containerizer.usage(&name("c2")).unwrap().memory.oom_kills, Some(0));
    host.kill("c2", Duration::ZERO).await;
    assert_eq!(host.end_of("c2").await.memory_breach, None);
    host.assert_no_traces();
    Ok(())
}
