//! The table for people: a line for each policy, each mean with half its interval.

use std::fmt::Write;

use super::{Comparison, Measure};
use crate::lab::statistics::Estimate;

/// Narrower windows get this; what is wider than the window is for its reader to scroll.
const NARROWEST: usize = 80;
/// Wider windows get this: longer lines are hard to follow.
const WIDEST: usize = 160;
/// Between two columns.
const GAP: usize = 2;
/// How many tasks that can never be placed are named.
const NAMED: usize = 5;

/// One column, all cells as wide as the widest.
struct Column {
    width: usize,
    /// Heading first.
    cells: Vec<String>,
}

impl Comparison {
    /// The table, for a window of so many columns: where a line would be longer than that (at least 80, at most 160), the
    /// rest stands below in a block of its own. Ends in a line break.
    pub fn table(&self, window: usize) -> String {
        let window = window.clamp(NARROWEST, WIDEST);
        let mut text = self.heading();
        let policies = std::iter::once("POLICY").chain(self.lines.iter().map(|line| line.policy.as_str()));
        let policies: Vec<String> = policies.map(str::to_owned).collect();
        let first = policies.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        let columns: Vec<Column> = self
            .measures()
            .iter()
            .filter(|measure| self.tells(measure))
            .map(|measure| self.column(measure))
            .collect();
        let mut columns = columns.as_slice();
        while !columns.is_empty() {
            let mut width = first;
            let fits = columns.iter().take_while(|column| {
                width += GAP + column.width;
                width <= window
            });
            let (block, rest) = columns.split_at(fits.count().max(1));
            text.push('\n');
            write_block(&mut text, &policies, first, block);
            columns = rest;
        }
        text + &self.notes()
    }

    /// What was run, in a line.
    pub(super) fn heading(&self) -> String {
        let about = &self.about;
        let seeds = match (about.seeds.first(), about.seeds.len()) {
            (Some(first), 1) => format!("seed {first}"),
            (Some(first), count) => format!("{count} seeds from {first}"),
            (None, _) => "no seeds".to_owned(),
        };
        format!(
            "{}: {}, {}, {}, {}; {seeds}\n",
            about.source,
            counted(about.machines, "machine"),
            counted(about.arrivals, "task"),
            counted(about.frameworks.len(), "framework"),
            length(about.lasts.as_secs()),
        )
    }

    /// Is there anything to see? Fairness among fewer than two is not worth a column, nor is what never happened.
    fn tells(&self, measure: &Measure) -> bool {
        let happened = || self.runs().any(|run| run.values.get(measure).is_some_and(|value| *value > 0.0));
        match measure {
            Measure::Jain | Measure::LargestGap => self.about.frameworks.len() > 1,
            Measure::Never | Measure::Failed | Measure::Preempted => happened(),
            Measure::Placed
            | Measure::StillWaiting
            | Measure::LaunchesPerSecond
            | Measure::WaitP50
            | Measure::WaitP99
            | Measure::UtilisationMean(_)
            | Measure::UtilisationFinal(_)
            | Measure::Fragmentation => true,
        }
    }

    fn column(&self, measure: &Measure) -> Column {
        let estimates: Vec<Option<Estimate>> = self.lines.iter().map(|line| line.estimate(measure)).collect();
        let whole = |estimate: &Estimate| estimate.deviation == 0.0;
        let largest = estimates.iter().flatten().map(|estimate| estimate.mean).fold(0.0, f64::max);
        let decimals = measure.decimals(estimates.iter().flatten().all(whole), largest);
        let halves = estimates.iter().flatten().filter_map(|estimate| estimate.half_width);
        let half_text = |half: f64| format!("{:.decimals$}", measure.shown(half));
        let half_width = halves.map(|half| half_text(half).len()).max();
        let cell = |estimate: &Option<Estimate>| {
            let Some(estimate) = estimate else { return "-".to_owned() };
            let mean = format!("{:.decimals$}", measure.shown(estimate.mean));
            match (estimate.half_width, half_width) {
                (Some(half), Some(width)) => format!("{mean} ±{:>width$}", half_text(half)),
                // Numbers without an interval stand under the numbers of those that have one.
                (None, Some(width)) => format!("{mean}  {:width$}", ""),
                (_, None) => mean,
            }
        };
        let cells: Vec<String> =
            std::iter::once(measure.heading()).chain(estimates.iter().map(cell)).collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or_default();
        Column { width, cells }
    }

    /// What the numbers do not say: intervals, policies that were stopped, tasks that fit nowhere.
    fn notes(&self) -> String {
        let mut text = String::new();
        if self.about.seeds.len() > 1 {
            let _never_fails =
                writeln!(text, "\n±: half the 95 % confidence interval of the mean over the seeds");
        }
        for line in &self.lines {
            let stopped: Vec<(u64, &str)> = line.stopped().collect();
            if let Some((seed, why)) = stopped.first() {
                let (count, all) = (stopped.len(), line.runs.len());
                let _never_fails = writeln!(
                    text,
                    "\n{} was stopped with {count} of {all} seeds, which are in no mean; seed {seed}: {why}",
                    line.policy
                );
            }
        }
        let never = self.runs().next().map_or(&[][..], |run| &run.never);
        if !never.is_empty() {
            text.push_str("\nno machine could hold, even when empty:\n");
        }
        for (task, why) in never.iter().take(NAMED) {
            let _never_fails = writeln!(text, "  {task}: {why}");
        }
        if never.len() > NAMED {
            text.push_str("  and others; -o json names more\n");
        }
        text
    }
}

fn write_block(text: &mut String, policies: &[String], first: usize, columns: &[Column]) {
    for (row, policy) in policies.iter().enumerate() {
        let mut line = format!("{policy:first$}");
        for Column { width, cells } in columns {
            let _never_fails = write!(line, "{:GAP$}{:>width$}", "", cells[row]);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// `1 task`, `8,152 tasks`.
pub(super) fn counted(count: usize, what: &str) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} {what}{}", if count == 1 { "" } else { "s" })
}

/// A length of time in its two largest units.
pub(super) fn length(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let from = parts.iter().position(|(amount, _)| *amount > 0).unwrap_or(3);
    let shown = parts.iter().skip(from).take(2).filter(|(amount, _)| *amount > 0);
    let shown: Vec<String> = shown.map(|(amount, unit)| format!("{amount} {unit}")).collect();
    if shown.is_empty() { "0 s".to_owned() } else { shown.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::comparison;
    use super::*;

    #[test]
    fn the_table_is_aligned_and_says_what_it_leaves_out() {
        let golden = include_str!("golden/table.txt");
        assert_eq!(comparison().table(80), golden, "if the change is meant, mend golden/table.txt");
    }

    #[test]
    fn lines_keep_to_the_window() {
        for window in [20, 80, 100, 160, 1000] {
            let table = comparison().table(window);
            let limit = window.clamp(NARROWEST, WIDEST);
            let rows = table.lines().skip(1).take_while(|line| !line.starts_with('±'));
            assert!(rows.into_iter().all(|line| line.chars().count() <= limit), "{window}: {table}");
        }
    }

    #[test]
    fn counts_and_lengths_read_well() {
        assert_eq!(counted(1, "task"), "1 task");
        assert_eq!(counted(1_000_000, "task"), "1,000,000 tasks");
        assert_eq!(counted(0, "task"), "0 tasks");
        assert_eq!(length(149 * 86_400 + 5 * 3600 + 7), "149 d 5 h");
        assert_eq!(length(3600), "1 h");
        assert_eq!(length(0), "0 s");
    }
}
