//! Limits hold, and a breach ends the whole container.

use std::time::Duration;

use lonja_agent::containerizer::{Limits, TaskEnd};
use lonja_agent::isolation::Layout;
use lonja_agent::launcher::Launcher;

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

pub async fn a_memory_breach_of_the_task_itself_is_told(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "exec tail /dev/zero");
    spec.limits.memory_bytes = Some(16 * MIB);
    host.start(spec).await;

    let record = host.end_of("c1").await;

    assert_eq!(record.memory_breach.unwrap().limit_bytes, 16 * MIB);
    assert_eq!(record.status, Some(TaskEnd::Signaled(libc::SIGKILL)));
    Ok(())
}

pub async fn limits_reach_the_kernel(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let (Layout::V1(roots) | Layout::Hybrid { limits: roots, .. }) = host.layout.clone() else {
        return Err("needs the v1 controllers".to_owned());
    };
    let mut spec = host.spec("c1", "sleep 1000");
    spec.limits = Limits {
        cpus_thousandths: Some(500),
        cpu_hard_cap: true,
        memory_bytes: Some(64 * MIB),
        pids_max: Some(10),
    };
    host.start(spec).await;

    let below = format!("lonja/{}/{}", host.instance, host.owner("c1").group);
    let read = |root: Option<&std::path::PathBuf>, file: &str| {
        let path = root.unwrap().join(&below).join(file);
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    };
    assert_eq!(read(roots.cpu.as_ref(), "cpu.shares"), "512");
    assert_eq!(read(roots.cpu.as_ref(), "cpu.cfs_quota_us"), "50000");
    assert_eq!(read(roots.memory.as_ref(), "memory.limit_in_bytes"), (64 * MIB).to_string());
    assert_eq!(read(roots.pids.as_ref(), "pids.max"), "11");
    host.kill("c1", Duration::ZERO).await;
    host.end_of("c1").await;
    host.assert_no_traces();
    Ok(())
}
