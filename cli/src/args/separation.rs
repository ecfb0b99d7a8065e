//! How strictly an agent keeps tasks apart from its host.

use clap::{Args, ValueEnum};
use lonja_agent::Isolation;
use lonja_model::profile::{Network, Profile};

/// How strictly one task is kept apart from its host.
#[derive(Debug, Args)]
pub(crate) struct RunSeparation {
    /// How strictly it is kept apart from its host: host, default or hardened; without this, as its agent does.
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<Profile>,
    /// Its network: that of its host, or none but a loopback.
    #[arg(long, value_enum, default_value_t = NetworkChoice::Host)]
    pub(crate) network: NetworkChoice,
}

/// Which network a task has.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum NetworkChoice {
    /// Its host's.
    Host,
    /// A loopback of its own.
    None,
}

impl From<NetworkChoice> for Network {
    fn from(choice: NetworkChoice) -> Self {
        match choice {
            NetworkChoice::Host => Self::Host,
            NetworkChoice::None => Self::None,
        }
    }
}

/// How strictly tasks are kept apart from the host.
#[derive(Debug, Args)]
pub(crate) struct Separation {
    /// How strictly tasks are kept apart from this host, and the least strict that a task may ask for: host, default
    /// or hardened.
    #[arg(long, default_value_t = Profile::Default, value_name = "PROFILE", env = "LONJA_AGENT_PROFILE")]
    pub(crate) profile: Profile,
    /// The parts of isolation that are on, with commas between, such as namespaces/pid,namespaces/mount,filesystem/root;
    /// without this, all of them.
    #[arg(long, default_value_t = Isolation::default(), hide_default_value = true, value_name = "PARTS", env = "LONJA_AGENT_ISOLATION")]
    pub(crate) isolation: Isolation,
    /// Give containers no users of their own: root inside is root outside.
    #[arg(long, env = "LONJA_AGENT_NO_USERNS")]
    pub(crate) no_userns: bool,
}

impl From<Separation> for lonja_agent::Separation {
    fn from(said: Separation) -> Self {
        let Separation { profile, isolation, no_userns } = said;
        Self { profile, isolation: if no_userns { isolation.without_users() } else { isolation } }
    }
}
