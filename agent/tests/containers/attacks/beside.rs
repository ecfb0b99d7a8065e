//! Attacks by, and on, what enters a container: commands beside a task, their terminals, their output.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use lonja_agent::containerizer::{
    Command, ContainerSpec, Containerizer, LogLimits, Nested, TaskEnd, WindowSize,
};

use super::probe::{Probe, at, name_of};
use crate::host::{Host, name, processes_with};

/// By whom an attack is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A task.
    Task,
    /// A task, while commands enter its container one after the other.
    TaskThatIsEntered,
    /// A command beside the task.
    Command,
    /// A command beside the task, on a terminal.
    CommandOnTerminal,
    /// A command beside the task that has half a second, as a check has.
    CommandInTime,
}

/// At how many who enter a task looks.
const LOOKED_AT: usize = 20;

/// When it gives up, because nobody comes.
const LONGEST_LOOK: Duration = Duration::from_secs(20);

/// Has the attack made in a container like this; what was said of it.
pub async fn carry_out(host: &Host, mut spec: ContainerSpec, by: By) -> String {
    let id = spec.container_id.to_string();
    if by == By::Task {
        return host.output(spec).await;
    }
    if by == By::TaskThatIsEntered {
        host.start(spec).await;
        enter_until_it_ends(host, &id).await;
        return host.log(&id, "stdout");
    }
    let waits = Command::Argv { program: "sleep".into(), args: vec!["300".into()] };
    let attack = Nested::new(std::mem::replace(&mut spec.command, waits));
    host.start(spec).await;
    let said = match by {
        By::CommandInTime => in_time(host, &id, attack).await,
        _ => {
            let tty = (by == By::CommandOnTerminal).then_some(WindowSize { rows: 24, columns: 200 });
            let process = host.containerizer.run_inside(&name(&id), Nested { tty, ..attack }).await.unwrap();
            let ran = process.collect(64 << 10).await.unwrap();
            String::from_utf8_lossy(&ran.stdout).replace('\r', "")
        }
    };
    host.kill(&id, Duration::ZERO).await;
    host.end_of(&id).await;
    said
}

async fn enter_until_it_ends(host: &Host, id: &str) {
    let container = name(id);
    let end = host.containerizer.wait(&container);
    let enter = async {
        // Until the container has ended, and so cannot be entered.
        while let Ok(process) =
            host.containerizer.run_inside(&container, Nested::new(Command::Shell("exit 0".to_owned()))).await
        {
            let _ended = process.collect(0).await;
        }
    };
    let (ended, ()) = tokio::join!(end, enter);
    ended.unwrap();
}

async fn in_time(host: &Host, id: &str, attack: Nested) -> String {
    let mark = format!("{}/beside", host.dir.path().display());
    let environment = [("MARK".to_owned(), mark.clone())].into();
    let nested = Nested { time_limit: Some(Duration::from_millis(500)), environment, ..attack };
    let process = host.containerizer.run_inside(&name(id), nested).await.unwrap();
    let ran = process.collect(64 << 10).await.unwrap();
    let killed = ran.end.timed_out && ran.end.status == TaskEnd::Signaled(libc::SIGKILL);
    let left = processes_with(&mark).len();
    format!(
        "time={}\noutput={}\nwhat it started={}\n",
        if killed { "contained" } else { "went on" },
        if ran.cut && ran.stdout.len() == 64 << 10 { "contained" } else { "not capped" },
        if left == 0 { "contained" } else { "left behind" },
    )
}

/// Looks at every process that is not its own until enough have entered.
fn at_those_who_enter(mut look: impl FnMut(&Path)) -> usize {
    let own = std::process::id().to_string();
    let mut seen = BTreeSet::new();
    let started = Instant::now();
    while seen.len() < LOOKED_AT && started.elapsed() < LONGEST_LOOK {
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            let other = pid.bytes().all(|byte| byte.is_ascii_digit()) && pid != own && pid != "1";
            if other {
                look(&entry.path());
                seen.insert(pid);
            }
        }
    }
    seen.len()
}

fn say_whether_any_came(probe: &mut Probe, seen: usize) {
    probe.say("somebody entered", if seen > 0 { "contained" } else { "nobody came" });
}

/// Descriptors, directory, root and program of those who enter, from the moment on that they are inside.
pub fn look_at_those_who_enter(probe: &mut Probe) {
    let sandbox = std::env::current_dir().unwrap();
    let sandbox = sandbox.to_str().unwrap();
    let usual: [(&str, &[&str]); 3] = [("exe", &["/usr/", "/bin/"]), ("cwd", &[sandbox]), ("root", &[])];
    let streams = ["pipe:", "/dev/", "/usr/", "/proc", "/etc/"];
    let mut strange = BTreeSet::new();
    let seen = at_those_who_enter(|process| {
        let mut look = |what: &str, link: &Path, usual: &[&str]| {
            // Most of them cannot be looked at, which is as it should be.
            let Ok(target) = fs::read_link(link) else { return };
            let target = target.to_string_lossy();
            if target != "/" && !usual.iter().any(|start| target.starts_with(start)) {
                strange.insert(format!("{what} {target}"));
            }
        };
        for (what, usual) in usual {
            look(what, &process.join(what), usual);
        }
        for descriptor in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            look("descriptor", &descriptor.path(), &streams);
        }
    });
    say_whether_any_came(probe, seen);
    let all: Vec<String> = strange.into_iter().collect();
    probe.say("what came along", if all.is_empty() { "contained" } else { "more than that" });
    for what in all {
        probe.say(&what, "came along");
    }
}

/// The program of those who enter, while they run it and by handles that are kept until they have gone.
pub fn overwrite_those_who_enter(probe: &mut Probe) {
    let mut outcomes = BTreeSet::new();
    let mut handles: Vec<fs::File> = Vec::new();
    let handle_on =
        |program: &Path| fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(program);
    let outcome_of = |path: &Path| match fs::OpenOptions::new().write(true).open(path) {
        Ok(_) => super::probe::DONE.to_owned(),
        Err(error) => name_of(error.raw_os_error().unwrap_or_default()),
    };
    let seen = at_those_who_enter(|process| {
        let program = process.join("exe");
        // By a handle from the beginning: who enters goes on to another program at any moment.
        let handle = match handle_on(&program) {
            Ok(handle) => handle,
            Err(error) => {
                outcomes.insert(name_of(error.raw_os_error().unwrap_or_default()));
                return;
            }
        };
        let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
        // Programs of the host's own folders are not the runtime's.
        if fs::read_link(&path).is_ok_and(|path| path.starts_with("/usr") || path.starts_with("/bin")) {
            return;
        }
        outcomes.insert(outcome_of(Path::new(&path)));
        handles.extend(Some(handle).filter(|_| handles.len() < 200));
    });
    say_whether_any_came(probe, seen);
    handles.extend(handle_on(Path::new("/proc/1/exe")));
    for handle in &handles {
        outcomes.insert(outcome_of(Path::new(&format!("/proc/self/fd/{}", handle.as_raw_fd()))));
    }
    outcomes.insert(outcome_of(Path::new("/proc/1/exe")));
    if let Ok(name) = fs::read_link("/proc/1/exe") {
        outcomes.insert(outcome_of(&name));
    }
    for outcome in outcomes {
        probe.say("a program of the runtime", &outcome);
    }
}

/// A terminal that whoever operates the task has opened for this very command.
pub fn type_into_the_operators_terminal(probe: &mut Probe) {
    let letter = [b'x'];
    let terminal = fs::OpenOptions::new().read(true).write(true).open("/dev/tty");
    let by_name = terminal.as_ref().map_or(u64::MAX, |terminal| terminal.as_raw_fd().cast_unsigned().into());
    probe.say("has a terminal", if terminal.is_ok() { "contained" } else { "none" });
    for (what, descriptor) in [("standard input", 0), ("/dev/tty", by_name)] {
        probe.call(&format!("TIOCSTI on {what}"), libc::SYS_ioctl, &[descriptor, libc::TIOCSTI, at(&letter)]);
        probe.call(&format!("TIOCLINUX on {what}"), libc::SYS_ioctl, &[descriptor, 0x541c, at(&letter)]);
    }
}

/// Much more than is kept, so that files are rotated.
const FLOOD: usize = 6 << 20;

fn flood() {
    let piece = [b'x'; 4096];
    for _ in 0..FLOOD / piece.len() {
        io::stderr().write_all(&piece).unwrap();
    }
}

/// A link and a pipe in the place of its log, while it is written and rotated.
pub fn replace_its_logs(probe: &mut Probe) {
    let file = std::env::var("HOST_FILE").unwrap();
    for what in ["link", "pipe", "folder"] {
        let _absent = fs::remove_file("stderr").or_else(|_| fs::remove_dir("stderr"));
        let made = match what {
            "link" => std::os::unix::fs::symlink(&file, "stderr"),
            "pipe" => nix::unistd::mkfifo("stderr", nix::sys::stat::Mode::from_bits_truncate(0o666))
                .map_err(io::Error::from),
            _ => fs::create_dir("stderr"),
        };
        made.unwrap();
        // It must come to its end, and the host's file be as it was, which is looked at from outside.
        flood();
        probe.say(what, "contained");
    }
}

/// Output as fast as it goes, of which no more may be kept than the task is to have.
pub fn flood_its_output(probe: &mut Probe) {
    // Each is more than all files together may hold.
    for _ in 0..8 {
        flood();
    }
    let logs = fs::read_dir(".").unwrap().flatten();
    let logs = logs.filter(|entry| entry.file_name().to_string_lossy().starts_with("stderr"));
    let kept: u64 = logs.filter_map(|entry| entry.metadata().ok()).map(|log| log.len()).sum();
    let most = KEPT.stderr_bytes * u64::from(KEPT.files + 1) + (64 << 10);
    probe.say("kept", if kept <= most { "contained" } else { "too much" });
}

/// What checks keep of a task's output.
pub const KEPT: LogLimits = LogLimits { stdout_bytes: 1 << 20, stderr_bytes: 1 << 20, files: 3 };

/// Output without end from processes that want no end.
pub fn hang_and_flood(_: &mut Probe) {
    let script = "trap '' HUP INT TERM; for n in 1 2 3; do setsid sh -c \"trap '' HUP TERM; sleep 300; sleep 300\" & done; \
                  exec cat /dev/zero";
    let error =
        std::os::unix::process::CommandExt::exec(std::process::Command::new("sh").args(["-c", script]));
    panic!("{error}");
}
