//! How instances are looked at.

use std::collections::BTreeSet;
use std::time::Duration;

/// Ends instances that fail too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// How it looks, and from where.
    pub protocol: HealthProtocol,
    /// For HTTP: what is asked for.
    pub path: Option<String>,
    /// For [`HealthProtocol::Command`]: a shell line.
    pub command: Option<String>,
    /// Where.
    pub target: CheckTarget,
    /// Failures so soon after the start do not count until the first success. 300 s by default.
    pub grace: Duration,
    /// From look to look. 60 s by default.
    pub interval: Duration,
    /// How long a look may take. 20 s by default.
    pub timeout: Duration,
    /// So many failures in a row. 3 by default.
    pub max_consecutive_failures: u32,
    /// Before the first look of the agent. 15 s by default.
    pub delay: Duration,
    /// For the agent's looks into images.
    pub ip_protocol: IpProtocol,
}

/// How a health check looks. What begins with `Mesos`, and commands, are run by the agent inside the task's namespaces; the
/// others by the framework.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HealthProtocol {
    /// Good is a status of 200 to 399.
    #[default]
    Http,
    /// The same over TLS; the certificate is not looked at.
    Https,
    /// Good is that a connection opens.
    Tcp,
    /// Good is an exit with 0.
    Command,
    /// As `Http`, by the agent.
    MesosHttp,
    /// As `Https`, by the agent.
    MesosHttps,
    /// As `Tcp`, by the agent.
    MesosTcp,
}

impl HealthCheck {
    /// The same, with the first port where none is named: Marathon's balancers look for its number.
    pub fn with_port(self) -> Self {
        match (self.protocol, self.target) {
            (HealthProtocol::Command, _) | (_, CheckTarget::Port(_) | CheckTarget::Index(_)) => self,
            (_, CheckTarget::Default) => Self { target: CheckTarget::Index(0), ..self },
        }
    }
}

impl HealthProtocol {
    /// Does the agent look, and not the framework?
    pub fn is_by_agent(self) -> bool {
        match self {
            Self::Http | Self::Https | Self::Tcp => false,
            Self::Command | Self::MesosHttp | Self::MesosHttps | Self::MesosTcp => true,
        }
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpProtocol {
    /// IPv4.
    #[default]
    IPv4,
    /// IPv6.
    IPv6,
}

/// Where a check looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckTarget {
    /// Neither was given: the first port.
    Default,
    /// This port number.
    Port(u16),
    /// The port of this number in the definition's list.
    Index(u32),
}

/// Reports what it sees; nothing follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it looks at.
    pub kind: CheckKind,
    /// From look to look. 60 s by default.
    pub interval: Duration,
    /// How long a look may take. 20 s by default.
    pub timeout: Duration,
    /// Before the first. 15 s by default.
    pub delay: Duration,
}

/// What a [`Check`] looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A GET request.
    Http {
        /// Where.
        target: CheckTarget,
        /// What is asked for.
        path: Option<String>,
        /// Over TLS.
        https: bool,
    },
    /// A connection.
    Tcp {
        /// Where.
        target: CheckTarget,
    },
    /// A shell line.
    Shell(String),
    /// A program and its arguments.
    Argv(Vec<String>),
}

/// Asked of new instances during a deployment, until the answer is yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessCheck {
    /// For people.
    pub name: String,
    /// Over TLS.
    pub https: bool,
    /// What is asked for.
    pub path: String,
    /// The name of one of the app's ports.
    pub port_name: String,
    /// From look to look. 30 s by default.
    pub interval: Duration,
    /// Less than the interval. 10 s by default.
    pub timeout: Duration,
    /// Yes is one of these.
    pub statuses: BTreeSet<u16>,
    /// The last answer is kept and shown.
    pub preserve_last_response: bool,
}
