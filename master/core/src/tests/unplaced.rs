//! Tasks that frameworks have told of as waiting.

use lonja_model::scheduler::{Call, RefusalCode};
use lonja_model::unplaced::{MAX_UNPLACED, NearMiss, Unplaced};
use lonja_model::{AgentId, TaskState};

use super::fixture::*;
use crate::StreamId;
use crate::explain::{Explanation, Subject, TaskExplanation};

fn word(task: &str) -> Unplaced {
    let near =
        NearMiss { agent: AgentId::new("a1").unwrap(), hostname: "h".to_owned(), why: "mem".to_owned() };
    Unplaced { offers: 3, reasons: vec![("mem".to_owned(), 3)], nearest: Some(near), ..Unplaced::new(task) }
}

impl Cluster {
    fn tells(&mut self, stream: StreamId, tasks: &[&str]) {
        let tasks = tasks.iter().map(|task| word(task)).collect();
        self.call(stream, Call::Unplaced { tasks }).unwrap();
    }

    fn explains(&self, name: &str) -> Option<Explanation> {
        self.master.explain(self.now, &Subject::Named(name.to_owned()))
    }
}

#[test]
fn a_task_that_waits_is_explained_in_its_frameworks_words_with_their_age() {
    let mut cluster = cluster();
    let (stream, id) = cluster.framework("web");
    cluster.tells(stream, &["web-1", "web-2"]);
    cluster.advance(secs(12));

    let explained = cluster.explains("web-1").unwrap();

    let [task] = &explained.tasks[..] else { panic!("{explained:?}") };
    assert_eq!((&task.framework, task.framework_name.as_str()), (&id, "web"));
    assert_eq!(task.waiting, Some((secs(12), word("web-1"))));
    assert!(task.record.is_none());
    assert_eq!(explained.clients.len(), 1, "and how its framework stands");
    let waiting = explained.clients[0].waiting.as_ref().unwrap();
    assert_eq!(waiting.1.len(), 2);
    assert!(cluster.explains("web-3").is_none());
}

#[test]
fn a_word_is_as_old_as_it_was_first_told_and_not_as_the_report_that_repeats_it() {
    let mut cluster = cluster();
    let (stream, _) = cluster.framework("web");
    cluster.tells(stream, &["web-1", "web-2"]);
    cluster.advance(secs(12));
    let changed = Unplaced { offers: 4, ..word("web-2") };
    cluster.call(stream, Call::Unplaced { tasks: vec![word("web-1"), changed, word("web-3")] }).unwrap();
    cluster.advance(secs(5));

    let age = |name: &str| cluster.explains(name).unwrap().tasks[0].waiting.as_ref().unwrap().0;
    assert_eq!((age("web-1"), age("web-2"), age("web-3")), (secs(17), secs(5), secs(5)));
}

#[test]
fn a_report_replaces_the_one_before_and_a_new_subscription_has_told_nothing() {
    let mut cluster = cluster();
    let (stream, id) = cluster.framework("web");
    cluster.tells(stream, &["web-1"]);
    cluster.tells(stream, &["web-2"]);
    assert!(cluster.explains("web-1").is_none() && cluster.explains("web-2").is_some());
    cluster.tells(stream, &[]);
    assert!(cluster.explains("web-2").is_none());

    cluster.tells(stream, &["web-2"]);
    cluster.lose_stream(stream);
    assert!(cluster.explains("web-2").is_some(), "it may come back");
    cluster.subscribe(Some(&id), framework_info("web", secs(60)));
    assert!(cluster.explains("web-2").is_none());
}

#[test]
fn what_a_removed_framework_told_is_forgotten() {
    let mut cluster = cluster();
    let (stream, _) = cluster.framework("web");
    cluster.tells(stream, &["web-1"]);
    cluster.call(stream, Call::Teardown).unwrap();
    assert!(cluster.explains("web-1").is_none());

    let (stream, _) = cluster.framework("ops");
    cluster.tells(stream, &["ops-1"]);
    cluster.lose_stream(stream);
    cluster.advance(secs(61));
    assert!(cluster.explains("ops-1").is_none(), "its failover timeout is over");
}

#[test]
fn a_report_over_its_bounds_is_refused_whole_by_its_path() {
    let mut cluster = cluster();
    let (stream, _) = cluster.framework("web");
    cluster.tells(stream, &["web-1"]);
    let names: Vec<String> = (0..=MAX_UNPLACED).map(|number| number.to_string()).collect();
    let tasks = names.iter().map(|name| word(name)).collect();
    let refused = cluster.call(stream, Call::Unplaced { tasks }).unwrap_err();
    assert_eq!(refused.code, RefusalCode::InvalidArgument);
    assert_eq!(refused.field.as_deref(), Some("unplaced.tasks"));
    let refused = cluster.call(stream, Call::Unplaced { tasks: vec![word("a"), word("a")] }).unwrap_err();
    assert!(refused.message.contains("unplaced.tasks[1].task names \"a\" a second time"), "{refused:?}");
    assert!(cluster.explains("web-1").is_some(), "nothing was changed");
}

#[test]
fn a_task_that_runs_or_has_ended_is_explained_with_its_state() {
    let mut cluster = cluster();
    let (link, agent, stream, framework) = cluster.running();
    let task = |cluster: &Cluster| {
        let mut explained = cluster.explains("t1").expect("it is known");
        assert!(explained.clients.is_empty(), "nothing waits");
        explained.tasks.remove(0)
    };
    let state = |task: &TaskExplanation| task.record.as_ref().map(|record| record.state);
    assert_eq!(state(&task(&cluster)), Some(TaskState::Running));
    assert!(task(&cluster).hostname.is_some());

    cluster.report(link, &framework, "t1", TaskState::Finished, 2);
    cluster.acknowledge(stream, &agent, "t1", 2).unwrap();
    assert_eq!(state(&task(&cluster)), Some(TaskState::Finished), "from the history");

    // It is to run again, and says so.
    cluster.tells(stream, &["t1"]);
    let again = cluster.explains("t1").unwrap().tasks.remove(0);
    assert_eq!(state(&again), Some(TaskState::Finished));
    assert!(again.waiting.is_some());
}

#[test]
fn a_task_that_runs_does_not_wait_whatever_the_last_report_says() {
    let mut cluster = cluster();
    let (_, _, stream, _) = cluster.running();
    cluster.tells(stream, &["t1", "t2"]);
    assert!(cluster.explains("t1").unwrap().tasks[0].waiting.is_none());
    let clients = cluster.explains("web").unwrap().clients;
    let names: Vec<_> =
        clients[0].waiting.iter().flat_map(|(_, words)| words).map(|word| word.task.as_str()).collect();
    assert_eq!(names, ["t2"]);
}
