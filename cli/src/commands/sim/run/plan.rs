//! What is to be run, checked: policies that there are, seeds that can be counted.

use anyhow::{Context, bail, ensure};

use crate::args::SimRun;
use crate::commands::sim::run::workbench;

/// More runs than that are a slip of the finger.
const MOST_RUNS: usize = 100_000;

/// Which runs, and how many at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// At least one, each once, in the order in which they were named.
    pub(super) policies: Vec<&'static str>,
    /// At least one, in order.
    pub(super) seeds: Vec<u64>,
    /// How many machines, if it was said; at least one.
    pub(super) agents: Option<usize>,
    pub(super) jobs: usize,
}

impl Plan {
    /// The plan that the command line asks for. Errors: a policy that there is not, numbers that are none, no runs at
    /// all, or too many.
    pub(super) fn of(arguments: &SimRun) -> anyhow::Result<Self> {
        let policies = policies(&arguments.policy, &workbench::policies())?;
        let seeds = seeds(&arguments.seed, &arguments.seeds)?;
        let runs = policies.len().saturating_mul(seeds.len());
        ensure!(runs <= MOST_RUNS, "{runs} runs are more than {MOST_RUNS}; ask for fewer seeds or policies");
        let agents = arguments.agents.as_deref().map(agents).transpose()?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = arguments.threads.map_or_else(cores, usize::from).min(runs);
        Ok(Self { policies, seeds, agents, jobs })
    }

    /// How many runs in all.
    pub(super) fn runs(&self) -> usize {
        self.policies.len() * self.seeds.len()
    }
}

fn policies(asked: &[String], known: &[&'static str]) -> anyhow::Result<Vec<&'static str>> {
    let mut policies: Vec<&'static str> = Vec::new();
    for name in asked.iter().map(|name| name.trim()) {
        let found: Vec<&'static str> =
            known.iter().copied().filter(|known| *known == name || name == "all").collect();
        if found.is_empty() {
            bail!("there is no policy {name:?}; there are {}, and all", known.join(", "));
        }
        for policy in found {
            if !policies.contains(&policy) {
                policies.push(policy);
            }
        }
    }
    ensure!(!policies.is_empty(), "no policy is named; there are {}, and all", known.join(", "));
    Ok(policies)
}

fn seeds(first: &str, count: &str) -> anyhow::Result<Vec<u64>> {
    let first: u64 = first
        .parse()
        .ok()
        .with_context(|| format!("--seed {first}: a seed is a number from 0 to {}", u64::MAX))?;
    let wrong = || format!("--seeds {count}: write how many seeds, a number from 1 to {MOST_RUNS}");
    let number: u64 = count.parse().ok().with_context(wrong)?;
    ensure!((1..=MOST_RUNS as u64).contains(&number), wrong());
    let last = first.checked_add(number - 1);
    let last = last
        .with_context(|| format!("--seed {first} --seeds {number}: the last seed is above {}", u64::MAX))?;
    Ok((first..=last).collect())
}

fn agents(text: &str) -> anyhow::Result<usize> {
    const MOST: usize = 1_000_000;
    let number: Option<usize> = text.parse().ok();
    ensure!(number != Some(0), "--agents 0: without machines there is nothing to place tasks on");
    number
        .filter(|number| *number <= MOST)
        .with_context(|| format!("--agents {text}: write how many machines, a number from 1 to {MOST}"))
}

/// The command line as one could paste it into a shell, for whoever wants to make the same runs again.
pub(super) fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let words = arguments.skip(1).map(|word| {
        let plain = |c: char| c.is_alphanumeric() || "-_./,=:@%+".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    std::iter::once("lonja".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_those_there_are_each_once() {
        let known = ["fgd", "binpack"];
        let asked = |text: &str| {
            let names: Vec<String> = text.split(',').map(str::to_owned).collect();
            policies(&names, &known).map_err(|error| error.to_string())
        };
        assert_eq!(asked("binpack, fgd,binpack"), Ok(vec!["binpack", "fgd"]));
        assert_eq!(asked("binpack,all"), Ok(vec!["binpack", "fgd"]));
        assert_eq!(
            asked("fgd,bst"),
            Err("there is no policy \"bst\"; there are fgd, binpack, and all".into())
        );
        assert!(asked("fgd,").unwrap_err().contains("no policy \"\""));
    }

    #[test]
    fn seeds_that_do_not_parse_are_refused_with_what_is_allowed() {
        assert_eq!(seeds("5", "3").unwrap(), [5, 6, 7]);
        assert_eq!(seeds(&u64::MAX.to_string(), "1").unwrap(), [u64::MAX]);
        let error = |first, count| seeds(first, count).unwrap_err().to_string();
        assert!(error("x", "1").starts_with("--seed x: a seed is a number from 0 to 1844"));
        assert!(error("-1", "1").starts_with("--seed -1: "));
        assert!(error("1", "0").starts_with("--seeds 0: write how many seeds"));
        assert!(error("1", "1e9").starts_with("--seeds 1e9: write how many seeds"));
        assert!(error("18446744073709551615", "2").contains("the last seed is above"));
    }

    #[test]
    fn a_fleet_has_at_least_one_machine() {
        assert_eq!(agents("50000").unwrap(), 50_000);
        assert!(agents("0").unwrap_err().to_string().contains("nothing to place tasks on"));
        assert!(agents("many").unwrap_err().to_string().contains("a number from 1 to"));
    }

    #[test]
    fn the_command_line_can_be_pasted() {
        let words = ["/usr/bin/lonja", "sim", "run", "my trace", "--machine", "cpus:4;mem:1", "it's"];
        let line = command_line(words.into_iter().map(str::to_owned));
        assert_eq!(line, "lonja sim run 'my trace' --machine 'cpus:4;mem:1' 'it'\\''s'");
    }
}
