//! How an agent treats custom executors.

use std::time::Duration;

use clap::Args;
use lonja_agent::ExecutorSettings;

use super::duration;

/// The longest wait for executors after a restart of the agent. Source: Mesos, `MAX_EXECUTOR_REREGISTRATION_TIMEOUT`.
const LONGEST_REREGISTRATION: Duration = Duration::from_secs(15);

/// Flags of the agent.
#[derive(Args, Debug)]
pub(crate) struct ExecutorFlags {
    /// How long a custom executor may take from its start until it subscribes; then it is killed and its tasks fail.
    #[arg(long, default_value = "1m", value_parser = duration, env = "LONJA_AGENT_EXECUTOR_REGISTRATION_TIMEOUT")]
    executor_registration_timeout: Duration,
    /// How long a custom executor may take to subscribe anew after a restart of the agent, 15s at most.
    #[arg(long, default_value = "2s", value_parser = reregistration, env = "LONJA_AGENT_EXECUTOR_REREGISTRATION_TIMEOUT")]
    executor_reregistration_timeout: Duration,
    /// How long a custom executor may take to end when it is asked to, unless it says otherwise.
    #[arg(long, default_value = "5s", value_parser = duration, env = "LONJA_AGENT_EXECUTOR_SHUTDOWN_GRACE_PERIOD")]
    executor_shutdown_grace_period: Duration,
    /// Let executors in over HTTP only with the token from their environment. Without this, one that knows no token is let
    /// in from this host.
    #[arg(long, env = "LONJA_AGENT_AUTHENTICATE_HTTP_EXECUTORS")]
    authenticate_http_executors: bool,
}

impl From<ExecutorFlags> for ExecutorSettings {
    fn from(flags: ExecutorFlags) -> Self {
        Self {
            registration_timeout: flags.executor_registration_timeout,
            reregistration_timeout: flags.executor_reregistration_timeout,
            shutdown_grace: flags.executor_shutdown_grace_period,
            authenticate: flags.authenticate_http_executors,
        }
    }
}

fn reregistration(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time > LONGEST_REREGISTRATION {
        return Err(format!("at most {LONGEST_REREGISTRATION:?}"));
    }
    Ok(time)
}
