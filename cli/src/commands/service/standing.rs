//! Where deployments and services stand, as the API tells it. Pure: values in, values out.

use std::collections::BTreeSet;

use serde_json::Value;

use super::api::{Api, ApiError};

/// Where a deployment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Running(Progress),
    Ended(End),
}

/// How far a deployment that runs has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// From 1; 0: it has not begun.
    pub(super) step: u64,
    pub(super) steps: u64,
    /// What is done in this step, such as `scale /web`.
    pub(super) doing: Vec<String>,
    /// It waits for somebody to promote it.
    pub(super) promotable: bool,
    /// What it waits for, in words.
    pub(super) waits_for: Option<String>,
    /// Which apps and pods it touches.
    pub(super) affected: Vec<String>,
}

impl Progress {
    /// How far it has come, in words.
    pub(super) fn words(&self) -> String {
        let doing = if self.doing.len() > 3 {
            format!("{}, and {} more", self.doing[..3].join(", "), self.doing.len() - 3)
        } else {
            self.doing.join(", ")
        };
        let waits = self.waits_for.as_ref().map(|what| format!("; waits for {what}")).unwrap_or_default();
        match self.step {
            0 => format!("the deployment has not begun{waits}"),
            number => format!("step {number} of {}: {doing}{waits}", self.steps),
        }
    }
}

/// How a deployment ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    RolledBack {
        by: Option<String>,
        reason: String,
    },
    Failed {
        reason: String,
    },
    /// The framework does not remember.
    Forgotten,
}

/// Reads one deployment.
pub(super) fn standing(deployment: &Value) -> Standing {
    let reason = || text(&deployment["reason"]).unwrap_or_else(|| "no reason is given".to_owned());
    match deployment["state"].as_str().unwrap_or("running") {
        "done" => Standing::Ended(End::Done),
        "rolledBack" => Standing::Ended(End::RolledBack { by: text(&deployment["by"]), reason: reason() }),
        "failed" => Standing::Ended(End::Failed { reason: reason() }),
        _ => Standing::Running(progress(deployment)),
    }
}

/// Reads one that runs.
pub(super) fn progress(deployment: &Value) -> Progress {
    let rollouts = deployment["rollouts"].as_object().into_iter().flatten().map(|(_, rollout)| rollout);
    let promotable = rollouts.into_iter().any(waits);
    Progress {
        step: deployment["currentStep"].as_u64().unwrap_or(0),
        steps: deployment["totalSteps"].as_u64().unwrap_or(0),
        doing: deployment["currentActions"].as_array().into_iter().flatten().map(action).collect(),
        promotable,
        waits_for: text(&deployment["waitsFor"]),
        affected: affected(deployment),
    }
}

/// Which apps and pods wait, of all that deployments change, for somebody to promote them. The list of deployments is
/// Marathon's and does not say so: each is asked for.
pub(super) fn promotable(api: &Api) -> Result<BTreeSet<String>, ApiError> {
    let deployments = api.get("/v2/deployments")?;
    let mut found = BTreeSet::new();
    for id in deployments.as_array().into_iter().flatten().filter_map(|one| text(&one["id"])) {
        let Some(deployment) = api.find(&format!("/v2/deployments/{id}"))? else { continue };
        let rollouts = deployment["rollouts"].as_object().into_iter().flatten();
        found.extend(rollouts.filter(|(_, rollout)| waits(rollout)).map(|(id, _)| id.clone()));
    }
    Ok(found)
}

fn waits(rollout: &Value) -> bool {
    rollout["phase"] == "waiting" && rollout["promoted"] != true
}

/// Which apps and pods a deployment touches.
pub(super) fn affected(deployment: &Value) -> Vec<String> {
    let lists = ["affectedApps", "affectedPods", "affected"]
        .into_iter()
        .filter_map(|field| deployment[field].as_array());
    lists.flatten().filter_map(text).collect()
}

/// What a step does to one of them: `scale /web`.
pub(super) fn action(action: &Value) -> String {
    let name = action["action"].as_str().or(action["type"].as_str()).unwrap_or("change");
    let verb = name.trim_end_matches("Application").trim_end_matches("Pod").to_lowercase();
    let id = action["app"].as_str().or(action["pod"].as_str()).unwrap_or("?");
    format!("{verb} {id}")
}

/// How many instances there are of an app or pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) id: String,
    pub(super) is_pod: bool,
    pub(super) wanted: u64,
    pub(super) running: u64,
    /// Of those that run; none: nobody checks.
    pub(super) healthy: Option<u64>,
    pub(super) unhealthy: u64,
    pub(super) staged: u64,
    /// Of those that run, what they were started as is not what is wanted now. 0 where no instances are shown.
    pub(super) outdated: u64,
    /// The tasks that run, where they are shown.
    pub(super) up: BTreeSet<String>,
    /// A deployment waits for somebody to promote it.
    pub(super) promotable: bool,
    /// The deployments that change it.
    pub(super) deployments: Vec<String>,
    /// What went wrong last.
    pub(super) last_failure: Option<String>,
}

impl Counts {
    /// Of an app with its counters.
    pub(super) fn of_app(app: &Value) -> Self {
        let number = |field: &str| app[field].as_u64().unwrap_or(0);
        let checked = app["healthChecks"].as_array().is_some_and(|checks| !checks.is_empty());
        let ids = app["deployments"].as_array().into_iter().flatten();
        let failure = &app["lastTaskFailure"];
        let last_failure = text(&failure["state"]).map(|state| {
            let message = failure["message"].as_str().unwrap_or_default().trim();
            let host = failure["host"].as_str().filter(|host| !host.is_empty());
            let host = host.map(|host| format!(" on {host}")).unwrap_or_default();
            format!("{state}{host}{}{message}", if message.is_empty() { "" } else { ": " })
        });
        let running = app["tasks"].as_array().into_iter().flatten();
        let running: Vec<&Value> = running.filter(|task| task["state"] == "TASK_RUNNING").collect();
        // Times of one form and length: as texts they stand in their order.
        let wanted = app["versionInfo"]["lastConfigChangeAt"].as_str();
        let is_outdated =
            |task: &&&Value| task["version"].as_str().zip(wanted).is_some_and(|(is, be)| is < be);
        Self {
            id: text(&app["id"]).unwrap_or_default(),
            is_pod: false,
            wanted: number("instances"),
            running: number("tasksRunning"),
            healthy: checked.then(|| number("tasksHealthy")),
            unhealthy: number("tasksUnhealthy"),
            staged: number("tasksStaged"),
            outdated: running.iter().filter(is_outdated).count() as u64,
            up: running.iter().filter_map(|task| text(&task["id"])).collect(),
            promotable: false,
            deployments: ids.filter_map(|deployment| text(&deployment["id"])).collect(),
            last_failure,
        }
    }

    /// Of a pod's status.
    pub(super) fn of_pod(status: &Value) -> Self {
        let spec = &status["spec"];
        let with = |wanted: &[&str]| {
            let instances = status["instances"].as_array().into_iter().flatten();
            let states = instances.filter_map(|instance| instance["status"].as_str());
            states.filter(|state| wanted.contains(state)).count() as u64
        };
        let stable = status["instances"].as_array().into_iter().flatten();
        let stable = stable.filter(|instance| instance["status"] == "STABLE");
        let checked =
            spec["containers"].as_array().into_iter().flatten().any(|c| c["healthCheck"].is_object());
        Self {
            id: text(&status["id"]).unwrap_or_default(),
            is_pod: true,
            wanted: spec["scaling"]["instances"].as_u64().unwrap_or(1),
            running: with(&["STABLE", "DEGRADED"]),
            healthy: checked.then(|| with(&["STABLE"])),
            unhealthy: with(&["DEGRADED"]),
            staged: with(&["PENDING", "STAGING"]),
            // Their versions change with their number as well.
            outdated: 0,
            up: stable.filter_map(|instance| text(&instance["id"])).collect(),
            promotable: false,
            deployments: Vec::new(),
            last_failure: text(&status["message"]),
        }
    }

    /// Is it as it is wanted?
    pub(super) fn is_reached(&self) -> bool {
        self.is_up() && self.outdated == 0
    }

    /// Is it as it is wanted, but for what its instances were started as?
    pub(super) fn is_up(&self) -> bool {
        self.running == self.wanted && self.healthy.is_none_or(|healthy| healthy >= self.wanted)
    }

    /// In words: `2 of 3 running, 1 healthy`.
    pub(super) fn words(&self) -> String {
        let healthy = self.healthy.map(|healthy| format!(", {healthy} healthy")).unwrap_or_default();
        let outdated = match self.outdated {
            0 => String::new(),
            outdated => format!(", {outdated} of an older version"),
        };
        format!("{} of {} running{healthy}{outdated}", self.running, self.wanted)
    }

    /// The same, with what went wrong last.
    pub(super) fn words_and_failure(&self) -> String {
        let failure = self.last_failure.as_ref().map(|why| format!("; last failure: {why}"));
        format!("{}{}", self.words(), failure.unwrap_or_default())
    }

    /// In one word, for a listing.
    pub(super) fn state(&self) -> &'static str {
        match self {
            _ if self.promotable => "waits for promote",
            _ if !self.deployments.is_empty() => "deploying",
            _ if self.wanted == 0 && self.running == 0 => "suspended",
            _ if self.is_reached() => "running",
            _ if self.unhealthy > 0 => "unhealthy",
            _ if self.is_up() => "outdated",
            _ if self.running + self.staged < self.wanted => "waiting",
            _ => "starting",
        }
    }
}

/// A text that says something.
pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deployment_that_runs_tells_its_step() {
        let actions =
            json!([{ "action": "ScaleApplication", "app": "/a" }, { "action": "RestartPod", "pod": "/p" }]);
        let deployment = json!({ "id": "d", "currentStep": 1, "totalSteps": 2, "currentActions": actions,
                                 "affectedApps": ["/a"], "affectedPods": ["/p"] });
        let Standing::Running(progress) = standing(&deployment) else { panic!() };
        assert_eq!((progress.step, progress.steps, progress.promotable), (1, 2, false));
        assert_eq!(progress.doing, ["scale /a", "restart /p"]);
        assert_eq!(progress.affected, ["/a", "/p"]);
    }

    #[test]
    fn what_waits_to_be_promoted_is_told_apart_from_what_was_promoted() {
        let waits = |promoted: bool| {
            let rollouts = json!({ "/a": { "phase": "waiting", "promoted": promoted } });
            progress(&json!({ "state": "running", "rollouts": rollouts })).promotable
        };
        assert!(waits(false) && !waits(true));
    }

    #[test]
    fn an_end_tells_how_and_why() {
        let ended = |how: Value| standing(&how);
        assert_eq!(ended(json!({ "state": "done" })), Standing::Ended(End::Done));
        let failed = Standing::Ended(End::Failed { reason: "no offers".into() });
        assert_eq!(ended(json!({ "state": "failed", "reason": "no offers" })), failed);
        let back = Standing::Ended(End::RolledBack { by: Some("e".into()), reason: "unhealthy".into() });
        assert_eq!(ended(json!({ "state": "rolledBack", "by": "e", "reason": "unhealthy" })), back);
    }

    #[test]
    fn an_app_is_up_when_as_many_as_are_wanted_run_and_are_healthy() {
        let app = |running: u64, healthy: u64, checks: Value| {
            Counts::of_app(
                &json!({ "id": "/a", "instances": 2, "tasksRunning": running, "tasksHealthy": healthy,
                                    "healthChecks": checks }),
            )
        };
        assert!(app(2, 0, json!([])).is_reached());
        assert!(!app(2, 1, json!([{}])).is_reached() && app(2, 2, json!([{}])).is_reached());
        assert!(!app(1, 1, json!([{}])).is_reached() && !app(3, 3, json!([{}])).is_reached());
        assert_eq!(app(2, 1, json!([{}])).words(), "2 of 2 running, 1 healthy");
    }

    #[test]
    fn a_pod_counts_its_stable_instances() {
        let pod = Counts::of_pod(&json!({
            "id": "/p", "spec": { "scaling": { "instances": 2 }, "containers": [{ "healthCheck": {} }] },
            "instances": [{ "status": "STABLE" }, { "status": "DEGRADED" }, { "status": "STAGING" }],
        }));
        assert_eq!((pod.running, pod.healthy, pod.staged, pod.is_reached()), (2, Some(1), 1, false));
    }
}
