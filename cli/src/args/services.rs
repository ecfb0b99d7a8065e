//! Services: everything that is said to the service framework, over its REST API.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{Format, duration, mebibytes};

/// The service framework that is asked unless told otherwise.
pub(crate) const DEFAULT_SERVICES: &str = "http://127.0.0.1:8080";

/// Services: long-running programs, kept up.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 the wanted state is reached; 1 it is not: refused, failed or rolled back, with the \
                  reason; 2 the command makes no sense; 3 accepted, but it cannot be placed, with the nearest miss. \
                  docs/services.md is the guide."
)]
pub(crate) struct Service {
    #[command(flatten)]
    pub(crate) family: ServiceFamily,
    #[command(subcommand)]
    pub(crate) command: ServiceCommand,
}

/// What all commands about services have in common; may stand before the verb or behind it.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServiceFamily {
    /// The service framework.
    #[arg(long, global = true, default_value = DEFAULT_SERVICES, value_name = "URL", env = "LONJA_SERVICES")]
    pub(crate) services: String,
    /// How to print the outcome.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Only the ids.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Create or replace what a file describes, or one app that flags describe; wait until it is up.
    Run(Box<RunService>),
    /// List apps and pods.
    List(ListServices),
    /// Show one app, pod or group: what is wanted, and its instances.
    Show(ShowService),
    /// Change the number of instances.
    Scale(ScaleService),
    /// Change an app; what is not named stays as it is.
    Update(Box<UpdateService>),
    /// Replace all instances by new ones of the same definition.
    Restart(OneService),
    /// Take the running deployment back; without one, go back to the version before.
    Rollback(RollbackService),
    /// Go on with a canary or blue-green deployment that waits for it.
    Promote(OneService),
    /// Remove apps, pods or groups with all their instances.
    Rm(RemoveService),
    /// Print what all instances write, each line behind the instance's name.
    Logs(ServiceLogs),
    /// Print what happens, as it happens.
    Events(ServiceEvents),
    /// Say why instances are not launched: reasons, the nearest miss, the last offers.
    Explain(ExplainService),
    /// Wait until an app, pod or group is as it is wanted.
    Wait(WaitService),
    /// Jobs: work that ends, once or by a calendar.
    Job(Jobs),
}

/// How long the outcome is waited for.
#[derive(Clone, Debug, Args)]
pub(crate) struct Waiting {
    /// Do not wait for the outcome.
    #[arg(short, long, conflicts_with = "wait")]
    pub(crate) detach: bool,
    /// Wait for the outcome, which is what happens without this too.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait; the deployment goes on after that.
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// How a change is made.
#[derive(Clone, Debug, Args)]
pub(crate) struct Pushing {
    /// Also while another deployment changes the same; that one is given up.
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// In which order new instances replace old ones; without this, as the definition says.
    #[arg(long, value_enum)]
    pub(crate) strategy: Option<Strategy>,
}

/// In which order new instances replace old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// Step by step, within the bounds of the upgrade strategy.
    Rolling,
    /// A few first; the rest once they are promoted.
    Canary,
    /// All new ones beside the old, which end once the new are promoted.
    #[value(alias = "blueGreen")]
    BlueGreen,
}

impl Strategy {
    /// As the API names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::Canary => "canary",
            Self::BlueGreen => "blueGreen",
        }
    }
}

/// An app, as flags describe it. What is not given is the framework's to choose, or stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub(crate) struct Description {
    /// A line for the shell to run, which sees the ports as $PORT0, $PORT1 ...
    #[arg(long, value_name = "LINE")]
    pub(crate) cmd: Option<String>,
    /// How many instances.
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) instances: Option<u32>,
    /// Processors of each instance.
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<f64>,
    /// Memory of each instance; without a unit, MiB.
    #[arg(long, value_parser = mebibytes, value_name = "SIZE")]
    pub(crate) mem: Option<f64>,
    /// Disk of each instance; without a unit, MiB.
    #[arg(long, value_parser = mebibytes, value_name = "SIZE")]
    pub(crate) disk: Option<f64>,
    /// GPUs of each instance.
    #[arg(long, value_name = "N")]
    pub(crate) gpus: Option<u32>,
    /// A variable of its environment; may be given more than once.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,
    /// A label; may be given more than once.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) label: Vec<String>,
    /// The image of its container.
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<String>,
    /// A port: its name, and the service port if it is to be a certain one; may be given more than once.
    #[arg(long, value_name = "NAME[:PORT][/udp]")]
    pub(crate) port: Vec<String>,
    /// Where instances may be: `hostname:UNIQUE`, `zone:GROUP_BY:3`, `rack:LIKE:r[12]`; may be given more than once.
    #[arg(long, value_name = "FIELD:OPERATOR[:VALUE]")]
    pub(crate) constraint: Vec<String>,
    /// It is healthy while this line for the shell ends with 0.
    #[arg(long, value_name = "LINE", group = "health")]
    pub(crate) health_cmd: Option<String>,
    /// It is healthy while its first port answers this path well.
    #[arg(long, value_name = "PATH", group = "health")]
    pub(crate) health_http: Option<String>,
    /// It is healthy while its first port takes connections.
    #[arg(long, group = "health")]
    pub(crate) health_tcp: bool,
    /// How long it may take to become healthy for the first time.
    #[arg(long, value_parser = duration, value_name = "TIME", requires = "health")]
    pub(crate) health_grace: Option<Duration>,
    /// How often its health is checked.
    #[arg(long, value_parser = duration, value_name = "TIME", requires = "health")]
    pub(crate) health_interval: Option<Duration>,
    /// A file to bring into its sandbox; may be given more than once.
    #[arg(long, value_name = "URI")]
    pub(crate) fetch: Vec<String>,
    /// The user that it runs as.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// The role whose resources it uses.
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,
    /// An app, pod or group that is up before it; may be given more than once.
    #[arg(long, value_name = "ID")]
    pub(crate) depends_on: Vec<String>,
    /// How long an instance may take to end when it is asked to.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) kill_grace: Option<Duration>,
}

/// A service to be run.
#[derive(Debug, Args)]
#[command(
    after_help = "FILE holds, in Marathon's JSON or in YAML, an app, an array of apps, a group, a pod or a job; they are \
                  told apart by their fields. What a file leaves out gets its default, also where the app exists."
)]
pub(crate) struct RunService {
    /// The file; - for standard input.
    #[arg(value_name = "FILE", conflicts_with = "name")]
    pub(crate) file: Option<PathBuf>,
    /// The id of the app that the flags describe.
    #[arg(long, value_name = "ID")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) description: Description,
    #[command(flatten)]
    pub(crate) pushing: Pushing,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// What to run, as it is, without a shell.
    #[arg(last = true, value_name = "CMD", conflicts_with_all = ["file", "cmd"])]
    pub(crate) command: Vec<String>,
}

/// A listing of services.
#[derive(Debug, Args)]
pub(crate) struct ListServices {
    /// Only those below this group.
    pub(crate) group: Option<String>,
    /// Only those with these labels: NAME, NAME=VALUE, NAME!=VALUE, NAME in (A,B), with commas between.
    #[arg(short, long, value_name = "SELECTOR")]
    pub(crate) label: Option<String>,
    /// Again and again.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// One to be shown.
#[derive(Debug, Args)]
pub(crate) struct ShowService {
    /// The app, pod or group.
    pub(crate) id: String,
    /// Its versions, newest first.
    #[arg(long, conflicts_with_all = ["at", "watch"])]
    pub(crate) versions: bool,
    /// Its definition as of this version.
    #[arg(long, value_name = "VERSION", conflicts_with = "watch")]
    pub(crate) at: Option<String>,
    /// Again and again.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// One to be scaled.
#[derive(Debug, Args)]
pub(crate) struct ScaleService {
    /// The app or pod.
    pub(crate) id: String,
    /// How many instances.
    pub(crate) instances: u32,
    #[command(flatten)]
    pub(crate) pushing: Pushing,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// One to be changed.
#[derive(Debug, Args)]
pub(crate) struct UpdateService {
    /// The app.
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) description: Description,
    /// A variable that goes; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub(crate) unset_env: Vec<String>,
    /// A label that goes; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub(crate) unset_label: Vec<String>,
    /// Fields to be changed, in JSON or YAML; - for standard input. Flags win over it.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) pushing: Pushing,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// What to run, as it is, without a shell.
    #[arg(last = true, value_name = "CMD", conflicts_with = "cmd")]
    pub(crate) command: Vec<String>,
}

/// One to which something is done that has no more to say.
#[derive(Debug, Args)]
pub(crate) struct OneService {
    /// The app, or where it has them too, the pod.
    pub(crate) id: String,
    /// Also while another deployment changes the same.
    #[arg(short, long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// One to be taken back.
#[derive(Debug, Args)]
pub(crate) struct RollbackService {
    /// The app or pod.
    pub(crate) id: String,
    /// To exactly this version, the number of instances included.
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: Option<String>,
    /// Also while another deployment changes the same.
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// What is to be removed.
#[derive(Debug, Args)]
pub(crate) struct RemoveService {
    /// Apps, pods or groups.
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Also groups, with all that is in them.
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Also the root, /, which is all there is; with --recursive.
    #[arg(long, requires = "recursive")]
    pub(crate) all: bool,
    /// Also groups while a deployment changes anything in them; apps and pods are removed in any case.
    #[arg(short, long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// What instances write.
#[derive(Debug, Args)]
pub(crate) struct ServiceLogs {
    /// The app or pod.
    pub(crate) id: String,
    /// The master; without this, the one that the services know.
    #[arg(long, value_name = "URL", env = "LONJA_MASTER")]
    pub(crate) master: Option<String>,
    /// What the instance wrote that failed last, in place of those that run.
    #[arg(short, long, conflicts_with_all = ["follow", "instance"])]
    pub(crate) previous: bool,
    /// Go on, also with instances that are new.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// What they wrote to stderr in place of stdout.
    #[arg(long)]
    pub(crate) stderr: bool,
    /// Begin so many lines before the end of each.
    #[arg(short = 'n', long, value_name = "LINES")]
    pub(crate) tail: Option<u64>,
    /// Only tasks whose id has this in it; may be given more than once.
    #[arg(long, value_name = "PART")]
    pub(crate) instance: Vec<String>,
}

/// What happens.
#[derive(Debug, Args)]
pub(crate) struct ServiceEvents {
    /// Only events about this app, pod or group.
    pub(crate) id: Option<String>,
    /// Only events of this type; may be given more than once, or with commas.
    #[arg(short, long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub(crate) types: Vec<String>,
    /// End after so many.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

/// One that waits.
#[derive(Debug, Args)]
pub(crate) struct ExplainService {
    /// The app or pod; without this, all that wait.
    pub(crate) id: Option<String>,
}

/// One that is waited for.
#[derive(Debug, Args)]
pub(crate) struct WaitService {
    /// The app, pod or group.
    pub(crate) id: String,
    /// How long to wait.
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
}

/// Jobs.
#[derive(Debug, Args)]
pub(crate) struct Jobs {
    #[command(subcommand)]
    pub(crate) command: JobCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Create or replace the job that a file describes.
    Apply {
        /// The file, in JSON or YAML; - for standard input.
        file: PathBuf,
    },
    /// Run a job now; wait until the run has ended.
    Run {
        /// The job.
        id: String,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// List jobs.
    List,
    /// Show a job and its runs.
    Show {
        /// The job.
        id: String,
    },
    /// Print what the newest task of a job wrote.
    Logs {
        /// The job.
        id: String,
        /// The master; without this, the one that the services know.
        #[arg(long, value_name = "URL", env = "LONJA_MASTER")]
        master: Option<String>,
        /// What it wrote to stderr in place of stdout.
        #[arg(long)]
        stderr: bool,
        /// Begin so many lines before the end.
        #[arg(short = 'n', long, value_name = "LINES")]
        tail: Option<u64>,
    },
    /// Remove jobs; runs that are under way are ended.
    Rm {
        /// The jobs.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// End a run.
    Stop {
        /// The job.
        id: String,
        /// The run.
        run: String,
    },
}
