//! Somebody dies at a step of a container's life: agent, launcher, supervisor or init. Then the agent is started again
//! if need be, and the task has run once or not at all, its framework knows which, and nothing of it is left
//! (INV-15, INV-26, INV-27, INV-29).

use lonja_tests::{Cluster, eventually, groups, needs_root, run, stderr};

const RESOURCES: &str = "cpus:4;mem:2048;ports:[31000-31010]";

/// What becomes of a task that says `ran` and ends with status 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It ran to its end, and that is told.
    Seven,
    /// It did not run to its end, or nobody can know: told as a failure of ours.
    Lost,
    /// One of the two: how much goes into one commit is a matter of time.
    Either,
    /// As `Lost`, or it had become the task's program already: then it was killed, and that is told with who died.
    Killed,
}
use Fate::{Either, Killed, Lost, Seven};

/// Who dies where, and what becomes of the task.
const STEPS: &[(&str, Fate)] = &[
    ("agent: committed@2", Lost),
    ("agent: launch taken on", Lost),
    ("agent: sandbox made", Lost),
    ("agent: run directory made", Lost),
    ("agent: order written", Lost),
    ("agent: launcher asked", Seven),
    ("launcher: request taken", Lost),
    ("launcher: supervisor has it", Seven),
    ("supervisor: claimed", Lost),
    ("supervisor: order read", Lost),
    ("supervisor: errand sent", Lost),
    ("supervisor: limited", Lost),
    ("init: errand read", Lost),
    ("init: set up", Lost),
    ("init: told to go", Lost),
    ("init: forked", Killed),
    ("supervisor: told to go", Lost),
    ("supervisor: start noted", Lost),
    ("agent: start known", Seven),
    ("agent: before the commit@3", Either),
    ("agent: committed@3", Either),
    ("agent: before the commit@4", Either),
    ("agent: committed@4", Either),
    ("agent: before the commit@5", Either),
    ("agent: committed@5", Either),
    ("agent: before the commit@6", Either),
    ("agent: committed@6", Either),
    ("supervisor: end seen", Lost),
    ("supervisor: group removed", Lost),
    ("supervisor: end noted", Seven),
    ("agent: end known", Seven),
    ("agent: before the clean-up", Seven),
    ("agent: group is gone", Seven),
    ("agent: run directory removed", Seven),
    ("agent: cleaned up", Seven),
];

#[test]
fn whoever_dies_at_whatever_step_a_task_runs_once_or_not_at_all_and_leaves_nothing() {
    if needs_root() {
        return;
    }
    let broken: Vec<String> = STEPS
        .iter()
        .filter_map(|(step, fate)| survives(step, *fate).err().map(|why| format!("{step}: {why}")))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Errors: what is not as it should be.
fn survives(step: &str, fate: Fate) -> Result<(), String> {
    let mut cluster = Cluster::without_agent(&[]);
    cluster.start_agent_in(RESOURCES, &[("LONJA_FAILPOINT", step)]);
    let child = cluster.spawn_run(&["--", "sh", "-c", "echo ran; exit 7"]);
    // Without its launcher the agent stops by itself.
    let agent_dies = step.starts_with("agent:") || step.starts_with("launcher:");
    if agent_dies {
        cluster.agent.take().unwrap().ended();
        cluster.start_agent(RESOURCES);
    }
    let output = child.wait_with_output().unwrap();
    let (runs, code) = (runs(cluster.path("agent/sandboxes").as_ref()), output.status.code());
    let (seven, lost) = (runs == 1 && code == Some(7), runs <= 1 && code == Some(125));
    let as_told = match fate {
        Seven => seven,
        Lost => lost,
        Either => seven || lost,
        Killed => lost || (runs <= 1 && code == Some(137) && stderr(&output).contains("init was killed")),
    };
    if !as_told {
        return Err(format!("it ran {runs} times and ended with {code:?}: {}", stderr(&output)));
    }
    if !agent_dies {
        // Otherwise nobody would have to do this; the next agent finds all there is, too.
        cluster.agent.take().unwrap().kill9();
        cluster.start_agent(RESOURCES);
    }
    let again = run(&["run", "--master", cluster.url(), "--", "true"]);
    if again.status.code() != Some(0) {
        return Err(format!("the next task ends with {}", stderr(&again)));
    }
    nothing_is_left(&cluster, step);
    Ok(())
}

#[test]
fn a_kill_that_its_agent_did_not_survive_is_carried_out_by_the_next() {
    if needs_root() {
        return;
    }
    for step in ["agent: kill begun", "agent: kill asked"] {
        let mut cluster = Cluster::without_agent(&[]);
        cluster.start_agent_in(RESOURCES, &[("LONJA_FAILPOINT", step)]);
        let child = cluster.spawn_run(&["--", "sleep", "1000"]);
        let id = cluster.task_in("TASK_RUNNING")["id"].as_str().unwrap().to_owned();

        run(&["kill", &id, "--master", cluster.url()]);
        cluster.agent.take().unwrap().ended();
        cluster.start_agent(RESOURCES);

        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(143), "{step}: {}", stderr(&output));
        nothing_is_left(&cluster, step);
    }
}

/// How often the task has said that it ran, by the files of all containers there ever were.
fn runs(sandboxes: &std::path::Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(sandboxes).into_iter().flatten().flatten() {
        // The newest run also stands there under a name of its own, as a link.
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            count += runs(&entry.path());
        } else if kind.is_file() && entry.file_name() == "stdout" {
            count += std::fs::read_to_string(entry.path()).unwrap_or_default().lines().count();
        }
    }
    count
}

/// No container of the agent has a run directory or a control group; spares have neither.
fn nothing_is_left(cluster: &Cluster, step: &str) {
    let instance = std::fs::read_to_string(cluster.path("agent/instance")).unwrap();
    let runs = cluster.path("agent/run");
    eventually(&format!("{step}: nothing is left"), || {
        let run_dirs = std::fs::read_dir(&runs).ok()?.count();
        let below = |group: std::path::PathBuf| std::fs::read_dir(group).into_iter().flatten().flatten();
        let named = groups(instance.trim()).into_iter().flat_map(below).filter(|entry| entry.path().is_dir());
        let used = named.filter(|entry| !entry.file_name().to_string_lossy().contains("spare")).count();
        (run_dirs == 0 && used == 0).then_some(())
    });
}
