//! Agents that die and come back, and launchers that leave nothing.

use std::fs;
use std::process::Command;
use std::time::Duration;

use lonja_agent::containerizer::{
    ContainerExit, Containerizer, FailureReason, LaunchOutcome, Recovered, TaskEnd,
};
use lonja_agent::launcher::Launcher;
use lonja_agent::supervisor::{ExitRecord, Owner, ProcessIdentity, Supervisor};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::agent_process::AgentProcess;
use crate::host::{Host, eventually, name, processes_with, read_fifo};

type Verdict = Result<(), String>;

fn agent_of(host: &Host, ephemeral: bool, line: &str) -> AgentProcess {
    AgentProcess::start(host.dir.path(), &host.instance, ephemeral, line)
}

pub async fn a_killed_agent_finds_its_container_with_the_same_pid(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let agent = agent_of(&host, false, "sleep 1000");
    let task = agent.task;
    agent.kill();

    let recovery = host.containerizer.recover(&[name("c1")]).await.unwrap();

    let running = Recovered::Running { pid: Some(task) };
    assert_eq!(recovery.containers, [(name("c1"), running)]);
    assert!(processes_with(host.dir.path().to_str().unwrap()).contains(&task));
    host.kill("c1", Duration::from_secs(60)).await;
    let record = host.end_of("c1").await;
    assert_eq!(record.status, Some(TaskEnd::Signaled(libc::SIGTERM)));
    assert!(record.kill_requested);
    host.assert_no_traces();
    Ok(())
}

pub async fn an_end_while_the_agent_was_away_is_told_truly(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let fifo = host.make_fifo("c1");
    let agent = agent_of(&host, false, "read word < fifo; exit 42");
    agent.kill();

    tokio::fs::write(&fifo, "go\n").await.unwrap();
    let record = host.dir.path().join("work/run/c1").join(ExitRecord::FILE);
    eventually("the container ends", || record.exists()).await;
    let supervisors = || processes_with(host.dir.path().to_str().unwrap()).is_empty();
    eventually("its processes are gone", supervisors).await;
    host.exit_of("c1").await;
    let recovery = host.containerizer.recover(&[name("c1")]).await.unwrap();

    let (_, Recovered::Exited(ContainerExit::Ended(record))) = &recovery.containers[0] else {
        panic!("{recovery:?}");
    };
    assert_eq!(record.status, Some(TaskEnd::Exited(42)));
    host.assert_no_traces();
    Ok(())
}

pub async fn a_reused_pid_is_neither_adopted_nor_signalled(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let mut bystander = Command::new("sleep").arg("1000").spawn().unwrap();
    let run_dir = host.dir.path().join("work/run/c1");
    fs::create_dir(&run_dir).unwrap();
    let forged = ProcessIdentity {
        pid: i32::try_from(bystander.id()).unwrap(),
        // One tick before the bystander can have started.
        start_time: ProcessIdentity::own().unwrap().start_time - 1,
        boot_id: ProcessIdentity::own().unwrap().boot_id,
    };
    let forged = Supervisor { process: forged, group: name("c1").into() };
    assert!(Owner::Supervisor(forged).claim(&run_dir).unwrap());

    let recovery = host.containerizer.recover(&[name("c1")]).await.unwrap();
    host.kill("c1", Duration::ZERO).await;
    let strays = host.containerizer.recover(&[]).await.unwrap();

    let unharmed = bystander.try_wait().unwrap().is_none();
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    let (_, found) = &recovery.containers[0];
    let unknown = matches!(found, Recovered::Exited(ContainerExit::Unknown { .. }));
    assert!(unknown, "{found:?}");
    assert_eq!(strays.destroyed, ["c1"]);
    assert!(unharmed);
    Ok(())
}

pub async fn a_damaged_exit_record_is_unknown_not_trusted(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", "exit 1").await;
    host.end_of("c1").await;
    let path = host.dir.path().join("work/run/c1").join(ExitRecord::FILE);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"Exited\":1", "\"Exited\":0")).unwrap();

    let exit = host.exit_of("c1").await;

    let ContainerExit::Unknown { why } = exit else {
        panic!("trusted: {exit:?}");
    };
    assert!(why.contains("damaged"), "{why}");
    Ok(())
}

pub async fn an_abandoned_launch_never_starts(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let paused = Pid::from_raw(launcher.pid());
    kill(paused, Signal::SIGSTOP).unwrap();
    let mut launch = host.containerizer.launch(host.spec("c1", "echo never"));
    // Far enough for the request to be on its way.
    let order = host.dir.path().join("work/run/c1/spec.json");
    while !fs::metadata(&order).is_ok_and(|order| order.len() > 0) {
        assert!(futures::poll!(&mut launch).is_pending());
        tokio::task::yield_now().await;
    }
    assert!(futures::poll!(&mut launch).is_pending());

    let recovery = host.containerizer.recover(&[name("c1")]).await;
    kill(paused, Signal::SIGCONT).unwrap();
    let outcome = launch.await;

    assert_eq!(recovery.unwrap().containers, [(name("c1"), Recovered::NeverStarted)]);
    let LaunchOutcome::Failed(failure) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(failure.reason, FailureReason::Abandoned);
    assert!(!host.sandbox("c1").join("stdout").exists());
    host.assert_no_traces();
    Ok(())
}

pub async fn strays_are_destroyed_and_other_instances_left_alone(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let neighbour = Host::new(launcher);
    host.start_shell("wanted", "sleep 1000").await;
    host.start_shell("stray", "trap '' TERM; sleep 1000").await;
    neighbour.start_shell("other", "sleep 1000").await;

    let recovery = host.containerizer.recover(&[name("wanted")]).await.unwrap();

    assert!(matches!(recovery.containers[0].1, Recovered::Running { .. }));
    assert_eq!(recovery.destroyed, ["stray"]);
    assert!(!host.dir.path().join("work/run/stray").exists());
    let found = neighbour.containerizer.recover(&[name("other")]).await.unwrap();
    assert!(matches!(found.containers[0].1, Recovered::Running { .. }));
    host.containerizer.destroy(&name("wanted")).await.unwrap();
    neighbour.containerizer.destroy(&name("other")).await.unwrap();
    host.assert_no_traces();
    neighbour.assert_no_traces();
    Ok(())
}

fn is_gone(pid: i32) -> bool {
    !std::path::Path::new(&format!("/proc/{pid}")).exists()
}

pub async fn a_throw_away_launcher_leaves_nothing_when_its_agent_is_killed(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let fifo = host.make_fifo("c1");
    let line = "trap '' TERM; setsid sleep 1000 & echo ready > fifo; sleep 1000";
    let agent = agent_of(&host, true, line);
    read_fifo(&fifo).await;
    let (task, its_launcher) = (agent.task, agent.launcher);

    agent.kill();

    eventually("the launcher ends", || is_gone(its_launcher)).await;
    assert!(is_gone(task));
    assert!(!host.dir.path().join("work").exists());
    assert!(!host.dir.path().join("sandboxes").exists());
    host.assert_no_traces();
    Ok(())
}

pub async fn a_throw_away_launcher_that_is_killed_takes_its_containers_along(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let agent = agent_of(&host, true, "trap '' TERM; sleep 1000");

    kill(Pid::from_raw(agent.launcher), Signal::SIGKILL).unwrap();

    eventually("the task ends", || is_gone(agent.task)).await;
    let exit = host.exit_of("c1").await;
    assert!(matches!(exit, ContainerExit::Ended(_)), "{exit:?}");
    Ok(())
}
