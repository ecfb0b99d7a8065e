//! What is said at the end of a change, and what the process exits with.

use std::process::ExitCode;

use serde_json::json;

use super::api::Api;
use super::explain::Explanation;
use super::standing::Counts;
use super::waiting::{Goal, Verdict, counts, until};
use crate::args::Format;
use crate::args::services::{ServiceFamily, Waiting};
use crate::output::{note, print_lines};

/// Accepted, but it cannot be placed.
pub(super) const EXIT_UNPLACEABLE: u8 = 3;

/// Ended by Ctrl-C, as a shell would say it.
const EXIT_INTERRUPTED: u8 = 130;

/// Waits for the outcome of a change unless told not to, and says what it is.
pub(super) async fn of(
    api: &Api,
    family: &ServiceFamily,
    goal: &Goal,
    waiting: &Waiting,
) -> anyhow::Result<ExitCode> {
    if waiting.detach {
        return Ok(detached(family, goal));
    }
    let verdict = until(api, goal, waiting.timeout).await?;
    let code = report(family, goal, &verdict, &humantime::format_duration(waiting.timeout).to_string());
    let has_failed = matches!(
        verdict,
        Verdict::RolledBack { .. }
            | Verdict::Failed { .. }
            | Verdict::Stuck { .. }
            | Verdict::TimedOut { .. }
    );
    if has_failed && !goal.gone {
        // What went wrong is said already; whoever cannot be asked any more has no more to say.
        for line in counts(api, &goal.services).unwrap_or_default().iter().filter_map(what_it_wrote) {
            note(&line);
        }
    }
    Ok(code)
}

/// Where to read what the instance wrote that failed last.
fn what_it_wrote(one: &Counts) -> Option<String> {
    let (id, why) = (&one.id, one.last_failure.as_ref().filter(|_| !one.is_pod)?);
    Some(format!(
        "last failure of {id}: {why}\n  `lonja service logs {id} --previous --stderr` shows what it wrote"
    ))
}

/// Nobody waits: the names are said, to wait for later.
fn detached(family: &ServiceFamily, goal: &Goal) -> ExitCode {
    say(family, goal, "accepted", None, &[]);
    if family.output != Format::Json && !family.quiet {
        let deployment = goal.deployment.as_deref().unwrap_or("none");
        print_lines(&[format!("{}: accepted, deployment {deployment}", names(goal))]);
    }
    ExitCode::SUCCESS
}

/// Says what came of it.
pub(super) fn report(family: &ServiceFamily, goal: &Goal, verdict: &Verdict, timeout: &str) -> ExitCode {
    let for_people = family.output != Format::Json && !family.quiet;
    match verdict {
        Verdict::Reached(counts) => {
            say(family, goal, if goal.gone { "gone" } else { "reached" }, None, &[]);
            if for_people {
                print_lines(&reached(goal, counts));
            }
            ExitCode::SUCCESS
        }
        Verdict::Removed => {
            say(family, goal, "gone", None, &[]);
            if for_people {
                print_lines(&removed(goal));
            }
            ExitCode::SUCCESS
        }
        Verdict::Promotable => {
            say(family, goal, "promotable", None, &[]);
            if for_people {
                let id = goal.services.first().map_or("ID", |service| service.id.as_str());
                print_lines(&[
                    format!("{}: the new instances are in good health and wait to be promoted", names(goal)),
                    format!("  lonja service promote {id}     replaces the old ones"),
                    format!("  lonja service rollback {id}    takes the new ones back"),
                ]);
            }
            ExitCode::SUCCESS
        }
        Verdict::RolledBack { by, reason } => {
            say(family, goal, "rolled_back", Some(reason), &[]);
            let by = by.as_ref().map(|by| format!(" by deployment {by}")).unwrap_or_default();
            note(&format!("error: {}: taken back{by}: {reason}", names(goal)));
            ExitCode::FAILURE
        }
        Verdict::Failed { reason } => {
            say(family, goal, "failed", Some(reason), &[]);
            note(&format!("error: {}: the deployment failed: {reason}", names(goal)));
            ExitCode::FAILURE
        }
        Verdict::Stuck { reason } => {
            say(family, goal, "failed", Some(reason), &[]);
            note(&format!("error: {}: {reason}", names(goal)));
            ExitCode::FAILURE
        }
        Verdict::TimedOut { missing } => {
            say(family, goal, "timed_out", Some(&missing.join("; ")), &[]);
            note(&format!("error: not within {timeout}: {}", missing.join("\n  ")));
            goes_on(goal);
            ExitCode::FAILURE
        }
        Verdict::Unplaceable(reasons) => {
            say(family, goal, "unplaceable", None, reasons);
            note("error: accepted, but not all of it can be placed:");
            for line in reasons.iter().flat_map(Explanation::lines) {
                note(&line);
            }
            goes_on(goal);
            ExitCode::from(EXIT_UNPLACEABLE)
        }
        Verdict::Interrupted => {
            goes_on(goal);
            ExitCode::from(EXIT_INTERRUPTED)
        }
    }
}

fn goes_on(goal: &Goal) {
    let id = goal.services.first().map_or("ID", |service| service.id.as_str());
    note(&format!(
        "it goes on by itself; `lonja service wait {id}` waits for it, `lonja service rollback {id}` takes it back"
    ));
}

fn reached(goal: &Goal, counts: &[Counts]) -> Vec<String> {
    if goal.gone {
        return removed(goal);
    }
    counts.iter().map(|one| format!("{}: {}", one.id, one.words())).collect()
}

fn removed(goal: &Goal) -> Vec<String> {
    goal.services.iter().map(|service| format!("{}: removed", service.id)).collect()
}

fn names(goal: &Goal) -> String {
    let names: Vec<&str> = goal.services.iter().map(|service| service.id.as_str()).collect();
    if names.len() > 3 {
        format!("{} and {} more", names[..3].join(", "), names.len() - 3)
    } else {
        names.join(", ")
    }
}

/// For programs: ids alone, or one document.
fn say(family: &ServiceFamily, goal: &Goal, outcome: &str, reason: Option<&str>, waiting: &[Explanation]) {
    let ids: Vec<String> = goal.services.iter().map(|service| service.id.clone()).collect();
    if family.quiet {
        return print_lines(&ids);
    }
    if family.output == Format::Json {
        let waiting: Vec<_> = waiting.iter().map(Explanation::object).collect();
        let document = json!({ "schema": 1, "outcome": outcome, "ids": ids, "deployment": goal.deployment,
                               "reason": reason, "waiting": waiting });
        print_lines(&[format!("{document:#}")]);
    }
}
