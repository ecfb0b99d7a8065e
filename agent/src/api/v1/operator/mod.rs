//! `POST /api/v1`: the operator API of an agent.
//!
//! One call a request; which call decides what is read and whether the answer is one message or a stream. What is asked
//! about the agent is answered from one [`crate::picture::Picture`]; what concerns containers is `inside`'s.
//!
//! Source: Mesos v1 operator API of the agent; agent `Http::api`, `validation::agent::call::validate`.

mod inputs;
mod inside;
mod programs;
mod start;
mod streams;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use lonja_proto::convert::ids::container_id_to_wire;
use lonja_proto::mesos;
use lonja_proto::mesos::agent::{self as wire, Call, call, response};
use tokio::sync::{Semaphore, watch};
use tracing::level_filters::LevelFilter;

use super::bodies::Bodies;
use super::media::{Form, Media};
use super::refusal::Refusal;
use crate::api::browse;
use crate::api::doors::Doors;
use crate::api::sessions::Sessions;
use crate::api::v0::{Constant, figures};
use crate::picture::Picture;
use crate::sandbox::files::{self, Entry, LARGEST_PIECE};
use crate::statistics::ContainerStatistics;
use inputs::Inputs;
use programs::{Name, Programs};

pub(crate) use views::command_executor_name;

/// The longest call, in bytes.
const LONGEST: usize = 1 << 20;

/// Bytes of calls under way at once.
const ROOM: usize = 64 << 20;

/// Calls that wait for the end of a container, at once.
const MOST_WAITS: usize = 1_024;

#[derive(Clone)]
pub(super) struct Operator {
    doors: Doors,
    bodies: Bodies,
    programs: Programs,
    inputs: Inputs,
    constant: Constant,
    waits: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

/// The routes.
pub(crate) fn router(
    doors: Doors,
    sessions: Sessions,
    constant: Constant,
    stop: watch::Receiver<bool>,
) -> Router {
    let operator = Operator {
        doors,
        bodies: Bodies::new(ROOM),
        programs: Programs::new(sessions, stop.clone()),
        inputs: Inputs::default(),
        constant,
        waits: Arc::new(Semaphore::new(MOST_WAITS)),
        stop,
    };
    Router::new().route("/api/v1", any(answer)).with_state(operator)
}

async fn answer(State(operator): State<Operator>, request: Request<Body>) -> Result<Response, Refusal> {
    if !operator.doors.handle.has_recovered() {
        return Err(Refusal::recovering());
    }
    if request.method() != Method::POST {
        return Err(Refusal::only_post(request.method()));
    }
    let form = Form::of_request(request.headers())?;
    let (head, body) = request.into_parts();
    let Form::Plain(media) = form else {
        Form::wanted(&head.headers)?;
        return operator.attach_input(body, form).await;
    };
    let whole = operator.bodies.read(body, LONGEST).await?;
    let call: Call = media.decode(whole.bytes())?;
    let kind = known(&call)?;
    // Who waits for an end needs none for what is decoded of so little.
    let waits = matches!(kind, call::Type::WaitContainer | call::Type::WaitNestedContainer);
    let _room = (!waits).then(|| whole.into_room());
    let wanted = Form::wanted(&head.headers)?;
    match (kind, wanted) {
        (call::Type::LaunchNestedContainerSession, _) => {
            let asked = need(call.launch_nested_container_session, "launch_nested_container_session")?;
            operator.session(asked.into(), wanted).await
        }
        (call::Type::AttachContainerOutput, _) => {
            let asked = need(call.attach_container_output, "attach_container_output")?;
            operator.attach_output(&asked.container_id, wanted).await
        }
        (_, Form::Records(_)) => {
            let said = format!("Streaming response is not supported for {} call", kind.as_str_name());
            Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, said))
        }
        (_, Form::Plain(media)) => operator.plain(kind, call, media).await,
    }
}

/// The call's type. Errors: 400, it has none; 501, there is none of that number.
fn known(call: &Call) -> Result<call::Type, Refusal> {
    let number = call.r#type.ok_or_else(|| invalid("Expecting 'type' to be present"))?;
    match call::Type::try_from(number) {
        Ok(call::Type::Unknown) => Err(missing_call("UNKNOWN")),
        Ok(kind) => Ok(kind),
        Err(_) => Err(invalid("Expecting 'type' to be present")),
    }
}

fn invalid(said: &str) -> Refusal {
    Refusal::bad(format!("Failed to validate agent::Call: {said}"))
}

/// What goes with the call. Errors: 400, it is not there.
fn need<T>(part: Option<T>, name: &str) -> Result<T, Refusal> {
    part.ok_or_else(|| invalid(&format!("Expecting '{name}' to be present")))
}

fn missing_call(name: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_IMPLEMENTED, format!("{name}: this agent does not have that"))
}

/// An answer of one message.
fn reply(media: Media, answer: &wire::Response) -> Response {
    ([(header::CONTENT_TYPE, media.name())], media.encode(answer)).into_response()
}

fn of(kind: response::Type) -> wire::Response {
    wire::Response { r#type: Some(kind.into()), ..Default::default() }
}

impl Operator {
    /// Answers a call whose answer is one message.
    #[allow(deprecated, reason = "clients still make the older calls")]
    async fn plain(&self, kind: call::Type, call: Call, media: Media) -> Result<Response, Refusal> {
        use call::Type;
        let done = match kind {
            Type::LaunchNestedContainer => {
                self.launch(need(call.launch_nested_container, "launch_nested_container")?.into()).await?
            }
            Type::LaunchContainer => {
                self.launch(need(call.launch_container, "launch_container")?.try_into()?).await?
            }
            Type::KillNestedContainer => {
                let asked = need(call.kill_nested_container, "kill_nested_container")?;
                self.kill(&asked.container_id, asked.signal).await?
            }
            Type::KillContainer => {
                let asked = need(call.kill_container, "kill_container")?;
                self.kill(&asked.container_id, asked.signal).await?
            }
            Type::RemoveNestedContainer => {
                let asked = need(call.remove_nested_container, "remove_nested_container")?;
                self.remove(&asked.container_id).await?
            }
            Type::RemoveContainer => {
                self.remove(&need(call.remove_container, "remove_container")?.container_id).await?
            }
            Type::AttachContainerInput => {
                let said = "Expecting 'Content-Type' of application/recordio for ATTACH_CONTAINER_INPUT call";
                return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, said));
            }
            Type::WaitContainer | Type::WaitNestedContainer => {
                return Ok(reply(media, &self.wait_for(kind, call).await?));
            }
            Type::GetState
            | Type::GetFrameworks
            | Type::GetExecutors
            | Type::GetTasks
            | Type::GetAgent
            | Type::GetOperations => self.pictured(kind, media).await?,
            Type::GetContainers => {
                let asked = call.get_containers.unwrap_or_default();
                self.containers(asked.show_nested(), media).await?
            }
            _ => return Ok(reply(media, &self.read(kind, call).await?)),
        };
        Ok(done)
    }

    #[allow(deprecated, reason = "clients still make the older calls")]
    async fn wait_for(&self, kind: call::Type, call: Call) -> Result<wire::Response, Refusal> {
        let many = || Refusal::unavailable("too many wait for containers already");
        let _place = self.waits.clone().try_acquire_owned().map_err(|_| many())?;
        if kind == call::Type::WaitContainer {
            let id = need(call.wait_container, "wait_container")?.container_id;
            let ended = Some(self.wait(&id).await?);
            return Ok(wire::Response { wait_container: ended, ..of(response::Type::WaitContainer) });
        }
        let id = need(call.wait_nested_container, "wait_nested_container")?.container_id;
        let response::WaitContainer { exit_status, state, reason, limitation, message } =
            self.wait(&id).await?;
        let ended = response::WaitNestedContainer { exit_status, state, reason, limitation, message };
        Ok(wire::Response { wait_nested_container: Some(ended), ..of(response::Type::WaitNestedContainer) })
    }

    /// Answers a call that only looks.
    async fn read(&self, kind: call::Type, call: Call) -> Result<wire::Response, Refusal> {
        use call::Type;
        use response::Type as Of;
        Ok(match kind {
            Type::GetHealth => wire::Response {
                get_health: Some(response::GetHealth { healthy: true }),
                ..of(Of::GetHealth)
            },
            Type::GetFlags => wire::Response { get_flags: Some(self.flags()), ..of(Of::GetFlags) },
            Type::GetVersion => wire::Response { get_version: Some(version()), ..of(Of::GetVersion) },
            Type::GetMetrics => {
                need(call.get_metrics, "get_metrics")?;
                wire::Response { get_metrics: Some(self.metrics().await?), ..of(Of::GetMetrics) }
            }
            Type::GetLoggingLevel => wire::Response {
                get_logging_level: Some(response::GetLoggingLevel { level: logging_level() }),
                ..of(Of::GetLoggingLevel)
            },
            Type::ListFiles => {
                let asked = need(call.list_files, "list_files")?;
                wire::Response { list_files: Some(self.list(asked.path).await?), ..of(Of::ListFiles) }
            }
            Type::ReadFile => {
                let asked = need(call.read_file, "read_file")?;
                wire::Response { read_file: Some(self.read_file(asked).await?), ..of(Of::ReadFile) }
            }
            Type::GetResourceProviders => wire::Response {
                get_resource_providers: Some(response::GetResourceProviders::default()),
                ..of(Of::GetResourceProviders)
            },
            _ => return Err(missing_call(kind.as_str_name())),
        })
    }

    /// Answers a call from a picture of all that runs.
    async fn pictured(&self, kind: call::Type, media: Media) -> Result<Response, Refusal> {
        let (picture, leave) = self.doors.picture().await?;
        let made = move || {
            let answer = shown(kind, &picture);
            drop((picture, leave));
            media.encode(&answer)
        };
        self.doors.answers.of(media.name(), made).await
    }

    fn flags(&self) -> response::GetFlags {
        let one = |(name, value): (&String, &serde_json::Value)| mesos::Flag {
            name: name.clone(),
            value: value.as_str().map(str::to_owned),
        };
        response::GetFlags { flags: self.constant.flags.iter().map(one).collect() }
    }

    async fn metrics(&self) -> Result<response::GetMetrics, Refusal> {
        let counts = self.doors.counts().await?;
        let collected = self.doors.containers.sandboxes().collection().collected();
        let all = figures::figures(&counts, collected).into_iter();
        let metrics = all.map(|(name, value)| mesos::Metric { name, value: value.as_f64() });
        Ok(response::GetMetrics { metrics: metrics.collect() })
    }

    async fn list(&self, path: String) -> Result<response::ListFiles, Refusal> {
        let prefix = path.trim_end_matches('/').to_owned();
        let listing = browse::look(&self.doors, &path, |root, path| files::list(&root, path)).await?;
        let info = |entry: Entry| mesos::FileInfo {
            path: format!("{prefix}/{}", entry.name),
            nlink: i32::try_from(entry.links).ok(),
            size: Some(entry.size),
            mtime: Some(mesos::TimeInfo { nanoseconds: entry.modified.saturating_mul(1_000_000_000) }),
            mode: Some(entry.mode),
            uid: Some(entry.user.to_string()),
            gid: Some(entry.group.to_string()),
        };
        Ok(response::ListFiles { file_infos: listing.entries.into_iter().map(info).collect() })
    }

    async fn read_file(&self, asked: call::ReadFile) -> Result<response::ReadFile, Refusal> {
        let length =
            asked.length.map_or(LARGEST_PIECE, |length| usize::try_from(length).unwrap_or(usize::MAX));
        let offset = asked.offset;
        let piece = browse::look(&self.doors, &asked.path, move |root, path| {
            files::read(&root, path, offset, length)
        });
        let piece = piece.await?;
        Ok(response::ReadFile { size: piece.size, data: piece.data })
    }

    async fn containers(&self, show_nested: bool, media: Media) -> Result<Response, Refusal> {
        let all = self.doors.all_statistics(|_, _| true).await.map_err(|_| Refusal::stopped())?;
        let running = if show_nested { self.programs.running() } else { Vec::new() };
        let made = move || {
            let containers = Some(all_containers(&all, &running));
            media.encode(&wire::Response { get_containers: containers, ..of(response::Type::GetContainers) })
        };
        self.doors.answers.of(media.name(), made).await
    }
}

/// The answer to a call that looks at a picture.
fn shown(kind: call::Type, picture: &Picture) -> wire::Response {
    use call::Type;
    use response::Type as Of;
    match kind {
        Type::GetState => wire::Response { get_state: Some(views::state(picture)), ..of(Of::GetState) },
        Type::GetFrameworks => {
            wire::Response { get_frameworks: Some(views::frameworks(picture)), ..of(Of::GetFrameworks) }
        }
        Type::GetExecutors => {
            wire::Response { get_executors: Some(views::executors(picture)), ..of(Of::GetExecutors) }
        }
        Type::GetTasks => wire::Response { get_tasks: Some(views::tasks(picture)), ..of(Of::GetTasks) },
        Type::GetAgent => wire::Response { get_agent: Some(views::agent(picture)), ..of(Of::GetAgent) },
        _ => wire::Response { get_operations: Some(views::operations(picture)), ..of(Of::GetOperations) },
    }
}

/// Containers, each followed by those within it.
fn all_containers(all: &[ContainerStatistics], running: &[Name]) -> response::GetContainers {
    let mut containers = Vec::with_capacity(all.len());
    for one in all {
        containers.push(container(one));
        let id = container_id_to_wire(&one.task.container);
        let within = running.iter().filter(|(parent, _)| parent.as_str() == one.task.container.as_str());
        containers.extend(within.map(|(_, value)| {
            let id = mesos::ContainerId { value: value.clone(), parent: Some(Box::new(id.clone())) };
            response::get_containers::Container {
                resource_statistics: None,
                container_status: None,
                container_id: id,
                ..container(one)
            }
        }));
    }
    response::GetContainers { containers }
}

fn container(one: &ContainerStatistics) -> response::get_containers::Container {
    let id = container_id_to_wire(&one.task.container);
    response::get_containers::Container {
        framework_id: Some(mesos::FrameworkId { value: one.task.framework.to_string() }),
        executor_id: Some(mesos::ExecutorId { value: one.task.task.to_string() }),
        executor_name: Some(one.task.name.clone()),
        container_id: id.clone(),
        container_status: Some(mesos::ContainerStatus {
            container_id: Some(id),
            executor_pid: one.task.pid,
            ..Default::default()
        }),
        resource_statistics: Some(one.statistics()),
    }
}

fn version() -> response::GetVersion {
    let version_info =
        mesos::VersionInfo { version: env!("CARGO_PKG_VERSION").to_owned(), ..Default::default() };
    response::GetVersion { version_info }
}

/// How much is logged, as Mesos counts it: from 0 up the more.
fn logging_level() -> u32 {
    let level = LevelFilter::current();
    if level >= LevelFilter::TRACE { 2 } else { u32::from(level >= LevelFilter::DEBUG) }
}
