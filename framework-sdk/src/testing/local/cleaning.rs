//! What an agent leaves running by design, and its end.
//!
//! An agent's tasks outlive it: each has a supervisor, which names itself in its run folder. To end them all, each
//! supervisor is asked to (it then ends its container and removes its control groups), and what is left of the agent's
//! groups is removed. Only processes are signalled that are this agent's by their own files and names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a supervisor may take to end its container before it is killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ends all that the agent with this work dir has left running; the agent itself has ended.
pub(super) fn clean_up_after(work_dir: &Path) {
    let supervisors: Vec<u32> = supervisors(work_dir);
    supervisors.iter().for_each(|pid| signal("TERM", *pid));
    if !within(PATIENCE, || !supervisors.iter().any(|pid| is_supervisor(*pid, work_dir))) {
        supervisors.iter().filter(|pid| is_supervisor(**pid, work_dir)).for_each(|pid| signal("KILL", *pid));
    }
    // A spare that is still being made would make its group again.
    within(PATIENCE, || !has_helpers(work_dir));
    let Ok(instance) = fs::read_to_string(work_dir.join("instance")) else { return };
    for group in groups(instance.trim()) {
        within(PATIENCE, || remove_group(&group));
    }
}

/// Asks until it is so, for no longer than this.
fn within(time: Duration, is_so: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while !is_so() {
        if started.elapsed() > time {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// Every supervisor that has claimed a container of the agent and is still there.
fn supervisors(work_dir: &Path) -> Vec<u32> {
    let runs = fs::read_dir(work_dir.join("run")).into_iter().flatten().flatten();
    let owners = runs.filter_map(|run| fs::read_to_string(run.path().join("owner")).ok());
    owners.filter_map(|owner| pid_in(&owner)).filter(|pid| is_supervisor(*pid, work_dir)).collect()
}

/// The first number called `pid` in a record.
fn pid_in(record: &str) -> Option<u32> {
    let (_, after) = record.split_once(r#""pid""#)?;
    let after = after.trim_start().strip_prefix(':')?.trim_start();
    let digits = after.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(after.len());
    after[..digits].parse().ok()
}

/// Is that a supervisor of this agent that has not ended? An id is used again once its process has ended, perhaps by the
/// supervisor of another agent, so the name alone does not say whose it is.
fn is_supervisor(pid: u32, work_dir: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    let is_zombie = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
    !is_zombie && is_of(&process, "lonja-super", work_dir)
}

/// Does a process have a name that begins so, and the agent's folder among its arguments?
fn is_of(process: &Path, name: &str, work_dir: &Path) -> bool {
    let work_dir = work_dir.as_os_str().as_encoded_bytes();
    let read = |file: &str| fs::read(process.join(file)).unwrap_or_default();
    read("comm").starts_with(name.as_bytes())
        && read("cmdline").split(|byte| *byte == 0).any(|one| one == work_dir)
}

/// Whether a launcher, a spare or a supervisor of the agent is there: they have its arguments, and names of their own.
fn has_helpers(work_dir: &Path) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.map(|process| process.path()).any(|process| is_of(&process, "lonja-", work_dir))
}

/// By the shell's own `kill`: the standard library can only kill its own children.
fn signal(name: &str, pid: u32) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()]);
    // It has ended in the meantime: fine.
    let _gone = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// The control groups of one agent on this host, in each hierarchy.
fn groups(instance: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = hierarchies.chain([root.to_owned()]);
    let named = !instance.is_empty() && !instance.contains('/');
    all.filter(|_| named).map(|one| one.join("lonja").join(instance)).filter(|one| one.exists()).collect()
}

/// Removes a group and those below it; `true` once it is gone.
fn remove_group(group: &Path) -> bool {
    for below in fs::read_dir(group).into_iter().flatten().flatten() {
        if below.path().is_dir() {
            remove_group(&below.path());
        }
    }
    let _busy = fs::remove_dir(group);
    !group.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_run_folder_is_found_in_its_record() {
        assert_eq!(pid_in(r#"{"owner": {"pid": 4711, "started": 12}}"#), Some(4711));
        assert_eq!(pid_in(r#"{"pid":17}"#), Some(17));
        assert_eq!(pid_in(r#"{"pid":"x"}"#), None);
        assert_eq!(pid_in(""), None);
    }

    /// A supervisor is forked, not started: its arguments are those of the agent's own command line, the folder a word by
    /// itself.
    #[test]
    fn a_supervisor_of_another_agent_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        // A stranger under the name of a supervisor, with the folder of its own agent among its arguments.
        let program = folder.path().join("lonja-supervisor");
        std::os::unix::fs::symlink("/bin/sh", &program).unwrap();
        let mut command = Command::new(&program);
        command.args(["-c", "echo; read line", "sh", "/theirs"]);
        let mut stranger = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0];
        std::io::Read::read_exact(stranger.stdout.as_mut().unwrap(), &mut said).unwrap();
        let pid = stranger.id();

        let (theirs, mine) =
            (is_supervisor(pid, Path::new("/theirs")), is_supervisor(pid, Path::new("/mine")));
        stranger.kill().unwrap();
        stranger.wait().unwrap();

        assert!(theirs && !mine, "theirs: {theirs}, mine: {mine}");
    }

    #[test]
    fn nothing_is_found_of_an_agent_that_never_ran() {
        let nowhere = Path::new("/nowhere/lonja-agent");

        clean_up_after(nowhere);

        assert!(supervisors(nowhere).is_empty() && !has_helpers(nowhere) && groups("").is_empty());
    }
}
