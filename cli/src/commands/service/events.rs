//! `lonja service events`: what happens, as server-sent events tell it.
//!
//! Source: the event stream format of the HTML standard, of which the API uses `event:` and `data:`; Marathon's events.

use std::io::{BufRead, BufReader, Read};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Usage;
use super::api::{Api, ApiError, escape};
use super::ids::{is_within, of_instance, rooted};
use super::standing::{affected, text};
use crate::args::Format;
use crate::args::services::{ServiceEvents, ServiceFamily};
use crate::output::{print_lines, warn};

/// The longest line of an event.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Events that wait to be printed.
const MOST_WAITING: usize = 64;

/// Between two attempts to reach a framework that was restarted.
const RETRY: Duration = Duration::from_millis(500);

/// How long one that was there may be away.
const AWAY: Duration = Duration::from_secs(60);

/// The types there are.
const KNOWN: [&str; 27] = [
    "add_health_check_event",
    "api_post_event",
    "app_terminated_event",
    "deployment_failed",
    "deployment_info",
    "deployment_step_failure",
    "deployment_step_success",
    "deployment_success",
    "endpoints_changed_event",
    "event_stream_attached",
    "event_stream_detached",
    "failed_health_check_event",
    "group_change_failed",
    "group_change_success",
    "health_status_changed_event",
    "instance_changed_event",
    "instance_health_changed_event",
    "pod_created_event",
    "pod_deleted_event",
    "pod_updated_event",
    "remove_health_check_event",
    "scheduler_disconnected_event",
    "scheduler_registered_event",
    "scheduler_reregistered_event",
    "status_update_event",
    "unhealthy_instance_kill_event",
    "unknown_instance_terminated_event",
];

/// Prints events until there were enough, or somebody ends this.
pub(super) async fn run(
    api: &Api,
    family: &ServiceFamily,
    events: &ServiceEvents,
) -> anyhow::Result<ExitCode> {
    if let Some(unknown) = events.types.iter().find(|kind| !KNOWN.contains(&kind.as_str())) {
        return Err(Usage(format!("--type {unknown}: there is none; known are {}", KNOWN.join(", "))).into());
    }
    let types: Vec<String> = events.types.iter().map(|kind| format!("event_type={}", escape(kind))).collect();
    let path =
        if types.is_empty() { "/v2/events".to_owned() } else { format!("/v2/events?{}", types.join("&")) };
    let only = events.id.as_deref().map(rooted);
    let (sender, mut receiver) = mpsc::channel(MOST_WAITING);
    let reader = api.clone();
    // A thread of its own: a read that waits for the next event cannot be given up.
    std::thread::spawn(move || read_on(&reader, &path, &sender));
    let mut left = events.count;
    while left != Some(0) {
        let event = match receiver.recv().await {
            Some(Ok(event)) => event,
            Some(Err(error)) => return Err(error),
            None => bail!("the events have ended"),
        };
        if only.as_ref().is_some_and(|id| !is_about(&event.data, id)) {
            continue;
        }
        print_lines(&[if family.output == Format::Json {
            event.data.to_string()
        } else {
            event.line(family.output)
        }]);
        left = left.map(|left| left - 1);
    }
    Ok(ExitCode::SUCCESS)
}

/// Hands all events on, and attaches again when the stream breaks off.
fn read_on(api: &Api, path: &str, to: &mpsc::Sender<anyhow::Result<Event>>) {
    let mut attached = false;
    let mut away_since = std::time::Instant::now();
    loop {
        let error = match api.stream(path) {
            Ok(stream) => {
                attached = true;
                for event in Events::of(stream) {
                    if to.blocking_send(Ok(event)).is_err() {
                        return;
                    }
                }
                warn("the event stream broke off; events may be missing");
                away_since = std::time::Instant::now();
                continue_after(RETRY);
                continue;
            }
            Err(error) => error,
        };
        let is_final = matches!(&error, ApiError::Refused(refusal) if refusal.status < 500);
        if !attached || is_final || away_since.elapsed() > AWAY {
            let _nobody = to.blocking_send(Err(error.into()));
            return;
        }
        continue_after(RETRY);
    }
}

/// A pause of the thread that reads, which has nothing else to do.
fn continue_after(pause: Duration) {
    std::thread::sleep(pause);
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    kind: String,
    data: Value,
}

impl Event {
    /// In one line: when, what, and of what.
    fn line(&self, format: Format) -> String {
        let data = &self.data;
        let at = data["timestamp"].as_str().unwrap_or("-");
        let parts = [
            about(data),
            text(&data["taskId"]).or(text(&data["instanceId"])).filter(|_| format == Format::Wide),
            text(&data["taskStatus"]).or(text(&data["condition"])),
            data["alive"]
                .as_bool()
                .or(data["healthy"].as_bool())
                .map(|is| if is { "healthy" } else { "unhealthy" }.to_owned()),
            text(&data["host"]).map(|host| format!("on {host}")),
            step(&data["currentStep"]),
            text(&data["reason"]).or(text(&data["message"])),
        ];
        let parts: Vec<String> =
            parts.into_iter().flatten().map(|part| part.trim().replace('\n', " ")).collect();
        format!("{at} {:30} {}", self.kind, parts.join(" ")).trim_end().to_owned()
    }
}

fn step(step: &Value) -> Option<String> {
    let actions = step["actions"].as_array()?.iter().map(super::standing::action).collect::<Vec<_>>();
    (!actions.is_empty()).then(|| actions.join(", "))
}

/// Which app, pod or group an event is about, or which deployment.
fn about(data: &Value) -> Option<String> {
    let named = ["appId", "runSpecId", "groupId"].into_iter().find_map(|field| text(&data[field]));
    let of_app = || text(&data["appDefinition"]["id"]);
    let of_task =
        || ["taskId", "instanceId"].into_iter().find_map(|field| of_instance(data[field].as_str()?));
    let of_plan = || text(&data["id"]).or(text(&data["plan"]["id"])).map(|id| format!("deployment {id}"));
    named.or_else(of_app).or_else(of_task).or_else(of_plan)
}

/// Is an event about this app, pod, or anything in this group?
fn is_about(data: &Value, id: &str) -> bool {
    let of_plan = |field: &str| {
        let steps = data[field]["steps"].as_array().into_iter().flatten();
        let actions =
            steps.chain([&data["currentStep"]]).filter_map(|step| step["actions"].as_array()).flatten();
        actions.filter_map(|action| text(&action["app"]).or(text(&action["pod"]))).collect::<Vec<_>>()
    };
    let direct = about(data).into_iter().filter(|_| text(&data["groupId"]).is_none());
    let uri = text(&data["uri"])
        .map(|uri| rooted(uri.trim_start_matches("/v2/apps").trim_start_matches("/v2/pods")));
    let mut all = direct.chain(of_plan("plan")).chain(affected(data)).chain(uri);
    all.any(|touched| is_within(&touched, id))
}

/// The events in a stream, until it ends or breaks off.
struct Events<R>(BufReader<R>);

impl<R: Read> Events<R> {
    fn of(stream: R) -> Self {
        Self(BufReader::new(stream))
    }

    /// A line without its end; `None` at the end of the stream, or when a line is too long.
    fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let length = self.0.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line).ok()?;
        if length == 0 || line.last() != Some(&b'\n') {
            return None;
        }
        Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }
}

impl<R: Read> Iterator for Events<R> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let (mut kind, mut data) = (String::new(), String::new());
        loop {
            let line = self.line()?;
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match (line.as_str(), field) {
                // An empty line ends an event; without data it is a heartbeat.
                ("", _) if data.is_empty() => kind.clear(),
                ("", _) => {
                    let data: Value = serde_json::from_str(&data).unwrap_or_else(|_| json!({ "data": data }));
                    let kind =
                        if kind.is_empty() { text(&data["eventType"]).unwrap_or_default() } else { kind };
                    return Some(Event { kind, data });
                }
                (_, "event") => value.clone_into(&mut kind),
                (_, "data") if data.is_empty() => value.clone_into(&mut data),
                (_, "data") => data = format!("{data}\n{value}"),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(stream: &str) -> Vec<Event> {
        Events::of(stream.as_bytes()).collect()
    }

    #[test]
    fn events_are_read_between_heartbeats() {
        let stream = "\r\n\r\nevent: a\r\ndata: {\"x\":1}\r\n\r\n\r\nevent: b\ndata: {\"y\":\ndata: 2}\n\n: note\nevent: cut\ndata: {";
        let read = events(stream);
        assert_eq!(
            read,
            [
                Event { kind: "a".into(), data: json!({ "x": 1 }) },
                Event { kind: "b".into(), data: json!({ "y": 2 }) },
            ]
        );
    }

    #[test]
    fn a_line_says_when_what_and_of_what() {
        let status = json!({ "timestamp": "T", "appId": "/web", "taskStatus": "TASK_FAILED", "host": "h", "message": "no\nway" });
        let event = Event { kind: "status_update_event".into(), data: status };
        assert_eq!(
            event.line(Format::Table),
            "T status_update_event            /web TASK_FAILED on h no way"
        );
    }

    #[test]
    fn events_about_a_group_are_those_about_what_is_in_it() {
        let plan =
            json!({ "steps": [{ "actions": [{ "action": "ScaleApplication", "app": "/shop/web" }] }] });
        for data in [
            json!({ "appId": "/shop/web" }),
            json!({ "instanceId": "shop_web.instance-1" }),
            json!({ "id": "d", "plan": plan }),
            json!({ "uri": "/v2/apps//shop/web" }),
        ] {
            assert!(
                is_about(&data, "/shop") && is_about(&data, "/shop/web") && !is_about(&data, "/sho"),
                "{data}"
            );
        }
    }
}
