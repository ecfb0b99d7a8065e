//! What is logged, and where: to stderr, for daemons from `info` on, for commands from `error` on.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::args::{Command, Lonja};

/// Starts logging. A filter that cannot be read is reported and the default taken.
pub(crate) fn start(lonja: &Lonja) {
    let default = default_of(&lonja.command);
    let wanted = lonja.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(wanted).unwrap_or_else(|error| {
        crate::output::warn(&format!("--log {wanted:?}: {error}; logging at {default}"));
        EnvFilter::new(default)
    });
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .finish();
    // Set once, here.
    let _only = tracing::subscriber::set_global_default(subscriber);
}

fn default_of(command: &Command) -> &'static str {
    match command {
        Command::Master(_) | Command::Agent(_) | Command::Services(_) => "info",
        Command::Dev(_) => "warn",
        _ => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn every_daemon_says_what_it_does() {
        for (arguments, expected) in [
            (&["lonja", "services", "--work-dir", "/tmp/x"][..], "info"),
            (&["lonja", "service", "list"], "error"),
            (&["lonja", "dev"], "warn"),
        ] {
            let lonja = Lonja::try_parse_from(arguments).unwrap();
            assert_eq!(default_of(&lonja.command), expected, "{arguments:?}");
        }
    }
}
