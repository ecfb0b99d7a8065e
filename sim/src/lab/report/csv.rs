//! CSV (RFC 4180, lines end in a line feed): a line for each run, or a line for each moment of each run.

use super::{Comparison, Figures, Measure, Moment};

impl Comparison {
    /// A line for each policy and seed: `policy,seed,trace_hash,arrived`, the measures by their names, `stopped`. A
    /// measure that a run does not have is an empty field; parts of 1 stay parts of 1.
    pub fn csv(&self) -> String {
        let measures = self.measures();
        let mut header: Vec<String> = ["policy", "seed", "trace_hash", "arrived"].map(str::to_owned).into();
        header.extend(measures.iter().map(Measure::name));
        header.push("stopped".to_owned());
        let mut text = record(&header);
        for run in self.runs() {
            let hash = format!("{:016x}", run.trace_hash);
            let mut fields = vec![run.policy.clone(), run.seed.to_string(), hash, run.arrived.to_string()];
            fields.extend(measures.iter().map(|measure| number(run.values.get(measure).copied())));
            fields.push(run.stopped.clone().unwrap_or_default());
            text.push_str(&record(&fields));
        }
        text
    }

    /// A line for each moment that was sampled, of each policy and seed: `policy,seed,at_s`, `used_KIND` and `asked_KIND`
    /// for each kind, `fragmentation,waiting,running,jain,share_gap`, and `share_FRAMEWORK` for each framework.
    pub fn csv_over_time(&self) -> String {
        let kinds = self.kinds();
        let mut header: Vec<String> = ["policy", "seed", "at_s"].map(str::to_owned).into();
        header.extend(kinds.iter().map(|kind| format!("used_{kind}")));
        header.extend(kinds.iter().map(|kind| format!("asked_{kind}")));
        header.extend(["fragmentation", "waiting", "running", "jain", "share_gap"].map(str::to_owned));
        header.extend(self.about.frameworks.iter().map(|framework| format!("share_{}", framework.name)));
        let mut text = record(&header);
        for run in self.runs() {
            for moment in &run.course {
                text.push_str(&record(&self.moment(run, moment, &kinds)));
            }
        }
        text
    }

    fn moment(&self, run: &Figures, moment: &Moment, kinds: &[String]) -> Vec<String> {
        let sample = &moment.sample;
        let mut fields =
            vec![run.policy.clone(), run.seed.to_string(), number(Some(sample.at.as_secs_f64()))];
        fields.extend(kinds.iter().map(|kind| number(sample.used.get(kind).copied())));
        fields.extend(kinds.iter().map(|kind| number(moment.asked.get(kind).copied())));
        fields.extend([
            number(Some(sample.fragmentation)),
            sample.waiting.to_string(),
            sample.running.to_string(),
        ]);
        fields.extend([number(moment.jain), number(moment.gap)]);
        let frameworks = 0..self.about.frameworks.len();
        fields.extend(frameworks.map(|framework| number(sample.shares.get(framework).copied())));
        fields
    }
}

/// The shortest text that reads back as the same number; nothing for none.
fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn record(fields: &[String]) -> String {
    let quoted: Vec<String> = fields.iter().map(|field| quote(field)).collect();
    quoted.join(",") + "\n"
}

fn quote(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::comparison;

    #[test]
    fn there_is_a_line_for_each_policy_and_seed() {
        let csv = comparison().csv();
        let lines: Vec<&str> = csv.lines().collect();

        assert_eq!(
            lines[0],
            "policy,seed,trace_hash,arrived,placed,never,still_waiting,failed,preempted,launches_per_second,\
             wait_p50_s,wait_p99_s,utilisation_mean_cpus,utilisation_final_cpus,fragmentation_mean,jain_mean,\
             share_gap_max,stopped"
        );
        assert_eq!(lines.len(), 7);
        assert!(
            lines[1].starts_with("tight,1,000000000000ab01,2,1,0,1,0,0,0.01,1,8,0.4,0.8,0.25,"),
            "{}",
            lines[1]
        );
        assert!(lines[6].ends_with(",\"panicked: index 3 is out of bounds, \"\"so\"\"\""), "{}", lines[6]);
    }

    #[test]
    fn over_time_there_is_a_line_for_each_moment() {
        let csv = comparison().csv_over_time();
        let lines: Vec<&str> = csv.lines().collect();

        assert_eq!(
            lines[0],
            "policy,seed,at_s,used_cpus,asked_cpus,fragmentation,waiting,running,jain,share_gap,share_f1,share_f2"
        );
        assert_eq!(lines[1], "tight,1,0,0,0.5,0.25,2,1,,,0,0");
        assert_eq!(lines[2], "tight,1,50,0.8,1.3,0.25,1,1,0.9,0.4,0.8,0.4");
        assert_eq!(lines.len(), 1 + 6 * 3);
    }
}
