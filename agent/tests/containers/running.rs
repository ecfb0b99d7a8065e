//! What a container runs, as whom, and what it sees.

use std::fs;
use std::os::unix::fs::MetadataExt;

use lonja_agent::containerizer::{Command, FailureReason, TaskEnd, Volume, VolumeSource};
use lonja_agent::launcher::Launcher;

use crate::host::{Host, eventually, need_root};

type Verdict = Result<(), String>;

pub async fn output_and_status_are_the_commands_own(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", "echo out; echo err >&2; exit 7").await;

    let record = host.end_of("c1").await;

    assert_eq!(record.status, Some(TaskEnd::Exited(7)));
    assert!(!record.kill_requested);
    assert_eq!(host.log("c1", "stdout"), "out\n");
    assert_eq!(host.log("c1", "stderr"), "err\n");
    host.assert_no_traces();
    Ok(())
}

pub async fn a_signal_is_told_apart_from_a_status(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", "kill -SEGV $$").await;

    let record = host.end_of("c1").await;

    assert_eq!(record.status, Some(TaskEnd::Signaled(libc::SIGSEGV)));
    assert_eq!(record.failure, None);
    Ok(())
}

pub async fn a_missing_command_fails_by_its_name(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "");
    spec.command = Command::Argv { program: "nosuch".into(), args: vec!["x".into()] };

    let failure = host.fail(spec).await;

    assert_eq!(failure.reason, FailureReason::Command);
    assert_eq!(failure.message, "cannot run 'nosuch': No such file or directory");
    assert_eq!(host.end_of("c1").await.failure, Some(failure));
    host.assert_no_traces();
    Ok(())
}

pub async fn the_tasks_own_path_finds_the_command(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    // In its own sandbox: others are not there.
    let bin = host.sandbox("c1").join("bin");
    fs::create_dir(&bin).unwrap();
    let program = bin.join("hello");
    // Without "#!": as from any shell, the shell reads it.
    fs::write(&program, "echo hello \"$1\"\n").unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut spec = host.spec("c1", "");
    let path = format!("/nosuch:{}", bin.display());
    spec.environment.insert("PATH".into(), path);
    spec.command = Command::Argv { program: "hello".into(), args: vec!["wide world".into()] };

    assert_eq!(host.output(spec).await, "hello wide world\n");
    Ok(())
}

pub async fn an_unknown_user_fails_by_its_name(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "true");
    spec.user = Some("no-such-user".into());

    let failure = host.fail(spec).await;

    assert_eq!(failure.reason, FailureReason::User);
    assert_eq!(failure.message, "user 'no-such-user' does not exist on this host");
    Ok(())
}

pub async fn the_task_runs_as_its_user_and_owns_its_logs(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "id -u; id -g; grep CapEff /proc/self/status");
    spec.user = Some("nobody".into());

    let output = host.output(spec).await;

    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let capabilities = "CapEff:\t0000000000000000";
    assert_eq!(output, format!("{}\n{}\n{capabilities}\n", nobody.uid, nobody.gid));
    let log = fs::metadata(host.sandbox("c1").join("stdout")).unwrap();
    assert_eq!(log.uid(), nobody.uid.as_raw());
    Ok(())
}

pub async fn a_missing_sandbox_fails_by_its_path(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "true");
    spec.sandbox = host.dir.path().join("missing");

    let failure = host.fail(spec).await;

    assert_eq!(failure.reason, FailureReason::Sandbox);
    assert!(failure.message.contains("missing/stdout': No such file"), "{failure}");
    Ok(())
}

pub async fn the_container_sees_only_itself(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let line = "echo $$; hostname; cd /proc; echo [0-9]*; cat /proc/1/comm; tr -d '\\0' < /proc/1/cmdline";
    let mut spec = host.spec("c1", line);
    spec.hostname = Some("box-1.lonja".into());

    let output = host.output(spec).await;

    assert_eq!(output, "2\nbox-1.lonja\n1 2\nlonja-init\nlonja-init");
    assert_ne!(nix::unistd::gethostname().unwrap(), "box-1.lonja");
    Ok(())
}

pub async fn nothing_of_the_agents_leaks_into_the_task(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let line = "env | sort; ls /proc/$$/fd; readlink /proc/$$/fd/0; pwd; \
                grep -E '^Sig(Blk|Ign)' /proc/self/status; cat /proc/1/environ | sort -u";
    let mut spec = host.spec("c1", line);
    let mark = spec.environment["MARK"].clone();
    spec.environment.insert("GREETING".into(), "a b=c".into());
    let sandbox = spec.sandbox.display().to_string();

    let output = host.output(spec).await;

    // The environment of init, which holds more power than the task, cannot even be opened.
    let expected = format!(
        "GREETING=a b=c\nMARK={mark}\nPATH=/usr/local/bin:/usr/bin:/bin\nPWD={sandbox}\n\
         0\n1\n2\n/dev/null\n{sandbox}\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
    );
    assert_eq!(output, expected);
    if host.is_root() {
        assert!(host.log("c1", "stderr").contains("Permission denied"));
    }
    Ok(())
}

pub async fn volumes_show_host_files_and_keep_read_only(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let data = host.sandbox("data");
    fs::write(data.join("file"), "from the host\n").unwrap();
    let line = "cat data/in/file; echo x > data/in/file && echo written; cat one; \
                echo back > shared/new; cat /mnt/file; mount | grep -c /data/in";
    let mut spec = host.spec("c1", line);
    let volume = |host_path: &std::path::Path, inside: &str, read_only| Volume {
        source: VolumeSource::host(host_path),
        container_path: inside.into(),
        read_only,
    };
    spec.volumes = vec![
        volume(&data, "data/in", true),
        volume(&data.join("file"), "one", true),
        volume(&data, "shared", false),
        volume(&data, "/mnt", true),
    ];

    let output = host.output(spec).await;

    let text = "from the host\n";
    assert_eq!(output, format!("{text}{text}{text}1\n"));
    assert!(host.log("c1", "stderr").contains("Read-only file system"));
    assert_eq!(fs::read_to_string(data.join("new")).unwrap(), "back\n");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(host.dir.path().to_str().unwrap()), "a mount leaked");
    Ok(())
}

pub async fn a_volume_path_through_a_link_is_refused(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "true");
    std::os::unix::fs::symlink("/etc", spec.sandbox.join("link")).unwrap();
    spec.volumes = vec![Volume {
        source: VolumeSource::host(host.sandbox("data")),
        container_path: "link/lonja".into(),
        read_only: false,
    }];

    let failure = host.fail(spec).await;

    assert_eq!(failure.reason, FailureReason::Volume);
    assert!(failure.message.contains("Not a directory"), "{failure}");
    assert!(!std::path::Path::new("/etc/lonja").exists());
    host.assert_no_traces();
    Ok(())
}

pub async fn an_id_is_launched_once(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", "true").await;
    host.end_of("c1").await;

    let failure = host.fail(host.spec("c1", "true")).await;

    assert_eq!(failure.reason, FailureReason::Duplicate);
    Ok(())
}

pub async fn many_launches_at_once_all_run(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let ids: Vec<String> = (0..40).map(|number| format!("c{number}")).collect();
    let runs = ids.iter().map(|id| async {
        host.start_shell(id, "read line < /proc/self/comm; echo $line; exit 9").await;
        host.end_of(id).await.status
    });

    let ends = futures::future::join_all(runs).await;

    assert_eq!(ends, vec![Some(TaskEnd::Exited(9)); ids.len()]);
    host.assert_no_traces();
    Ok(())
}

pub async fn the_launcher_holds_nothing_of_the_agents(launcher: &Launcher) -> Verdict {
    // Once it has served a container it is surely past its own start.
    let host = Host::new(launcher);
    host.start_shell("c1", "true").await;
    host.end_of("c1").await;
    let descriptors = format!("/proc/{}/fd", launcher.pid());
    let held = || {
        let mut held: Vec<String> = fs::read_dir(&descriptors)
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .map(|target| target.display().to_string())
            .map(|target| target.split(":[").next().unwrap().to_owned())
            .collect();
        held.sort();
        held
    };

    // For a moment longer it also holds the supervisor that has just ended.
    // Each of its three spares is a process and a line.
    let mut own = vec!["/dev/null"; 3];
    own.extend(["anon_inode"; 1 + 3]);
    own.extend(["socket"; 1 + 3]);
    eventually("it holds its own descriptors alone", || held() == own).await;
    let environment = fs::read(format!("/proc/{}/environ", launcher.pid())).unwrap();
    assert!(environment.iter().all(|byte| *byte == 0));
    Ok(())
}
