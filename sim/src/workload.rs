//! What frameworks want: jobs drawn from the seed, each to be brought to its end whatever happens.
//!
//! A job is tried again under a new task id when its task failed or was lost. Some of its tasks fail, some use more
//! memory than they may, some are killed by strangers, some name a command that does not exist, some hang until they are
//! killed; a framework that tears itself down leaves some lingering.

use std::time::Duration;

use lonja_agent_core::{ContainerExit, MemoryBreach, WaitStatus};
use lonja_model::container::{Command, Program};
use lonja_model::{Resources, Role};

use crate::health::Care;
use crate::random::Random;

/// The signals that a stranger may send, by their numbers on Linux.
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;
const SIGTERM: i32 = 15;

/// What one task's program does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Exits with this status after so long.
    Exit { after: Duration, status: i32 },
    /// Uses more memory than it may after so long. Then the kernel ends it, or only a process of it while the program
    /// itself goes on to exit with 0.
    Breach { after: Duration, program_survives: bool },
    /// Somebody on its machine ends it by this signal after so long; we did not ask for it.
    Struck { after: Duration, signal: i32 },
    /// Runs until it is killed.
    Hang,
    /// Runs until it is killed, and fails every look at it after so long.
    Sicken { after: Duration },
    /// Runs until it is killed, and may not run longer than this.
    Dawdle { longest: Duration },
    /// Cannot be executed.
    NoSuchCommand,
}

impl Script {
    /// The script as a command.
    pub(crate) fn command(&self) -> Command {
        let arguments = match self {
            Self::Exit { after, status } => vec![after.as_millis().to_string(), status.to_string()],
            Self::Breach { after, program_survives } => {
                vec!["breach".to_owned(), after.as_millis().to_string(), program_survives.to_string()]
            }
            Self::Struck { after, signal } => {
                vec!["struck".to_owned(), after.as_millis().to_string(), signal.to_string()]
            }
            Self::Hang => vec!["hang".to_owned()],
            Self::Sicken { after } => vec!["sicken".to_owned(), after.as_millis().to_string()],
            Self::Dawdle { longest } => vec!["dawdle".to_owned(), longest.as_millis().to_string()],
            Self::NoSuchCommand => Vec::new(),
        };
        let program = Program::Exec { path: "script".to_owned(), arguments };
        Command::new(program)
    }

    /// The script that a command was made of.
    pub(crate) fn read(command: &Command) -> Self {
        let Program::Exec { arguments, .. } = &command.program else { return Self::NoSuchCommand };
        let time = |text: &String| Duration::from_millis(text.parse().unwrap_or(0));
        match arguments.as_slice() {
            [what, after] if what == "sicken" => Self::Sicken { after: time(after) },
            [what, longest] if what == "dawdle" => Self::Dawdle { longest: time(longest) },
            [after, status] => Self::Exit { after: time(after), status: status.parse().unwrap_or(255) },
            [what, after, survives] if what == "breach" => {
                Self::Breach { after: time(after), program_survives: survives == "true" }
            }
            [what, after, signal] if what == "struck" => {
                Self::Struck { after: time(after), signal: signal.parse().unwrap_or(9) }
            }
            [hang] if hang == "hang" => Self::Hang,
            _ => Self::NoSuchCommand,
        }
    }

    /// How long it runs if it is left alone; `None`: for ever.
    pub(crate) fn lasts(&self) -> Option<Duration> {
        match self {
            Self::Exit { after, .. } | Self::Breach { after, .. } | Self::Struck { after, .. } => {
                Some(*after)
            }
            Self::Hang | Self::Sicken { .. } | Self::Dawdle { .. } | Self::NoSuchCommand => None,
        }
    }

    /// How long its task may run.
    pub(crate) fn longest(&self) -> Option<Duration> {
        match self {
            Self::Dawdle { longest } => Some(*longest),
            Self::Exit { .. }
            | Self::Breach { .. }
            | Self::Struck { .. }
            | Self::Hang
            | Self::Sicken { .. }
            | Self::NoSuchCommand => None,
        }
    }

    /// How it ends if it is left alone, with `limit` for a memory limit in bytes; `None`: not at all.
    pub(crate) fn ending(&self, limit: u64) -> Option<ContainerExit> {
        let exit = |status| ContainerExit::new(status);
        match self {
            Self::Exit { status, .. } => Some(exit(WaitStatus::Exited(*status))),
            Self::Struck { signal, .. } => Some(exit(WaitStatus::Signaled(*signal))),
            Self::Breach { program_survives, .. } => {
                let breach = MemoryBreach { limit_bytes: limit, peak_bytes: limit, host_was_short: false };
                let status =
                    if *program_survives { WaitStatus::Exited(0) } else { WaitStatus::Signaled(SIGKILL) };
                Some(ContainerExit { memory_breach: Some(breach), ..exit(status) })
            }
            Self::Hang | Self::Sicken { .. } | Self::Dawdle { .. } | Self::NoSuchCommand => None,
        }
    }
}

/// How a job's last task is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// By itself, with status 0.
    Finish,
    /// By a kill, so long after it was first seen running.
    Kill { after: Duration },
    /// Not at all: it need only run, and goes with its framework.
    Linger,
}

/// One job.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// What each of its tasks needs, but for the port.
    pub(crate) needs: Resources,
    /// Does it need a port besides?
    pub(crate) wants_port: bool,
    /// Does each of its tasks make a volume to run on, and leave it there?
    pub(crate) wants_volume: bool,
    pub(crate) goal: Goal,
    /// What its first tasks do, each of which fails.
    failing: Vec<Script>,
    /// What every later task does.
    last: Script,
    /// Another task that each of its tasks is launched with, as a group.
    pub(crate) companion: Option<Script>,
    /// It is wanted no sooner than this after the start.
    pub(crate) not_before: Duration,
    /// What its tasks are looked at for.
    pub(crate) care: Care,
}

impl Job {
    /// Its first task fails like this, before all others.
    pub(crate) fn fails_first(&mut self, script: Script) {
        self.failing.insert(0, script);
    }

    /// What the next task does after so many that failed.
    pub(crate) fn script(&self, failures: usize) -> &Script {
        self.failing.get(failures).unwrap_or(&self.last)
    }
}

/// Everything one framework wants.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) jobs: Vec<Job>,
    /// Does it tear itself down at the end, or stay subscribed?
    pub(crate) tears_down: bool,
    /// Does it know TASK_KILLING?
    pub(crate) knows_killing: bool,
}

impl Plan {
    /// For which role it wants offers.
    pub(crate) fn role(&self) -> Role {
        Role::new(&self.role).expect("a plan's role is a role")
    }

    /// Draws what the framework numbered `index` wants, spread over `time`.
    pub(crate) fn draw(random: &mut Random, index: usize, jobs: usize, time: Duration) -> Self {
        let tears_down = random.chance(40);
        let role = if random.chance(50) { "batch".to_owned() } else { format!("team-{index}") };
        Self {
            name: format!("f{index}"),
            role,
            jobs: (0..jobs).map(|_| job(random, tears_down, time)).collect(),
            tears_down,
            knows_killing: random.chance(50),
        }
    }
}

fn job(random: &mut Random, may_linger: bool, time: Duration) -> Job {
    let (cpus, mem) = (100 + random.below(15) * 100, 32 + random.below(16) * 32);
    let needs = Resources::parse(&format!("cpus:{}.{};mem:{mem}", cpus / 1000, cpus % 1000 / 100));
    let goal = match random.below(10) {
        0 | 1 => Goal::Kill { after: random.millis(0, 60_000) },
        2 if may_linger => Goal::Linger,
        _ => Goal::Finish,
    };
    // What lingers is small, so that it leaves room for everything else on the smallest agent.
    let lingers = goal == Goal::Linger;
    let needs = if lingers { Resources::parse("cpus:0.01;mem:1") } else { needs };
    let last = match goal {
        Goal::Finish => Script::Exit { after: duration(random), status: 0 },
        Goal::Kill { .. } | Goal::Linger => Script::Hang,
    };
    let companion = match goal {
        Goal::Finish if random.chance(20) => Some(Script::Exit { after: duration(random), status: 0 }),
        Goal::Kill { .. } if random.chance(30) => Some(Script::Hang),
        Goal::Finish | Goal::Kill { .. } | Goal::Linger => None,
    };
    let failures = [0, 0, 0, 1, 2][random.index(5)];
    let failing = (0..failures).map(|_| failing(random)).collect();
    Job {
        needs: needs.expect("numbers are an amount"),
        wants_port: random.chance(30) && !lingers,
        wants_volume: random.chance(25) && !lingers,
        goal,
        failing,
        last,
        companion,
        not_before: random.between(Duration::ZERO, time),
        care: Care::default(),
    }
}

fn failing(random: &mut Random) -> Script {
    match random.below(10) {
        0 | 1 => Script::NoSuchCommand,
        2 | 3 => Script::Breach { after: duration(random), program_survives: random.chance(30) },
        4 | 5 => {
            let signal = [SIGKILL, SIGSEGV, SIGTERM][random.index(3)];
            Script::Struck { after: duration(random), signal }
        }
        _ => Script::Exit { after: duration(random), status: 1 + i32::from(random.chance(50)) },
    }
}

fn duration(random: &mut Random) -> Duration {
    match random.below(3) {
        0 if random.chance(20) => Duration::ZERO,
        0 => random.millis(0, 100),
        1 => random.millis(100, 10_000),
        _ => random.millis(10_000, 240_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_as_it_was_written() {
        let exit = Script::Exit { after: Duration::from_millis(1500), status: 3 };
        let breach = Script::Breach { after: Duration::from_millis(7), program_survives: true };
        let struck = Script::Struck { after: Duration::ZERO, signal: 11 };
        let sicken = Script::Sicken { after: Duration::from_millis(9) };
        let dawdle = Script::Dawdle { longest: Duration::from_millis(10) };
        for script in [exit, breach, struck, sicken, dawdle, Script::Hang, Script::NoSuchCommand] {
            assert_eq!(Script::read(&script.command()), script);
        }
    }
}
