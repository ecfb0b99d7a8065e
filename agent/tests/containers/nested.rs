//! Processes beside the task: what they see, how they end, what they leave.

use std::fs;
use std::time::Duration;

use lonja_agent::containerizer::{
    Collected, Command, Confinement, Containerizer, FailureReason, Nested, NestedEnd, NestedEvent, TaskEnd,
    WindowSize,
};
use lonja_agent::launcher::Launcher;
use lonja_model::profile::Profile;

use crate::host::{Host, eventually, name, need_root};

type Verdict = Result<(), String>;

fn shell(line: &str) -> Nested {
    Nested::new(Command::Shell(line.to_owned()))
}

async fn run(host: &Host, nested: Nested) -> Collected {
    let process = host.containerizer.run_inside(&name("c1"), nested).await.unwrap();
    process.collect(64 << 10).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const WAITS: &str = "exec sleep 300";

pub async fn output_and_status_are_its_own_and_the_task_lives_on(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let task = host.start_shell("c1", WAITS).await;

    let ran = run(&host, shell("echo out; echo err >&2; echo $MARK; pwd; exit 7")).await;

    assert_eq!(ran.end, NestedEnd { status: TaskEnd::Exited(7), timed_out: false });
    let (mark, sandbox) = (host.dir.path().display(), host.sandbox("c1"));
    assert_eq!(text(&ran.stdout), format!("out\n{mark}\n{}\n", sandbox.display()));
    assert_eq!(text(&ran.stderr), "err\n");
    assert!(fs::exists(format!("/proc/{task}")).unwrap());
    host.kill("c1", Duration::ZERO).await;
    host.end_of("c1").await;
    host.assert_no_traces();
    Ok(())
}

pub async fn it_is_where_the_task_is(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let look = "for n in pid mnt ipc uts user cgroup net; do readlink /proc/self/ns/$n; done; \
                sed 's|/exec-[0-9]*$|/|' /proc/self/cgroup; grep -E '^(Uid|Gid|Cap|Sec|NoNew)' /proc/self/status; ulimit -a";
    let task = host.start_shell("c1", &format!("({look}) > seen; touch ready; {WAITS}")).await;
    let sandbox = host.sandbox("c1");
    eventually("the task has looked", || sandbox.join("ready").exists()).await;

    let ran = run(&host, shell(look)).await;

    assert_eq!(text(&ran.stdout), fs::read_to_string(sandbox.join("seen")).unwrap());
    let _ = task;
    Ok(())
}

pub async fn it_brings_nothing_of_the_host_along(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", WAITS).await;

    let ran = run(
        &host,
        shell("ls /proc/self/fd | tr '\\n' ' '; readlink /proc/$$/cwd; ps -A 2>/dev/null | wc -l"),
    )
    .await;

    // The shell's child `ls` has its own directory as descriptor 3.
    let sandbox = host.sandbox("c1");
    let seen = text(&ran.stdout);
    assert!(seen.starts_with(&format!("0 1 2 3 {}\n", sandbox.display())), "{seen}");
    Ok(())
}

pub async fn it_dies_with_its_container(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", WAITS).await;
    let mut process = host.containerizer.run_inside(&name("c1"), shell("echo up; sleep 300")).await.unwrap();
    assert!(matches!(process.next().await, Some(NestedEvent::Output(_, _))));

    host.kill("c1", Duration::ZERO).await;

    let killed = NestedEnd { status: TaskEnd::Signaled(libc::SIGKILL), timed_out: false };
    assert_eq!(process.next().await, Some(NestedEvent::Ended(killed)));
    host.end_of("c1").await;
    host.assert_no_traces();
    Ok(())
}

pub async fn nobody_wants_it_so_it_ends(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", WAITS).await;
    let process = host.containerizer.run_inside(&name("c1"), shell("trap '' HUP; sleep 300")).await.unwrap();
    let pid = process.pid.unwrap();

    drop(process);

    eventually("it is gone", || !fs::exists(format!("/proc/{pid}")).unwrap()).await;
    Ok(())
}

pub async fn a_time_limit_ends_it(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", WAITS).await;
    let nested = Nested { time_limit: Some(Duration::from_millis(200)), ..shell("echo a; sleep 300") };

    let ran = run(&host, nested).await;

    assert_eq!(ran.end, NestedEnd { status: TaskEnd::Signaled(libc::SIGKILL), timed_out: true });
    assert_eq!(text(&ran.stdout), "a\n");
    Ok(())
}

pub async fn a_flood_is_cut_where_asked(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", WAITS).await;

    let ran = run(&host, shell("head -c 10000000 /dev/zero")).await;

    assert_eq!((ran.stdout.len(), ran.cut, ran.end.status), (64 << 10, true, TaskEnd::Exited(0)));
    Ok(())
}

pub async fn what_cannot_run_says_why(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", WAITS).await;
    let run = async |nested| host.containerizer.run_inside(&name("c1"), nested).await.unwrap_err();

    let missing = Command::Argv { program: "nosuch".into(), args: Vec::new() };
    let failure = run(Nested::new(missing)).await;
    assert_eq!(failure.message, "cannot run 'nosuch': No such file or directory");
    let failure = run(Nested { user: Some("no-such-user".into()), ..shell("true") }).await;
    assert_eq!(failure.reason, FailureReason::User);
    let failure = run(Nested { working_dir: Some("/nosuch".into()), ..shell("true") }).await;
    assert_eq!(failure.message, "cannot use the working directory '/nosuch': No such file or directory");
    let failure = run(Nested { working_dir: Some("x".into()), ..shell("true") }).await;
    assert_eq!(failure.reason, FailureReason::InvalidSpec);

    host.kill("c1", Duration::ZERO).await;
    host.end_of("c1").await;
    let failure = run(shell("true")).await;
    assert_eq!(failure.message, "the container does not run");
    let nowhere = host.containerizer.run_inside(&name("c2"), shell("true")).await;
    assert_eq!(nowhere.unwrap_err().reason, FailureReason::Killed);
    Ok(())
}

pub async fn another_user_is_taken(launcher: &Launcher) -> Verdict {
    need_root()?;
    let host = Host::new(launcher);
    host.start_shell("c1", WAITS).await;

    let ran = run(&host, Nested { user: Some("nobody".into()), ..shell("id -un; pwd") }).await;

    let sandbox = host.sandbox("c1");
    assert_eq!(text(&ran.stdout), format!("nobody\n{}\n", sandbox.display()), "{}", text(&ran.stderr));
    Ok(())
}

pub async fn input_reaches_it_and_its_end_too(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", WAITS).await;
    let mut process = host.containerizer.run_inside(&name("c1"), shell("sort; echo done")).await.unwrap();
    let mut input = process.take_input().unwrap();

    input.write_all(b"b\na\n").await.unwrap();
    drop(input);

    assert_eq!(text(&process.collect(100).await.unwrap().stdout), "a\nb\ndone\n");
    Ok(())
}

pub async fn a_signal_reaches_it(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", WAITS).await;
    let line = "trap 'echo caught; exit 3' USR1; echo up; while :; do sleep 0.01; done";
    let mut process = host.containerizer.run_inside(&name("c1"), shell(line)).await.unwrap();
    assert!(matches!(process.next().await, Some(NestedEvent::Output(_, _))));

    process.control().signal(libc::SIGUSR1);

    let ran = process.collect(100).await.unwrap();
    assert_eq!((text(&ran.stdout), ran.end.status), ("caught\n", TaskEnd::Exited(3)));
    Ok(())
}

pub async fn a_terminal_is_its_own_and_has_a_size(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", WAITS).await;
    let tty = Some(WindowSize { rows: 33, columns: 77 });
    let line = "test -t 0 && test -t 1 && test -t 2 && stty size; read answer; stty size; echo got $answer; \
                : < /dev/tty && echo controlled";
    let mut process =
        host.containerizer.run_inside(&name("c1"), Nested { tty, ..shell(line) }).await.unwrap();
    let mut input = process.take_input().unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"33 77\r\n") {
        match process.next().await {
            Some(NestedEvent::Output(_, data)) => seen.extend(data),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&seen)),
        }
    }

    process.control().resize(WindowSize { rows: 10, columns: 20 });
    input.write_all(b"yes\r").await.unwrap();

    let ran = process.collect(1000).await.unwrap();
    assert_eq!(text(&ran.stdout), "yes\r\n10 20\r\ngot yes\r\ncontrolled\r\n");
    assert_eq!(ran.end.status, TaskEnd::Exited(0));
    Ok(())
}

pub async fn a_child_that_keeps_the_streams_does_not_keep_the_end(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    host.start_shell("c1", WAITS).await;

    let ran = run(&host, shell("setsid sleep 300 & echo over")).await;

    assert_eq!((text(&ran.stdout), ran.end.status), ("over\n", TaskEnd::Exited(0)));
    host.kill("c1", Duration::ZERO).await;
    host.end_of("c1").await;
    host.assert_no_traces();
    Ok(())
}

pub async fn in_a_hardened_container_it_is_nobody_and_in_its_network(launcher: &Launcher) -> Verdict {
    let host = Host::new(launcher);
    let mut spec = host.spec("c1", WAITS);
    spec.profile = Profile::Hardened;
    spec.confinement = Confinement::hardened();
    host.start(spec).await;

    let look = "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'; \
                tail -n +3 /proc/net/dev | wc -l; touch /x 2> /dev/null || echo read-only";
    let ran = run(&host, shell(look)).await;

    let none = "0".repeat(16);
    let expected = format!("65534\nCapEff:{none}\nCapBnd:{none}\nNoNewPrivs:1\nSeccomp:2\n1\nread-only\n");
    assert_eq!(text(&ran.stdout), expected, "{}", text(&ran.stderr));
    Ok(())
}
