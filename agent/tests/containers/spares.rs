//! Containers made ahead of time: used, limited and found like any other, and gone when not wanted.

use std::collections::BTreeSet;
use std::time::Duration;

use lonja_agent::containerizer::{Containerizer, Recovered, TaskEnd};
use lonja_agent::isolation::{GroupName, Limits};
use lonja_agent::launcher::Launcher;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::agent_process::AgentProcess;
use crate::host::{Host, containerizer, eventually, name, need_root};

type Verdict = Result<(), String>;

/// How many spares a launcher keeps for an instance.
pub const SPARES: usize = 3;

/// Waits until the host's spares are there and ready, and returns their groups.
pub async fn ready_spares(host: &Host) -> BTreeSet<GroupName> {
    let ready = |group: &GroupName| {
        let usage = host.layout.container(&host.instance, group).usage();
        usage.is_ok_and(|usage| usage.pids == Some(1))
    };
    let all_ready = || host.spares().len() == SPARES && host.spares().iter().all(ready);
    eventually("the spares are ready", all_ready).await;
    host.spares()
}

pub async fn a_launch_takes_a_spare_and_another_is_made(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let spares = ready_spares(&host).await;

    let task = host.start_shell("c1", "exec sleep 1000").await;

    let group = host.owner("c1").group;
    assert!(spares.contains(&group), "{group} is none of {spares:?}");
    let groups = std::fs::read_to_string(format!("/proc/{task}/cgroup")).unwrap();
    assert!(groups.contains(&format!("lonja/{}/{group}", host.instance)), "{groups}");
    eventually("another is made", || host.spares().len() == SPARES + 1).await;
    host.containerizer.destroy(&name("c1")).await.unwrap();
    assert!(!host.spares().contains(&group));
    Ok(())
}

pub async fn limits_hold_in_a_spare(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    ready_spares(&host).await;
    let mut greedy = host.spec("c1", "exec tail /dev/zero");
    greedy.limits = Limits { memory_bytes: Some(16 << 20), ..greedy.limits };
    let mut busy = host.spec("c2", "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo all");
    busy.limits.pids_max = Some(4);
    host.start(greedy).await;
    host.start(busy).await;

    let (greedy, busy) = (host.end_of("c1").await, host.end_of("c2").await);

    assert!(host.owner("c1").group.is_spare() && host.owner("c2").group.is_spare());
    assert_eq!(greedy.memory_breach.unwrap().limit_bytes, 16 << 20);
    assert_ne!(busy.status, Some(TaskEnd::Exited(0)), "it could fork beyond its limit");
    host.assert_no_traces();
    Ok(())
}

pub async fn a_container_in_a_spare_is_found_again(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    ready_spares(&host).await;
    let task = host.start_shell("c1", "exec sleep 1000").await;
    let group = host.owner("c1").group;
    // As an earlier launcher leaves it when it and its spare are killed.
    let leftover = GroupName::new("spare+1-1-1").unwrap();
    host.layout.container(&host.instance, &leftover).create().unwrap();

    let next = containerizer(host.dir.path(), &host.instance, launcher);
    let recovery = next.recover(&[name("c1")]).await.unwrap();

    assert_eq!(recovery.containers, [(name("c1"), Recovered::Running { pid: Some(task) })]);
    assert!(recovery.destroyed.is_empty());
    assert!(group.is_spare() && host.spares().contains(&group));
    assert!(!host.spares().contains(&leftover));
    assert!(next.usage(&name("c1")).unwrap().pids.unwrap() >= 2);
    next.destroy(&name("c1")).await.unwrap();
    host.assert_no_traces();
    Ok(())
}

/// An agent process's launcher, and spares, killed or left alone by `end`.
async fn nothing_is_left_after(launcher: &Launcher, end: fn(AgentProcess)) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let ours = ready_spares(&host).await;
    let agent = AgentProcess::start(host.dir.path(), &host.instance, false, "exec sleep 1000");
    eventually("its spares are made", || host.spares().len() >= ours.len() + SPARES).await;
    let used = host.owner("c1").group;

    end(agent);

    let only_ours = || host.spares().iter().all(|group| ours.contains(group) || *group == used);
    eventually("its spares are gone", only_ours).await;
    host.containerizer.recover(&[name("c1")]).await.unwrap();
    host.kill("c1", Duration::ZERO).await;
    host.end_of("c1").await;
    host.assert_no_traces();
    Ok(())
}

pub async fn a_killed_agents_idle_spares_leave_nothing(launcher: &Launcher) -> Verdict {
    nothing_is_left_after(launcher, AgentProcess::kill).await
}

pub async fn a_killed_launchers_idle_spares_leave_nothing(launcher: &Launcher) -> Verdict {
    nothing_is_left_after(launcher, |agent| {
        kill(Pid::from_raw(agent.launcher), Signal::SIGKILL).unwrap();
    })
    .await
}

pub async fn many_launches_leave_the_spares_alone(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    ready_spares(&host).await;
    let mut from_spares = 0;
    for number in 0..200 {
        let id = format!("c{number}");
        host.start_shell(&id, "true").await;
        from_spares += usize::from(host.owner(&id).group.is_spare());
        assert_eq!(host.end_of(&id).await.status, Some(TaskEnd::Exited(0)));
        host.containerizer.cleanup(&name(&id)).await.unwrap();
    }

    ready_spares(&host).await;
    let others = host.layout.groups(&host.instance).unwrap().difference(&host.spares()).count();
    assert_eq!(others, 0);
    assert!(from_spares > 100, "only {from_spares} of 200 launches found a spare");
    Ok(())
}
