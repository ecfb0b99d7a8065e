//! Looking at what a task uses and has written.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Format, MasterUrl, duration};

/// What tasks use.
#[derive(Debug, Args)]
pub(crate) struct Stats {
    #[command(flatten)]
    pub(crate) master: MasterUrl,
    /// The task; without this, all that run.
    pub(crate) task: Option<String>,
    /// Whose task it is, if more than one framework has one of that id.
    #[arg(long)]
    pub(crate) framework: Option<String>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Again and again, until the task has ended.
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Over how long the use of the processor is measured, and how often it is printed.
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub(crate) interval: Duration,
}

/// A task's files.
#[derive(Debug, Args)]
pub(crate) struct Files {
    #[command(flatten)]
    pub(crate) master: MasterUrl,
    /// The task.
    pub(crate) task: String,
    /// A folder or file in its sandbox; without this, the sandbox.
    #[arg(default_value = "")]
    pub(crate) path: String,
    /// Whose task it is, if more than one framework has one of that id.
    #[arg(long)]
    pub(crate) framework: Option<String>,
    /// Print what is in the file.
    #[arg(long, conflicts_with_all = ["download", "output"])]
    pub(crate) cat: bool,
    /// Write the file, or the folder with all files in it, to this place, which must not be there yet unless it is a folder.
    #[arg(long, value_name = "DEST", conflicts_with = "output")]
    pub(crate) download: Option<PathBuf>,
    /// How to print the listing.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}
