//! `lonja run -i`: a task that reads what comes in by a pipe.

use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};

use lonja_tests::{Cluster, eventually, lonja, needs_root, stderr, stdout};

fn begin(cluster: &Cluster, arguments: &[&str]) -> Child {
    let mut run = Command::new(lonja());
    run.args(["run", "-i", "--master", cluster.url()]).args(arguments);
    run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn through(cluster: &Cluster, arguments: &[&str], data: &[u8]) -> Output {
    let mut run = begin(cluster, arguments);
    // A task that reads nothing of it ends all the same.
    let _unread = run.stdin.take().unwrap().write_all(data);
    run.wait_with_output().unwrap()
}

#[test]
fn input_of_any_length_reaches_the_task_and_so_does_its_end() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let data: Vec<u8> = (0..3_000_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    let mut here = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    here.stdin.take().unwrap().write_all(&data).unwrap();
    let expected = stdout(&here.wait_with_output().unwrap());
    for flags in [&[][..], &["--profile", "hardened"], &["--with", "other=sleep 1000"]] {
        let output = through(&cluster, &[flags, &["--", "sha256sum"]].concat(), &data);
        assert_eq!(
            (stdout(&output), output.status.code()),
            (expected.clone(), Some(0)),
            "{}",
            stderr(&output)
        );
    }
    // It can be opened by name, has an end when there is nothing, and need not be read.
    let output = through(&cluster, &["--", "sh", "-c", "cat /dev/stdin; echo and that was all"], b"words\n");
    assert_eq!(stdout(&output), "words\nand that was all\n", "{}", stderr(&output));
    let output = through(&cluster, &["--", "cat"], b"");
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("", Some(0)));
    let output = through(&cluster, &["--", "sh", "-c", "exit 4"], &data);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
}

#[test]
fn what_is_said_is_answered_at_once_and_others_look_on() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let mut run = begin(
        &cluster,
        &["--", "sh", "-c", "while read word; do echo \"got $word\"; done; echo end >&2; exit 9"],
    );
    let task = cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();
    let (mut input, mut output) = (run.stdin.take().unwrap(), run.stdout.take().unwrap());
    let mut says = |word: &str| {
        input.write_all(format!("{word}\n").as_bytes()).unwrap();
        let mut answer = vec![0; "got \n".len() + word.len()];
        output.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), format!("got {word}\n"));
    };
    says("one");
    // Somebody else who attaches and leaves takes nothing along.
    let mut other = Command::new(lonja());
    other.args(["attach", "--master", cluster.url(), "-n", "10", &task]).stdin(Stdio::null());
    let mut other = other.stdout(Stdio::piped()).spawn().unwrap();
    other.stdout.as_mut().unwrap().read_exact(&mut [0; 8]).unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    says("two");
    drop(input);
    let ended = run.wait_with_output().unwrap();
    assert_eq!(
        (ended.status.code(), stderr(&ended).contains("end\n")),
        (Some(9), true),
        "{}",
        stderr(&ended)
    );
}

#[test]
fn the_input_ends_with_who_writes_it_and_with_the_agent() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let script = "cat > /dev/null; sleep 1000";
    let waits = |cluster: &Cluster, program: &str| {
        // The shell goes on to `sleep` when `cat` has seen the end.
        let running = cluster.lonja(&["tasks", "-o", "json"]);
        assert_eq!(running.status.code(), Some(0));
        eventually(program, || {
            let (pid, _) = cluster.running_process();
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            let child = children.split_whitespace().next()?.to_owned();
            let name = std::fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
            (name.trim_end() == program).then_some(())
        });
    };
    let mut run = begin(&cluster, &["--", "sh", "-c", script]);
    cluster.task_in("TASK_RUNNING");
    waits(&cluster, "cat");
    cluster.agent.take().unwrap().kill9();
    cluster.start_agent("cpus:4;mem:2048;ports:[31000-31010]");
    waits(&cluster, "sleep");
    run.kill().unwrap();
    run.wait().unwrap();
}
