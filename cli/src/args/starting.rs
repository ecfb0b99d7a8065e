//! Beginning a scheduler of one's own.

use std::path::PathBuf;

use clap::Args;

/// A new crate.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The crate's name; its folder is made in the working directory.
    pub(crate) name: String,
    /// Where the SDK is: the crate `lonja-sdk`, or a workspace that holds it. Without this it is looked for upward from
    /// the working directory, then from this program, and else taken from where crates are published.
    #[arg(long, value_name = "PATH")]
    pub(crate) sdk: Option<PathBuf>,
}
