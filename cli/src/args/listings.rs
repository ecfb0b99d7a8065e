//! Listings, and what is about one task.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{MasterUrl, duration};

/// How a listing is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For people with wide windows.
    Wide,
    /// For programs.
    Json,
}

/// A listing.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) master: MasterUrl,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Only the ids.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// A listing of tasks.
#[derive(Debug, Args)]
pub(crate) struct ListTasks {
    #[command(flatten)]
    pub(crate) list: List,
    /// Also those that have ended.
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Only those of this framework.
    #[arg(long)]
    pub(crate) framework: Option<String>,
}

/// A task's output.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    #[command(flatten)]
    pub(crate) master: MasterUrl,
    /// The task.
    pub(crate) task: String,
    /// Whose task it is, if more than one framework has one of that id.
    #[arg(long)]
    pub(crate) framework: Option<String>,
    /// Go on until the task has ended.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// What it wrote to stderr in place of stdout.
    #[arg(long)]
    pub(crate) stderr: bool,
    /// Begin so many lines before the end.
    #[arg(short = 'n', long, value_name = "LINES")]
    pub(crate) tail: Option<u64>,
}

/// The end of a task.
#[derive(Debug, Args)]
pub(crate) struct Kill {
    #[command(flatten)]
    pub(crate) master: MasterUrl,
    /// The task.
    pub(crate) task: String,
    /// Whose task it is, if more than one framework has one of that id.
    #[arg(long)]
    pub(crate) framework: Option<String>,
    /// How long to wait for the master.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) wait: Duration,
}
