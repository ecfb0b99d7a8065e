//! What to run: the whole description of one container, as plain data.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use lonja_model::profile::Profile;
use serde::{Deserialize, Serialize};

use super::confine::Confinement;
use super::logs::LogLimits;
use super::profile::Isolation;
use super::sources::VolumeSource;
use super::terminal::WindowSize;
use crate::isolation::{ContainerId, InstanceId, Layout, Limits};

/// The largest encoded order, in bytes; larger commands and environments are refused.
pub const LARGEST_ORDER: usize = 1024 * 1024;

/// What the task executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Run by `/bin/sh -c`.
    Shell(String),
    /// Executed directly; `program` without a slash is looked up in the task's `PATH`.
    Argv {
        /// The program's path or name, also argument 0.
        program: String,
        /// Arguments from the first on.
        args: Vec<String>,
    },
}

impl Command {
    /// The name that errors call this command by.
    pub fn name(&self) -> &str {
        match self {
            Self::Shell(_) => "/bin/sh",
            Self::Argv { program, .. } => program,
        }
    }
}

/// Something that the container sees at a place of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// What it shows.
    pub source: VolumeSource,
    /// Absolute and existing, or relative to the sandbox, where it is made if missing.
    pub container_path: PathBuf,
    /// The container cannot write it, mounts below it included.
    pub read_only: bool,
}

/// Which network the container uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// The host's own.
    #[default]
    Host,
    /// One of its own with a loopback and nothing else.
    None,
}

/// One container: what it runs, as whom, where and with how much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Never used twice on this host.
    pub container_id: ContainerId,
    /// The sandbox: an existing absolute directory, where the task starts and its logs go.
    pub sandbox: PathBuf,
    /// What the task executes.
    pub command: Command,
    /// The task's whole environment; nothing of the agent's is added.
    pub environment: BTreeMap<String, String>,
    /// Login name or number; `None` keeps the agent's own user.
    pub user: Option<String>,
    /// Host name inside; `None` keeps the host's.
    pub hostname: Option<String>,
    /// Mounted in this order.
    pub volumes: Vec<Volume>,
    /// What the container may use at most.
    pub limits: Limits,
    /// Which network it uses.
    pub network: Network,
    /// Time between SIGTERM and SIGKILL when a kill names none.
    pub kill_grace: Duration,
    /// How much of its output is kept; `None`: all of it, written by the task itself.
    #[serde(default)]
    pub logs: Option<LogLimits>,
    /// With a terminal of this size, which is then all of its three streams; its log is `stdout`.
    #[serde(default)]
    pub tty: Option<WindowSize>,
    /// What it may ask of the kernel.
    #[serde(default)]
    pub confinement: Confinement,
    /// How strictly it is kept apart from the host.
    #[serde(default, with = "super::profile::name")]
    pub profile: Profile,
    /// The parts of isolation that are on, but in profile `host`.
    #[serde(default)]
    pub isolation: Isolation,
    /// The container that it stands beside: what namespaces that one has are shared.
    #[serde(default)]
    pub joins: Option<ContainerId>,
    /// With a standard input that can be written from outside, once; without, it is empty. A terminal goes before this.
    #[serde(default)]
    pub stdin: bool,
}

/// Why a container's description cannot be run anywhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A text with a NUL byte, which no system call can carry.
    #[error("{0} contains a NUL byte")]
    Nul(&'static str),
    /// An empty command.
    #[error("the command is empty")]
    NoCommand,
    /// An environment variable's name is empty or holds `=`.
    #[error("environment variable name '{0}' is empty or contains '='")]
    VariableName(String),
    /// A path that has to be absolute.
    #[error("{what} '{}' is not an absolute path", path.display())]
    NotAbsolute {
        /// Which path.
        what: &'static str,
        /// Its text.
        path: PathBuf,
    },
    /// A volume's container path is empty or leaves the sandbox by `..`.
    #[error("volume path '{}' is empty or contains '..'", .0.display())]
    VolumePath(PathBuf),
    /// A volume would hide what makes the container.
    #[error("volume path '{}' is the container's own; mount at another", .0.display())]
    VolumeOverOwn(PathBuf),
    /// A volume would hide the sandbox.
    #[error("volume path '{}' would hide the sandbox '{}'; mount at another", path.display(), sandbox.display())]
    VolumeOverSandbox {
        /// Where it is to be.
        path: PathBuf,
        /// What is there.
        sandbox: PathBuf,
    },
    /// Two volumes in one place.
    #[error("two volumes are to be mounted at '{}'; give each a path of its own", .0.display())]
    VolumeTwice(PathBuf),
    /// A host name the kernel or a resolver would not take.
    #[error("host name '{0}' must have 1 to 63 letters, digits, '-' or '.'")]
    Hostname(String),
    /// The encoded order exceeds [`LARGEST_ORDER`].
    #[error("command and environment take {0} bytes, at most {LARGEST_ORDER} are allowed")]
    TooLarge(usize),
}

impl ContainerSpec {
    /// Checks all that can be checked without touching the host.
    pub fn validate(&self) -> Result<(), SpecError> {
        self.check_command()?;
        for (name, value) in &self.environment {
            if name.is_empty() || name.contains('=') {
                return Err(SpecError::VariableName(name.escape_default().to_string()));
            }
            no_nul("an environment variable", name)?;
            no_nul("an environment variable", value)?;
        }
        absolute("sandbox", &self.sandbox)?;
        if let Some(user) = &self.user {
            no_nul("the user", user)?;
        }
        for volume in &self.volumes {
            volume.source.validate()?;
            let path = &volume.container_path;
            let leaves = path.components().any(|part| part == Component::ParentDir);
            if path.as_os_str().is_empty() || leaves {
                return Err(SpecError::VolumePath(path.clone()));
            }
            no_nul("a volume path", &path.to_string_lossy())?;
            self.check_place(path)?;
            let is_memory = matches!(volume.source, VolumeSource::Tmpfs { .. });
            if self.is_below_sandbox(volume) && (!is_memory || self.profile == Profile::Host) {
                let (path, sandbox) = (path.clone(), self.sandbox.clone());
                return Err(SpecError::VolumeOverSandbox { path, sandbox });
            }
        }
        match &self.hostname {
            Some(name) if !is_hostname(name) => Err(SpecError::Hostname(name.escape_default().to_string())),
            _ => Ok(()),
        }
    }

    /// Is the volume in the place of a folder that the sandbox is in, so that it has to be mounted first?
    pub(super) fn is_below_sandbox(&self, volume: &Volume) -> bool {
        volume.container_path.is_absolute() && self.sandbox.starts_with(&volume.container_path)
    }

    /// A volume may not stand where the container's own files do, nor in another volume's place.
    fn check_place(&self, path: &Path) -> Result<(), SpecError> {
        let plain = |path: &Path| path.components().collect::<PathBuf>();
        let path = plain(path);
        let own = ["/proc", "/sys", "/dev"].iter().any(|own| path.starts_with(own));
        if path == Path::new("/") || (own && !path.starts_with("/dev/shm")) {
            return Err(SpecError::VolumeOverOwn(path));
        }
        if self.volumes.iter().filter(|volume| plain(&volume.container_path) == path).count() > 1 {
            return Err(SpecError::VolumeTwice(path));
        }
        Ok(())
    }

    fn check_command(&self) -> Result<(), SpecError> {
        match &self.command {
            Command::Shell(line) => no_nul("the command", line),
            Command::Argv { program, .. } if program.is_empty() => Err(SpecError::NoCommand),
            Command::Argv { program, args } => {
                no_nul("the command", program)?;
                args.iter().try_for_each(|argument| no_nul("an argument", argument))
            }
        }
    }
}

pub(super) fn no_nul(what: &'static str, text: &str) -> Result<(), SpecError> {
    if text.contains('\0') {
        return Err(SpecError::Nul(what));
    }
    Ok(())
}

pub(super) fn absolute(what: &'static str, path: &Path) -> Result<(), SpecError> {
    no_nul(what, &path.to_string_lossy())?;
    if path.is_absolute() {
        return Ok(());
    }
    Err(SpecError::NotAbsolute { what, path: path.to_owned() })
}

fn is_hostname(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    (1..=63).contains(&name.len()) && name.bytes().all(allowed)
}

/// What the agent hands to a supervisor: the container and the agent's way of isolating.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The container.
    pub container: ContainerSpec,
    /// Whose control groups.
    pub instance: InstanceId,
    /// The host's control groups, as the agent found them.
    pub layout: Layout,
}

impl Order {
    /// Name of the order's file in the run directory. Readable by its owner only: it holds environments.
    pub const FILE: &'static str = "spec.json";
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::supervisor::VolumeSource;

    /// A valid description that tests bend.
    pub(crate) fn plain(id: &str) -> ContainerSpec {
        ContainerSpec {
            container_id: ContainerId::new(id).unwrap(),
            sandbox: "/tmp".into(),
            command: Command::Shell("true".into()),
            environment: BTreeMap::new(),
            user: None,
            hostname: None,
            volumes: Vec::new(),
            limits: Limits::default(),
            network: Network::Host,
            kill_grace: Duration::from_secs(3),
            logs: None,
            tty: None,
            confinement: Confinement::default(),
            profile: Profile::default(),
            isolation: Isolation::default(),
            joins: None,
            stdin: false,
        }
    }

    #[test]
    fn a_description_that_no_host_can_run_is_refused() {
        let bend = |change: fn(&mut ContainerSpec)| {
            let mut spec = plain("c1");
            change(&mut spec);
            spec.validate()
        };
        assert_eq!(bend(|_| ()), Ok(()));
        assert!(bend(|spec| spec.command = Command::Shell("a\0b".into())).is_err());
        assert!(bend(|spec| spec.sandbox = "relative".into()).is_err());
        assert!(bend(|spec| spec.hostname = Some("a b".into())).is_err());
        let named = |spec: &mut ContainerSpec| {
            spec.environment.insert("A=B".into(), "c".into());
        };
        assert!(bend(named).is_err());
        let escaping = |spec: &mut ContainerSpec| {
            spec.volumes.push(Volume {
                source: VolumeSource::host("/tmp"),
                container_path: "../etc".into(),
                read_only: false,
            });
        };
        assert!(bend(escaping).is_err());
    }

    #[test]
    fn a_volume_has_a_place_of_its_own() {
        let boxed = || ContainerSpec { sandbox: "/sandboxes/box".into(), ..plain("c1") };
        let mount = |paths: &[&str]| {
            let mut spec = boxed();
            spec.volumes.extend(paths.iter().map(|path| Volume {
                source: VolumeSource::host("/tmp"),
                container_path: path.into(),
                read_only: false,
            }));
            spec.validate()
        };
        for good in ["/data", "data", "/dev/shm", "/tmp", "/process"] {
            assert_eq!(mount(&[good]), Ok(()), "{good}");
        }
        for bad in ["/", "/proc", "/proc/1", "/sys/fs", "/dev", "/./proc/"] {
            assert!(matches!(mount(&[bad]), Err(SpecError::VolumeOverOwn(_))), "{bad}");
        }
        assert!(matches!(mount(&["/sandboxes"]), Err(SpecError::VolumeOverSandbox { .. })));
        let mut spec = boxed();
        spec.volumes.push(Volume {
            source: VolumeSource::Tmpfs { size: None },
            container_path: "/sandboxes".into(),
            read_only: false,
        });
        assert_eq!(spec.validate(), Ok(()), "memory goes below the sandbox");
        assert_eq!(mount(&["/data", "/data/in"]), Ok(()));
        assert_eq!(mount(&["/data", "/data/"]), Err(SpecError::VolumeTwice("/data".into())));
    }
}
