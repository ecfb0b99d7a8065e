//! JSON for programs: every number with its unit, its interval, and the runs it comes from.
//!
//! The schema is in `docs/simulator.md`. Everything in it follows from workload, policies and seeds, but for what stands
//! under `host`.

use serde_json::{Value, json};

use super::{Comparison, Figures, Line, Measure, SCHEMA};
use crate::lab::statistics::CONFIDENCE;

/// What the runs took on the machine they ran on. No two runs take the same.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Host {
    /// From the first run's begin to the last one's end, seconds.
    pub wall_s: f64,
    /// How many runs went on at once.
    pub jobs: usize,
    /// What each run took, seconds: policy, seed, time.
    pub runs: Vec<(String, u64, f64)>,
}

impl Comparison {
    /// The document, indented, with a line break at its end. Without `host` the same runs make the same bytes.
    pub fn json(&self, host: Option<&Host>) -> String {
        let about = &self.about;
        let frameworks: Vec<Value> = about
            .frameworks
            .iter()
            .map(|framework| json!({ "name": framework.name, "weight": framework.weight as f64 / 1000.0 }))
            .collect();
        let measures = self.measures();
        let policies: Vec<Value> = self.lines.iter().map(|line| policy(line, &measures)).collect();
        let mut document = json!({
            "schema": SCHEMA,
            "what": "sim run",
            "version": about.version,
            "command": about.command,
            "workload": {
                "source": about.source,
                "machines": about.machines,
                "arrivals": about.arrivals,
                "frameworks": frameworks,
                "lasts_s": about.lasts.as_secs_f64(),
            },
            "seeds": about.seeds,
            "confidence": CONFIDENCE,
            "policies": policies,
        });
        if let Some(host) = host {
            document["host"] = host_object(host);
        }
        format!("{document:#}\n")
    }
}

fn policy(line: &Line, measures: &[Measure]) -> Value {
    let measured = measures.iter().filter_map(|measure| {
        let estimate = line.estimate(measure)?;
        let object = json!({
            "unit": measure.unit(),
            "mean": estimate.mean,
            "deviation": estimate.deviation,
            "half_width": estimate.half_width,
            "count": estimate.count,
        });
        Some((measure.name(), object))
    });
    let measured: serde_json::Map<String, Value> = measured.collect();
    let runs: Vec<Value> = line.runs.iter().map(run).collect();
    json!({ "policy": line.policy, "measures": measured, "runs": runs })
}

fn run(run: &Figures) -> Value {
    let values = run.values.iter().map(|(measure, value)| (measure.name(), json!(value)));
    let values: serde_json::Map<String, Value> = values.collect();
    let never: Vec<Value> = run.never.iter().map(|(task, why)| json!({ "task": task, "why": why })).collect();
    json!({
        "seed": run.seed,
        // As text: JSON's numbers are exact to 53 bits only.
        "trace_hash": format!("{:016x}", run.trace_hash),
        "arrived": run.arrived,
        "stopped": run.stopped,
        "never": never,
        "values": values,
    })
}

fn host_object(host: &Host) -> Value {
    let run = |(policy, seed, wall_s): &(String, u64, f64)| json!({ "policy": policy, "seed": seed, "wall_s": wall_s });
    let runs: Vec<Value> = host.runs.iter().map(run).collect();
    json!({ "deterministic": false, "wall_s": host.wall_s, "jobs": host.jobs, "runs": runs })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::comparison;
    use super::*;

    #[test]
    fn the_json_reads_back() {
        let document: Value = serde_json::from_str(&comparison().json(None)).unwrap();

        assert_eq!(document["schema"], 1);
        assert_eq!(document["seeds"], json!([1, 2]));
        let tight = &document["policies"][0];
        assert_eq!(tight["policy"], "tight");
        let placed = &tight["measures"]["placed"];
        assert_eq!((placed["mean"].as_f64(), placed["count"].as_u64()), (Some(1.5), Some(2)));
        assert!(placed["half_width"].as_f64().unwrap() > 0.0);
        assert_eq!(tight["runs"][1]["trace_hash"], "000000000000ab02");
        assert!(document["policies"][2]["runs"][1]["stopped"].as_str().unwrap().contains("\"so\""));
        assert_eq!(document.get("host"), None);
    }

    #[test]
    fn what_the_host_took_stands_apart_and_is_marked() {
        let host = Host { wall_s: 1.5, jobs: 2, runs: vec![("tight".into(), 1, 0.7)] };
        let document: Value = serde_json::from_str(&comparison().json(Some(&host))).unwrap();

        assert_eq!(document["host"]["deterministic"], false);
        assert_eq!(document["host"]["runs"][0]["wall_s"], 0.7);
        let without: Value = serde_json::from_str(&comparison().json(None)).unwrap();
        assert_eq!(document["policies"], without["policies"]);
    }
}
