//! The smallest framework: run one task, print how it ended. Start here; `docs/sdk-guide.md` grows it.
//!
//! ```sh
//! lonja dev &
//! cargo run --example hello
//! ```
//!
//! [`Hello`] decides and does nothing itself; the driver in `main` speaks to the master. What `Hello` must not forget, that
//! its task was launched, it says by [`Scheduler::changes`]. That is durable before the launch is sent, so a scheduler that
//! is killed at any moment and made anew by [`Hello::restore`] launches its task once.

#![allow(clippy::print_stdout, reason = "its report is for people")]

use lonja_sdk::prelude::*;

/// One task: whether it was launched, and how it ended.
struct Hello {
    launched: bool,
    end: Option<TaskState>,
    changes: Vec<Change>,
}

impl Hello {
    /// As an earlier run left it; from an empty state, the beginning.
    fn restore(state: &State) -> Self {
        Self { launched: state.get("launched").is_some(), end: None, changes: Vec::new() }
    }
}

impl Scheduler for Hello {
    fn offers(&mut self, _now: Timestamp, offers: &[Offer]) -> Plan {
        let (false, Ok(task)) = (self.launched, Task::shell("echo hello")) else { return Plan::new() };
        let why = task.need().why_not_on("hello", offers);
        let fits = |offer| Some((offer, task.on(offer, "hello".parse().ok()?)?));
        let Some((offer, task)) = offers.iter().find_map(fits) else { return Plan::new().unplaced([why]) };
        self.launched = true;
        self.changes.push(Change::put("launched", "yes"));
        Plan::new().launch(offer, [task])
    }

    fn update(&mut self, _now: Timestamp, status: &TaskStatus) -> Plan {
        self.end = Some(status.state).filter(|state| state.is_terminal() || *state == TaskState::Unknown);
        if self.end.is_some() { Plan::new().tear_down() } else { Plan::new() }
    }

    fn changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let master = std::env::var("LONJA_MASTER").unwrap_or("http://127.0.0.1:5050".to_owned());
    let store = std::env::home_dir().unwrap_or_default().join(".local/state/lonja/hello");
    let options = FrameworkOptions::named("hello").failover_timeout(std::time::Duration::from_hours(24));
    let driver = Driver::new(master, options).store(FileStore::at(store));
    driver.handle().tell_connection(|line| eprintln!("{line}"));
    let (hello, outcome) = driver.run_from(Hello::restore).await?;
    println!("{:?}, {outcome:?}", hello.end);
    Ok(())
}

#[cfg(test)]
mod tests {
    use lonja_sdk::testing::{Faults, TaskOutcome, TestCluster, fuzz, hours, mins, offer, secs};

    use super::*;

    fn cluster(seed: u64) -> TestCluster<Hello> {
        TestCluster::new(seed)
            .agents(3, "cpus:1;mem:128")
            .outcome(|_task| TaskOutcome::exits(0).after(secs(60)))
            .framework(FrameworkOptions::named("hello"), Hello::restore)
    }

    #[test]
    fn while_it_has_no_place_it_says_why() {
        let (mut hello, small) = (Hello::restore(&State::default()), offer("o1", "a1", "cpus:0.01;mem:1"));

        let plan = hello.offers(Timestamp::ZERO, std::slice::from_ref(&small));

        let need = *Task::shell("echo hello").unwrap().need();
        assert_eq!(plan, Plan::new().unplaced([need.why_not_on("hello", [&small])]));
    }

    #[test]
    fn its_task_runs_and_finishes() {
        let mut cluster = cluster(1);

        cluster.until(secs(10), |cluster| cluster.running_tasks().len() == 1);
        cluster.kill_scheduler();
        cluster.until(mins(3), |cluster| cluster.state("hello").is_some_and(TaskState::is_terminal));

        cluster.assert_finished("hello");
    }

    #[test]
    fn whatever_fails_it_is_launched_once_and_its_end_is_heard_of() {
        fuzz(0..200, |seed| {
            let mut cluster = cluster(seed);
            cluster.random_faults(Faults::ALL, mins(3));
            cluster.until(hours(2), |cluster| cluster.state("hello").is_some_and(TaskState::is_terminal));
            cluster.settles_within(hours(2));

            assert_eq!(cluster.tasks().len(), 1, "it was launched once");
        });
    }
}
