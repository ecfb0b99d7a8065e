//! What this host will hold tasks to, line by line, and what it will not.
//!
//! The lines come from the same lists that an agent starts by, and from a trial: a container of the agent's profile is
//! really made, and tells what it finds around itself.
//!
//! Invariants
//! - `lonja agent --check` says that all is well if, and only if, `--require-isolation` lets an agent start with the same
//!   settings, and a container can be made.
//!
//! Source: docs/isolation.md; docs/design.md, D8.

mod surroundings;
mod trial;

use std::path::{Path, PathBuf};

use lonja_model::profile::Profile;
use serde::Serialize;

use crate::isolation::{Enforcement, Layout, LimitKind};
use crate::launcher::Launcher;
use crate::privileges::Grants;
use crate::separation::Separation;

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Tasks are held to it.
    Enforced,
    /// Turned off by the agent's settings.
    Off,
    /// They are not, and `--require-isolation` refuses to start.
    Missing,
    /// Worth knowing; nothing depends on it.
    Note,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it is about, such as `limit/memory`.
    pub part: String,
    /// What it says.
    pub state: State,
    /// By what means, or why not and what to do.
    pub how: String,
}

/// The audit of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// The profile that tasks get which ask for none.
    pub profile: String,
    /// The user that the agent runs as.
    pub user: u32,
    /// Line by line.
    pub lines: Vec<Line>,
}

impl Audit {
    /// Whether an agent starts with `--require-isolation`, and can make containers.
    pub fn all_is_enforced(&self) -> bool {
        self.lines.iter().all(|line| line.state != State::Missing)
    }

    fn say(&mut self, part: impl Into<String>, state: State, how: impl Into<String>) {
        self.lines.push(Line { part: part.into(), state, how: how.into() });
    }
}

/// What is audited.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// How strictly tasks are kept apart.
    pub separation: Separation,
    /// What they may ask for.
    pub grants: Grants,
    /// Where the agent's files will be; `None`: unknown yet.
    pub work_dir: Option<PathBuf>,
}

/// Audits this host. `folder` is empty, and for the trial; the launcher's containers are gone at the end.
pub async fn audit(subject: &Subject, launcher: &Launcher, folder: &Path) -> Audit {
    let layout = Layout::detect();
    let mut audit = Audit {
        profile: subject.separation.profile.to_string(),
        user: rustix::process::geteuid().as_raw(),
        lines: Vec::new(),
    };
    let how = format!("{} for tasks that name none, run by user {}", audit.profile, audit.user);
    audit.say("profile", State::Note, how);
    for one in layout.what_is_enforced().into_iter().chain(subject.separation.what_is_enforced()) {
        audit.lines.push(line_of(&layout, one));
    }
    let left_out = subject.separation.left_out();
    if !left_out.is_empty() {
        audit.say("isolation", State::Missing, format!("left out of --isolation: {}", left_out.join(", ")));
    }
    surroundings::control_groups(&mut audit, &layout);
    trial::run(&mut audit, subject, &layout, launcher, folder).await;
    surroundings::disk(&mut audit, subject.work_dir.as_deref().unwrap_or(folder));
    surroundings::network(&mut audit, subject);
    surroundings::host(&mut audit);
    audit
}

fn line_of(layout: &Layout, one: Enforcement) -> Line {
    let part = part_of(one.limit);
    match one.not_enforced {
        Some(why) => Line { part, state: State::Missing, how: why },
        None => Line { part, state: State::Enforced, how: means(layout, one.limit) },
    }
}

fn part_of(limit: LimitKind) -> String {
    match limit {
        LimitKind::RootFileSystem => "filesystem/root".to_owned(),
        LimitKind::Users => "user-namespace".to_owned(),
        // Named like the kind, in words.
        other => {
            let mut name = "limit/".to_owned();
            for letter in format!("{other:?}").chars() {
                if letter.is_uppercase() && !name.ends_with('/') {
                    name.push('-');
                }
                name.extend(letter.to_lowercase());
            }
            name
        }
    }
}

/// By what means a limit is enforced.
fn means(layout: &Layout, limit: LimitKind) -> String {
    let file = |v1: &str, v2: &str| match layout {
        Layout::V1(_) | Layout::Hybrid { .. } => v1.to_owned(),
        Layout::V2 { .. } => v2.to_owned(),
        Layout::Unlimited { why } => why.clone(),
    };
    match limit {
        LimitKind::Cpu => file("v1 cpu.shares and cpu.cfs_quota_us", "v2 cpu.weight and cpu.max"),
        LimitKind::Memory => {
            file("v1 memory.limit_in_bytes, watched for breaches", "v2 memory.max, ends whole groups")
        }
        LimitKind::Processes => file("v1 pids.max", "v2 pids.max"),
        LimitKind::WholeDeath => match layout {
            Layout::Hybrid { .. } | Layout::V2 { .. } => "a process id namespace, and cgroup.kill".to_owned(),
            _ => "a process id namespace".to_owned(),
        },
        LimitKind::RootFileSystem => "a root built for each container, entered by pivot_root".to_owned(),
        LimitKind::Users if rustix::process::geteuid().is_root() => {
            "a range of the host's user ids for each container: root inside is nobody outside".to_owned()
        }
        LimitKind::Users => {
            "root inside is the agent's own user outside, which is all that it can give".to_owned()
        }
        #[allow(unreachable_patterns, reason = "kinds of limits are added by their own parts")]
        _ => "control groups".to_owned(),
    }
}

/// Whether the profile, rather than the host, leaves this part out.
fn is_host(subject: &Subject) -> bool {
    subject.separation.profile == Profile::Host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_missing_line_is_enough_to_refuse() {
        let mut audit = Audit { profile: "default".into(), user: 0, lines: Vec::new() };
        audit.say("limit/cpu", State::Enforced, "x");
        audit.say("network", State::Note, "x");
        audit.say("seccomp", State::Off, "x");
        assert!(audit.all_is_enforced());
        audit.say("limit/memory", State::Missing, "x");
        assert!(!audit.all_is_enforced());
    }

    #[test]
    fn a_limit_is_named_in_words() {
        assert_eq!(part_of(LimitKind::WholeDeath), "limit/whole-death");
        assert_eq!(part_of(LimitKind::Users), "user-namespace");
    }
}
