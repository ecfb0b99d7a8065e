//! Agents and machines that are to be left, or taken back.

use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use super::{Family, duration};

/// Agents.
#[derive(Debug, Args)]
pub(crate) struct Agents {
    #[command(flatten)]
    pub(crate) family: Family,
    #[command(subcommand)]
    pub(crate) command: Option<AgentsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// List agents.
    List,
    /// Offer an agent no more; its tasks run on.
    Deactivate {
        /// The agent: its id, the end of it, or its host.
        agent: String,
    },
    /// Offer an agent again: the way back from deactivation and from draining.
    Reactivate {
        /// The agent: its id, the end of it, or its host.
        agent: String,
    },
    /// Declare that an agent will never return. Its tasks are lost for good.
    Gone {
        /// The agent: its id, the end of it, or its host.
        agent: String,
    },
}

/// An agent to be emptied.
#[derive(Debug, Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    pub(crate) list: super::List,
    /// The agent: its id, the end of it, or its host.
    pub(crate) agent: String,
    /// The longest that a task gets to end; without this, each its own.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) grace: Option<Duration>,
    /// Declare the agent gone once it is empty.
    #[arg(long)]
    pub(crate) mark_gone: bool,
    /// Take it back: offer the agent again. Kills that were asked for are not called back.
    #[arg(long, conflicts_with_all = ["grace", "mark_gone", "wait"])]
    pub(crate) undo: bool,
    /// Wait until it is empty.
    #[arg(long)]
    pub(crate) wait: bool,
}

/// Maintenance.
#[derive(Debug, Args)]
#[command(after_help = "Time does nothing by itself: a machine whose window has come stays as it is until \
                        `lonja maintenance start` says so.")]
pub(crate) struct Maintenance {
    #[command(flatten)]
    pub(crate) family: Family,
    #[command(subcommand)]
    pub(crate) command: Option<MaintenanceCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MaintenanceCommand {
    /// List machines that are to be out of use, or are, and what their frameworks say to it.
    List,
    /// Announce when machines will be out of use; replaces what was announced for them.
    Schedule {
        /// From when: now, +2h, or 2030-01-31T22:00:00Z.
        #[arg(long, value_parser = instant, value_name = "TIME")]
        start: SystemTime,
        /// For how long; without this, nobody knows.
        #[arg(long, value_parser = duration, value_name = "TIME")]
        duration: Option<Duration>,
        /// The machines, as their agents give their hostnames.
        #[arg(required = true, value_name = "MACHINE")]
        machines: Vec<String>,
    },
    /// Take machines out of the schedule that are not out of use.
    Clear {
        /// The machines.
        #[arg(required = true, value_name = "MACHINE")]
        machines: Vec<String>,
    },
    /// Take scheduled machines out of use: their agents are drained.
    Start {
        /// The machines.
        #[arg(required = true, value_name = "MACHINE")]
        machines: Vec<String>,
    },
    /// Put machines back into use.
    Stop {
        /// The machines.
        #[arg(required = true, value_name = "MACHINE")]
        machines: Vec<String>,
    },
}

/// A point in time: now, so long from now, or a date.
fn instant(text: &str) -> Result<SystemTime, String> {
    let now = SystemTime::now();
    if text == "now" {
        return Ok(now);
    }
    if let Some(later) = text.strip_prefix('+') {
        let too_far = || format!("{text:?} is too far away");
        return now.checked_add(duration(later)?).ok_or_else(too_far);
    }
    humantime::parse_rfc3339_weak(text)
        .map_err(|error| format!("{error}; write, for example, now, +2h or 2030-01-31T22:00:00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_is_near_or_dated() {
        assert!(instant("+2h").unwrap() > instant("now").unwrap());
        assert!(instant("2030-01-31T22:00:00Z").is_ok() && instant("2030-01-31 22:00:00").is_ok());
        assert!(instant("soon").is_err() && instant("+x").is_err());
    }
}
