//! Flags about the files that come with tasks: what a task brings, and what an agent lets it have.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use lonja_agent::fetcher::AddressRange;

use super::{bytes, duration};

/// What comes with a task.
#[derive(Debug, Args)]
pub(crate) struct TaskFiles {
    /// A file to bring into its sandbox before it starts, from http://, https:// or file:///; archives (.tar, also
    /// with .gz, .bz2, .xz or .zst, and .zip) are unpacked. A name after the last = saves it as that. May be given more than once.
    #[arg(long, value_name = "URI[=NAME]")]
    pub(crate) fetch: Vec<String>,
    /// The same, and keep it on the agent for the next task of the same user.
    #[arg(long, value_name = "URI[=NAME]")]
    pub(crate) fetch_cached: Vec<String>,
    /// The same, and make it executable.
    #[arg(long, value_name = "URI[=NAME]")]
    pub(crate) fetch_executable: Vec<String>,
    /// A file of yours that only it may read, as secrets/NAME in its sandbox; NAME alone: what the agent's own store
    /// has of that name. May be given more than once.
    #[arg(long, value_name = "NAME[=FILE]")]
    pub(crate) secret: Vec<String>,
    /// The same as a variable of its environment.
    #[arg(long, value_name = "NAME[=FILE]")]
    pub(crate) secret_env: Vec<String>,
    /// An empty folder in memory, which counts as its memory; a relative path is below its sandbox. May be given more
    /// than once.
    #[arg(long, value_name = "PATH[:SIZE]")]
    pub(crate) tmpfs: Vec<String>,
}

/// What an agent fetches for tasks, and where it looks secrets up.
#[derive(Debug, Args)]
pub(crate) struct AgentFiles {
    /// Addresses beside public ones that files may be fetched from for tasks, such as 10.1.0.0/16; may be given more
    /// than once, or with commas. Without this, none.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', env = "LONJA_AGENT_FETCH_ALLOW")]
    pub(crate) fetch_allow: Vec<AddressRange>,
    /// How much of what was fetched is kept for later tasks; 0: nothing.
    #[arg(long, default_value = "2GiB", value_name = "SIZE", value_parser = bytes, env = "LONJA_AGENT_FETCH_CACHE_SIZE")]
    pub(crate) fetch_cache_size: u64,
    /// The most that one task may fetch and unpack.
    #[arg(long, default_value = "16GiB", value_name = "SIZE", value_parser = bytes, env = "LONJA_AGENT_FETCH_LIMIT")]
    pub(crate) fetch_limit: u64,
    /// How long the files of one task may take.
    #[arg(long, default_value = "10m", value_parser = duration, env = "LONJA_AGENT_FETCH_TIMEOUT")]
    pub(crate) fetch_timeout: Duration,
    /// Certificates (PEM) of those who say who servers are, in place of the usual ones, for files from https://.
    #[arg(long, value_name = "FILE", env = "LONJA_AGENT_FETCH_CA")]
    pub(crate) fetch_ca: Option<PathBuf>,
    /// A folder, its owner's alone, with a file for each secret that tasks may name: NAME or NAME/KEY.
    #[arg(long, value_name = "DIR", env = "LONJA_AGENT_SECRETS_DIR")]
    pub(crate) secrets_dir: Option<PathBuf>,
}
