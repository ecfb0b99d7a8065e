//! What a container sees of its host, in each profile.

use std::collections::BTreeSet;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::time::Duration;

use lonja_agent::containerizer::{
    Confinement, ContainerSpec, FailureReason, Isolation, Limits, Network, TaskEnd, Volume, VolumeSource,
};
use lonja_agent::launcher::Launcher;
use lonja_model::profile::Profile;

use crate::host::{Host, eventually, need_root};

type Verdict = Result<(), String>;

fn hardened(mut spec: ContainerSpec) -> ContainerSpec {
    spec.profile = Profile::Hardened;
    spec.confinement = Confinement::hardened();
    spec
}

fn volume(host_path: &Path, inside: &str, read_only: bool) -> Volume {
    Volume { source: VolumeSource::host(host_path), container_path: inside.into(), read_only }
}

/// The lines of a container's `/proc/self/mountinfo`, split at blanks.
async fn mounts(host: &Host, spec: ContainerSpec) -> Vec<Vec<String>> {
    let text = host.output(spec).await;
    text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

pub async fn the_root_holds_what_was_put_into_it(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let output = host.output(host.spec("c1", "ls -A /; ls -A /tmp /home /root /mnt")).await;

    let seen: BTreeSet<&str> = output.lines().take_while(|line| !line.starts_with('/')).collect();
    let own = [
        "dev", "etc", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var",
    ];
    let system = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu", ""];
    for name in own {
        assert!(seen.contains(name), "/{name} is missing: {seen:?}");
    }
    let strange: Vec<_> = seen.iter().filter(|name| !own.contains(name) && !system.contains(name)).collect();
    assert!(strange.is_empty(), "{strange:?}");
    // Of the way to the sandbox there is nothing but the way.
    let way = host.dir.path().strip_prefix("/tmp").unwrap();
    let first = way.components().next().unwrap().as_os_str().to_str().unwrap();
    let listings = output.lines().skip_while(|line| !line.starts_with('/'));
    let rest: Vec<&str> = listings.filter(|line| !line.is_empty()).collect();
    assert_eq!(rest, ["/home:", "/mnt:", "/root:", "/tmp:", first]);
    Ok(())
}

pub async fn every_mount_refuses_set_user_id_and_all_but_six_devices(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "cat /proc/self/mountinfo");
    spec.volumes = vec![volume(&host.sandbox("data"), "/mnt", false)];
    let mounts = mounts(&host, spec).await;

    let mut with_devices = BTreeSet::new();
    for mount in &mounts {
        let options: Vec<&str> = mount[5].split(',').collect();
        assert!(options.contains(&"nosuid"), "{mount:?}");
        if !options.contains(&"nodev") {
            with_devices.insert(mount[4].as_str());
        }
        let of_the_hosts =
            ["/usr", "/etc", "/sys", "/proc/sys"].iter().any(|path| mount[4].starts_with(path));
        assert!(!of_the_hosts || options.contains(&"ro"), "{mount:?}");
    }
    // Masks of files are the device that swallows all.
    with_devices.retain(|path| !path.starts_with("/proc/"));
    let expected =
        ["/dev/full", "/dev/null", "/dev/pts", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"];
    assert_eq!(with_devices, BTreeSet::from(expected));
    assert!(mounts.iter().any(|mount| mount[4] == "/mnt"));
    Ok(())
}

pub async fn root_inside_is_nobody_outside_and_no_two_containers_share_a_user(
    launcher: &Launcher,
) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let line = "id -u; cat /proc/self/uid_map; exec sleep 1000";
    let tasks = [host.start_shell("c1", line).await, host.start_shell("c2", line).await];

    let status = |pid: i32, key: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
        line.split_whitespace().skip(1).map(|id| id.parse::<u32>().unwrap()).collect::<Vec<_>>()
    };
    let mut users = BTreeSet::new();
    for task in tasks {
        let init = status(task, "PPid:")[0].cast_signed();
        for process in [task, init] {
            let ids = status(process, "Uid:");
            assert!(ids.iter().all(|id| *id >= 65_536 && *id == ids[0]), "{ids:?}");
            assert_eq!(status(process, "Gid:"), ids);
            users.insert(ids[0]);
        }
    }
    assert_eq!(users.len(), 2, "{users:?}");
    eventually("both have said who they are", || host.log("c2", "stdout").lines().count() == 2).await;
    assert!(host.log("c2", "stdout").starts_with("0\n"));
    for id in ["c1", "c2"] {
        host.kill(id, Duration::ZERO).await;
        host.end_of(id).await;
    }
    host.assert_no_traces();
    Ok(())
}

pub async fn secrets_of_the_host_and_of_others_are_not_there(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    fs::write(host.sandbox("other").join("secret"), "secret").unwrap();
    let dir = host.dir.path().display();
    let line = format!(
        "for path in /etc/shadow /etc/gshadow /etc/ssh /etc/machine-id /etc/sudoers /etc/ssl/private /boot ~root/.ssh \
         {dir}/work {dir}/sandboxes/other /var/lib/dpkg /run/lonja /sys/kernel/debug/x /sys/fs/cgroup/memory; \
         do test -e $path && echo $path; done; ls -A {dir}; ls -A {dir}/sandboxes; cat /etc/passwd | wc -l"
    );

    assert_eq!(host.output(host.spec("c1", &line)).await, "sandboxes\nc1\n2\n");
    Ok(())
}

pub async fn what_tells_of_the_host_is_masked_and_what_changes_it_read_only(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let line = "cd /proc; for file in kcore keys key-users timer_list interrupts sched_debug kallsyms; do \
                test -e $file && head -c 64 $file | wc -c; done; ls -A /sys/firmware | wc -l; \
                for file in /proc/sys/kernel/core_pattern /proc/sys/vm/swappiness /proc/sysrq-trigger \
                /sys/kernel/mm/ksm/run /usr/bin/env /etc/passwd /etc/ssl/certs/x; do \
                (echo x >> $file) 2> /dev/null && test $file != /proc/sysrq-trigger && echo wrote $file; done; \
                umount /proc/kcore 2> /dev/null && echo unmasked; \
                mount -o remount,rw /proc/sys 2> /dev/null && echo remounted; echo end";

    let output = host.output(host.spec("c1", line)).await;

    let (masked, last) = output.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(last, "end");
    assert!(masked.lines().all(|line| line == "0"), "{output}");
    Ok(())
}

pub async fn there_is_no_path_back(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let line = "stat -L -c %d:%i / /.. /proc/self/root /proc/1/root/ 2> /dev/null | sort -u | wc -l; \
                cat /proc/self/mountinfo | awk '$5 == \"/\"' | wc -l; ls -d /old_root /.old /oldroot 2> /dev/null; \
                cd ../../../../../../../..; pwd; ls -l /proc/self/fd | grep -c ' -> /' ";
    let output = host.output(host.spec("c1", line)).await;

    // One root, for /proc/1/root is not even looked into; descriptors lead to places of its own: its input and the
    // folder that ls reads. Its output is a pipe.
    assert_eq!(output, "1\n1\n/\n2\n");
    Ok(())
}

pub async fn init_keeps_no_power_but_to_hand_signals_on(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let fifo = host.make_fifo("c1");
    host.start_shell("c1", "echo > fifo; exec sleep 1000").await;
    crate::host::read_fifo(&fifo).await;
    let supervisor = host.owner("c1").process.pid;
    let children = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).unwrap();
    let init: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
    let status = |key: &str| {
        let status = fs::read_to_string(format!("/proc/{init}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };

    // After the task was started, so perhaps a moment later.
    eventually("init is confined", || status("Seccomp:") == "2").await;

    for key in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(status(key), "0000000000000020", "{key}");
    }
    assert_eq!(status("NoNewPrivs:"), "1");
    host.kill("c1", Duration::from_secs(10)).await;
    let record = host.end_of("c1").await;
    assert_eq!(record.status, Some(TaskEnd::Signaled(libc::SIGTERM)));
    Ok(())
}

pub async fn files_belong_outside_to_whom_they_belong_inside(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let data = host.sandbox("data");
    fs::write(data.join("of-root"), "").unwrap();
    let line = "echo x > made; mkdir folder; chown 1000:1000 folder; echo x > /mnt/made; \
                stat -c '%u %g' . made stdout /mnt/of-root /mnt/made /usr deep";
    let mut spec = host.spec("c1", line);
    spec.volumes = vec![volume(&data, "/mnt", false), volume(&data, "deep/er/still", true)];

    let output = host.output(spec).await;

    let nobodys = "65534 65534";
    assert_eq!(output, format!("0 0\n0 0\n0 0\n0 0\n0 0\n{nobodys}\n0 0\n"));
    let owner = |path: &Path| fs::metadata(path).map(|found| (found.uid(), found.gid())).unwrap();
    let sandbox = host.sandbox("c1");
    assert_eq!(owner(&sandbox.join("made")), (0, 0));
    assert_eq!(owner(&sandbox.join("folder")), (1_000, 1_000));
    assert_eq!(owner(&data.join("made")), (0, 0));
    Ok(())
}

pub async fn the_logs_can_be_opened_by_name(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let mut specs =
        vec![host.spec("c1", "echo one > /dev/stdout; echo two > /dev/stderr; tty < /dev/null; echo three")];
    if host.is_root() {
        let mut other =
            host.spec("c2", "echo one > /dev/stdout; echo two > /dev/stderr; tty < /dev/null; echo three");
        other.user = Some("nobody".into());
        std::os::unix::fs::chown(&other.sandbox, Some(65_534), Some(65_534)).unwrap();
        specs.push(other);
    }
    for spec in specs {
        let id = spec.container_id.to_string();
        assert_eq!(host.output(spec).await, "one\nnot a tty\nthree\n");
        assert_eq!(host.log(&id, "stderr"), "two\n");
    }
    Ok(())
}

pub async fn temporary_files_are_its_own_and_bounded(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let name = host.dir.path().file_name().unwrap().to_str().unwrap();
    let line = format!(
        "echo x > /tmp/{name}-1; echo x > /dev/shm/{name}-1; touch /var/tmp/x /run/x; \
         df --output=size -k /tmp | tail -n 1; stat -c %a /tmp /dev/shm; \
         dd if=/dev/zero of=/tmp/big bs=1M count=64 2>&1 | grep -o 'No space left'"
    );
    let mut spec = host.spec("c1", &line);
    spec.limits = Limits { memory_bytes: Some(32 << 20), ..spec.limits };
    // A full root ends the copy, or what it uses ends the container: never the host.
    host.start(spec).await;
    let record = host.end_of("c1").await;

    let output = host.log("c1", "stdout");
    assert!(output.trim_start().starts_with("32768\n1777\n1777\n"), "{output}");
    assert!(output.contains("No space") || record.memory_breach.is_some(), "{output} {record:?}");
    for folder in ["/tmp", "/dev/shm"] {
        assert!(!Path::new(folder).join(format!("{name}-1")).exists());
    }
    Ok(())
}

pub async fn without_network_there_is_a_loopback_alone(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let name = format!("lonja-{}", host.instance);
    let listener =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap()).unwrap();
    let line = format!(
        "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; ls /sys/class/net; \
         cat /sys/class/net/lo/operstate /sys/class/net/lo/flags; cat /etc/hosts | head -n 1; \
         grep -c {name} /proc/net/unix"
    );
    let mut spec = host.spec("c1", &line);
    spec.network = Network::None;

    let output = host.output(spec).await;

    assert_eq!(output, "lo\nlo\nunknown\n0x9\n127.0.0.1\tlocalhost\n0\n");
    // With the host's network, that of the host is there, abstract sockets included.
    let shared = host.output(host.spec("c2", &format!("grep -c {name} /proc/net/unix"))).await;
    assert_eq!(shared, "1\n");
    drop(listener);
    Ok(())
}

pub async fn hardened_containers_have_no_root_and_write_nowhere_but_where_they_may(
    launcher: &Launcher,
) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let line = "id -u; id -g; awk '{ print $1 }' /proc/self/uid_map; grep -c . /proc/net/dev; \
                echo [0-9]* > /dev/null; cd /proc; ls -d 1 2> /dev/null; cd - > /dev/null; ls /sys 2> /dev/null; \
                touch /x /etc/x /run/x /var/x /usr/x 2>/dev/null; touch /tmp/x /var/tmp/x /dev/shm/x own && echo may; \
                grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr -s '\\t\\n' ' '";
    let mut specs = vec![host.spec("c1", line), host.spec("c2", line)];
    specs[1].user = Some("nobody".into());
    for spec in specs {
        let sandbox = spec.sandbox.clone();
        let output = host.output(hardened(spec)).await;
        let kernel = "CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 ";
        assert_eq!(output, format!("65534\n65534\n1\n3\nmay\n{kernel}"));
        assert_eq!(fs::metadata(sandbox.join("own")).unwrap().uid(), 65_534);
    }
    Ok(())
}

pub async fn profile_host_shows_the_host(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let line = format!(
        "id -u; cat /proc/self/uid_map | tr -s ' '; test -d {} && echo there",
        host.dir.path().display()
    );
    let mut spec = host.spec("c1", &line);
    spec.profile = Profile::Host;
    spec.confinement = Confinement::host();

    assert_eq!(host.output(spec).await, "0\n 0 0 4294967295\nthere\n");
    Ok(())
}

pub async fn without_user_namespaces_the_root_is_still_its_own(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut spec = host.spec(
        "c1",
        "id -u; tr -s ' ' < /proc/self/uid_map; ls /etc/shadow /work; touch own; cat /proc/kcore | wc -c",
    );
    spec.isolation = Isolation::default().without_users();

    assert_eq!(host.output(spec).await, "0\n 0 0 4294967295\n0\n");
    assert_eq!(fs::metadata(host.sandbox("c1").join("own")).unwrap().uid(), 0);
    Ok(())
}

pub async fn nothing_mounted_inside_comes_out(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let shared = host.sandbox("shared");
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounted = Mounted::shared_tmpfs(&shared);
    let mut spec = host.spec("c1", "cat /proc/self/mountinfo");
    spec.volumes = vec![volume(&shared, "/mnt", false)];

    let mounts = mounts(&host, spec).await;

    for mount in &mounts {
        assert!(!mount.iter().any(|field| field.starts_with("shared:")), "{mount:?}");
    }
    let volume = mounts.iter().find(|mount| mount[4] == "/mnt").unwrap();
    assert!(volume[6].starts_with("master:"), "what the host does is seen: {volume:?}");
    drop(mounted);
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
    Ok(())
}

/// A mount for a test, gone afterwards.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn shared_tmpfs(path: &'a Path) -> Self {
        use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), None).unwrap();
        let mounted = Self(path);
        mount_change(path, MountPropagationFlags::SHARED).unwrap();
        mounted
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

pub async fn a_volume_through_a_link_in_another_volume_is_refused(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let (outer, inner) = (host.sandbox("outer"), host.sandbox("inner"));
    for (number, target) in ["/etc", "../../../etc", "/proc/self/root", "/tmp"].into_iter().enumerate() {
        let link = outer.join(format!("link{number}"));
        std::os::unix::fs::symlink(target, &link).unwrap();
        for path in [format!("/mnt/link{number}"), format!("/mnt/link{number}/below")] {
            let id = format!("c{number}-{}", path.len());
            let mut spec = host.spec(&id, "true");
            spec.volumes = vec![volume(&outer, "/mnt", false), volume(&inner, &path, false)];
            let failure = host.fail(spec).await;
            assert_eq!(failure.reason, FailureReason::Volume, "{failure}");
        }
    }
    // What was to be mounted, and what was to be covered, is as it was.
    assert_eq!(fs::read_dir(&inner).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&outer).unwrap().count(), 4);
    host.assert_no_traces();
    Ok(())
}

pub async fn a_host_path_that_becomes_a_link_is_refused(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    // Looked up by the agent, and then exchanged by a task that had it in its hands.
    let path = host.sandbox("outer").join("data");
    std::os::unix::fs::symlink("/root", &path).unwrap();
    let mut spec = host.spec("c1", "ls -A data");
    spec.volumes = vec![volume(&path, "data", true)];

    let failure = host.fail(spec).await;

    assert!(failure.message.contains("Too many levels of symbolic links"), "{failure}");
    Ok(())
}

pub async fn users_without_a_place_inside_are_refused(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "true");
    spec.user = Some("no-such-user".into());
    assert_eq!(host.fail(spec).await.reason, FailureReason::User);
    fs::set_permissions(host.sandbox("c2"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut spec = host.spec("c2", "true");
    spec.user = Some("nobody".into());

    let failure = host.fail(spec).await;

    // A sandbox that is another's is no place for it either.
    assert_eq!(failure.reason, FailureReason::Sandbox, "{failure}");
    Ok(())
}

pub async fn another_kind_of_container_finds_a_spare_the_second_time(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    host.output(hardened(host.spec("c1", "true"))).await;
    assert!(!host.owner("c1").group.is_spare());
    eventually("spares of both kinds are made", || host.spares().len() >= 6).await;

    assert_eq!(host.output(hardened(host.spec("c2", "id -u"))).await, "65534\n");

    assert!(host.owner("c2").group.is_spare());
    host.assert_no_traces();
    Ok(())
}
