//! How much of a task's output is kept: the agent's limits, which a task may lower.
//!
//! A task says so in its environment, by the names that Mesos' logrotate logger uses. It cannot ask for
//! more: what a flood of output may cost is the agent's to say.
//!
//! Source: Mesos, `LogrotateContainerLogger`, `environment_variable_prefix`.

use std::collections::BTreeMap;

use crate::supervisor::LogLimits;

/// The smallest size of a log file, in bytes. Source: Mesos, which takes no less than a page.
const LEAST: u64 = 4096;

/// What the task's output is held to. Errors: a variable that is no size.
pub(crate) fn of_task(
    agent: Option<LogLimits>,
    environment: &BTreeMap<String, String>,
) -> Result<Option<LogLimits>, String> {
    let Some(mut limits) = agent else {
        return Ok(None);
    };
    let streams = [
        ("CONTAINER_LOGGER_MAX_STDOUT_SIZE", &mut limits.stdout_bytes),
        ("CONTAINER_LOGGER_MAX_STDERR_SIZE", &mut limits.stderr_bytes),
    ];
    for (name, limit) in streams {
        if let Some(text) = environment.get(name) {
            let bytes = size(text).filter(|bytes| *bytes >= LEAST);
            let bytes = bytes.ok_or_else(|| {
                format!("environment variable {name}: '{text}' is no size from {LEAST} bytes up; write 512KB or 10MB")
            })?;
            *limit = bytes.min(*limit);
        }
    }
    Ok(Some(limits))
}

/// A size as Mesos writes it: a whole number and a unit, where 1 KB is 1024 bytes.
fn size(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit {
        "B" => 0,
        "KB" | "KiB" => 10,
        "MB" | "MiB" => 20,
        "GB" | "GiB" => 30,
        "TB" | "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<u64, String> {
        let agent = LogLimits { stdout_bytes: 10 << 20, stderr_bytes: 10 << 20, files: 5 };
        let environment = [("CONTAINER_LOGGER_MAX_STDOUT_SIZE".to_owned(), text.to_owned())].into();
        of_task(Some(agent), &environment).map(|limits| limits.unwrap().stdout_bytes)
    }

    #[test]
    fn a_task_may_lower_its_limit_and_not_raise_it() {
        assert_eq!(of("512KB"), Ok(512 << 10));
        assert_eq!(of("1MiB"), Ok(1 << 20));
        assert_eq!(of("1TB"), Ok(10 << 20));
        for bad in ["", "MB", "10", "4095B", "-1MB", "1.5MB", "99999999999999999999B", "20000000TB"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
