//! What an agent tells an executor by its environment.
//!
//! Source: Mesos, "Executor HTTP API", environment of an executor; durations as Mesos writes them.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use lonja_model::execution::environment as names;
use lonja_model::{ExecutorId, FrameworkId};

/// The longest path of a Unix socket that Linux takes, in bytes.
const LONGEST_SOCKET_PATH: usize = 107;

/// Without a word of the agent, these.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(15 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Where the agent's door for executors is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Socket(PathBuf),
    /// `host:port`.
    Host(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Host(address) => address.fmt(f),
        }
    }
}

/// What lets an executor in. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token as text. Errors: it has characters that no header holds; in the words of [`EnvironmentError`].
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_plain { Ok(Self(text)) } else { Err("it is no token of printable ASCII characters".to_owned()) }
    }

    pub(super) fn as_header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Who an executor is, where its agent is, and how patient it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// `MESOS_FRAMEWORK_ID`.
    pub framework: FrameworkId,
    /// `MESOS_EXECUTOR_ID`.
    pub executor: ExecutorId,
    /// `MESOS_DOMAIN_SOCKET`, or without one `MESOS_AGENT_ENDPOINT`.
    pub address: Address,
    /// `MESOS_EXECUTOR_AUTHENTICATION_TOKEN`.
    pub token: Token,
    /// `MESOS_SANDBOX`, or `MESOS_DIRECTORY`; else the working directory.
    pub sandbox: PathBuf,
    /// `MESOS_CHECKPOINT`: may the agent restart under it? Without a word: no.
    pub checkpoint: bool,
    /// `MESOS_RECOVERY_TIMEOUT`: how long it waits for an agent that is away; 15 minutes.
    pub recovery_timeout: Duration,
    /// `MESOS_SUBSCRIPTION_BACKOFF_MAX`: the longest pause between two attempts to reach the agent; 2 seconds.
    pub longest_pause: Duration,
    /// `MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD`: how long it may take to end; 5 seconds.
    pub shutdown_grace: Duration,
}

/// Why there is no executor to be made of an environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// A variable is not there.
    #[error(
        "{name} is not set: an executor is started by an agent, which sets it; launch a task that names this program \
         as the command of its executor"
    )]
    Missing {
        /// Which.
        name: &'static str,
    },
    /// A variable means nothing.
    #[error("{name}={value}: {why}")]
    Malformed {
        /// Which.
        name: &'static str,
        /// As it is, or that it is kept back.
        value: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Environment {
    /// That of this process. Errors: a variable is missing or means nothing; it is named.
    pub fn of_process() -> Result<Self, EnvironmentError> {
        Self::read(|name| std::env::var_os(name))
    }

    /// Is this process one that an agent has started as an executor?
    pub fn is_here() -> bool {
        std::env::var_os(names::EXECUTOR).is_some()
    }

    /// That of which `variable` says what each name stands for. An empty value counts as none.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, EnvironmentError> {
        let source = Source(variable);
        let address = match source.text(names::SOCKET)? {
            Some(path) => Address::Socket(source.check(names::SOCKET, &path, socket_path)?),
            None => Address::Host(source.required(names::ENDPOINT, host_and_port)?),
        };
        let sandbox = match source.text(names::SANDBOX)? {
            Some(path) => Some(path),
            None => source.text(names::DIRECTORY)?,
        };
        Ok(Self {
            framework: source
                .required(names::FRAMEWORK, |id: &str| FrameworkId::new(id).map_err(in_words))?,
            executor: source.required(names::EXECUTOR, |id: &str| ExecutorId::new(id).map_err(in_words))?,
            address,
            token: source.required(names::TOKEN, |text: &str| Token::new(text))?,
            sandbox: sandbox.map_or_else(|| PathBuf::from("."), PathBuf::from),
            checkpoint: source.optional(names::CHECKPOINT, yes_or_no)?.unwrap_or(false),
            recovery_timeout: source.optional(names::RECOVERY_TIMEOUT, duration)?.unwrap_or(RECOVERY_TIMEOUT),
            longest_pause: source.optional(names::LONGEST_PAUSE, duration)?.unwrap_or(LONGEST_PAUSE),
            shutdown_grace: source.optional(names::SHUTDOWN_GRACE, duration)?.unwrap_or(SHUTDOWN_GRACE),
        })
    }
}

fn in_words(error: impl fmt::Display) -> String {
    error.to_string()
}

struct Source<F>(F);

impl<F: Fn(&str) -> Option<OsString>> Source<F> {
    fn text(&self, name: &'static str) -> Result<Option<String>, EnvironmentError> {
        let Some(value) = (self.0)(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        let not_text =
            |value: OsString| malformed(name, &value.to_string_lossy(), "it is not UTF-8".to_owned());
        value.into_string().map(Some).map_err(not_text)
    }

    fn check<T>(
        &self,
        name: &'static str,
        value: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, EnvironmentError> {
        parse(value).map_err(|why| malformed(name, value, why))
    }

    fn optional<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, EnvironmentError> {
        self.text(name)?.map(|value| self.check(name, &value, parse)).transpose()
    }

    fn required<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, EnvironmentError> {
        self.optional(name, parse)?.ok_or(EnvironmentError::Missing { name })
    }
}

fn malformed(name: &'static str, value: &str, why: String) -> EnvironmentError {
    let value = if name == names::TOKEN { "(not shown)".to_owned() } else { format!("{value:?}") };
    EnvironmentError::Malformed { name, value, why }
}

fn socket_path(path: &str) -> Result<PathBuf, String> {
    if path.len() > LONGEST_SOCKET_PATH {
        let length = path.len();
        return Err(format!("its {length} bytes are more than the {LONGEST_SOCKET_PATH} of a socket's path"));
    }
    if path.contains('\0') { Err("it has a NUL in it".to_owned()) } else { Ok(PathBuf::from(path)) }
}

fn host_and_port(address: &str) -> Result<String, String> {
    let no_address = || "it is no ip:port, such as 127.0.0.1:5051".to_owned();
    let (host, port) = address.rsplit_once(':').ok_or_else(no_address)?;
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "/@?#".contains(c));
    if is_host && is_port { Ok(address.to_owned()) } else { Err(no_address()) }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("it is neither 1 nor 0".to_owned()),
    }
}

/// A length of time as Mesos writes it: a number from 0 up and a unit, such as `5secs` or `1.5mins`.
fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("ms", 1e-3),
        ("secs", 1.0),
        ("mins", 60.0),
        ("hrs", 3_600.0),
        ("days", 86_400.0),
        ("weeks", 604_800.0),
    ];
    let no_duration = || {
        let units: Vec<_> = UNITS.iter().map(|(unit, _)| *unit).collect();
        format!("it is no length of time, such as 5secs or 15mins; units are {}", units.join(", "))
    };
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(no_duration)?;
    let (number, unit) = text.split_at(unit_at);
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(no_duration)?;
    let number: f64 = number.parse().map_err(|_| no_duration())?;
    // In this order, so that whole numbers of large units stay whole.
    Duration::try_from_secs_f64(number * seconds).map_err(|_| no_duration())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    /// What an agent sets.
    fn whole() -> BTreeMap<&'static str, OsString> {
        let text = [
            (names::FRAMEWORK, "f-0001"),
            (names::EXECUTOR, "e1"),
            (names::ENDPOINT, "127.0.0.1:5051"),
            (names::SOCKET, "/run/lonja/executor.sock"),
            (names::TOKEN, "s3cr3t"),
            (names::SANDBOX, "/sandbox"),
            (names::CHECKPOINT, "1"),
            (names::RECOVERY_TIMEOUT, "15mins"),
            (names::LONGEST_PAUSE, "2secs"),
            (names::SHUTDOWN_GRACE, "500ms"),
        ];
        text.into_iter().map(|(name, value)| (name, value.into())).collect()
    }

    fn read(all: &BTreeMap<&str, OsString>) -> Result<Environment, EnvironmentError> {
        Environment::read(|name| all.get(name).cloned())
    }

    fn with(name: &'static str, value: &str) -> Result<Environment, EnvironmentError> {
        let mut all = whole();
        all.insert(name, value.into());
        read(&all)
    }

    #[test]
    fn what_the_agent_says_is_understood() {
        let environment = read(&whole()).unwrap();
        assert_eq!((environment.framework.as_str(), environment.executor.as_str()), ("f-0001", "e1"));
        assert_eq!(environment.address, Address::Socket("/run/lonja/executor.sock".into()));
        assert_eq!(environment.token.as_header(), "Bearer s3cr3t");
        assert!(environment.checkpoint);
        assert_eq!(environment.recovery_timeout, Duration::from_secs(900));
        assert_eq!(environment.longest_pause, Duration::from_secs(2));
        assert_eq!(environment.shutdown_grace, Duration::from_millis(500));
    }

    #[test]
    fn without_a_socket_it_is_reached_by_its_address() {
        let environment = with(names::SOCKET, "").unwrap();
        assert_eq!(environment.address, Address::Host("127.0.0.1:5051".to_owned()));
        let v6 = Environment::read(|name| match name {
            names::SOCKET => None,
            names::ENDPOINT => Some("[::1]:5051".into()),
            other => whole().get(other).cloned(),
        });
        assert_eq!(v6.unwrap().address, Address::Host("[::1]:5051".to_owned()));
    }

    #[test]
    fn what_is_not_said_has_a_usual_value() {
        let mut all = whole();
        for name in [names::CHECKPOINT, names::RECOVERY_TIMEOUT, names::LONGEST_PAUSE, names::SHUTDOWN_GRACE]
        {
            all.remove(name);
        }
        all.remove(names::SANDBOX);
        all.insert(names::DIRECTORY, "/older".into());
        let environment = read(&all).unwrap();
        assert!(!environment.checkpoint);
        assert_eq!(environment.recovery_timeout, RECOVERY_TIMEOUT);
        assert_eq!(environment.longest_pause, LONGEST_PAUSE);
        assert_eq!(environment.shutdown_grace, SHUTDOWN_GRACE);
        assert_eq!(environment.sandbox, PathBuf::from("/older"));
    }

    #[test]
    fn a_missing_variable_is_named() {
        for name in [names::FRAMEWORK, names::EXECUTOR, names::TOKEN] {
            let mut all = whole();
            all.remove(name);
            let error = read(&all).unwrap_err();
            assert_eq!(error, EnvironmentError::Missing { name });
            assert!(error.to_string().starts_with(name), "{error}");
        }
        let mut all = whole();
        all.remove(names::SOCKET);
        all.remove(names::ENDPOINT);
        assert_eq!(read(&all).unwrap_err(), EnvironmentError::Missing { name: names::ENDPOINT });
    }

    #[test]
    fn a_variable_that_means_nothing_is_named_with_its_value() {
        let long = format!("/{}", "x".repeat(LONGEST_SOCKET_PATH));
        let bad = [
            (names::FRAMEWORK, "a/b"),
            (names::EXECUTOR, ".."),
            (names::SOCKET, &long),
            (names::CHECKPOINT, "maybe"),
            (names::RECOVERY_TIMEOUT, "15"),
            (names::RECOVERY_TIMEOUT, "-1secs"),
            (names::LONGEST_PAUSE, "2 seconds"),
            (names::SHUTDOWN_GRACE, "nansecs"),
            (names::SHUTDOWN_GRACE, "1e300weeks"),
            (names::SHUTDOWN_GRACE, "secs"),
        ];
        for (name, value) in bad {
            let error = with(name, value).unwrap_err();
            assert!(
                matches!(&error, EnvironmentError::Malformed { name: named, .. } if *named == name),
                "{error}"
            );
            assert!(error.to_string().starts_with(&format!("{name}={value:?}: ")), "{error}");
        }
        for value in ["localhost", "localhost:", ":5051", "localhost:0", "localhost:70000", "http://a/b:1"] {
            let mut all = whole();
            all.remove(names::SOCKET);
            all.insert(names::ENDPOINT, value.into());
            let error = read(&all).unwrap_err();
            assert!(error.to_string().contains(names::ENDPOINT), "{value}: {error}");
        }
        let mut all = whole();
        all.insert(names::EXECUTOR, OsString::from_vec(vec![0xff]));
        assert!(read(&all).unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    fn a_token_is_never_shown() {
        let error = with(names::TOKEN, "sec\nret").unwrap_err().to_string();
        assert!(error.contains(names::TOKEN) && !error.contains("sec\\n"), "{error}");
        let shown = format!("{:?}", read(&whole()).unwrap());
        assert!(shown.contains("Token(..)") && !shown.contains("s3cr3t"), "{shown}");
    }

    #[test]
    fn durations_are_those_of_mesos() {
        let known = [
            ("0ns", Duration::ZERO),
            ("1us", Duration::from_micros(1)),
            ("250ms", Duration::from_millis(250)),
            ("1.5mins", Duration::from_secs(90)),
            ("2hrs", Duration::from_secs(7_200)),
            ("1days", Duration::from_secs(86_400)),
            ("1weeks", Duration::from_secs(604_800)),
        ];
        for (text, meant) in known {
            assert_eq!(duration(text), Ok(meant), "{text}");
        }
    }
}
