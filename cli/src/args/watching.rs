//! How a task of `lonja run` is looked at, and how long it may run.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use lonja_sdk::Task;
use lonja_sdk::model::check::{Check, Family, HealthCheck, HttpProbe, Pace, Probe, Scheme};
use lonja_sdk::model::container::{Command, Program};

use super::duration;

/// Checks and times of a task.
#[derive(Debug, Args)]
pub(crate) struct Watching {
    /// End the task when this shell line, run beside it in its container, fails too often.
    #[arg(long, value_name = "LINE", group = "health", help_heading = "Health")]
    pub(crate) health_cmd: Option<String>,
    /// End the task when a GET request to it is too often not answered with 200 to 399. PORT is a number, or PORT0,
    /// PORT1 and so on for the ports it gets; write https:PORT/PATH for TLS.
    #[arg(long, value_name = "PORT[/PATH]", group = "health", help_heading = "Health")]
    pub(crate) health_http: Option<String>,
    /// End the task when too often no connection to it opens. PORT as above.
    #[arg(long, value_name = "PORT", group = "health", help_heading = "Health")]
    pub(crate) health_tcp: Option<String>,
    /// From its start to the first look.
    #[arg(long, default_value = "0s", value_parser = duration, requires = "health", help_heading = "Health")]
    pub(crate) health_delay: Duration,
    /// From one look to the next.
    #[arg(long, default_value = "10s", value_parser = duration, requires = "health", help_heading = "Health")]
    pub(crate) health_interval: Duration,
    /// How long a look may take.
    #[arg(long, default_value = "20s", value_parser = duration, requires = "health", help_heading = "Health")]
    pub(crate) health_timeout: Duration,
    /// Failures this soon after its start do not count, until the first success.
    #[arg(long, default_value = "10s", value_parser = duration, requires = "health", help_heading = "Health")]
    pub(crate) health_grace: Duration,
    /// So many failures in a row end it.
    #[arg(long, default_value_t = 3, value_name = "N", requires = "health", help_heading = "Health",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) health_failures: u32,
    /// Show in `lonja tasks` how this shell line, run beside the task, last exited.
    #[arg(long, value_name = "LINE", group = "check", help_heading = "Health")]
    pub(crate) check_cmd: Option<String>,
    /// Show in `lonja tasks` how the task last answered a GET request. PORT as above.
    #[arg(long, value_name = "PORT[/PATH]", group = "check", help_heading = "Health")]
    pub(crate) check_http: Option<String>,
    /// Show in `lonja tasks` whether a connection to the task last opened. PORT as above.
    #[arg(long, value_name = "PORT", group = "check", help_heading = "Health")]
    pub(crate) check_tcp: Option<String>,
    /// From one look to the next.
    #[arg(long, default_value = "10s", value_parser = duration, requires = "check", help_heading = "Health")]
    pub(crate) check_interval: Duration,
    /// End the task after this long: it has failed then.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) max_run_time: Option<Duration>,
    /// How long an end that was asked for waits between SIGTERM and SIGKILL; without this, as the agent is set.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) kill_grace: Option<Duration>,
}

impl Watching {
    /// The task, which has so many ports, with what the command line asks for. Errors: which flag, and what to do.
    pub(crate) fn on(&self, mut task: Task, ports: usize) -> anyhow::Result<Task> {
        let own = |port: Option<usize>| match port.filter(|index| *index >= ports) {
            Some(index) => {
                bail!("PORT{index}: the task gets {ports} ports; ask for more with --ports {}", index + 1)
            }
            None => Ok(port),
        };
        if let Some((probe, port)) =
            probe("health", &self.health_cmd, &self.health_http, &self.health_tcp, Scheme::Https)?
        {
            let pace = Pace {
                delay: self.health_delay,
                interval: self.health_interval,
                timeout: self.health_timeout,
            };
            let (grace, consecutive_failures) = (self.health_grace, self.health_failures);
            let check = HealthCheck { probe, pace, grace, consecutive_failures };
            task = match own(port)? {
                Some(index) => task.health_check_on_port(index, check),
                None => task.health_check(check),
            };
        }
        if let Some((probe, port)) =
            probe("check", &self.check_cmd, &self.check_http, &self.check_tcp, Scheme::Http)?
        {
            let pace = Pace { delay: Duration::ZERO, interval: self.check_interval, ..Pace::default() };
            let check = Check { probe, pace };
            task = match own(port)? {
                Some(index) => task.check_on_port(index, check),
                None => task.check(check),
            };
        }
        if let Some(longest) = self.max_run_time {
            task = task.max_run_time(longest);
        }
        if let Some(grace) = self.kill_grace {
            task = task.kill_grace(grace);
        }
        Ok(task)
    }
}

/// The probe of one of the flags, if one is given, and which of the task's own ports it looks at.
fn probe(
    flags: &str,
    command: &Option<String>,
    http: &Option<String>,
    tcp: &Option<String>,
    best: Scheme,
) -> anyhow::Result<Option<(Probe, Option<usize>)>> {
    if let Some(line) = command {
        if line.trim().is_empty() {
            bail!("--{flags}-cmd: there is nothing to run; write a shell line");
        }
        let program = Program::Shell(line.clone());
        return Ok(Some((Probe::Command(Box::new(Command::new(program))), None)));
    }
    if let Some(text) = http {
        let what = || format!("--{flags}-http {text}");
        let (scheme, rest) = match text.strip_prefix("https:") {
            Some(rest) if best == Scheme::Https => (Scheme::Https, rest),
            Some(_) => bail!("{}: https is for health checks only", what()),
            None => (Scheme::Http, text.as_str()),
        };
        let (port, path) = rest.find('/').map_or((rest, None), |at| (&rest[..at], Some(&rest[at..])));
        let (port, index) = port_of(port).with_context(what)?;
        let family = Family::IPv4;
        let http = HttpProbe { port, path: path.map(str::to_owned), scheme, family, ..HttpProbe::default() };
        let probe = Probe::Http(http);
        if let (Some(fault), None) = (probe.fault(), index) {
            bail!("{}: {fault}", what());
        }
        return Ok(Some((probe, index)));
    }
    let Some(text) = tcp else { return Ok(None) };
    let (port, index) = port_of(text).with_context(|| format!("--{flags}-tcp {text}"))?;
    Ok(Some((Probe::tcp(port), index)))
}

/// A port, or the number of one of the task's own.
fn port_of(text: &str) -> anyhow::Result<(u16, Option<usize>)> {
    if let Some(index) = text.strip_prefix("PORT") {
        let index =
            index.parse().ok().with_context(|| format!("{text:?} is no port: write PORT0, PORT1 ..."))?;
        return Ok((0, Some(index)));
    }
    match text.parse() {
        Ok(port) if port > 0 => Ok((port, None)),
        Ok(_) | Err(_) => bail!("{text:?} is no port: write a number from 1 to 65535, or PORT0, PORT1 ..."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(text: &str) -> anyhow::Result<Option<(Probe, Option<usize>)>> {
        probe("health", &None, &Some(text.to_owned()), &None, Scheme::Https)
    }

    #[test]
    fn a_request_is_read_from_port_and_path() {
        let (probe, index) = http("8080/health?x").unwrap().unwrap();
        assert_eq!((probe, index), (Probe::http(8080, "/health?x"), None));
        let (probe, index) = http("https:PORT1/a").unwrap().unwrap();
        let Probe::Http(probe) = probe else { panic!() };
        assert_eq!((probe.scheme, probe.path.as_deref(), index), (Scheme::Https, Some("/a"), Some(1)));
        assert_eq!(
            http("80").unwrap().unwrap().0,
            Probe::Http(HttpProbe { port: 80, ..HttpProbe::default() })
        );
    }

    #[test]
    fn what_is_no_port_or_path_is_named() {
        for (text, expected) in [
            ("", "1 to 65535"),
            ("0/x", "1 to 65535"),
            ("http://x", "1 to 65535"),
            ("70000", "1 to 65535"),
            ("PORTx", "PORT0"),
            ("80/a b", "no path"),
        ] {
            let error = format!("{:#}", http(text).unwrap_err());
            assert!(error.contains(expected) && error.contains("--health-http"), "{error}");
        }
        let check = probe("check", &None, &Some("https:80".to_owned()), &None, Scheme::Http);
        assert!(check.unwrap_err().to_string().contains("for health checks only"));
    }
}
