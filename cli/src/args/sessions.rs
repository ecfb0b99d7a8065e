//! `lonja exec` and `lonja attach`.

use clap::Args;

use super::MasterUrl;

/// A command in a running task's container.
#[derive(Debug, Args)]
#[command(
    after_help = "The command sees what the task sees and is held to the same limits. It ends when this command \
                        does, when the task ends, and when its agent is restarted. Exits with the command's own \
                        status; 128+N when signal N ended it; 125 when it could not be run."
)]
pub(crate) struct Exec {
    #[command(flatten)]
    pub(crate) master: MasterUrl,
    /// Whose task it is, if more than one framework has one of that id.
    #[arg(long)]
    pub(crate) framework: Option<String>,
    /// Give the command this terminal's, or this pipe's, input.
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the command a terminal of its own.
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// A variable beside those of the task: K=V. May be given more than once.
    #[arg(short = 'e', long = "env", value_name = "K=V")]
    pub(crate) env: Vec<String>,
    /// The user it runs as; without this, the task's.
    #[arg(short, long)]
    pub(crate) user: Option<String>,
    /// Where it starts, as the task sees it; without this, where the task did.
    #[arg(short, long = "workdir", value_name = "DIR")]
    pub(crate) working_dir: Option<String>,
    /// The task.
    pub(crate) task: String,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

/// A running task's output, and its terminal.
#[derive(Debug, Args)]
#[command(
    after_help = "Shows what the task writes from now on, until it ends. A task with a terminal also gets what is \
                        typed, Ctrl-C included; Ctrl-P Ctrl-Q leaves it running. Exits with 0."
)]
pub(crate) struct Attach {
    #[command(flatten)]
    pub(crate) master: MasterUrl,
    /// Whose task it is, if more than one framework has one of that id.
    #[arg(long)]
    pub(crate) framework: Option<String>,
    /// Show the task's output only.
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Begin so many lines before the end.
    #[arg(short = 'n', long, value_name = "LINES")]
    pub(crate) tail: Option<u64>,
    /// The task.
    pub(crate) task: String,
}
