//! A task's output on its way to files: bounded, complete, and not the task's to redirect.

use std::fs;
use std::os::unix::fs::MetadataExt;

use lonja_agent::containerizer::{Command, Containerizer, FailureReason, LogLimits, TaskEnd, WindowSize};
use lonja_agent::launcher::Launcher;

use crate::host::{Host, eventually, name, need_root};

type Verdict = Result<(), String>;

/// What the files of an output hold, oldest first, and the number of files.
fn whole(host: &Host, id: &str) -> (Vec<u8>, usize) {
    let sandbox = host.sandbox(id);
    let mut numbers: Vec<u64> = fs::read_dir(&sandbox)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_prefix("stdout.")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let mut data = Vec::new();
    for number in &numbers {
        data.extend(fs::read(sandbox.join(format!("stdout.{number}"))).unwrap());
    }
    data.extend(fs::read(sandbox.join("stdout")).unwrap());
    (data, numbers.len() + 1)
}

pub async fn output_is_complete_across_files(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "seq 1000000");
    spec.logs = Some(LogLimits { stdout_bytes: 100_000, stderr_bytes: 100_000, files: 1000 });

    host.output(spec).await;

    let (data, files) = whole(&host, "c1");
    let expected: String = (1..=1_000_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(files, expected.len().div_ceil(100_000));
    assert!(data == expected.as_bytes());
    host.assert_no_traces();
    Ok(())
}

pub async fn a_flood_keeps_the_newest_files_and_no_more(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    // Of spec: three files of 1 MiB.
    let output = host.output(host.spec("c1", "head -c 50000000 /dev/zero; echo end")).await;

    assert!(output.ends_with("end\n"));
    let (data, files) = whole(&host, "c1");
    assert_eq!(files, 3);
    assert_eq!(data.len(), (2 << 20) + (50_000_004 % (1 << 20)));
    Ok(())
}

pub async fn what_a_task_wrote_right_before_its_end_is_there(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    for number in 0..20 {
        let id = format!("c{number}");
        host.start_shell(&id, "head -c 60000 /dev/zero; echo last; echo err >&2").await;
        host.end_of(&id).await;
        assert_eq!(host.log(&id, "stdout").len(), 60_005);
        assert_eq!(host.log(&id, "stderr"), "err\n");
    }
    host.assert_no_traces();
    Ok(())
}

pub async fn the_task_may_open_its_output_by_name(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "echo one > /dev/stdout; echo two > /dev/stdout");
    spec.user = Some("nobody".into());

    assert_eq!(host.output(spec).await, "one\ntwo\n");
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    assert_eq!(fs::metadata(host.sandbox("c1").join("stdout")).unwrap().uid(), nobody.uid.as_raw());
    Ok(())
}

pub async fn a_task_that_closes_its_output_costs_nothing(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let fifo = host.make_fifo("c1");
    host.start_shell("c1", "read line < fifo; exec >&- 2>&-; exec sleep 300").await;
    let supervisor = host.owner("c1").process.pid;
    let pipes = || {
        let open = fs::read_dir(format!("/proc/{supervisor}/fd")).unwrap().flatten();
        let targets = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("pipe:")).count()
    };
    let before = pipes();

    tokio::task::spawn_blocking(move || fs::write(fifo, "go\n")).await.unwrap().unwrap();

    // What it does not hold it does not look at again and again.
    eventually("it lets go of both outputs", || pipes() + 2 == before).await;
    eventually("it waits", || {
        let stat = fs::read_to_string(format!("/proc/{supervisor}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('S')
    })
    .await;
    Ok(())
}

pub async fn a_log_that_was_replaced_before_the_start_fails_the_task(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let target = host.dir.path().join("target");
    fs::write(&target, "mine").unwrap();
    for (id, limited) in [("c1", true), ("c2", false), ("c3", true), ("c4", false)] {
        let log = host.sandbox(id).join("stdout");
        if id < "c3" {
            std::os::unix::fs::symlink(&target, &log).unwrap();
        } else {
            nix::unistd::mkfifo(&log, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
        }
        let mut spec = host.spec(id, "echo bad");
        spec.logs = spec.logs.filter(|_| limited);

        assert_eq!(host.fail(spec).await.reason, FailureReason::Sandbox, "{id}");
    }
    assert_eq!(fs::read_to_string(target).unwrap(), "mine");
    host.assert_no_traces();
    Ok(())
}

pub async fn without_limits_the_task_writes_the_file_itself(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "readlink /proc/self/fd/1");
    spec.logs = None;

    let output = host.output(spec).await;

    assert_eq!(output.trim_end(), host.sandbox("c1").join("stdout").display().to_string());
    Ok(())
}

pub async fn a_writer_that_stands_still_does_not_hold_the_task(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let go = host.make_fifo("c1");
    let line = "echo first; read line < fifo; head -c 3000000 /dev/zero; echo done > through; read line < fifo; echo last";
    host.start_shell("c1", line).await;
    let supervisor = host.owner("c1").process.pid;
    let log = host.sandbox("c1").join("stdout");
    eventually("the writer runs", || fs::read(&log).unwrap() == b"first\n").await;
    let writer = child_called(supervisor, "lonja-logs").unwrap();
    // As if the disk took nothing.
    let stop = |signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(writer), signal).unwrap();
    stop(nix::sys::signal::Signal::SIGSTOP);

    tokio::fs::write(&go, "\n").await.unwrap();
    let through = host.sandbox("c1").join("through");
    eventually("the task got through", || through.exists()).await;
    stop(nix::sys::signal::Signal::SIGCONT);
    // What comes while it still stands is thrown away like what came before.
    let noted = || String::from_utf8(whole(&host, "c1").0).unwrap().contains("output are missing");
    eventually("the writer has caught up", noted).await;
    tokio::fs::write(&go, "\n").await.unwrap();

    assert_eq!(host.end_of("c1").await.status, Some(TaskEnd::Exited(0)));
    let text = String::from_utf8(whole(&host, "c1").0).unwrap();
    let marked = text.split_once("\n[lonja: ");
    let (kept, rest) = marked.unwrap_or_else(|| panic!("{} bytes: {}", text.len(), text.replace('\0', "")));
    let (dropped, end) = rest.split_once(" bytes of output are missing here").unwrap();
    assert!(end.ends_with("last\n"), "{end:?}");
    let after = end.split_once("]\n").unwrap().1.len() - "last\n".len();
    assert_eq!(kept.len() + dropped.parse::<usize>().unwrap() + after, 6 + 3_000_000);
    Ok(())
}

pub async fn a_writer_that_is_killed_does_not_hold_the_task(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let go = host.make_fifo("c1");
    host.start_shell("c1", "echo first; read line < fifo; head -c 3000000 /dev/zero; exit 3").await;
    let supervisor = host.owner("c1").process.pid;
    let log = host.sandbox("c1").join("stdout");
    eventually("the writer runs", || fs::read(&log).unwrap() == b"first\n").await;
    let writer = nix::unistd::Pid::from_raw(child_called(supervisor, "lonja-logs").unwrap());
    nix::sys::signal::kill(writer, nix::sys::signal::Signal::SIGKILL).unwrap();

    tokio::fs::write(&go, "\n").await.unwrap();

    assert_eq!(host.end_of("c1").await.status, Some(TaskEnd::Exited(3)));
    host.assert_no_traces();
    Ok(())
}

fn child_called(parent: i32, name: &str) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let mut children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    children.find(|pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    })
}

pub async fn a_command_that_does_not_run_leaves_no_process(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", "");
    spec.command = Command::Argv { program: "nosuch".into(), args: Vec::new() };
    host.fail(spec).await;
    host.end_of("c1").await;
    host.assert_no_traces();
    Ok(())
}

pub async fn a_terminal_of_its_own_is_logged_and_can_be_typed_into(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let line = "stty size; test -t 0 && test -t 1 && test -t 2 && : < /dev/tty && echo ready; read answer; echo got $answer";
    let mut spec = host.spec("c1", line);
    spec.tty = Some(WindowSize { rows: 33, columns: 77 });
    host.start(spec).await;
    let log = host.sandbox("c1").join("stdout");
    eventually("it is ready", || fs::read_to_string(&log).unwrap() == "33 77\r\nready\r\n").await;

    let terminal = host.containerizer.terminal(&name("c1")).await.unwrap().unwrap();
    terminal.write_all(b"yes\r").await.unwrap();

    assert_eq!(host.end_of("c1").await.status, Some(TaskEnd::Exited(0)));
    assert_eq!(fs::read_to_string(&log).unwrap(), "33 77\r\nready\r\nyes\r\ngot yes\r\n");
    host.assert_no_traces();
    Ok(())
}

pub async fn a_task_without_a_terminal_has_none_to_attach_to(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", "exec sleep 300").await;
    assert!(host.containerizer.terminal(&name("c1")).await.unwrap().is_none());
    Ok(())
}
