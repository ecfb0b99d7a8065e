//! Containers of one group: what they share, for how long, and that it goes with the last of them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use lonja_agent::containerizer::{
    Command, Confinement, ContainerSpec, Containerizer, Network, Recovered, TaskEnd, Volume, VolumeSource,
};
use lonja_agent::launcher::Launcher;
use lonja_model::profile::Profile;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::{Host, eventually, name, need_root};

type Verdict = Result<(), String>;

const WAITS: &str = "exec sleep 300";

/// Where the sibling answers, on the group's own loopback.
const PORT: u16 = 47_110;

/// A task of a group, without a network of the host's.
fn member(host: &Host, id: &str, line: &str) -> ContainerSpec {
    let mut spec = host.spec(id, line);
    spec.joins = Some(name("pod"));
    spec.network = Network::None;
    spec
}

/// A task of a group that runs a mode of this program.
fn program(host: &Host, id: &str, mode: &str) -> ContainerSpec {
    let mut spec = member(host, id, "");
    spec.command = Command::Argv { program: "./program".into(), args: vec![mode.to_owned()] };
    spec.volumes.push(Volume {
        source: VolumeSource::host(std::env::current_exe().unwrap()),
        container_path: "program".into(),
        read_only: true,
    });
    spec
}

/// Runs inside: says hello to the first who connects.
pub fn answer() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap();
    listener.accept().unwrap().0.write_all(b"hello").unwrap();
}

/// Runs inside: says what a sibling answers.
pub fn ask() {
    for _ in 0..1_000 {
        if let Ok(mut sibling) = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)) {
            let mut said = String::new();
            sibling.read_to_string(&mut said).unwrap();
            print!("{said}");
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody answers");
}

fn namespace(pid: i32, kind: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap()
}

fn folder(host: &Host) -> PathBuf {
    host.dir.path().join("work/groups/pod")
}

pub async fn siblings_meet_on_their_loopback_and_nobody_else_does(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    host.start(program(&host, "web", "answer")).await;
    let stranger = Host::new(launcher);
    let mut other = stranger.spec("other", "");
    other.network = Network::None;
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{PORT}");
    other.command = Command::Argv { program: "bash".into(), args: vec!["-c".into(), connect] };
    stranger.start(other).await;
    assert_ne!(stranger.end_of("other").await.status, Some(TaskEnd::Exited(0)));
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).is_err(), "the host does not reach it");

    assert_eq!(host.output(program(&host, "sidecar", "ask")).await, "hello");

    assert_eq!(host.end_of("web").await.status, Some(TaskEnd::Exited(0)));
    host.assert_no_traces();
    Ok(())
}

pub async fn siblings_share_network_and_queues_and_nothing_else(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let one = host.start(member(&host, "one", WAITS)).await;
    let mut hardened = member(&host, "two", WAITS);
    hardened.profile = Profile::Hardened;
    hardened.confinement = Confinement::hardened();
    let two = host.start(hardened).await;
    let mut elsewhere = member(&host, "three", WAITS);
    elsewhere.joins = Some(name("another"));
    let three = host.start(elsewhere).await;
    for kind in ["net", "ipc"] {
        assert_eq!(namespace(one, kind), namespace(two, kind), "{kind}");
        assert_ne!(namespace(one, kind), namespace(three, kind), "{kind}");
        assert_ne!(namespace(one, kind), namespace(std::process::id().cast_signed(), kind), "{kind}");
    }
    for kind in ["pid", "mnt", "uts", "user", "cgroup"] {
        assert_ne!(namespace(one, kind), namespace(two, kind), "{kind}");
    }
    // What is seen of queues is the group's.
    let seen = host.output(member(&host, "maker", ": > /dev/mqueue/pod; ls /dev/mqueue")).await;
    assert_eq!(seen, "pod\n");
    assert_eq!(
        host.output(member(&host, "reader", "ls /dev/mqueue; grep -c : /proc/net/dev")).await,
        "pod\n1\n"
    );
    Ok(())
}

pub async fn who_uses_the_hosts_network_shows_no_sibling_the_way_there(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut open = member(&host, "open", WAITS);
    open.network = Network::Host;
    let open = host.start(open).await;
    let closed = host.start(member(&host, "closed", WAITS)).await;
    let own = std::process::id().cast_signed();
    assert_eq!(namespace(open, "net"), namespace(own, "net"));
    assert_ne!(namespace(closed, "net"), namespace(own, "net"));
    assert_eq!(namespace(open, "ipc"), namespace(closed, "ipc"));
    Ok(())
}

pub async fn many_that_come_at_once_share_and_the_last_takes_it_along(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let ids: Vec<String> = (0..8).map(|number| format!("c{number}")).collect();
    let starts = ids.iter().map(|id| host.start(member(&host, id, WAITS)));
    let pids = futures::future::join_all(starts).await;
    for kind in ["net", "ipc"] {
        let all: BTreeSet<PathBuf> = pids.iter().map(|pid| namespace(*pid, kind)).collect();
        assert_eq!(all.len(), 1, "{kind}: {all:?}");
    }
    let shared = namespace(pids[0], "net");
    // The first may go, and others still come to the rest.
    host.kill("c0", Duration::ZERO).await;
    host.end_of("c0").await;
    let late = host.start(member(&host, "late", WAITS)).await;
    assert_eq!(namespace(late, "net"), shared);
    for id in ids.iter().skip(1).map(String::as_str).chain(["late"]) {
        host.kill(id, Duration::ZERO).await;
        host.end_of(id).await;
    }
    assert!(!folder(&host).exists(), "the group's folder is gone");
    eventually("nobody is in the namespace", || !held(&shared)).await;
    host.assert_no_traces();
    Ok(())
}

/// Whether any process of this host is in the namespace.
fn held(network: &PathBuf) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .into_iter()
        .any(|entry| fs::read_link(entry.path().join("ns/net")).is_ok_and(|its| its == *network))
}

pub async fn a_killed_supervisor_is_nobodys_way_in_and_is_swept_away(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let one = host.start(member(&host, "one", WAITS)).await;
    let before = namespace(one, "net");
    let supervisor = host.owner("one").process.pid;
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    host.exit_of("one").await;
    assert!(!folder(&host).exists(), "swept away when its end was found");

    let two = host.start(member(&host, "two", WAITS)).await;
    // The kernel may give a new namespace the number of one that is gone.
    let _ = before;
    assert!(held(&namespace(two, "net")));
    let members: Vec<_> =
        fs::read_dir(folder(&host)).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(members, ["two"]);
    Ok(())
}

pub async fn what_is_shared_outlives_the_agent(launcher: &Launcher) -> Verdict {
    need_root()?;
    let mut host = Host::new(launcher);
    let one = host.start(member(&host, "one", WAITS)).await;
    let shared = namespace(one, "net");
    // Another agent on the same work directory; all that this one knew is gone.
    host.containerizer = host.containerizer_of_its_own(launcher);
    let recovery = host.containerizer.recover(&[name("one")]).await.unwrap();
    assert_eq!(recovery.containers, [(name("one"), Recovered::Running { pid: Some(one) })]);

    let two = host.start(member(&host, "two", WAITS)).await;

    assert_eq!(namespace(two, "net"), shared);
    Ok(())
}
