//! What a custom executor finds in its container: variables, and the folder with its agent's socket.
//!
//! Source: Mesos, "Executor HTTP API", environment of an executor.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lonja_model::execution::environment as names;
use lonja_model::profile::Profile;

use super::ExecutorSettings;
use super::socket::NAME;
use super::token::Token;
use crate::containerizer::{Volume, VolumeSource};

/// Where the folder of the socket is, in a container with a root of its own.
const FOLDER: &str = "/run/lonja";

/// How long an executor waits for an agent that is away. Source: Mesos, `--recovery_timeout`.
const RECOVERY_TIMEOUT: &str = "15mins";

/// The longest path that a socket can have, in bytes.
const LONGEST_PATH: usize = 107;

/// What one executor finds.
pub(crate) struct Surroundings<'a> {
    settings: &'a ExecutorSettings,
    token: Token,
    folder: &'a Path,
}

impl<'a> Surroundings<'a> {
    pub(super) fn new(settings: &'a ExecutorSettings, token: Token, folder: &'a Path) -> Self {
        Self { settings, token, folder }
    }

    /// Puts them into the environment, and the folder among the volumes. `grace`: how long it may take to end.
    pub(crate) fn furnish(
        self,
        profile: Profile,
        grace: Duration,
        environment: &mut BTreeMap<String, String>,
        volumes: &mut Vec<Volume>,
    ) {
        // Who has the host's root finds the folder where it is.
        let socket = match profile {
            Profile::Host => self.folder.join(NAME),
            Profile::Default | Profile::Hardened => {
                volumes.push(Volume {
                    source: VolumeSource::host(self.folder),
                    container_path: FOLDER.into(),
                    read_only: true,
                });
                Path::new(FOLDER).join(NAME)
            }
        };
        let mut put = |name: &str, value: String| environment.insert(name.to_owned(), value);
        let socket = socket.display().to_string();
        if socket.len() <= LONGEST_PATH {
            put(names::SOCKET, socket);
        }
        put(names::TOKEN, self.token.reveal());
        put(names::SHUTDOWN_GRACE, in_words(grace));
        put(names::RECOVERY_TIMEOUT, RECOVERY_TIMEOUT.to_owned());
        // So that it has two tries after a restart of the agent.
        put(names::LONGEST_PAUSE, in_words(self.settings.reregistration_timeout / 2));
        put(names::CHECKPOINT, "1".to_owned());
        // Nothing here is Mesos' own executor, nor has it a port of Mesos' messages.
        put(names::COMMAND_EXECUTOR, "0".to_owned());
        put(names::MESSAGES_PORT, "0".to_owned());
    }
}

/// As Mesos writes durations.
pub(crate) fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    if time.subsec_nanos() != 0 {
        return format!("{}ms", time.as_millis());
    }
    let units = [(7 * 24 * 3600, "weeks"), (24 * 3600, "days"), (3600, "hrs"), (60, "mins")];
    let unit = units.into_iter().find(|(length, _)| seconds >= *length && seconds.is_multiple_of(*length));
    let (length, name) = unit.unwrap_or((1, "secs"));
    format!("{}{name}", seconds / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_mesos_writes_them() {
        let table = [(0, "0secs"), (5, "5secs"), (90, "90secs"), (60, "1mins"), (604_800, "1weeks")];
        for (seconds, text) in table {
            assert_eq!(in_words(Duration::from_secs(seconds)), text);
        }
        assert_eq!(in_words(Duration::from_millis(1_500)), "1500ms");
    }
}
