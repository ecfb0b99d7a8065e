//! Plots to look at: one SVG file with a panel for each question.
//!
//! Plain SVG 1.1 text. Each panel has a line for each policy, the mean over the seeds, in a band that is the 95 %
//! confidence interval; a single seed has no band. Colours can be told apart with the common kinds of colour blindness
//! (after Okabe and Ito, "Color universal design", 2008, darkened for light paper and lightened for dark), and from the
//! ninth policy on lines are dashed. The file follows the reader's light or dark setting.
//!
//! Reading order: `axis`, `panel`, `page`.

mod axis;
mod page;
mod panel;

use super::{Comparison, Curve, Moment};
use axis::Axis;
use page::page;
use panel::{Panel, Series};

/// How many frameworks get a panel of their own.
const FRAMEWORKS: usize = 6;

impl Comparison {
    /// The plots: utilisation of each kind beside what was asked for, allocated against asked, waiting tasks,
    /// fragmentation, and with several frameworks Jain's index and the dominant shares of the first six.
    pub fn svg(&self) -> String {
        let mut panels: Vec<Panel> = self.kinds().iter().map(|kind| self.utilisation(kind)).collect();
        // What the fleet is bought for: its GPUs if it has any.
        let asked_for = |kind: &&str| {
            let mut moments = self.runs().flat_map(|run| &run.course);
            moments.any(|moment| moment.asked.get(*kind).is_some_and(|asked| *asked > 0.0))
        };
        let scarce = ["gpus", "cpus"].into_iter().find(asked_for);
        panels.extend(scarce.map(|kind| self.allocated(kind)));
        panels.push(
            self.over("Tasks that wait", Axis::count("tasks"), |moment| Some(moment.sample.waiting as f64)),
        );
        panels.push(self.over("Fragmentation of what is free", Axis::percent("free"), |moment| {
            Some(moment.sample.fragmentation * 100.0)
        }));
        let frameworks = &self.about.frameworks;
        if frameworks.len() > 1 {
            let jain =
                self.over("Evenness of weighted dominant shares", Axis::index("Jain's index"), |moment| {
                    moment.jain
                });
            panels.push(jain);
            for (number, framework) in frameworks.iter().enumerate().take(FRAMEWORKS) {
                let weight = framework.weight as f64 / 1000.0;
                let title = format!("Dominant share of {} (weight {weight})", framework.name);
                panels.push(self.over(&title, Axis::percent("cluster"), |moment| {
                    moment.sample.shares.get(number).map(|share| share * 100.0)
                }));
            }
        }
        page(self, &panels)
    }

    fn over(&self, title: &str, y: Axis, value: impl Fn(&Moment) -> Option<f64>) -> Panel {
        let series = |(number, line)| Series::policy(number, self.over_time(line, &value));
        let series: Vec<Series> = self.lines.iter().enumerate().map(series).collect();
        let y = y.reach(&series);
        Panel { title: title.to_owned(), x: Axis::time(self.span()), y, series }
    }

    fn utilisation(&self, kind: &str) -> Panel {
        let used = |moment: &Moment| moment.sample.used.get(kind).map(|part| part * 100.0);
        let title = format!("Utilisation of {kind} (dashed: asked for)");
        let mut panel = self.over(&title, Axis::percent(kind), used);
        // The demand is the workload's and the same for all policies: that of the first one stands for all.
        let asked = |moment: &Moment| moment.asked.get(kind).map(|part| part * 100.0);
        if let Some(line) = self.lines.iter().find(|line| line.ended().next().is_some()) {
            panel.series.insert(0, Series::asked(self.over_time(line, asked)));
            panel.y = Axis::percent(kind).reach(&panel.series);
        }
        panel
    }

    fn allocated(&self, kind: &str) -> Panel {
        let percent = |mut curve: Curve| {
            for point in &mut curve {
                point.x *= 100.0;
                point.y.mean *= 100.0;
                point.y.half_width = point.y.half_width.map(|half| half * 100.0);
            }
            curve
        };
        let curve = |line| percent(self.allocated_against_asked(line, kind));
        let mut series: Vec<Series> =
            self.lines.iter().enumerate().map(|(number, line)| Series::policy(number, curve(line))).collect();
        let (x, y) = (Axis::asked(kind, &series), Axis::percent(kind).reach(&series));
        series.insert(0, Series::even(x.most));
        Panel { title: format!("Allocated against asked for: {kind} (dashed: all of it)"), x, y, series }
    }
}

/// A coordinate on the page, to a tenth of a pixel.
fn place(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// Text as XML has it; characters that XML cannot hold become a question mark.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('?')
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
