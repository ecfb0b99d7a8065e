//! `--config FILE`: every flag of a daemon as a key of a TOML file.
//!
//! The file is turned into arguments that stand before those of the command line, which win; a variable
//! of the environment wins over the file. A key that is no flag is refused with its line.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use toml::de::{DeTable, DeValue};

use crate::args::Lonja;

/// The whole command line, with what a config file adds. Errors are printed here, and the exit status returned.
pub(crate) fn parse() -> Result<Lonja, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let arguments = match with_config(&arguments) {
        Ok(arguments) => arguments,
        Err(message) => {
            crate::output::complain(&anyhow::anyhow!(message));
            return Err(ExitCode::from(2));
        }
    };
    let parsed = Lonja::command().try_get_matches_from(arguments);
    let parsed = parsed.and_then(|matches| {
        one_cluster(&matches)?;
        Lonja::from_arg_matches(&matches)
    });
    match parsed {
        Ok(lonja) => Ok(lonja),
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // Nobody reads it: then there is nobody to tell.
            let _unread = error.print();
            Err(ExitCode::from(code))
        }
    }
}

/// A cluster of one's own and another master exclude each other on the command line; a master in the environment is
/// only a default.
fn one_cluster(matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some(("run", run)) = matches.subcommand() else { return Ok(()) };
    if run.get_flag("dev") && run.value_source("master") == Some(ValueSource::CommandLine) {
        let message = "--dev brings up a cluster of its own: leave out --dev or --master";
        return Err(Lonja::command().error(ErrorKind::ArgumentConflict, message));
    }
    Ok(())
}

fn with_config(arguments: &[OsString]) -> Result<Vec<OsString>, String> {
    let (Some(command), Some(path)) = (arguments.get(1), config_path(arguments)) else {
        return Ok(arguments.to_vec());
    };
    let command = command.to_string_lossy().into_owned();
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("--config {}: {error}", path.display()))?;
    let mut all = arguments[..2].to_vec();
    all.extend(arguments_of(&command, &path, &text)?);
    all.extend_from_slice(&arguments[2..]);
    Ok(all)
}

fn config_path(arguments: &[OsString]) -> Option<std::path::PathBuf> {
    let texts = arguments.iter().skip(2).map(|argument| argument.to_string_lossy());
    let mut texts = texts.take_while(|text| text != "--");
    while let Some(text) = texts.next() {
        if text == "--config" {
            return texts.next().map(|path| path.as_ref().into());
        }
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(path.into());
        }
    }
    None
}

/// The arguments that a file stands for. Errors: not TOML, an unknown key, or a value of no use, with the line.
fn arguments_of(command: &str, path: &Path, text: &str) -> Result<Vec<OsString>, String> {
    let line = |offset: usize| text[..offset.min(text.len())].matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(1, |span| line(span.start));
        format!("{}:{at}: {}", path.display(), error.message())
    })?;
    let daemon = Lonja::command();
    let Some(daemon) = daemon.find_subcommand(command) else {
        return Err(format!("--config is for dev, master and agent, not for {command:?}"));
    };
    let mut arguments = Vec::new();
    for (key, value) in table.get_ref() {
        let name = key.get_ref().replace('_', "-");
        let at = || format!("{}:{}", path.display(), line(key.span().start));
        let flag = daemon.get_arguments().find(|flag| flag.get_long() == Some(&name) && name != "config");
        let Some(flag) = flag else {
            let known: Vec<_> = daemon.get_arguments().filter_map(|flag| flag.get_long()).collect();
            return Err(format!(
                "{}: unknown key {:?}; `lonja {command}` takes {}",
                at(),
                key.get_ref(),
                known.join(", ")
            ));
        };
        if flag.get_env().is_some_and(|variable| std::env::var_os(variable).is_some()) {
            continue;
        }
        let texts =
            values(value.get_ref()).ok_or_else(|| format!("{}: {name} takes a text or a number", at()))?;
        let is_switch = !flag.get_action().takes_values();
        for text in texts {
            match (is_switch, text.as_str()) {
                (true, "true") => arguments.push(format!("--{name}").into()),
                (true, "false") => {}
                (true, _) => return Err(format!("{}: {name} is true or false", at())),
                (false, _) => arguments.push(format!("--{name}={text}").into()),
            }
        }
    }
    Ok(arguments)
}

/// A value as the texts that the flag is given; `None` for tables and times.
fn values(value: &DeValue<'_>) -> Option<Vec<String>> {
    Some(match value {
        DeValue::String(text) => vec![text.to_string()],
        DeValue::Integer(number) => vec![number.as_str().to_owned()],
        DeValue::Float(number) => vec![number.as_str().to_owned()],
        DeValue::Boolean(truth) => vec![truth.to_string()],
        DeValue::Array(items) => items
            .iter()
            .map(|item| values(item.get_ref()))
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect(),
        DeValue::Datetime(_) | DeValue::Table(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<OsString>, String> {
        arguments_of("master", Path::new("m.toml"), text)
    }

    #[test]
    fn keys_are_flags() {
        let arguments = read("work_dir = \"/d\"\nmax-agents = 7\n").unwrap();
        assert!(arguments.contains(&"--work-dir=/d".into()) && arguments.contains(&"--max-agents=7".into()));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = read("work-dir = \"/d\"\nwork-dri = \"/d\"\n").unwrap_err();
        assert!(error.starts_with("m.toml:2: unknown key \"work-dri\""), "{error}");
        assert!(read("x = ").unwrap_err().starts_with("m.toml:1: "));
        assert!(read("[listen]\na = 1").unwrap_err().contains("takes a text or a number"));
    }
}
