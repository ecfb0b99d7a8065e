//! Which thing a path names.
//!
//! Ids have slashes of their own and are not escaped, so that what follows an id is known by its words alone: `restart`,
//! `tasks`, `versions` for apps and groups, and `::` for pods. Slashes at the end, and several in a row, mean nothing.
//!
//! Source: Marathon's route table; `jobs`, `promote` and `explain` are Lonja's own.

use lonja_services_core::PathId;

/// A thing that has a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/`
    Root,
    /// `/ping`
    Ping,
    /// `/metrics`
    Metrics,
    /// `/metrics/prometheus`
    Prometheus,
    /// `/config`
    Config,
    /// `/logging`
    Logging,
    /// `/openapi.json`
    OpenApi,
    /// `/v2/apps`
    Apps,
    /// `/v2/apps/{id}`
    App(PathId),
    /// `/v2/apps/{id}/*`
    AppsBelow(PathId),
    /// `/v2/apps/{id}/restart`
    AppRestart(PathId),
    /// `/v2/apps/{id}/versions`
    AppVersions(PathId),
    /// `/v2/apps/{id}/versions/{version}`
    AppVersion(PathId, String),
    /// `/v2/apps/{id}/tasks`
    AppTasks(PathId),
    /// `/v2/apps/{id}/*/tasks`
    TasksBelow(PathId),
    /// `/v2/apps/{id}/tasks/{task}`
    AppTask(PathId, String),
    /// `/v2/apps/{id}/explain`
    AppExplain(PathId),
    /// `/v2/tasks`
    Tasks,
    /// `/v2/tasks/delete`
    TasksDelete,
    /// `/v2/groups`, `/v2/groups/{id}`
    Group(PathId),
    /// `/v2/groups/{id}/apps`
    GroupApps(PathId),
    /// `/v2/groups/{id}/versions`
    GroupVersions(PathId),
    /// `/v2/groups/{id}/versions/{version}`
    GroupVersion(PathId, String),
    /// `/v2/pods`
    Pods,
    /// `/v2/pods/::status`
    PodsStatus,
    /// `/v2/pods/{id}`
    Pod(PathId),
    /// `/v2/pods/{id}::status`
    PodStatus(PathId),
    /// `/v2/pods/{id}::versions`
    PodVersions(PathId),
    /// `/v2/pods/{id}::versions/{version}`
    PodVersion(PathId, String),
    /// `/v2/pods/{id}::instances`
    PodInstances(PathId),
    /// `/v2/pods/{id}::instances/{instance}`
    PodInstance(PathId, String),
    /// `/v2/deployments`
    Deployments,
    /// `/v2/deployments/{id}`
    Deployment(String),
    /// `/v2/deployments/{id}/promote`
    Promote(String),
    /// `/v2/queue`
    Queue,
    /// `/v2/queue/{id}/delay`
    QueueDelay(PathId),
    /// `/v2/jobs`
    Jobs,
    /// `/v2/jobs/{id}`
    Job(PathId),
    /// `/v2/jobs/{id}/runs`
    JobRuns(PathId),
    /// `/v2/jobs/{id}/runs/{run}`
    JobRun(PathId, String),
    /// `/v2/leader`
    Leader,
    /// `/v2/info`
    Info,
    /// `/v2/events`
    Events,
    /// `/v2/plugins`
    Plugins,
}

/// Why a path names nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// No route is like this.
    Unknown,
    /// What stands where an id belongs is none; why.
    Id(String),
}

impl Route {
    /// What the path names, as it stands in the request line.
    pub(crate) fn of(path: &str) -> Result<Self, Nothing> {
        let path = decoded(path).ok_or(Nothing::Unknown)?;
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match parts.as_slice() {
            [] => Ok(Self::Root),
            ["ping"] => Ok(Self::Ping),
            ["metrics"] => Ok(Self::Metrics),
            ["metrics", "prometheus"] => Ok(Self::Prometheus),
            ["config"] => Ok(Self::Config),
            ["logging"] => Ok(Self::Logging),
            ["openapi.json"] => Ok(Self::OpenApi),
            ["v2", "apps", rest @ ..] => app(rest),
            ["v2", "tasks"] => Ok(Self::Tasks),
            ["v2", "tasks", "delete"] => Ok(Self::TasksDelete),
            ["v2", "groups", rest @ ..] => group(rest),
            ["v2", "pods", rest @ ..] => pod(&rest.join("/")),
            ["v2", "deployments"] => Ok(Self::Deployments),
            ["v2", "deployments", id] => Ok(Self::Deployment((*id).to_owned())),
            ["v2", "deployments", id, "promote"] => Ok(Self::Promote((*id).to_owned())),
            ["v2", "queue"] => Ok(Self::Queue),
            ["v2", "queue", rest @ .., "delay"] => id(rest).map(Self::QueueDelay),
            ["v2", "jobs", rest @ ..] => job(rest),
            ["v2", "leader"] => Ok(Self::Leader),
            ["v2", "info"] => Ok(Self::Info),
            ["v2", "events"] => Ok(Self::Events),
            ["v2", "plugins"] => Ok(Self::Plugins),
            _ => Err(Nothing::Unknown),
        }
    }
}

fn id(parts: &[&str]) -> Result<PathId, Nothing> {
    PathId::absolute(&parts.join("/")).map_err(|error| Nothing::Id(error.to_string()))
}

fn app(parts: &[&str]) -> Result<Route, Nothing> {
    match parts {
        [] => Ok(Route::Apps),
        [rest @ .., "*", "tasks"] => id(rest).map(Route::TasksBelow),
        [rest @ .., "*"] => id(rest).map(Route::AppsBelow),
        [rest @ .., "restart"] => id(rest).map(Route::AppRestart),
        [rest @ .., "versions"] => id(rest).map(Route::AppVersions),
        [rest @ .., "versions", version] => Ok(Route::AppVersion(id(rest)?, (*version).to_owned())),
        [rest @ .., "tasks"] => id(rest).map(Route::AppTasks),
        [rest @ .., "tasks", task] => Ok(Route::AppTask(id(rest)?, (*task).to_owned())),
        [rest @ .., "explain"] if !rest.is_empty() => id(rest).map(Route::AppExplain),
        _ => id(parts).map(Route::App),
    }
}

fn group(parts: &[&str]) -> Result<Route, Nothing> {
    match parts {
        [rest @ .., "apps"] => id(rest).map(Route::GroupApps),
        [rest @ .., "versions"] => id(rest).map(Route::GroupVersions),
        [rest @ .., "versions", version] => Ok(Route::GroupVersion(id(rest)?, (*version).to_owned())),
        _ => id(parts).map(Route::Group),
    }
}

fn job(parts: &[&str]) -> Result<Route, Nothing> {
    match parts {
        [] => Ok(Route::Jobs),
        [rest @ .., "runs"] if !rest.is_empty() => id(rest).map(Route::JobRuns),
        [rest @ .., "runs", run] if !rest.is_empty() => Ok(Route::JobRun(id(rest)?, (*run).to_owned())),
        _ => id(parts).map(Route::Job),
    }
}

fn pod(rest: &str) -> Result<Route, Nothing> {
    let Some((name, what)) = rest.split_once("::") else {
        return if rest.is_empty() { Ok(Route::Pods) } else { id(&[rest]).map(Route::Pod) };
    };
    match (what.split('/').collect::<Vec<_>>().as_slice(), name.is_empty()) {
        (["status"], true) => Ok(Route::PodsStatus),
        (["status"], false) => id(&[name]).map(Route::PodStatus),
        (["versions"], false) => id(&[name]).map(Route::PodVersions),
        (["versions", version], false) => Ok(Route::PodVersion(id(&[name])?, (*version).to_owned())),
        (["instances"], false) => id(&[name]).map(Route::PodInstances),
        (["instances", instance], false) => Ok(Route::PodInstance(id(&[name])?, (*instance).to_owned())),
        _ => Err(Nothing::Unknown),
    }
}

/// What a path or a word of a query says once `%41` is `A`. None: it is no UTF-8, or has a character of the code zero.
pub(crate) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let value = escaped.and_then(|hex| std::str::from_utf8(hex).ok());
        match value.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> PathId {
        PathId::absolute(text).unwrap()
    }

    #[test]
    fn a_path_names_one_thing_however_its_slashes_stand() {
        let version = "2015-09-30T09:09:17.614Z";
        let task = "a.instance-1._app.1";
        let table: Vec<(String, Route)> = vec![
            ("/".into(), Route::Root),
            ("/ping/".into(), Route::Ping),
            ("/metrics/prometheus".into(), Route::Prometheus),
            ("/v2/apps".into(), Route::Apps),
            ("/v2/apps/".into(), Route::Apps),
            ("//v2//apps//".into(), Route::Apps),
            ("/v2/apps//prod/db".into(), Route::App(id("/prod/db"))),
            ("/v2/apps/%2Fprod%2fdb/".into(), Route::App(id("/prod/db"))),
            ("/v2/apps/prod/*".into(), Route::AppsBelow(id("/prod"))),
            ("/v2/apps/*".into(), Route::AppsBelow(id("/"))),
            ("/v2/apps/prod/*/tasks".into(), Route::TasksBelow(id("/prod"))),
            ("/v2/apps/prod/db/restart".into(), Route::AppRestart(id("/prod/db"))),
            ("/v2/apps/prod/db/versions/".into(), Route::AppVersions(id("/prod/db"))),
            (format!("/v2/apps/db/versions/{version}"), Route::AppVersion(id("/db"), version.into())),
            ("/v2/apps//db/tasks".into(), Route::AppTasks(id("/db"))),
            (format!("/v2/apps/db/tasks/{task}"), Route::AppTask(id("/db"), task.into())),
            ("/v2/apps/db/explain".into(), Route::AppExplain(id("/db"))),
            ("/v2/tasks/delete".into(), Route::TasksDelete),
            ("/v2/groups".into(), Route::Group(id("/"))),
            ("/v2/groups/apps".into(), Route::GroupApps(id("/"))),
            ("/v2/groups//a/b".into(), Route::Group(id("/a/b"))),
            ("/v2/groups/a/versions".into(), Route::GroupVersions(id("/a"))),
            ("/v2/pods".into(), Route::Pods),
            ("/v2/pods/::status".into(), Route::PodsStatus),
            ("/v2/pods/a/b::status".into(), Route::PodStatus(id("/a/b"))),
            ("/v2/pods//a::versions/x".into(), Route::PodVersion(id("/a"), "x".into())),
            ("/v2/pods/a::instances/i".into(), Route::PodInstance(id("/a"), "i".into())),
            ("/v2/deployments/x/promote".into(), Route::Promote("x".into())),
            ("/v2/queue//a/b/delay".into(), Route::QueueDelay(id("/a/b"))),
            ("/v2/jobs/a/b/runs/1".into(), Route::JobRun(id("/a/b"), "1".into())),
            ("/v2/jobs/runs".into(), Route::Job(id("/runs"))),
        ];
        for (path, route) in table {
            assert_eq!(Route::of(&path), Ok(route), "{path}");
        }
    }

    #[test]
    fn what_names_nothing_is_told_from_what_is_no_id() {
        for path in
            ["/v3", "/v2", "/v2/artifacts/x", "/v2/eventSubscriptions", "/v2/pods/a::b", "/%ff", "/%00"]
        {
            assert_eq!(Route::of(path), Err(Nothing::Unknown), "{path}");
        }
        for path in ["/v2/apps/UPPER", "/v2/apps/a_b", "/v2/groups/..", "/v2/pods/A::status"] {
            assert!(matches!(Route::of(path), Err(Nothing::Id(_))), "{path}");
        }
    }
}
