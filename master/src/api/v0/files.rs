//! `/files/...`. A master writes no log file of its own, so that there is none to be seen: Mesos' `/master/log` is not
//! there, as in a Mesos without `--log_dir`.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::query::Query;
use super::reply;

/// `/files/browse`, `/files/read` and `/files/download`; `path`: what.
pub(super) async fn any(query: Query) -> Response {
    match query.get("path") {
        None | Some("") => reply::bad_request("Expecting 'path=value' in query."),
        Some(_) => (StatusCode::NOT_FOUND, "this master has no files; it logs to its standard error\n")
            .into_response(),
    }
}

/// `/files/debug`: which paths there are.
pub(super) async fn debug() -> Response {
    reply::json(&BTreeMap::<&str, &str>::new())
}
