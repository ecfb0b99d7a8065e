//! Where `sim run` meets the laboratory: policies by name, workloads by path or by the words for a generator, one run.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use lonja_sim::lab::generators::{self, Fleet};
use lonja_sim::lab::{self, RunResult, Workload, trace};

use super::plan::Plan;
use super::pool::Bench;
use crate::args::SimRun;

/// Where the trace is published that is most asked for.
const PUBLISHED: &str = "the openb trace of 2023 is published in the repository alibaba/clusterdata on GitHub, folder \
                         cluster-trace-gpu-v2023";
/// The trace that is meant when none is named.
const USUAL: &str = "openb-2023";
/// The workload that was asked for, ready to be run.
#[derive(Debug)]
pub(super) struct Workbench {
    source: Source,
    mix: Option<String>,
}

#[derive(Debug)]
enum Source {
    /// Read once, the same for each seed unless it is dealt out.
    Trace(Arc<Workload>),
    /// Made anew for each seed.
    Generator { words: String, fleet: Fleet },
}

/// What the command line names, before it is opened.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Trace(PathBuf),
    Generator(String),
}

impl Workbench {
    /// Reads the trace, or tries the generator once. Errors: no such path, a malformed trace with file, line, field and
    /// what was expected, words that no generator knows, an empty fleet.
    pub(super) fn open(arguments: &SimRun, plan: &Plan) -> anyhow::Result<Self> {
        let source = match named(arguments.workload.as_deref(), arguments.traces.as_deref())? {
            Named::Trace(path) => {
                ensure!(
                    arguments.machine.is_none(),
                    "--machine is for generators: a trace says what its machines have"
                );
                let mut workload = read_trace(&path, arguments.list.as_deref())?;
                ensure!(!workload.machines.is_empty(), "{}: a fleet without machines", path.display());
                if let Some(agents) = plan.agents {
                    resize(&mut workload, agents);
                }
                Source::Trace(Arc::new(workload))
            }
            Named::Generator(words) => {
                ensure!(arguments.list.is_none(), "--list is for traces that have several lists of tasks");
                let fleet = Fleet { machines: plan.agents, each: arguments.machine.clone() };
                Source::Generator { words, fleet }
            }
        };
        let workbench = Self { source, mix: arguments.framework_mix.clone() };
        // What is wrong with the words for generator and mix is said now, not from some thread later.
        workbench.workload(plan.seeds[0])?;
        Ok(workbench)
    }
}

impl Bench for Workbench {
    fn workload(&self, seed: u64) -> anyhow::Result<Arc<Workload>> {
        let workload = match &self.source {
            Source::Trace(workload) => workload.clone(),
            Source::Generator { words, fleet } => Arc::new(generators::generate(words, fleet, seed)?),
        };
        let Some(mix) = &self.mix else { return Ok(workload) };
        Ok(Arc::new(generators::mix(workload.as_ref().clone(), mix, seed)?))
    }

    fn run(&self, workload: &Workload, policy: &str, seed: u64) -> anyhow::Result<RunResult> {
        run_policy(workload, policy, seed)
    }
}

/// A path that there is, here or among the traces; else the words for a generator.
fn named(workload: Option<&str>, traces: Option<&Path>) -> anyhow::Result<Named> {
    let Some(text) = workload else {
        let Some(traces) = traces else {
            bail!("name a trace or a generator, or set LONJA_TRACES to a folder of traces; {PUBLISHED}");
        };
        let usual = traces.join(USUAL);
        let path = if usual.exists() { usual } else { traces.to_owned() };
        ensure!(path.exists(), "LONJA_TRACES={}: no such folder; {PUBLISHED}", path.display());
        return Ok(Named::Trace(path));
    };
    let candidates = [Some(PathBuf::from(text)), traces.map(|traces| traces.join(text))];
    if let Some(path) = candidates.into_iter().flatten().find(|path| path.exists()) {
        return Ok(Named::Trace(path));
    }
    let name = text.split(':').next().unwrap_or(text);
    if names().any(|known| known == name) {
        return Ok(Named::Generator(text.to_owned()));
    }
    bail!(
        "{text}: no such folder, and no generator of that name (there are {}); {PUBLISHED}",
        names().collect::<Vec<_>>().join(", ")
    )
}

/// A fleet of so many machines: those of the trace in their order, and again from the first one under new names.
fn resize(workload: &mut Workload, machines: usize) {
    let given = workload.machines.len();
    workload.machines.truncate(machines);
    for number in given..machines {
        let mut machine = workload.machines[number % given].clone();
        machine.name = format!("{}-{}", machine.name, number / given + 1);
        workload.machines.push(machine);
    }
}

/// The policies' names.
pub(super) fn policies() -> Vec<&'static str> {
    lab::policies::NAMES.to_vec()
}

/// The generators' names.
fn names() -> impl Iterator<Item = &'static str> {
    generators::known().map(|(name, _)| name)
}

/// Reads the trace in a folder. Errors: no trace there, a list that there is not, what is malformed and where.
fn read_trace(folder: &Path, list: Option<&str>) -> anyhow::Result<Workload> {
    let which = || format!("trace {}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(which)? {
        // A name that is no text is none that a trace has.
        names.extend(entry.with_context(which)?.file_name().into_string().ok());
    }
    let files = trace::choose(names.iter().map(String::as_str), list).with_context(which)?;
    let open = |name: &str| File::open(folder.join(name)).map(BufReader::new);
    trace::read(&files, &folder.display().to_string(), open).with_context(which)
}

fn run_policy(workload: &Workload, policy: &str, seed: u64) -> anyhow::Result<RunResult> {
    lab::policies::by_name(policy, seed)?;
    let scorer = || {
        let found = lab::policies::by_name(policy, seed);
        found.unwrap_or_else(|error| unreachable!("it was there a moment ago: {error}"))
    };
    Ok(lab::run::run(workload, scorer, &lab::run::Options::default(), seed)?)
}

#[cfg(test)]
mod tests {
    use lonja_sim::lab::Machine;

    use super::*;

    #[test]
    fn a_path_here_comes_before_one_among_the_traces_and_both_before_a_generator() {
        let traces = tempfile::tempdir().unwrap();
        let (folder, usual) = (traces.path(), traces.path().join(USUAL));
        let generator = "poisson";
        let trace = |path: &Path| Named::Trace(path.to_owned());
        assert_eq!(named(None, Some(folder)).unwrap(), trace(folder));
        std::fs::create_dir(&usual).unwrap();

        assert_eq!(named(None, Some(folder)).unwrap(), trace(&usual));
        assert_eq!(named(Some(USUAL), Some(folder)).unwrap(), trace(&usual));
        assert_eq!(named(usual.to_str(), None).unwrap(), trace(&usual));
        let words = format!("{generator}:rate=1");
        assert_eq!(named(Some(&words), Some(folder)).unwrap(), Named::Generator(words.clone()));
        std::fs::create_dir(folder.join(generator)).unwrap();
        assert_eq!(named(Some(generator), Some(folder)).unwrap(), trace(&folder.join(generator)));
        assert!(named(Some("nowhere"), Some(folder)).unwrap_err().to_string().contains(PUBLISHED));
    }

    #[test]
    fn a_fleet_is_cut_or_repeated_under_new_names() {
        let machine = |name: &str| Machine {
            name: name.to_owned(),
            total: Default::default(),
            attributes: Default::default(),
        };
        let fleet = Workload { machines: vec![machine("a"), machine("b")], ..Workload::default() };
        let names = |machines: usize| {
            let mut fleet = fleet.clone();
            resize(&mut fleet, machines);
            fleet.machines.into_iter().map(|machine| machine.name).collect::<Vec<_>>()
        };
        assert_eq!(names(1), ["a"]);
        assert_eq!(names(5), ["a", "b", "a-2", "b-2", "a-3"]);
    }
}
