//! Live progress of a deployment: a line for each app on a terminal; on a pipe a line for each change.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::explain::Explanation;
use super::standing::{Counts, Progress as Step};
use crate::output;

/// The most apps that have a line of their own.
const MOST_LINES: usize = 12;

/// How often what moves by itself moves.
const TICK: Duration = Duration::from_millis(100);

/// What is shown on stderr while a deployment is under way.
pub(super) struct Progress {
    /// None: a pipe.
    terminal: Option<Terminal>,
    /// What was said last, by what it is about, but for times.
    said: BTreeMap<String, String>,
}

struct Terminal {
    all: MultiProgress,
    deployment: ProgressBar,
    services: BTreeMap<String, ProgressBar>,
}

impl Progress {
    /// Nothing is shown as yet.
    pub(super) fn new() -> Self {
        let terminal = std::io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            let deployment = all.add(ProgressBar::new_spinner());
            deployment.set_style(style("{spinner} {msg}"));
            deployment.enable_steady_tick(TICK);
            Terminal { all, deployment, services: BTreeMap::new() }
        });
        Self { terminal, said: BTreeMap::new() }
    }

    /// Shows how things stand. No step: the deployment is done, and the rest is waited for.
    pub(super) fn show(&mut self, step: Option<&Step>, counts: &[Counts], reasons: &[Explanation]) {
        let whole = step.map_or_else(|| "waiting for all to be up".to_owned(), Step::words);
        match &mut self.terminal {
            Some(terminal) => terminal.show(whole, counts, reasons),
            None => {
                self.say("", whole);
                for one in counts {
                    self.say(&one.id, format!("{}: {}", one.id, line(one, reasons)));
                }
            }
        }
    }

    /// Says something that is no progress.
    pub(super) fn suspend(&self, say: impl FnOnce()) {
        match &self.terminal {
            Some(terminal) => terminal.all.suspend(say),
            None => say(),
        }
    }

    /// Takes all that moves away again.
    pub(super) fn clear(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.deployment.finish_and_clear();
            for service in terminal.services.values() {
                service.finish_and_clear();
            }
        }
    }

    fn say(&mut self, about: &str, line: String) {
        let new = timeless(&line);
        if self.said.get(about) != Some(&new) {
            output::note(&line);
            self.said.insert(about.to_owned(), new);
        }
    }
}

impl Terminal {
    fn show(&mut self, whole: String, counts: &[Counts], reasons: &[Explanation]) {
        self.deployment.set_message(whole);
        for one in counts {
            if self.services.len() >= MOST_LINES && !self.services.contains_key(&one.id) {
                continue;
            }
            let bar = self.services.entry(one.id.clone()).or_insert_with(|| {
                let bar = self.all.add(ProgressBar::new(one.wanted));
                bar.set_style(style("  {prefix:20} {bar:24} {msg}"));
                bar.set_prefix(one.id.clone());
                bar
            });
            bar.set_length(one.wanted);
            bar.set_position(one.healthy.unwrap_or(one.running).min(one.wanted));
            bar.set_message(line(one, reasons));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn line(one: &Counts, reasons: &[Explanation]) -> String {
    let why = reasons.iter().find(|why| why.id == one.id && why.count > 0);
    match why {
        Some(why) if why.delay_seconds.is_some() => {
            format!("{}; {} to be launched: {}", one.words_and_failure(), why.count, why.line())
        }
        Some(why) => format!("{}; {} to be launched: {}", one.words(), why.count, why.line()),
        None => one.words(),
    }
}

/// A line without its numbers of seconds, which change all by themselves.
fn timeless(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let is_time = |index: usize| words.get(index + 1).is_some_and(|unit| matches!(*unit, "s" | "s;" | "s,"));
    let kept = words.iter().enumerate().filter(|(index, _)| !is_time(*index));
    kept.map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_up_and_what_is_waited_for() {
        let one = Counts { id: "/web".into(), wanted: 3, running: 1, healthy: Some(1), ..Counts::default() };
        assert_eq!(line(&one, &[]), "1 of 3 running, 1 healthy");
        let why = Explanation {
            id: "/web".into(),
            count: 2,
            nearest: Some("h: no CPU".into()),
            ..Default::default()
        };
        let expected = "1 of 3 running, 1 healthy; 2 to be launched: waits for offers; nearest: h: no CPU";
        assert_eq!(line(&one, &[why]), expected);
    }

    #[test]
    fn a_step_says_what_is_done_in_it() {
        let step = Step { step: 1, steps: 2, doing: vec!["scale /a".into()], ..Step::default() };
        assert_eq!(step.words(), "step 1 of 2: scale /a");
        assert!(Step::default().words().contains("not begun"));
    }

    #[test]
    fn seconds_that_pass_are_no_news() {
        let delayed = |seconds: u64| {
            let why = Explanation {
                id: "/web".into(),
                count: 1,
                delay_seconds: Some(seconds),
                ..Default::default()
            };
            timeless(&line(&Counts { id: "/web".into(), ..Counts::default() }, &[why]))
        };
        assert_eq!(delayed(9), delayed(8));
        assert_ne!(timeless("1 of 3 running"), timeless("2 of 3 running"));
    }
}
