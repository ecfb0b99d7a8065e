//! Services on a cluster of real daemons, through the REST interface as any client sees them.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// What was measured.
pub(crate) struct Measured {
    /// From the kill of one instance to its successor running.
    pub(crate) replaced: Vec<Duration>,
    /// From the scaling from one to a hundred to a hundred running.
    pub(crate) scaled: Vec<Duration>,
    /// Answers of `/v2/apps` meanwhile.
    pub(crate) answers: Vec<Duration>,
}

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often is looked.
const LOOK: Duration = Duration::from_millis(1);

struct Api {
    url: String,
    answers: Vec<Duration>,
}

impl Api {
    fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        let began = Instant::now();
        let text = ureq::get(format!("{}{path}", self.url)).call()?.body_mut().read_to_string()?;
        self.answers.push(began.elapsed());
        Ok(serde_json::from_str(&text)?)
    }

    fn put(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        ureq::put(format!("{}{path}", self.url)).send(body.to_string())?;
        Ok(())
    }

    fn delete(&self, path: &str) -> anyhow::Result<()> {
        ureq::delete(format!("{}{path}", self.url)).call()?;
        Ok(())
    }

    /// The ids of an app's tasks that run.
    fn running(&mut self, app: &str) -> anyhow::Result<Vec<String>> {
        let tasks = self.get(&format!("/v2/apps/{app}/tasks"))?;
        let tasks = tasks["tasks"].as_array().context("no list of tasks")?;
        let runs = tasks.iter().filter(|task| task["state"] == "TASK_RUNNING");
        Ok(runs.filter_map(|task| task["id"].as_str().map(str::to_owned)).collect())
    }

    /// Until so many run and the one that was named does not.
    fn until(&mut self, app: &str, count: usize, without: Option<&str>) -> anyhow::Result<Duration> {
        let began = Instant::now();
        loop {
            let running = self.running(app)?;
            if running.len() == count && running.iter().all(|task| Some(task.as_str()) != without) {
                return Ok(began.elapsed());
            }
            if began.elapsed() > PATIENCE {
                bail!("{} of {count} instances of {app} run after {} s", running.len(), PATIENCE.as_secs());
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Measures on the services at `url`. Blocks.
pub(crate) fn measure(url: &str, kills: u32, scales: u32) -> anyhow::Result<Measured> {
    let mut api = Api { url: url.to_owned(), answers: Vec::new() };
    let app = |instances: u32| {
        json!({"id": "/bench", "cmd": "exec sleep 1000000", "cpus": 0.001, "mem": 1, "instances": instances,
               "portDefinitions": [], "backoffSeconds": 0})
    };
    let mut measured = Measured { replaced: Vec::new(), scaled: Vec::new(), answers: Vec::new() };
    api.put("/v2/apps/bench", &app(1))?;
    api.until("bench", 1, None)?;
    for _ in 0..kills {
        let task = api.running("bench")?.pop().context("nothing runs")?;
        api.delete(&format!("/v2/apps/bench/tasks/{task}"))?;
        measured.replaced.push(api.until("bench", 1, Some(&task))?);
    }
    for _ in 0..scales {
        api.put("/v2/apps/bench?force=true", &app(100))?;
        measured.scaled.push(api.until("bench", 100, None)?);
        api.put("/v2/apps/bench?force=true", &app(1))?;
        api.until("bench", 1, None)?;
    }
    api.delete("/v2/apps/bench")?;
    measured.answers = api.answers;
    Ok(measured)
}
