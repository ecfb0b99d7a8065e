//! The last steps before the task's own program: user, directory, streams, signals, exec.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::confine;
use super::control::Inside;
use super::report::{Failure, FailureReason};
use super::spec::{Command, ContainerSpec};
use super::sys;
use super::terminal;
use super::user::TaskUser;

/// Where programs are looked for when the task's environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The files the task writes its output to.
pub(super) struct Logs {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// What the task reads.
pub(super) enum Input<'a> {
    /// Nothing.
    Nothing,
    /// What comes through this pipe.
    Pipe(&'a OwnedFd),
    /// This terminal, which is also what it writes to.
    Terminal(&'a OwnedFd),
}

/// Becomes the task. Returns only when that failed.
pub(super) fn become_task(
    spec: &ContainerSpec,
    user: Option<&TaskUser>,
    logs: &Logs,
    input: Input<'_>,
    line: &Inside,
) -> Failure {
    // As the task's user: a sandbox that the task could not enter is an error now.
    let prepared = prepare(spec, user, logs).and_then(|()| enter_sandbox(spec)).and_then(|()| match input {
        Input::Terminal(slave) => take_terminal(slave),
        Input::Pipe(pipe) => sys::redirect(pipe.as_fd(), 0).map_err(|error| {
            Failure::new(FailureReason::Internal, format!("cannot use the input: {}", plain(&error)))
        }),
        Input::Nothing => Ok(()),
    });
    match prepared {
        Ok(()) => execute_command(spec, line),
        Err(failure) => failure,
    }
}

/// Makes the terminal this process's own.
pub(super) fn take_terminal(slave: &OwnedFd) -> Result<(), Failure> {
    terminal::take(slave).map_err(|error| {
        Failure::new(FailureReason::Internal, format!("cannot use the terminal: {}", plain(&error)))
    })
}

/// The very last step. Returns only when it failed.
pub(super) fn execute_command(spec: &ContainerSpec, line: &Inside) -> Failure {
    line.say_task();
    sys::reset_signals();
    let error = match execute(&spec.command, &spec.environment) {
        Ok(error) => error,
        Err(error) => error.into(),
    };
    // The task may have had its default SIGPIPE for a moment; the line is written without it.
    Failure::new(FailureReason::Command, format!("cannot run '{}': {}", spec.command.name(), plain(&error)))
}

/// Makes the sandbox the working directory.
pub(super) fn enter_sandbox(spec: &ContainerSpec) -> Result<(), Failure> {
    std::env::set_current_dir(&spec.sandbox).map_err(|error| no_sandbox(spec, &error))
}

fn no_sandbox(spec: &ContainerSpec, error: &io::Error) -> Failure {
    let message = format!("cannot use the sandbox '{}': {}", spec.sandbox.display(), plain(error));
    Failure::new(FailureReason::Sandbox, message)
}

/// Session, streams, user: all that comes before the directory and the command.
pub(super) fn prepare(spec: &ContainerSpec, user: Option<&TaskUser>, logs: &Logs) -> Result<(), Failure> {
    sys::new_session();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let sandbox = |error: io::Error| no_sandbox(spec, &error);
    sys::silence_standard_streams().map_err(sandbox)?;
    sys::redirect(logs.stdout.as_fd(), 1).map_err(sandbox)?;
    sys::redirect(logs.stderr.as_fd(), 2).map_err(sandbox)?;
    confine::apply(&spec.confinement, user)?;
    sys::close_all_at_exec();
    Ok(())
}

/// The system's words without Rust's "(os error n)".
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

fn execute(
    command: &Command,
    environment: &BTreeMap<String, String>,
) -> Result<io::Error, std::ffi::NulError> {
    let variables: Vec<CString> = environment
        .iter()
        .map(|(name, value)| CString::new(format!("{name}={value}")))
        .collect::<Result<_, _>>()?;
    match command {
        Command::Shell(line) => {
            let arguments = [c"sh".into(), c"-c".into(), CString::new(line.as_str())?];
            Ok(sys::execute(&c"/bin/sh".into(), &arguments, &variables))
        }
        Command::Argv { program, args } => {
            let arguments: Vec<CString> = std::iter::once(program)
                .chain(args)
                .map(|argument| CString::new(argument.as_str()))
                .collect::<Result<_, _>>()?;
            let path = environment.get("PATH").map_or(DEFAULT_PATH, String::as_str);
            search_and_execute(program, path, &arguments, &variables)
        }
    }
}

/// As execvp(3) does it, but with the task's `PATH`.
fn search_and_execute(
    program: &str,
    search_path: &str,
    arguments: &[CString],
    variables: &[CString],
) -> Result<io::Error, std::ffi::NulError> {
    if program.contains('/') {
        return Ok(execute_file(CString::new(program)?, arguments, variables));
    }
    let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
    for directory in search_path.split(':') {
        // An empty entry means the working directory, by long tradition.
        let directory = if directory.is_empty() { "." } else { directory };
        let file = CString::new(format!("{directory}/{program}"))?;
        let error = execute_file(file, arguments, variables);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            // Somewhere it exists and may not be executed: the better explanation, if nothing else does.
            Some(libc::EACCES) => worst = error,
            _ => return Ok(error),
        }
    }
    Ok(worst)
}

fn execute_file(file: CString, arguments: &[CString], variables: &[CString]) -> io::Error {
    let error = sys::execute(&file, arguments, variables);
    if error.raw_os_error() != Some(libc::ENOEXEC) {
        return error;
    }
    // A script without "#!": the shell reads it, as every shell and execvp(3) do.
    let mut script: Vec<CString> = vec![c"sh".into(), file];
    script.extend(arguments.iter().skip(1).cloned());
    sys::execute(&c"/bin/sh".into(), &script, variables)
}
