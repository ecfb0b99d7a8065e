//! How containers end: by themselves, on request, and always whole.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lonja_agent::containerizer::{ContainerExit, Containerizer, TaskEnd};
use lonja_agent::launcher::Launcher;

use crate::host::{Host, eventually, name, need_root, processes_with, read_fifo};

type Verdict = Result<(), String>;

pub async fn a_task_that_obeys_sigterm_ends_by_itself(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let fifo = host.make_fifo("c1");
    // Short sleeps: a shell takes its trap only between commands, and may miss the one before a long sleep.
    let line = "trap 'echo bye; exit 5' TERM; echo ready > fifo; while :; do sleep 0.01; done";
    host.start_shell("c1", line).await;
    read_fifo(&fifo).await;

    host.kill("c1", Duration::from_secs(60)).await;
    let record = host.end_of("c1").await;

    assert_eq!(record.status, Some(TaskEnd::Exited(5)));
    assert!(record.kill_requested);
    assert_eq!(host.log("c1", "stdout"), "bye\n");
    host.assert_no_traces();
    Ok(())
}

pub async fn a_task_that_ignores_sigterm_is_killed_after_its_grace(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let fifo = host.make_fifo("c1");
    let line = "trap '' TERM; echo ready > fifo; sleep 1000 & sleep 1000; echo no";
    host.start_shell("c1", line).await;
    read_fifo(&fifo).await;
    let asked = Instant::now();

    host.kill("c1", Duration::from_millis(150)).await;
    let record = host.end_of("c1").await;

    assert!(asked.elapsed() >= Duration::from_millis(150));
    assert!(asked.elapsed() < Duration::from_secs(5));
    assert_eq!(record.status, Some(TaskEnd::Signaled(libc::SIGKILL)));
    assert!(record.kill_requested);
    host.assert_no_traces();
    Ok(())
}

pub async fn a_shorter_grace_shortens_the_one_under_way(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let fifo = host.make_fifo("c1");
    host.start_shell("c1", "trap '' TERM; echo ready > fifo; sleep 1000").await;
    read_fifo(&fifo).await;

    host.kill("c1", Duration::from_secs(3_600)).await;
    host.kill("c1", Duration::from_secs(7_200)).await;
    host.kill("c1", Duration::ZERO).await;

    assert!(host.end_of("c1").await.kill_requested);
    Ok(())
}

pub async fn orphans_are_reaped(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    // Waits inside until no zombie child of init is left, which is for ever if nobody reaps.
    let line = "for i in 1 2 3 4 5 6 7 8; do (true &); done; \
                while grep -q ') Z 1 ' /proc/[0-9]*/stat 2>/dev/null; do :; done; exit 3";
    host.start_shell("c1", line).await;

    assert_eq!(host.end_of("c1").await.status, Some(TaskEnd::Exited(3)));
    Ok(())
}

pub async fn daemons_die_with_their_task(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let line = "for i in 1 2 3; do setsid sh -c 'trap \"\" TERM HUP; sleep 1000 & wait' & done; \
                (setsid sleep 1000 &); exit 0";
    host.start_shell("c1", line).await;

    let record = host.end_of("c1").await;

    assert_eq!(record.status, Some(TaskEnd::Exited(0)));
    host.assert_no_traces();
    Ok(())
}

pub async fn a_container_dies_with_its_supervisor(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", "sleep 1000 & sleep 1000").await;
    let supervisor = host.owner("c1");

    let pid = nix::unistd::Pid::from_raw(supervisor.process.pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let exit = host.exit_of("c1").await;

    assert!(matches!(exit, ContainerExit::Unknown { .. }), "{exit:?}");
    assert!(processes_with(host.dir.path().to_str().unwrap()).is_empty());
    host.assert_no_traces();
    Ok(())
}

/// Run directories on a disk of their own without room; gone afterwards, and with room before that.
struct Full(PathBuf);

impl Full {
    fn below(host: &Host) -> Self {
        use rustix::mount::{MountFlags, mount};
        let path = host.dir.path().join("work/run");
        mount("tmpfs", &path, "tmpfs", MountFlags::empty(), Some(c"size=1m")).unwrap();
        Self(path)
    }

    fn fill(&self, id: &str) {
        // The place that is kept for the record.
        fs::remove_file(self.0.join(id).join("started.json")).unwrap();
        let mut file = fs::File::create(self.0.join("fill")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        // Whoever waits for room goes.
        let _none = fs::remove_file(self.0.join("fill"));
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

pub async fn a_container_that_waits_for_room_to_say_how_it_ended_can_be_ended(
    launcher: &Launcher,
) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let full = Full::below(&host);
    let fifo = host.make_fifo("c1");
    let pid = host.start_shell("c1", "read line < fifo").await;
    full.fill("c1");

    tokio::task::spawn_blocking(move || fs::write(fifo, "go\n")).await.unwrap().unwrap();
    let gone = || !std::path::Path::new(&format!("/proc/{pid}")).exists();
    eventually("the task has ended", gone).await;

    // The first may come while there is still something to end; whoever wants an end asks again.
    let container = name("c1");
    let mut end = host.containerizer.wait(&container);
    let asked = async {
        loop {
            let _asked = host.containerizer.kill(&container, Some(Duration::ZERO)).await;
            if let Ok(ended) = tokio::time::timeout(Duration::from_millis(20), &mut end).await {
                return ended.unwrap();
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), asked).await;
    assert!(matches!(ended, Ok(ContainerExit::Unknown { .. })), "{ended:?}");
    Ok(())
}
