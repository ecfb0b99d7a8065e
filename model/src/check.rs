//! Looking at a running task now and then: health checks, which end a task that fails them, and checks, which only
//! report.
//!
//! Source: Mesos v1 `HealthCheck`, `CheckInfo`, `CheckStatusInfo`.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::container::Command;
use crate::time::Timestamp;

/// Ends a task after some failures in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// How it looks.
    pub probe: Probe,
    /// And when.
    pub pace: Pace,
    /// Failures this soon after the start of the program do not count, until the first success. 10 s by default.
    pub grace: Duration,
    /// So many counted failures in a row end the task; 0 is taken for 1. 3 by default.
    pub consecutive_failures: u32,
}

/// Reports what it saw; nothing else follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// How it looks. The wire has no words for https, IPv6 or expected statuses here: such a probe is one of a health
    /// check.
    pub probe: Probe,
    /// And when.
    pub pace: Pace,
}

/// When to look at a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the start of the program to the first look. 15 s by default.
    pub delay: Duration,
    /// From the end of one look to the next. 10 s by default.
    pub interval: Duration,
    /// How long one look may take; zero: as long as the agent lets any. 20 s by default.
    pub timeout: Duration,
}

impl Default for Pace {
    /// Mesos' defaults.
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(15),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(20),
        }
    }
}

/// How a task is looked at, from inside its container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Runs a program beside the task; good is an exit with 0. It brings no files and no secrets of its own.
    Command(Box<Command>),
    /// Sends a GET request to the task's loopback address; good is one of the expected statuses.
    Http(HttpProbe),
    /// Opens a connection to the task's loopback address; good is that it opens.
    Tcp {
        /// 1 to 65535.
        port: u16,
        /// Which loopback address.
        family: Family,
    },
}

/// A GET request to a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpProbe {
    /// 1 to 65535.
    pub port: u16,
    /// Begins with a slash; `None`: `/`.
    pub path: Option<String>,
    /// http or https.
    pub scheme: Scheme,
    /// Which loopback address.
    pub family: Family,
    /// The statuses that are good; empty: 200 to 399.
    pub statuses: BTreeSet<u16>,
}

/// How a request is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    #[default]
    Http,
    /// Over TLS; the certificate is not looked at.
    Https,
}

/// A loopback address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// 127.0.0.1.
    #[default]
    IPv4,
    /// ::1.
    IPv6,
}

/// Which of a task's two checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckKind {
    /// Its [`HealthCheck`].
    Health,
    /// Its [`Check`].
    General,
}

/// The last result of a [`Check`]; inside, `None`: there is none yet, or the last look could not be brought to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStatus {
    /// The exit status of the program; 128 and the signal's number if one ended it.
    Command(Option<i32>),
    /// The status of the answer.
    Http(Option<u16>),
    /// Whether the connection opened.
    Tcp(Option<bool>),
}

/// What is known of a task from looking at it; durable, so that a restart of its agent changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// When its program started. Times of its checks and its longest time count from here.
    pub started: Option<Timestamp>,
    /// The last word of its health check; `None`: none yet.
    pub healthy: Option<bool>,
    /// The last word of its check; `None`: it has no check.
    pub check: Option<CheckStatus>,
    /// It is being ended because its health check failed too often.
    pub given_up: bool,
}

impl HealthCheck {
    /// With Mesos' defaults.
    pub fn new(probe: Probe) -> Self {
        Self { probe, pace: Pace::default(), grace: Duration::from_secs(10), consecutive_failures: 3 }
    }
}

impl Check {
    /// With Mesos' defaults.
    pub fn new(probe: Probe) -> Self {
        Self { probe, pace: Pace::default() }
    }
}

impl Probe {
    /// A GET request for `path` on 127.0.0.1.
    pub fn http(port: u16, path: impl Into<String>) -> Self {
        Self::Http(HttpProbe { port, path: Some(path.into()), ..HttpProbe::default() })
    }

    /// A connection to 127.0.0.1.
    pub fn tcp(port: u16) -> Self {
        Self::Tcp { port, family: Family::IPv4 }
    }

    /// What a check that looks like this says before its first result, and when it has none.
    pub fn no_result(&self) -> CheckStatus {
        match self {
            Self::Command(_) => CheckStatus::Command(None),
            Self::Http(_) => CheckStatus::Http(None),
            Self::Tcp { .. } => CheckStatus::Tcp(None),
        }
    }

    /// What is wrong with it, and what to do; `None`: nothing. The same rules hold at every door.
    pub fn fault(&self) -> Option<String> {
        let (port, path) = match self {
            Self::Command(command) => {
                let plain = command.uris.is_empty() && command.secrets.is_empty();
                let fault =
                    "its command brings files or secrets; give them to the task, which it shares them with";
                return (!plain).then(|| fault.to_owned());
            }
            Self::Http(http) => (http.port, http.path.as_deref()),
            Self::Tcp { port, .. } => (*port, None),
        };
        if port == 0 {
            return Some("port 0 is none; name one from 1 to 65535".to_owned());
        }
        let path = path?;
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic());
        (!path.starts_with('/') || !plain).then(|| {
            let shown: String = path.chars().take(64).collect();
            format!(
                "{shown:?} is no path of a request; begin it with `/`, without spaces or control characters"
            )
        })
    }
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Health => "health check",
            Self::General => "check",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_needs_a_port_and_a_path_that_can_be_sent() {
        assert_eq!(Probe::http(80, "/health?full=1").fault(), None);
        assert_eq!(Probe::tcp(65_535).fault(), None);
        assert!(Probe::tcp(0).fault().unwrap().contains("1 to 65535"));
        for path in ["", "health", "/a b", "/a\r\nHost: x", "/\u{e4}"] {
            assert!(Probe::http(80, path).fault().is_some(), "{path:?}");
        }
    }

    #[test]
    fn defaults_are_those_of_mesos() {
        let check = HealthCheck::new(Probe::tcp(80));
        let times = [check.pace.delay, check.pace.interval, check.pace.timeout, check.grace];
        assert_eq!(times.map(|time| time.as_secs()), [15, 10, 20, 10]);
        assert_eq!(check.consecutive_failures, 3);
    }
}
