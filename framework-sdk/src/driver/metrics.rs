//! What a driver and its scheduler have done, for whoever watches over them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use lonja_sdk_core::Counts;

/// What a run has come to so far. Read at any time by [`Handle::metrics`](crate::Handle::metrics); its text, by
/// `to_string`, is that of Prometheus' exposition format, version 0.0.4.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// What the framework has done: offers, updates, calls.
    pub counts: Counts,
    /// Does the subscription stand?
    pub subscribed: bool,
    /// The master that is connected, or was last.
    pub master: Option<String>,
    /// Connections that were made.
    pub connections: u64,
    /// Connections that could not be made.
    pub failed_connections: u64,
    /// Connections that were lost, by either side.
    pub lost_connections: u64,
    /// What was not done, by kind: the plan's mistake, such as `offer_gone`, or the name of the call refused.
    pub problems: BTreeMap<&'static str, u64>,
    /// Calls of the scheduler's methods.
    pub scheduler_calls: u64,
    /// How long those took.
    pub time_in_scheduler: Duration,
    /// Panics of the scheduler.
    pub panics: u64,
    /// Calls of the scheduler or its store that took longer than a second.
    pub blocked: u64,
    /// Commits of the store, and the changes in them.
    pub commits: u64,
    /// Changes that were made durable.
    pub changes: u64,
    /// How long those took.
    pub time_in_store: Duration,
    /// Events for readers of a [`Link`](crate::Link) that were lost, because they read too slowly.
    pub events_lost: u64,
}

impl fmt::Display for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let mut text = Text(formatter);
        text.gauge("subscribed", "Whether the subscription stands", u64::from(self.subscribed))?;
        text.gauge("offers_in_hand", "Offers that the scheduler holds", counts.offers_in_hand)?;
        text.gauge("live_tasks", "Tasks alive as far as is known", counts.live_tasks)?;
        let counters: [(&str, &str, u64); 17] = [
            ("subscriptions", "Subscriptions that stood", counts.subscriptions),
            ("connections", "Connections made", self.connections),
            ("connections_failed", "Connections that could not be made", self.failed_connections),
            ("connections_lost", "Connections lost", self.lost_connections),
            ("tasks_launched", "Tasks launched", counts.tasks_launched),
            ("updates", "Updates of tasks, duplicates included", counts.updates),
            ("operation_updates", "Updates of operations, duplicates included", counts.operation_updates),
            ("duplicates", "Updates that had been shown before", counts.duplicates),
            ("acknowledgements", "Acknowledgements sent", counts.acknowledgements),
            ("reconciliations", "Questions where tasks or operations stand", counts.reconciliations),
            ("kills", "Kills sent", counts.kills),
            ("calls", "Calls sent", counts.calls),
            ("scheduler_calls", "Calls of the scheduler's methods", self.scheduler_calls),
            ("panics", "Panics of the scheduler", self.panics),
            ("blocked", "Calls of the scheduler or its store of over a second", self.blocked),
            ("commits", "Commits of the store", self.commits),
            ("events_lost", "Events lost to slow readers", self.events_lost),
        ];
        for (name, help, value) in counters {
            text.counter(name, help, value)?;
        }
        text.head("offers_total", "Offers by what became of them; received is all", "counter")?;
        for (end, value) in [
            ("received", counts.offers_received),
            ("used", counts.offers_used),
            ("declined", counts.offers_declined),
            ("expired", counts.offers_expired),
            ("rescinded", counts.offers_rescinded),
            ("void", counts.offers_void),
        ] {
            text.line("offers_total", Some(("end", end)), value)?;
        }
        text.head("problems_total", "What was not done, by kind", "counter")?;
        for (kind, value) in &self.problems {
            text.line("problems_total", Some(("kind", kind)), *value)?;
        }
        text.seconds("scheduler_seconds", "Time spent in the scheduler", self.time_in_scheduler)?;
        text.seconds("store_seconds", "Time spent in commits of the store", self.time_in_store)
    }
}

/// The lines of the exposition.
struct Text<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Text<'_, '_> {
    fn head(&mut self, name: &str, help: &str, kind: &str) -> fmt::Result {
        writeln!(self.0, "# HELP lonja_framework_{name} {help}.\n# TYPE lonja_framework_{name} {kind}")
    }

    fn line(&mut self, name: &str, label: Option<(&str, &str)>, value: u64) -> fmt::Result {
        write!(self.0, "lonja_framework_{name}")?;
        if let Some((label, text)) = label {
            write!(self.0, "{{{label}=\"{text}\"}}")?;
        }
        writeln!(self.0, " {value}")
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.head(name, help, "gauge")?;
        self.line(name, None, value)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let name = format!("{name}_total");
        self.head(&name, help, "counter")?;
        self.line(&name, None, value)
    }

    fn seconds(&mut self, name: &str, help: &str, time: Duration) -> fmt::Result {
        let name = format!("{name}_total");
        self.head(&name, help, "counter")?;
        writeln!(self.0, "lonja_framework_{name} {}", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_its_type_before_its_values() {
        let mut metrics = Metrics { commits: 3, ..Metrics::default() };
        metrics.problems.insert("offer_gone", 2);

        let text = metrics.to_string();

        assert!(text.contains("lonja_framework_commits_total 3\n"), "{text}");
        assert!(text.contains("lonja_framework_problems_total{kind=\"offer_gone\"} 2\n"), "{text}");
        let mut known = None;
        for line in text.lines() {
            if let Some(typed) = line.strip_prefix("# TYPE ") {
                known = typed.split(' ').next();
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next();
                assert_eq!(name, known, "{line}");
            }
        }
    }
}
