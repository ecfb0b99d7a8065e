//! An agent without root: user namespaces, and no promise that it cannot keep.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lonja_agent::containerizer::{Confinement, Network, TaskEnd};
use lonja_agent::isolation::{Layout, LimitKind};
use lonja_agent::launcher::{Launcher, LauncherOptions};
use lonja_model::profile::Profile;

use crate::host::{Host, need_root, read_fifo};

type Verdict = Result<(), String>;

/// Runs this binary again as another user, where [`run`] makes the assertions.
pub async fn without_root_containers_run_and_limits_are_said_to_be_off(_: &Launcher) -> Verdict {
    need_root()?;
    let user = "65534";
    // The binary and its working directory have to be readable for that user: a copy is.
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("containers");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    std::os::unix::fs::chown(dir.path(), Some(65_534), Some(65_534)).unwrap();

    let output = Command::new("setpriv")
        .args(["--reuid", user, "--regid", user, "--clear-groups"])
        .arg(&copy)
        .args(["without-root", dir.path().to_str().unwrap()])
        .env("TMPDIR", dir.path())
        .current_dir("/")
        .output();
    let output = output.map_err(|error| format!("cannot run setpriv: {error}"))?;

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Ok(())
}

/// What an agent without root can do.
pub fn run(_work: &Path) {
    let launcher = Launcher::fork(LauncherOptions::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(check(&launcher));
    drop(runtime);
    launcher.stop().unwrap();
}

async fn check(launcher: &Launcher) {
    let host = Host::new(launcher);
    assert!(matches!(host.layout, Layout::Unlimited { .. }), "{:?}", host.layout);
    for enforcement in host.layout.what_is_enforced() {
        let whole_death = enforcement.limit == LimitKind::WholeDeath;
        assert_eq!(enforcement.not_enforced.is_none(), whole_death, "{enforcement:?}");
    }

    let output = host.output(host.spec("c1", "id -u; echo $$; exit 4")).await;
    assert_eq!(output, "0\n2\n");
    assert_eq!(host.end_of("c1").await.status, Some(TaskEnd::Exited(4)));

    // A root of its own is there for everyone, and so is no network.
    let mut own =
        host.spec("own", "cat /proc/self/uid_map; ls -d /etc/shadow /work /sys/kernel; ls /sys/class/net");
    own.network = Network::None;
    let output = host.output(own).await;
    assert_eq!(
        output.split_whitespace().collect::<Vec<_>>(),
        ["0", "65534", "1", "/sys/kernel", "lo"],
        "{output}"
    );
    let mut hardened =
        host.spec("hardened", "id -u; ls -d /sys; tail -n +3 /proc/net/dev | wc -l; touch /x || echo no");
    hardened.profile = Profile::Hardened;
    hardened.confinement = Confinement::hardened();
    assert_eq!(host.output(hardened).await, "65534\n1\nno\n");

    // Commands enter it as they do elsewhere, and a group's tasks run, each with what it would share for itself.
    crate::nested::output_and_status_are_its_own_and_the_task_lives_on(launcher).await.unwrap();
    crate::nested::it_is_where_the_task_is(launcher).await.unwrap();
    crate::nested::it_brings_nothing_of_the_host_along(launcher).await.unwrap();
    crate::nested::it_dies_with_its_container(launcher).await.unwrap();
    crate::nested::nobody_wants_it_so_it_ends(launcher).await.unwrap();
    crate::nested::a_time_limit_ends_it(launcher).await.unwrap();
    crate::nested::a_terminal_is_its_own_and_has_a_size(launcher).await.unwrap();
    crate::nested::in_a_hardened_container_it_is_nobody_and_in_its_network(launcher).await.unwrap();
    let mut member = host.spec("member", "readlink /proc/self/ns/net; exit 0");
    (member.joins, member.network) = (Some(crate::host::name("pod")), Network::None);
    assert!(host.output(member).await.starts_with("net:["));

    crate::volumes::a_volume_outlives_its_tasks(launcher).await.unwrap();
    crate::volumes::a_read_only_volume_cannot_be_written(launcher).await.unwrap();

    let mut other = host.spec("c2", "true");
    other.user = Some("root".into());
    let failure = host.fail(other).await;
    assert!(failure.message.contains("does not run as root"), "{failure}");

    let fifo = host.make_fifo("c3");
    let line = "trap '' TERM; setsid sleep 1000 & echo ready > fifo; sleep 1000";
    host.start_shell("c3", line).await;
    read_fifo(&fifo).await;
    host.kill("c3", Duration::from_millis(20)).await;
    let record = host.end_of("c3").await;
    assert_eq!(record.status, Some(TaskEnd::Signaled(libc::SIGKILL)));
    host.assert_no_traces();
}
