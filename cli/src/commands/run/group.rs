//! Commands beside the command: `lonja run --with NAME=CMD`, all in one group.
//!
//! Each is a task with the resources, volumes, environment and separation of the first, and a name of its own. All
//! see the folder `shared` of their group. The first is what the run is about: when it has ended, so are the others,
//! and its status is the run's, unless one of the others had failed before.

use std::io::{self, Write};

use anyhow::{Context, bail};
use lonja_sdk::model::executor::ExecutorInfo;
use lonja_sdk::model::resources::Scalar;
use lonja_sdk::model::{ExecutorId, TaskId};
use lonja_sdk::{Need, Task};

use crate::args::Run;

/// The folder that all tasks of the group see, below each one's working directory.
const SHARED: &str = "shared";

/// The longest name, in bytes.
const LONGEST_NAME: usize = 63;

/// How many commands may stand beside the first.
const MOST: usize = 31;

/// A command beside the first.
#[derive(Clone, Debug)]
pub(super) struct Beside {
    /// What it is called, in its task's id and before each line of its output.
    pub(super) name: String,
    pub(super) task: Task,
}

/// The commands that the flags name. `describe` gives a task all that the first has of its surroundings.
///
/// Errors: which flag, and what to do.
pub(super) fn beside(
    run: &Run,
    describe: impl Fn(Task) -> anyhow::Result<Task>,
) -> anyhow::Result<Vec<Beside>> {
    let mut all: Vec<Beside> = Vec::with_capacity(run.with.len());
    if run.with.len() > MOST {
        bail!("--with: {} commands, at most {MOST} can stand beside the first", run.with.len());
    }
    for said in &run.with {
        let (name, command) =
            said.split_once('=').with_context(|| format!("--with {said}: write NAME=COMMAND"))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(plain) {
            bail!("--with {said}: a name has 1 to {LONGEST_NAME} letters, digits, '-' or '_'");
        }
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            bail!("--with {said}: a name that is a number is that of the command itself");
        }
        if all.iter().any(|other| other.name == name) {
            bail!("--with {said}: there is another {name:?}; give each a name of its own");
        }
        if command.trim().is_empty() {
            bail!("--with {said}: the command is empty");
        }
        let task = Task::shell(command)
            .and_then(|task| task.cpus(run.cpus)?.mem_mib(run.mem)?.disk_mib(run.disk))
            .with_context(|| format!("--with {said}"))?;
        let task = describe(task)?.name(name);
        all.push(Beside { name: name.to_owned(), task: share(task) });
    }
    Ok(all)
}

/// The task with the folder that its group has together.
pub(super) fn share(task: Task) -> Task {
    task.group_volume(SHARED, SHARED, false)
}

/// What all of them need together.
pub(super) fn need(first: &Task, beside: &[Beside]) -> Need {
    let add = |one: Scalar, other: Scalar| one.checked_add(other).unwrap_or(one);
    beside.iter().fold(*first.need(), |sum, Beside { task, .. }| {
        let its = task.need();
        Need {
            cpus: add(sum.cpus, its.cpus),
            mem: add(sum.mem, its.mem),
            disk: add(sum.disk, its.disk),
            ..sum
        }
    })
}

/// The executor that they share, and the ids of those beside the first.
pub(super) fn executor(prefix: &str) -> Option<ExecutorInfo> {
    ExecutorId::new(prefix).ok().map(ExecutorInfo::builtin)
}

/// The id of one beside the first.
pub(super) fn task_id(prefix: &str, name: &str) -> anyhow::Result<TaskId> {
    Ok(TaskId::new(format!("{prefix}-{name}"))?)
}

/// Puts a name before each line that goes through.
pub(super) struct Named<W: Write> {
    to: W,
    name: String,
    line: Vec<u8>,
}

/// Longer lines are shown in pieces.
const LONGEST_LINE: usize = 16 << 10;

impl<W: Write> Named<W> {
    pub(super) fn new(to: W, name: &str) -> Self {
        Self { to, name: name.to_owned(), line: Vec::new() }
    }

    fn say(&mut self) -> io::Result<()> {
        // One write, so that lines of several commands stay whole.
        let mut line = format!("{} | ", self.name).into_bytes();
        line.append(&mut self.line);
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        self.to.write_all(&line)
    }
}

impl<W: Write> Write for Named<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() >= LONGEST_LINE {
                self.say()?;
            }
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<W: Write> Drop for Named<W> {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            // Nobody reads any more, perhaps.
            let _unread = self.say().and_then(|()| self.to.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_bears_its_name_also_the_last_and_one_that_comes_in_pieces() {
        let mut seen = Vec::new();
        let mut named = Named::new(&mut seen, "db");
        named.write_all(b"one\ntw").unwrap();
        named.write_all(b"o\n\nlast").unwrap();
        drop(named);
        assert_eq!(String::from_utf8(seen).unwrap(), "db | one\ndb | two\ndb | \ndb | last\n");
    }

    #[test]
    fn what_all_need_is_the_sum() {
        let task = || Task::shell("true").unwrap().cpus(0.5).unwrap().mem_mib(32.0).unwrap();
        let beside = [Beside { name: "a".into(), task: task() }, Beside { name: "b".into(), task: task() }];
        let need = need(&task().ports(2), &beside);
        assert_eq!((need.cpus.to_f64(), need.mem.to_f64(), need.ports), (1.5, 96.0, 2));
    }
}
