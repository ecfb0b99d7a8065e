//! What is said of one task: why it waits, where it runs, how it ended.

use std::time::Duration;

use lonja_proto::lonja::unplaced_task::{NearMiss, Reason};
use lonja_proto::lonja::{ExplainedFramework, ExplainedTask, UnplacedTask};
use lonja_proto::mesos::TaskState;
use serde_json::{Value, json};

/// Waiting tasks of a framework that are named; of more, how many there are.
const NAMED: usize = 10;

/// How a task stands, to people.
pub(super) fn sentences(task: &ExplainedTask) -> Vec<String> {
    let framework = printable(&task.framework_name);
    let id = task.framework_id.as_ref().map(|id| id.value.as_str()).unwrap_or_default();
    let mut lines = Vec::new();
    if let Some(waiting) = &task.waiting {
        lines.push(format!(
            "Task {} of framework {framework} ({id}) has no place as yet",
            printable(&waiting.task)
        ));
        lines.extend(why(waiting));
        lines.push(format!("  told        {} ago", age(task.told_seconds_ago)));
    }
    if let Some(state) = launched(task) {
        let before = if task.waiting.is_some() {
            "  before      it".to_owned()
        } else {
            format!("Task {}", printable(&task.task))
        };
        let place = place(task.hostname.as_deref(), task.agent_id.as_ref().map(|id| id.value.as_str()));
        let of =
            if task.waiting.is_some() { String::new() } else { format!(" of framework {framework} ({id})") };
        lines.push(format!("{before}{of} is {} on {place}", state.as_str_name()));
        lines.extend(task.message.as_ref().map(|message| format!("  because     {}", printable(message))));
    }
    lines
}

/// Of which tasks a framework has told.
pub(super) fn waiting(framework: &ExplainedFramework) -> Option<String> {
    let all = framework.waiting_tasks.len();
    if all == 0 {
        return None;
    }
    let names: Vec<_> = framework.waiting_tasks.iter().take(NAMED).map(|name| printable(name)).collect();
    let more = if all > NAMED { format!(" and {} more", all - NAMED) } else { String::new() };
    let tasks = if all == 1 { "1 task" } else { &format!("{all} tasks") };
    let age = age(framework.told_seconds_ago);
    Some(format!("  waiting     {tasks}, as told {age} ago: {}{more} (lonja explain TASK)", names.join(", ")))
}

fn why(waiting: &UnplacedTask) -> Vec<String> {
    let mut lines = vec![match waiting.offers {
        0 => "  offers      none was looked at as yet".to_owned(),
        1 => "  offers      1 was looked at".to_owned(),
        offers => format!("  offers      {offers} were looked at"),
    }];
    let reason = |Reason { why, offers }: &Reason| format!("  in the way  of {offers}: {}", printable(why));
    lines.extend(waiting.reasons.iter().map(reason));
    let near = |near: &NearMiss| {
        let id = near.agent_id.as_ref().map(|id| id.value.as_str());
        format!("  nearest     {}: {}", place(Some(&near.hostname), id), printable(&near.why))
    };
    lines.extend(waiting.nearest.as_ref().map(near));
    lines
}

fn launched(task: &ExplainedTask) -> Option<TaskState> {
    task.state.map(|state| TaskState::try_from(state).unwrap_or_default())
}

fn place(hostname: Option<&str>, agent: Option<&str>) -> String {
    let agent = agent.unwrap_or("unknown");
    match hostname {
        Some(host) if !host.is_empty() => format!("agent {agent} ({})", printable(host)),
        Some(_) | None => format!("agent {agent}"),
    }
}

/// In whole units, rounded down.
fn age(seconds: Option<f64>) -> String {
    let told = Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default();
    match told.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

/// Words of others, which must not steer a terminal.
fn printable(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// How a task stands, to programs.
pub(super) fn object(task: &ExplainedTask) -> Value {
    let waiting = task.waiting.as_ref().map(|waiting| {
        let reason = |Reason { why, offers }: &Reason| json!({ "why": why, "offers": offers });
        let near = |near: &NearMiss| {
            json!({
                "agent": near.agent_id.as_ref().map(|id| &id.value),
                "hostname": near.hostname,
                "why": near.why,
            })
        };
        json!({
            "task": waiting.task,
            "offers": waiting.offers,
            "reasons": waiting.reasons.iter().map(reason).collect::<Vec<_>>(),
            "nearest": waiting.nearest.as_ref().map(near),
            "told_seconds_ago": task.told_seconds_ago,
        })
    });
    json!({
        "task": task.task,
        "framework": task.framework_id.as_ref().map(|id| &id.value),
        "framework_name": task.framework_name,
        "waiting": waiting,
        "state": launched(task).map(|state| state.as_str_name()),
        "message": task.message,
        "agent": task.agent_id.as_ref().map(|id| &id.value),
        "hostname": task.hostname,
    })
}

#[cfg(test)]
mod tests {
    use lonja_proto::mesos::{AgentId, FrameworkId};

    use super::*;

    fn task() -> ExplainedTask {
        let near = NearMiss {
            agent_id: Some(AgentId { value: "S1".to_owned() }),
            hostname: "db\x1b[2J".to_owned(),
            why: "mem: wants 2048, 1536 free".to_owned(),
        };
        ExplainedTask {
            task: "web-1".to_owned(),
            framework_id: Some(FrameworkId { value: "F1".to_owned() }),
            framework_name: "web".to_owned(),
            waiting: Some(UnplacedTask {
                task: "web-1".to_owned(),
                offers: 4,
                reasons: vec![Reason { why: "mem".to_owned(), offers: 4 }],
                nearest: Some(near),
            }),
            told_seconds_ago: Some(130.0),
            ..ExplainedTask::default()
        }
    }

    #[test]
    fn a_task_that_waits_is_explained_with_counts_nearest_miss_and_age() {
        let said = sentences(&task());
        assert_eq!(
            said,
            [
                "Task web-1 of framework web (F1) has no place as yet",
                "  offers      4 were looked at",
                "  in the way  of 4: mem",
                "  nearest     agent S1 (db?[2J): mem: wants 2048, 1536 free",
                "  told        2 min ago",
            ]
        );
        assert_eq!(object(&task())["waiting"]["nearest"]["why"], "mem: wants 2048, 1536 free");
    }

    #[test]
    fn a_task_that_was_launched_is_told_with_its_state() {
        let ended = ExplainedTask {
            waiting: None,
            state: Some(TaskState::TaskFailed.into()),
            message: Some("exited with 3".to_owned()),
            agent_id: Some(AgentId { value: "S1".to_owned() }),
            ..task()
        };
        let said = sentences(&ended);
        assert_eq!(said[0], "Task web-1 of framework web (F1) is TASK_FAILED on agent S1");
        assert_eq!(said[1], "  because     exited with 3");
        assert_eq!(object(&ended)["state"], "TASK_FAILED");
    }

    #[test]
    fn of_many_that_wait_some_are_named_and_all_are_counted() {
        let waiting_tasks: Vec<_> = (0..12).map(|number| format!("t{number}")).collect();
        let framework = ExplainedFramework { waiting_tasks, ..ExplainedFramework::default() };
        let said = waiting(&framework).unwrap();
        assert!(said.contains("12 tasks") && said.contains("t9 and 2 more"), "{said}");
        assert_eq!(waiting(&ExplainedFramework::default()), None);
    }
}
