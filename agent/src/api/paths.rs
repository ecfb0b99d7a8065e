//! By which names the agent's endpoints are asked for.
//!
//! Every route of a Mesos agent answers with and without the agent's own name before it, `slave(1)`, whose parentheses come
//! literally or encoded; with and without a slash at the end; and the older ones with `.json`. A path that goes on beyond a
//! route of the v1 API leads to that route. Here all become one, before any route is looked for.
//!
//! Source: Mesos, libprocess routing; MESOS-4509 for `.json`.

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Endpoints that older tools ask for as `.json`.
const WITH_SUFFIX: [&str; 10] = [
    "/state",
    "/flags",
    "/version",
    "/containers",
    "/metrics/snapshot",
    "/monitor/statistics",
    "/files/browse",
    "/files/read",
    "/files/download",
    "/files/debug",
];

/// Routes that longer paths lead to, the longest first.
const ROOTS: [&str; 3] = ["/api/v1/executor", "/api/v1/resource_provider", "/api/v1"];

/// The request under the path that its route has.
pub(super) async fn plain(mut request: Request) -> Request {
    if let Some(path) = plain_path(request.uri().path())
        && let Some(uri) = with_path(request.uri(), &path)
    {
        *request.uri_mut() = uri;
    }
    request
}

/// The path that is meant; `None`: this one.
fn plain_path(path: &str) -> Option<String> {
    let mut plain = path;
    if let Some(rest) = after_name(plain) {
        plain = rest;
    }
    if plain.len() > 1 {
        plain = plain.strip_suffix('/').unwrap_or(plain);
    }
    if plain.is_empty() {
        plain = "/";
    }
    let bare = plain.strip_suffix(".json").filter(|bare| WITH_SUFFIX.contains(bare));
    plain = bare.unwrap_or(plain);
    let goes_beyond = |root: &&&str| plain.strip_prefix(**root).is_some_and(|rest| rest.starts_with('/'));
    // The other routes of the API are below /api/v1 themselves.
    if !ROOTS.contains(&plain)
        && let Some(root) = ROOTS.iter().find(goes_beyond)
    {
        plain = root;
    }
    (plain != path).then(|| plain.to_owned())
}

/// What follows the agent's own name.
fn after_name(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/slave")?;
    let parenthesis = |text: &'_ str, literal: char, code: &str| -> Option<usize> {
        if text.starts_with(literal) {
            return Some(1);
        }
        text.get(..3).filter(|start| start.eq_ignore_ascii_case(code)).map(str::len)
    };
    let rest = &rest[parenthesis(rest, '(', "%28")?..];
    let rest = rest.strip_prefix('1')?;
    let rest = &rest[parenthesis(rest, ')', "%29")?..];
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{path}{query}").parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_lead_to_one_route() {
        let table = [
            ("/state", None),
            ("/", None),
            ("/state/", Some("/state")),
            ("/state.json", Some("/state")),
            ("/slave(1)/state", Some("/state")),
            ("/slave%281%29/state.json", Some("/state")),
            ("/slave%281)/monitor/statistics.json", Some("/monitor/statistics")),
            ("/slave(1)", Some("/")),
            ("/slave(1)/api/v1/", Some("/api/v1")),
            ("/api/v1/executor/api/v1/executor", Some("/api/v1/executor")),
            ("/api/v1/executor", None),
            ("/api/v1/nothing", Some("/api/v1")),
            ("/slave(2)/state", None),
            ("/slave(1)state", None),
            ("/slave%2", None),
            ("/slaves", None),
            ("/health.json", None),
            ("/lonja.v1.AgentApi/Stats", None),
        ];
        for (path, plain) in table {
            assert_eq!(plain_path(path).as_deref(), plain, "{path}");
        }
    }

    #[test]
    fn the_query_stays() {
        let uri: Uri = "/slave(1)/files/read?path=%2Fa&offset=0".parse().unwrap();
        let path = plain_path(uri.path()).unwrap();
        assert_eq!(with_path(&uri, &path).unwrap().to_string(), "/files/read?path=%2Fa&offset=0");
    }
}
