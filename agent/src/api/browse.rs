//! Sandboxes over HTTP: `/files/browse`, `/files/read`, `/files/download`.
//!
//! A path begins with that of a sandbox on the agent, as `/state` has it, or with
//! `/framework/<id>/executor/<task>/latest` or `.../runs/<container>`; also as Mesos lays out its work dir, from
//! `/slaves/<id>/frameworks/` or `/frameworks/` on. `/files/debug` names those that are in use.
//!
//! Source: Mesos, endpoints of the same names.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use futures::stream;
use lonja_model::{ContainerId, FrameworkId, TaskId};
use serde_json::{Value, json};

use super::doors::Doors;
use super::v1::refusal::Refusal;
use crate::sandbox::files::{self, Entry, FilesError, LARGEST_PIECE};

/// Set when a folder holds more than is listed.
const TRUNCATED: HeaderName = HeaderName::from_static("x-lonja-truncated");

/// The routes.
pub(super) fn router(doors: Doors) -> Router {
    Router::new()
        .route("/files/browse", get(browse))
        .route("/files/read", get(read))
        .route("/files/download", get(download))
        .route("/files/debug", get(debug))
        .with_state(doors)
}

/// What a request asks for.
struct Asked {
    path: String,
    offset: Option<String>,
    length: Option<String>,
}

impl Asked {
    fn parse(query: Option<String>) -> Result<Self, Refusal> {
        let mut fields = super::query::parse(&query.unwrap_or_default()).map_err(bad)?;
        let path = fields.remove("path").ok_or_else(|| bad("path: is missing"))?;
        Ok(Self { path, offset: fields.remove("offset"), length: fields.remove("length") })
    }
}

impl From<FilesError> for Refusal {
    fn from(error: FilesError) -> Self {
        let status = match error {
            FilesError::Invalid { .. } | FilesError::Kind { .. } => StatusCode::BAD_REQUEST,
            FilesError::NotFound(_) => StatusCode::NOT_FOUND,
            FilesError::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, crate::containers::chain(&error))
    }
}

fn bad(said: impl Into<String>) -> Refusal {
    Refusal::bad(said)
}

fn unavailable() -> Refusal {
    Refusal::stopped()
}

async fn browse(State(doors): State<Doors>, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let path = Asked::parse(query)?.path;
    let prefix = path.trim_end_matches('/').to_owned();
    let listing = look(&doors, &path, move |root, path| {
        let listing = files::list(&root, path)?;
        let mut names = Names::default();
        let shown = listing.entries.into_iter().map(|entry| names.json(&prefix, entry));
        Ok((shown.collect::<Vec<Value>>(), listing.truncated))
    });
    let (entries, truncated) = listing.await?;
    let truncated = HeaderValue::from_static(if truncated { "true" } else { "false" });
    Ok(([(TRUNCATED, truncated)], Json(Value::Array(entries))).into_response())
}

/// Names of users and groups, each looked up once.
#[derive(Default)]
struct Names {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Names {
    fn json(&mut self, prefix: &str, entry: Entry) -> Value {
        let user = self.users.entry(entry.user).or_insert_with(|| {
            let known = nix::unistd::User::from_uid(entry.user.into()).ok().flatten();
            known.map_or_else(|| entry.user.to_string(), |user| user.name)
        });
        let group = self.groups.entry(entry.group).or_insert_with(|| {
            let known = nix::unistd::Group::from_gid(entry.group.into()).ok().flatten();
            known.map_or_else(|| entry.group.to_string(), |group| group.name)
        });
        json!({
            "path": format!("{prefix}/{}", entry.name),
            "mode": files::mode_text(entry.mode),
            "nlink": entry.links,
            "size": entry.size,
            "mtime": entry.modified,
            "uid": user,
            "gid": group,
        })
    }
}

/// By which paths sandboxes are found, and where each is.
async fn debug(State(doors): State<Doors>) -> Result<Json<Value>, Refusal> {
    let described = doors.handle.describe().await.map_err(|_| unavailable())?;
    let mut paths = serde_json::Map::new();
    for task in described.tasks.iter().chain(&described.executors) {
        let sandbox = json!(task.sandbox.display().to_string());
        paths.insert(format!("/framework/{}/executor/{}/latest", task.framework, task.task), sandbox.clone());
        paths.insert(task.sandbox.display().to_string(), sandbox);
    }
    Ok(Json(Value::Object(paths)))
}

async fn read(State(doors): State<Doors>, RawQuery(query): RawQuery) -> Result<Json<Value>, Refusal> {
    let asked = Asked::parse(query)?;
    // -1, or none: only how large it is.
    let offset = match asked.offset.as_deref() {
        None | Some("-1") => None,
        Some(text) => Some(
            text.parse::<u64>().map_err(|_| bad(format!("offset: {text:?} is neither -1 nor from 0 up")))?,
        ),
    };
    let length = match asked.length.as_deref() {
        None | Some("-1") => LARGEST_PIECE,
        Some(text) => {
            let length = text.parse::<u64>();
            let length = length.map_err(|_| bad(format!("length: {text:?} is neither -1 nor from 0 up")))?;
            usize::try_from(length).unwrap_or(usize::MAX)
        }
    };
    let piece = look(&doors, &asked.path, move |root, path| match offset {
        Some(offset) => files::read(&root, path, offset, length),
        None => files::read(&root, path, 0, 0),
    });
    let piece = piece.await?;
    let at = if offset.is_some() { piece.offset } else { piece.size };
    Ok(Json(json!({ "data": String::from_utf8_lossy(&piece.data), "offset": at })))
}

async fn download(State(doors): State<Doors>, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let path = Asked::parse(query)?.path;
    let leave = doors.may_look().ok_or_else(too_many)?;
    let (file, size) = look(&doors, &path, |root, path| files::open(&root, path)).await?;
    let name: String = path.rsplit('/').next().unwrap_or_default().chars().filter(|c| is_plain(*c)).collect();
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    let pieces = stream::try_unfold((file, 0_u64, leave), move |(file, offset, leave)| async move {
        let length = usize::try_from(size - offset).unwrap_or(usize::MAX).min(LARGEST_PIECE);
        if length == 0 {
            return Ok::<_, io::Error>(None);
        }
        let data = tokio::task::block_in_place(|| files::read_at(&file, offset, length))?;
        if data.is_empty() {
            // The task has cut it: fewer bytes than were promised end the connection, as they should.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let next = offset + data.len() as u64;
        Ok(Some((Bytes::from(data), (file, next, leave))))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    if let Ok(disposition) = disposition {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// Whether it can stand in a header between quotation marks.
fn is_plain(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '\\')
}

fn too_many() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many look at files; try again soon")
}

/// Looks at a path in its sandbox, in a thread that may wait for its disk.
pub(super) async fn look<T: Send + 'static>(
    doors: &Doors,
    path: &str,
    look: impl FnOnce(OwnedFd, &str) -> Result<T, FilesError> + Send + 'static,
) -> Result<T, Refusal> {
    if path.contains('\0') {
        return Err(bad("path: contains a NUL byte"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(bad("path: contains '..'"));
    }
    let _leave = doors.may_look().ok_or_else(too_many)?;
    let missing = || Refusal::new(StatusCode::NOT_FOUND, "no such sandbox here");
    let (sandbox, inside) = sandbox_of(doors, path).await?.ok_or_else(missing)?;
    let containers = doors.containers.clone();
    let looked = tokio::task::spawn_blocking(move || {
        containers.sandboxes().open_root(&sandbox).map(|root| look(root, &inside))
    });
    match looked.await {
        Ok(Ok(seen)) => Ok(seen?),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
        Ok(Err(error)) => Err(Refusal::internal(format!("cannot open the sandbox: {error}"))),
        Err(_) => Err(unavailable()),
    }
}

/// The sandbox that a path leads to, and the rest of the path.
async fn sandbox_of(doors: &Doors, path: &str) -> Result<Option<(PathBuf, String)>, Refusal> {
    let sandboxes = doors.containers.sandboxes();
    if let Some((sandbox, inside)) = sandboxes.find(path.as_ref()) {
        return Ok(inside.into_os_string().into_string().ok().map(|inside| (sandbox, inside)));
    }
    let Some(named) = Named::parse(path) else { return Ok(None) };
    let (framework, task) = (FrameworkId::new(named.framework), TaskId::new(named.task));
    let (Ok(framework), Ok(task)) = (framework, task) else { return Ok(None) };
    let sandbox = match named.container {
        None => doors.find(framework, task).await.map_err(|_| unavailable())?.map(|files| files.sandbox),
        Some(container) => {
            ContainerId::new(container).ok().map(|container| sandboxes.path(&framework, &task, &container))
        }
    };
    Ok(sandbox.map(|sandbox| (sandbox, named.inside.to_owned())))
}

/// A path by the names of framework and task.
#[derive(Debug, PartialEq, Eq)]
struct Named<'a> {
    framework: &'a str,
    task: &'a str,
    /// `None`: the newest.
    container: Option<&'a str>,
    inside: &'a str,
}

impl<'a> Named<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix('/').unwrap_or(path);
        // As Mesos lays out its work dir: slaves/<id>/frameworks/<id>/executors/<id>/runs/<id>.
        let rest = match rest.strip_prefix("slaves/") {
            Some(rest) => rest.split_once('/')?.1,
            None => rest,
        };
        let after = |rest: &'a str, one: &str, many: &str| rest.strip_prefix(one).or(rest.strip_prefix(many));
        let (framework, rest) = after(rest, "framework/", "frameworks/")?.split_once('/')?;
        let (task, rest) = after(rest, "executor/", "executors/")?.split_once('/')?;
        let (container, inside) = match rest.strip_prefix("latest") {
            Some(inside) => (None, inside),
            None => {
                let rest = rest.strip_prefix("runs/")?;
                let (container, inside) = rest.split_once('/').unwrap_or((rest, ""));
                match container {
                    "latest" => (None, inside),
                    container => (Some(container), inside),
                }
            }
        };
        if container.is_none() && !inside.is_empty() && rest.starts_with("latest") && !inside.starts_with('/')
        {
            return None;
        }
        Some(Self { framework, task, container, inside: inside.trim_start_matches('/') })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_is_found_by_the_names_that_mesos_gives_it() {
        let named = |path| {
            Named::parse(path).map(|named| (named.framework, named.task, named.container, named.inside))
        };

        assert_eq!(named("/framework/f/executor/t/latest"), Some(("f", "t", None, "")));
        assert_eq!(named("framework/f/executor/t/latest/a/b"), Some(("f", "t", None, "a/b")));
        assert_eq!(named("/framework/f/executor/t/runs/c/a"), Some(("f", "t", Some("c"), "a")));
        assert_eq!(named("/framework/f/executor/t/runs/latest/a"), Some(("f", "t", None, "a")));
        assert_eq!(named("/frameworks/f/executors/t/runs/latest/a"), Some(("f", "t", None, "a")));
        assert_eq!(named("/slaves/s/frameworks/f/executors/t/runs/c"), Some(("f", "t", Some("c"), "")));
        for other in ["", "/", "/etc/passwd", "/framework/f", "/framework/f/executor/t/latestx"] {
            assert_eq!(named(other), None, "{other:?}");
        }
    }
}
