//! `lonja exec`: commands in a running task's container, by pipe and by terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

use lonja_tests::{Cluster, eventually, lonja, needs_root, stderr, stdout};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

/// A cluster with one running task.
struct Running {
    cluster: Cluster,
    run: lonja_tests::Running,
    task: String,
}

impl Running {
    fn start(flags: &[&str], command: &[&str]) -> Self {
        let cluster = Cluster::start(&[]);
        let run = cluster.spawn_run(&[flags, &["--"], command].concat());
        let task = cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();
        Self { cluster, run, task }
    }

    fn command(&self, flags: &[&str], command: &[&str]) -> Command {
        let mut exec = Command::new(lonja());
        exec.args(["exec", "--master", self.cluster.url()])
            .args(flags)
            .arg(&self.task)
            .arg("--")
            .args(command);
        exec.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        exec
    }

    fn exec(&self, flags: &[&str], command: &[&str]) -> Output {
        self.command(flags, command).output().unwrap()
    }

    /// The command on a terminal of its own, and this side of that.
    fn on_terminal(&self, flags: &[&str], command: &[&str]) -> Typist {
        Typist::new(self.command(flags, command))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.run.kill();
        let _status = self.run.wait();
    }
}

/// Somebody at a terminal.
pub(crate) struct Typist {
    pub(crate) child: Child,
    keyboard: File,
    terminal: OwnedFd,
    seen: String,
}

impl Typist {
    pub(crate) fn new(mut command: Command) -> Self {
        let size = Winsize { ws_row: 30, ws_col: 70, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end()).process_group(0);
        let child = command.spawn().unwrap();
        Self { child, keyboard: File::from(pty.master), terminal: pty.slave, seen: String::new() }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads until this is seen, and gives all that was new.
    pub(crate) fn sees(&mut self, text: &str) -> String {
        let mut piece = [0; 4096];
        while !self.seen.contains(text) {
            let length = self.keyboard.read(&mut piece).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end).collect()
    }

    pub(crate) fn is_raw(&self) -> bool {
        !tcgetattr(&self.terminal).unwrap().local_flags.contains(LocalFlags::ICANON)
    }

    pub(crate) fn resizes(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        set_size(&self.terminal, &size);
        // Not its controlling terminal, so that the kernel tells nobody.
        self.signals(Signal::SIGWINCH);
    }

    pub(crate) fn signals(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// What it exited with; the terminal must be as it was.
    pub(crate) fn status(mut self) -> Option<i32> {
        let status = self.child.wait().unwrap();
        assert!(!self.is_raw(), "the terminal is left raw");
        status.code()
    }
}

fn set_size(terminal: &OwnedFd, size: &Winsize) {
    let size =
        rustix::termios::Winsize { ws_row: size.ws_row, ws_col: size.ws_col, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size).unwrap();
}

#[test]
fn a_command_beside_a_task_has_its_own_output_and_status() {
    if needs_root() {
        return;
    }
    let running = Running::start(&["-e", "COLOUR=green"], &["sleep", "1000"]);

    let output = running.exec(&[], &["sh", "-c", "echo $COLOUR; echo err >&2; exit 7"]);
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("green\n", "err\n"));
    assert_eq!(output.status.code(), Some(7));

    let output = running.exec(&["-e", "COLOUR=red", "-w", "/usr"], &["sh", "-c", "echo $COLOUR; pwd"]);
    assert_eq!(stdout(&output), "red\n/usr\n", "{}", stderr(&output));

    let output = running.exec(&[], &["sh", "-c", "kill -TERM $$"]);
    assert_eq!(output.status.code(), Some(143));

    let output = running.exec(&[], &["no-such-command"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(stderr(&output).contains("cannot run 'no-such-command'"), "{}", stderr(&output));

    let output = running.cluster.lonja(&["exec", "no-such-task", "--", "true"]);
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn input_of_any_length_goes_through_and_its_end_is_seen() {
    if needs_root() {
        return;
    }
    let running = Running::start(&[], &["sleep", "1000"]);
    let mut child = running.command(&["-i"], &["sha256sum"]).stdin(Stdio::piped()).spawn().unwrap();
    let data: Vec<u8> = (0..3_000_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    child.stdin.take().unwrap().write_all(&data).unwrap();
    let through = child.wait_with_output().unwrap();

    let mut here = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    here.stdin.take().unwrap().write_all(&data).unwrap();
    assert_eq!(stdout(&through), stdout(&here.wait_with_output().unwrap()));

    // Nobody reads: the command ends all the same.
    let mut child = running.command(&["-i"], &["true"]).stdin(Stdio::piped()).spawn().unwrap();
    let _unread = child.stdin.take().unwrap().write_all(&data);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_signal_goes_on_to_the_command_also_when_it_reads_nothing() {
    if needs_root() {
        return;
    }
    let running = Running::start(&[], &["sleep", "1000"]);
    let script = "trap 'echo caught; exit 9' INT; echo up; while :; do sleep 0.01; done";
    let mut child = running.command(&["-i"], &["sh", "-c", script]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut up = [0; 3];
    stdout.read_exact(&mut up).unwrap();
    let flood = std::thread::spawn(move || while stdin.write_all(&[b'x'; 65536]).is_ok() {});

    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();

    assert_eq!(child.wait().unwrap().code(), Some(9));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "caught\n");
    flood.join().unwrap();
}

#[test]
fn a_terminal_behaves_like_one() {
    if needs_root() {
        return;
    }
    let running = Running::start(&[], &["sleep", "1000"]);
    let mut typist = running.on_terminal(&["-it"], &["sh"]);
    eventually("the terminal is raw", || typist.is_raw().then_some(()));

    typist.types("stty size; echo $TERM; tty\r");
    typist.sees("30 70");
    typist.sees("/dev/pts/");

    typist.resizes(12, 34);
    typist.types("until [ \"$(stty size)\" = '12 34' ]; do sleep 0.01; done; echo re'sized'\r");
    typist.sees("resized");

    // Ctrl-C is a key of the command's, not of ours.
    typist.types("sh -c \"echo sle'eping'; exec sleep 1000\"\r");
    typist.sees("sleeping");
    typist.types("\x03");
    typist.types("echo still he're'\r");
    typist.sees("still here");

    typist.types("exit 5\r");
    assert_eq!(typist.status(), Some(5));
}

#[test]
fn a_terminal_is_restored_whatever_ends_the_command() {
    if needs_root() {
        return;
    }
    let mut running = Running::start(&[], &["sleep", "1000"]);
    let up = |running: &Running| {
        let mut typist = running.on_terminal(&["-it"], &["sh", "-c", "echo u'p'; exec sleep 1000"]);
        typist.sees("up");
        assert!(typist.is_raw());
        typist
    };

    // By a signal to us.
    let typist = up(&running);
    typist.signals(Signal::SIGTERM);
    assert_eq!(typist.status(), Some(143));

    // By the end of the task.
    let typist = up(&running);
    kill(Pid::from_raw(i32::try_from(running.run.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(typist.status(), Some(137));

    // By the agent.
    let _ended = running.run.wait();
    running.run = running.cluster.spawn_run(&["--", "sleep", "1000"]);
    running.task = running.cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();
    let typist = up(&running);
    running.cluster.agent.take().unwrap().kill9();
    assert_eq!(typist.status(), Some(125));
}

#[test]
fn a_task_has_so_many_sessions_and_no_more() {
    if needs_root() {
        return;
    }
    let running = Running::start(&[], &["sleep", "1000"]);
    let mut sessions = Vec::new();
    for _ in 0..16 {
        let mut session = running.command(&[], &["sh", "-c", "echo up; sleep 1000"]).spawn().unwrap();
        session.stdout.as_mut().unwrap().read_exact(&mut [0; 3]).unwrap();
        sessions.push(session);
    }

    let refused = running.exec(&[], &["true"]);
    assert_eq!(refused.status.code(), Some(125));
    assert!(stderr(&refused).contains("this task has 16 sessions already"), "{}", stderr(&refused));

    for mut session in sessions {
        session.kill().unwrap();
        session.wait().unwrap();
    }
    // Who is gone is noticed.
    eventually("there is room again", || {
        (running.exec(&[], &["true"]).status.code() == Some(0)).then_some(())
    });
}

#[test]
fn a_run_on_a_terminal_behaves_like_a_program_started_here() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let mut run = Command::new(lonja());
    run.args(["run", "-it", "--master", cluster.url(), "--", "sh"]);
    let mut typist = Typist::new(run);
    eventually("the terminal is raw", || typist.is_raw().then_some(()));

    typist.types("stty size; test -t 0 && test -t 1 && test -t 2 && echo all th'ree'\r");
    typist.sees("30 70");
    typist.sees("all three");
    typist.resizes(12, 34);
    typist.types("until [ \"$(stty size)\" = '12 34' ]; do sleep 0.01; done; echo re'sized'\r");
    typist.sees("resized");
    // In the foreground already when it says so: a key that came while the shell was about to start it would be lost.
    typist.types("sh -c \"echo sle'eping'; exec sleep 1000\"\r");
    typist.sees("sleeping");
    typist.types("\x03echo still he're'\r");
    typist.sees("still here");

    typist.types("exit 6\r");
    assert_eq!(typist.status(), Some(6));
}

#[test]
fn who_attaches_sees_and_types_also_after_a_restart_of_the_agent_and_leaves_by_keys() {
    if needs_root() {
        return;
    }
    let mut cluster = Cluster::start(&[]);
    let mut run = Command::new(lonja());
    run.args(["run", "-t", "--master", cluster.url(), "--", "sh"]).stdin(Stdio::null());
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let task = cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();
    let attach = |cluster: &Cluster| {
        let mut attach = Command::new(lonja());
        attach.args(["attach", "--master", cluster.url(), &task]);
        let typist = Typist::new(attach);
        eventually("the terminal is raw", || typist.is_raw().then_some(()));
        typist
    };
    let mut typist = attach(&cluster);
    typist.types("NAME=va'lue'; echo is $NAME\r");
    typist.sees("is value");
    typist.types("\x10\x11");
    typist.sees("detached");
    assert_eq!(typist.status(), Some(0));

    // The same shell, found again by another agent.
    cluster.agent.take().unwrap().kill9();
    cluster.start_agent("cpus:4;mem:2048;ports:[31000-31010]");
    let mut typist = attach(&cluster);
    typist.types("echo still $NAME\r");
    typist.sees("still value");
    typist.types("exit 4\r");
    assert_eq!(typist.status(), Some(0));
    assert_eq!(run.wait().unwrap().code(), Some(4));
}

#[test]
fn who_attaches_to_a_task_without_a_terminal_looks_on() {
    if needs_root() {
        return;
    }
    let running =
        Running::start(&[], &["sh", "-c", "while :; do echo tick; echo tock >&2; sleep 0.05; done"]);
    let mut attach = Command::new(lonja());
    attach.args(["attach", "--master", running.cluster.url(), &running.task]).stdin(Stdio::null());
    let mut attach = attach.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut seen = [0; 5];
    attach.stdout.as_mut().unwrap().read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"tick\n");
    attach.stderr.as_mut().unwrap().read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"tock\n");
    kill(Pid::from_raw(i32::try_from(attach.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(attach.wait().unwrap().code(), Some(130));
}

#[test]
fn logs_are_followed_across_files_without_a_gap() {
    if needs_root() {
        return;
    }
    let cluster = Cluster::start(&[]);
    let flags = ["-e", "CONTAINER_LOGGER_MAX_STDOUT_SIZE=64KB", "--"];
    // Slow enough to be followed: files go after 320 KiB.
    let script = "for n in $(seq 200); do seq $((n * 1000 - 999)) $((n * 1000)); sleep 0.01; done";
    let run = cluster.spawn_run(&[&flags[..], &["sh", "-c", script]].concat());
    let output = run.wait_with_output().unwrap();
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output) == expected, "{} of {} bytes", output.stdout.len(), expected.len());
}
