//! Launch and offer latency, as a framework sees them: its scheduler takes the times.

use std::time::Duration;

use anyhow::{Context, bail};
use lonja_sdk::prelude::*;

/// Times as the scheduler saw them.
#[derive(Default)]
pub(crate) struct Measured {
    /// From the plan that launches a task to the news that it runs.
    pub(crate) running: Vec<Duration>,
    /// From the news that a task has ended to the next offer.
    pub(crate) offers: Vec<Duration>,
}

/// Launches `true` again and again, each time on all that an agent has, so that the next offer can only
/// come of what the last task gives back.
struct Repeat {
    task: Task,
    left: u32,
    launched: Option<Timestamp>,
    ended: Option<Timestamp>,
    measured: Measured,
    failure: Option<String>,
}

impl Scheduler for Repeat {
    fn offers(&mut self, now: Timestamp, offers: &[Offer]) -> Plan {
        let Some(offer) = offers.first() else { return Plan::new() };
        if let Some(ended) = self.ended.take() {
            self.measured.offers.push(now.since(ended));
        }
        if self.left == 0 {
            return Plan::new().tear_down();
        }
        let Ok(id) = TaskId::new(format!("bench-{}", self.left)) else { return Plan::new() };
        self.left -= 1;
        self.launched = Some(now);
        let task = self.task.with_resources(&offer.agent, id, offer.resources.clone());
        Plan::new().launch(offer, [task])
    }

    fn update(&mut self, now: Timestamp, status: &TaskStatus) -> Plan {
        if status.state == TaskState::Running
            && let Some(launched) = self.launched.take()
        {
            self.measured.running.push(now.since(launched));
        }
        if status.state == TaskState::Finished {
            self.ended = Some(now);
        } else if status.state.is_terminal() {
            self.failure = Some(format!("{}: {}", status.state, status.message.clone().unwrap_or_default()));
            return Plan::new().tear_down();
        }
        Plan::new()
    }
}

/// Measures `count` launches one after another on the cluster at `url`.
pub(crate) async fn measure(url: &str, count: u32) -> anyhow::Result<Measured> {
    let task = Task::argv(["true"])?;
    let repeat = Repeat {
        task,
        left: count,
        launched: None,
        ended: None,
        measured: Measured::default(),
        failure: None,
    };
    let driver = Driver::new(url, FrameworkOptions::named("bench"));
    let (repeat, _) = driver.run(repeat).await.context("the bench's framework")?;
    match repeat.failure {
        Some(failure) => bail!("a task of the bench failed: {failure}"),
        None => Ok(repeat.measured),
    }
}
