//! The calls about containers: start a program within one, wait for it, end it, look on and type.
//!
//! A container of the agent's own is that of a task, or of an executor; programs within it are [`programs`]' to keep. What
//! tasks are launched in is the core's: nothing here starts, ends or removes such a container.

use std::pin::pin;

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use lonja_proto::mesos;
use lonja_proto::mesos::agent::{Call, ProcessIo, call, process_io, response};
use tokio::sync::{OwnedMutexGuard, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::Operator;
use super::programs::{self, End, Name, Piece, Program, Started};
use super::start::Start;
use super::streams::{self, Records};
use crate::api::logs::{self, From};
use crate::api::sessions::{Place, READER_PATIENCE};
use crate::api::v1::media::Form;
use crate::api::v1::refusal::Refusal;
use crate::containerizer::{
    ContainerExit, ContainerId, ContainerizerError, NestedInput, OutputStream, Terminal, WindowSize,
};
use crate::handle::TaskFiles;

/// What Mesos says where there is nothing to attach to; its command line looks for these words.
const NO_SWITCHBOARD: &str = "I/O switchboard server was disabled for this container";

/// A container, as a call names it.
pub(super) enum Named {
    /// That of a task or an executor.
    Top(ContainerId),
    /// A program within such a one.
    Within(Name),
}

/// What a call names. Errors: 400, it is no name, or deeper than containers are here.
pub(super) fn named(id: &mesos::ContainerId) -> Result<Named, Refusal> {
    let container = |value: &str| {
        ContainerId::new(value).map_err(|error| Refusal::bad(format!("container_id.value: {error}")))
    };
    match id.parent.as_deref() {
        None => container(&id.value).map(Named::Top),
        Some(mesos::ContainerId { value, parent: None }) => {
            Ok(Named::Within((container(value)?, id.value.clone())))
        }
        Some(_) => {
            Err(Refusal::bad("container_id.parent.parent: containers within nested ones are not there"))
        }
    }
}

fn not_found(id: &mesos::ContainerId) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("Container {} cannot be found", shown(id)))
}

fn unreachable(error: ContainerizerError) -> Refusal {
    Refusal::internal(crate::containers::chain(&error))
}

/// A name as Mesos writes it, outermost first.
fn shown(id: &mesos::ContainerId) -> String {
    let own: String = id.value.chars().take(242).collect();
    id.parent.as_ref().map_or(own.clone(), |parent| format!("{}.{own}", parent.value))
}

pub(super) fn window(size: Option<mesos::tty_info::WindowSize>) -> Result<WindowSize, Refusal> {
    let Some(size) = size else { return Ok(WindowSize { rows: 24, columns: 80 }) };
    let number = |what: &str, number: u32| {
        u16::try_from(number).map_err(|_| Refusal::bad(format!("{what}: {number} is more than {}", u16::MAX)))
    };
    Ok(WindowSize { rows: number("rows", size.rows)?, columns: number("columns", size.columns)? })
}

impl Operator {
    /// Starts a program that runs on whoever looks.
    pub(super) async fn launch(&self, start: Start) -> Result<Response, Refusal> {
        let name = start.name()?;
        self.is_there(&name, &start.id).await?;
        match self.programs.start(&name, start.nested()?, None).await? {
            Started::Now => Ok(StatusCode::OK.into_response()),
            Started::Before => Ok(StatusCode::ACCEPTED.into_response()),
        }
    }

    /// Starts a program that ends when its output is not read any more.
    pub(super) async fn session(&self, start: Start, form: Form) -> Result<Response, Refusal> {
        let name = start.name()?;
        self.is_there(&name, &start.id).await?;
        let (sender, pieces) = programs::owner();
        match self.programs.start(&name, start.nested()?, Some(sender)).await? {
            Started::Now => Ok(streams::output(ReceiverStream::new(pieces), form)),
            Started::Before => Ok(StatusCode::ACCEPTED.into_response()),
        }
    }

    /// Errors: 400, the container that the program is to run in does not run.
    async fn is_there(&self, name: &Name, id: &mesos::ContainerId) -> Result<(), Refusal> {
        match self.files_of(&name.0).await? {
            Some(_) => Ok(()),
            None => {
                let parent = id.parent.as_ref().map_or("", |parent| parent.value.as_str());
                Err(Refusal::bad(format!("Container {parent} cannot be found, or does not run")))
            }
        }
    }

    /// Waits for the end of a container.
    pub(super) async fn wait(&self, id: &mesos::ContainerId) -> Result<response::WaitContainer, Refusal> {
        let end = match named(id)? {
            Named::Within(name) => {
                let program = self.programs.get(&name).ok_or_else(|| not_found(id))?;
                program.ended().await
            }
            Named::Top(container) => self.end_of(&container, id).await?,
        };
        Ok(match end {
            End::Status(status) => {
                response::WaitContainer { exit_status: Some(status), ..Default::default() }
            }
            End::Unknown(why) => response::WaitContainer { message: Some(why), ..Default::default() },
        })
    }

    async fn end_of(&self, container: &ContainerId, id: &mesos::ContainerId) -> Result<End, Refusal> {
        let waiting = self.programs.sessions().containerizer.wait(container);
        match self.or_stopped(waiting).await? {
            Ok(ContainerExit::Ended(record)) => Ok(match record.status {
                Some(end) => End::Status(programs::wait_status(&end)),
                None => End::Unknown("its program did not run".to_owned()),
            }),
            Ok(ContainerExit::NeverStarted) => Ok(End::Unknown("it was given up before it ran".to_owned())),
            Ok(ContainerExit::Unknown { why }) => Ok(End::Unknown(why)),
            Err(ContainerizerError::NotFound(_)) => Err(not_found(id)),
            Err(error) => Err(Refusal::internal(crate::containers::chain(&error))),
        }
    }

    /// Sends a program a signal.
    pub(super) async fn kill(
        &self,
        id: &mesos::ContainerId,
        signal: Option<i32>,
    ) -> Result<Response, Refusal> {
        let signal = signal.unwrap_or(libc::SIGKILL);
        if !(1..=64).contains(&signal) {
            return Err(Refusal::bad(format!("signal: there is no signal {signal}")));
        }
        match named(id)? {
            Named::Within(name) => {
                let program = self.programs.get(&name).ok_or_else(|| not_found(id))?;
                program.signal(signal);
                Ok(StatusCode::OK.into_response())
            }
            Named::Top(container) if self.knows(&container).await? => {
                Err(of_a_task("KILL_CONTAINER", "kill the task, or shut its executor down"))
            }
            Named::Top(_) => Err(not_found(id)),
        }
    }

    /// Forgets a program that has ended.
    pub(super) async fn remove(&self, id: &mesos::ContainerId) -> Result<Response, Refusal> {
        match named(id)? {
            Named::Within(name) => self.programs.remove(&name).map(|()| StatusCode::OK.into_response()),
            Named::Top(container) if self.knows(&container).await? => {
                Err(of_a_task("REMOVE_CONTAINER", "it goes when its end is acknowledged"))
            }
            // It is gone, which is what was wanted.
            Named::Top(_) => Ok(StatusCode::OK.into_response()),
        }
    }

    /// Shows what a container writes from now on.
    pub(super) async fn attach_output(
        &self,
        id: &mesos::ContainerId,
        form: Form,
    ) -> Result<Response, Refusal> {
        match named(id)? {
            Named::Within(name) => {
                let program = self.programs.get(&name).ok_or_else(|| not_found(id))?;
                Ok(streams::output(ReceiverStream::new(program.view()?), form))
            }
            Named::Top(container) => {
                let files = self.files_of(&container).await?.ok_or_else(|| not_found(id))?;
                // As in Mesos, whose command line takes it for a task without a terminal.
                if self.terminal(&container).await?.is_none() {
                    return Err(Refusal::internal(NO_SWITCHBOARD));
                }
                let place = self.place(&container)?;
                let pieces = hand_on(self.written(files), place, self.stop.clone());
                Ok(streams::output(pieces, form))
            }
        }
    }

    /// What a task writes from now on, until it has ended.
    fn written(&self, files: TaskFiles) -> impl Stream<Item = Piece> + Send + use<> {
        let errors =
            TaskFiles { sandbox: files.sandbox.clone(), container: None, ended: files.ended.clone() };
        let read = |files, name, kind| {
            let sandboxes = self.doors.containers.sandboxes().clone();
            let chunks = logs::read(sandboxes, files, name, From::LastLines(0), true);
            // Where it cannot be read it ends.
            let chunks = chunks.take_while(|chunk| std::future::ready(chunk.is_ok()));
            chunks.filter_map(move |chunk| {
                let data = chunk.map(|chunk| chunk.data).unwrap_or_default();
                std::future::ready((!data.is_empty()).then_some((kind, data)))
            })
        };
        stream::select(
            Box::pin(read(files, "stdout", OutputStream::Stdout)),
            Box::pin(read(errors, "stderr", OutputStream::Stderr)),
        )
    }

    /// Types into a container what comes, until either has ended.
    pub(super) async fn attach_input(&self, body: Body, form: Form) -> Result<Response, Refusal> {
        let mut records = Records::new(body, form.media());
        let first = records.first().await?;
        let kind = records.media().decode::<Call>(&first)?.r#type();
        if kind != call::Type::AttachContainerInput {
            let said = format!("Streaming requests are not supported for {} calls", kind.as_str_name());
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, said));
        }
        let first = typed(&records, &first)?;
        if first.r#type() != call::attach_container_input::Type::ContainerId {
            return Err(Refusal::bad("attach_container_input.type: the first record must be CONTAINER_ID"));
        }
        let id = first
            .container_id
            .ok_or_else(|| Refusal::bad("attach_container_input.container_id: is missing"))?;
        match named(&id)? {
            Named::Within(name) => {
                let program = self.programs.get(&name).ok_or_else(|| not_found(&id))?;
                self.type_into_program(&program, records).await
            }
            Named::Top(container) => {
                let files = self.files_of(&container).await?.ok_or_else(|| not_found(&id))?;
                self.type_into_task(&container, files, records).await
            }
        }
    }

    async fn type_into_program(&self, program: &Program, mut records: Records) -> Result<Response, Refusal> {
        let mut input = program.input.try_lock().map_err(|_| busy())?;
        let mut ended = pin!(program.ended());
        loop {
            let record = tokio::select! {
                record = records.next() => record?,
                _ = &mut ended => return Ok(StatusCode::OK.into_response()),
            };
            let Some(record) = record else { return Ok(StatusCode::OK.into_response()) };
            match piece(typed(&records, &record)?)? {
                Typed::Data(data) => {
                    let Some(open) = input.as_mut() else { continue };
                    let wrote = tokio::select! {
                        wrote = open.write_all(&data) => wrote,
                        _ = &mut ended => return Ok(StatusCode::OK.into_response()),
                    };
                    if wrote.is_err() {
                        // It has closed its input: what comes is thrown away.
                        *input = None;
                    }
                }
                Typed::End => *input = None,
                Typed::Window(size) => program.resize(size),
                Typed::Nothing => {}
            }
        }
    }

    async fn type_into_task(
        &self,
        container: &ContainerId,
        files: TaskFiles,
        mut records: Records,
    ) -> Result<Response, Refusal> {
        let _place = self.place(container)?;
        let mut target = self.target(container, &files).await?;
        let (mut ended, mut stop) = (files.ended, self.stop.clone());
        loop {
            let record = tokio::select! {
                record = records.next() => record?,
                _ = ended.wait_for(|ended| *ended) => return Ok(StatusCode::OK.into_response()),
                _ = stop.wait_for(|stop| *stop) => return Err(Refusal::stopped()),
            };
            let Some(record) = record else { return Ok(StatusCode::OK.into_response()) };
            let piece = piece(typed(&records, &record)?)?;
            tokio::select! {
                () = target.take(piece) => {}
                _ = ended.wait_for(|ended| *ended) => return Ok(StatusCode::OK.into_response()),
            }
        }
    }

    /// The terminal of a task; `None`: it has none.
    async fn terminal(&self, container: &ContainerId) -> Result<Option<Terminal>, Refusal> {
        self.programs.sessions().containerizer.terminal(container).await.map_err(unreachable)
    }

    /// Where what is typed into a task goes. Errors: 409, somebody else types; 500, in the words of Mesos, where it has no input.
    async fn target(&self, container: &ContainerId, files: &TaskFiles) -> Result<Target, Refusal> {
        if let Some(terminal) = self.terminal(container).await? {
            return Ok(Target::Terminal(terminal));
        }
        let containerizer = &self.programs.sessions().containerizer;
        let take = async || containerizer.take_input(container).await.map_err(unreachable);
        let input = self.inputs.of(container, files.ended.clone(), take).await?;
        let input = input.ok_or_else(|| Refusal::internal(NO_SWITCHBOARD))?;
        Ok(Target::Input(input.try_lock_owned().map_err(|_| busy())?))
    }

    /// The files of what runs in a container of the agent's own; `None`: nothing does.
    async fn files_of(&self, container: &ContainerId) -> Result<Option<TaskFiles>, Refusal> {
        let Ok(container) = lonja_model::ContainerId::new(container.as_str()) else { return Ok(None) };
        let found = self.doors.handle.in_container(container).await;
        Ok(found.map_err(|_| Refusal::stopped())?.filter(|files| !*files.ended.borrow()))
    }

    /// Does a task or an executor have this container, whether it runs or not?
    async fn knows(&self, container: &ContainerId) -> Result<bool, Refusal> {
        let Ok(container) = lonja_model::ContainerId::new(container.as_str()) else { return Ok(false) };
        let found = self.doors.handle.in_container(container).await;
        Ok(found.map_err(|_| Refusal::stopped())?.is_some())
    }

    fn place(&self, container: &ContainerId) -> Result<Place, Refusal> {
        let place = self.programs.sessions().enter(container);
        place.map_err(|status| Refusal::unavailable(status.message()))
    }

    async fn or_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Refusal> {
        let mut stop = self.stop.clone();
        tokio::select! {
            done = work => Ok(done),
            _ = stop.wait_for(|stop| *stop) => Err(Refusal::stopped()),
        }
    }
}

/// Takes pieces to who reads them, and lets the place go when that one has left or takes nothing for long.
fn hand_on(
    pieces: impl Stream<Item = Piece> + Send + 'static,
    place: Place,
    mut stop: watch::Receiver<bool>,
) -> ReceiverStream<Piece> {
    let (sender, receiver) = programs::owner();
    tokio::spawn(async move {
        let _place = place;
        let mut pieces = pin!(pieces);
        loop {
            let piece = tokio::select! {
                piece = pieces.next() => piece,
                () = sender.closed() => return,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let Some(piece) = piece else { return };
            if !matches!(tokio::time::timeout(READER_PATIENCE, sender.send(piece)).await, Ok(Ok(()))) {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}

fn busy() -> Refusal {
    Refusal::new(StatusCode::CONFLICT, "Multiple input connections are not allowed")
}

fn of_a_task(call: &str, instead: &str) -> Refusal {
    let said = format!("{call}: not of a container that a task or an executor runs in: {instead}");
    Refusal::new(StatusCode::NOT_IMPLEMENTED, said)
}

/// Where what is typed into a task goes.
enum Target {
    Terminal(Terminal),
    /// `None`: it was closed.
    Input(OwnedMutexGuard<Option<NestedInput>>),
}

impl Target {
    async fn take(&mut self, piece: Typed) {
        match (self, piece) {
            // A terminal that is gone: the task ends.
            (Self::Terminal(terminal), Typed::Data(data)) => drop(terminal.write_all(&data).await),
            (Self::Terminal(terminal), Typed::Window(size)) => terminal.resize(size),
            (Self::Input(input), Typed::Data(data)) => {
                if let Some(open) = &mut **input
                    && open.write_all(&data).await.is_err()
                {
                    **input = None;
                }
            }
            (Self::Input(input), Typed::End) => **input = None,
            (Self::Terminal(_), Typed::End | Typed::Nothing)
            | (Self::Input(_), Typed::Window(_) | Typed::Nothing) => {}
        }
    }
}

/// What one record says.
enum Typed {
    Data(Vec<u8>),
    /// Nothing more will be typed.
    End,
    Window(WindowSize),
    Nothing,
}

fn typed(records: &Records, record: &[u8]) -> Result<call::AttachContainerInput, Refusal> {
    let call: Call = records.media().decode(record)?;
    if call.r#type() != call::Type::AttachContainerInput {
        return Err(Refusal::bad("type: every record must be ATTACH_CONTAINER_INPUT"));
    }
    call.attach_container_input.ok_or_else(|| Refusal::bad("attach_container_input: is missing"))
}

fn piece(said: call::AttachContainerInput) -> Result<Typed, Refusal> {
    if said.r#type() != call::attach_container_input::Type::ProcessIo {
        return Err(Refusal::bad("attach_container_input.type: records after the first must be PROCESS_IO"));
    }
    let missing = |field: &str| Refusal::bad(format!("attach_container_input.process_io{field}: is missing"));
    let said: ProcessIo = said.process_io.ok_or_else(|| missing(""))?;
    match said.r#type() {
        process_io::Type::Data => {
            let data = said.data.ok_or_else(|| missing(".data"))?;
            if data.r#type() != process_io::data::Type::Stdin {
                return Err(Refusal::bad("attach_container_input.process_io.data.type: must be STDIN"));
            }
            let data = data.data.unwrap_or_default();
            Ok(if data.is_empty() { Typed::End } else { Typed::Data(data) })
        }
        process_io::Type::Control => {
            let control = said.control.ok_or_else(|| missing(".control"))?;
            match control.tty_info.filter(|_| control.r#type() == process_io::control::Type::TtyInfo) {
                Some(tty) => window(tty.window_size).map(Typed::Window),
                None => Ok(Typed::Nothing),
            }
        }
        process_io::Type::Unknown => Err(missing(".type")),
    }
}
