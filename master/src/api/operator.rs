//! What operators ask, whichever door they come by. Its refusals are those of gRPC; other doors have words of their own for them.

use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt};
use lonja_master_core::{ClusterEvent, OperatorCommand, Snapshot};
use lonja_model::clock::Clock;
use lonja_model::scheduler::{Refusal, RefusalCode};
use lonja_proto::mesos::master::call::Type;
use lonja_proto::mesos::master::{Call, Event, Response};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tonic::Status;

use super::answers::{Answers, Place, Unanswered};
use super::bodies::Room;
use super::v0::metrics_snapshot;
use super::watchers::Watchers;
use super::{commands, views};
use crate::Handle;

/// All that is needed to answer them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Operators {
    pub(super) handle: Handle,
    clock: Clock,
    pub(super) answers: Answers,
    watchers: Watchers,
    stop: watch::Receiver<bool>,
}

/// What a call asks for.
pub(super) enum Asked {
    /// That something is shown, or SUBSCRIBE.
    Shown(Type),
    /// That something is done.
    Done(Box<OperatorCommand>),
}

/// Reads a call.
pub(super) fn asked(call: Call) -> Result<Asked, Status> {
    let kind = call.r#type();
    let missing = |part: &str| Err(Status::invalid_argument(format!("{part}: is missing; set it")));
    match kind {
        Type::GetMetrics if call.get_metrics.is_none() => missing("get_metrics"),
        Type::ListFiles if call.list_files.is_none() => missing("list_files"),
        Type::ReadFile if call.read_file.is_none() => missing("read_file"),
        Type::ListFiles | Type::ReadFile => {
            Err(Status::not_found("this master has no files; it logs to its standard error"))
        }
        Type::Unknown => Err(Status::unimplemented(
            "type is missing or not known to this master; set it, for example GET_AGENTS",
        )),
        _ => Ok(match commands::command(kind, call)? {
            Some(command) => Asked::Done(Box::new(command)),
            None => Asked::Shown(kind),
        }),
    }
}

impl Operators {
    pub(super) fn new(handle: Handle, clock: Clock, answers: Answers, stop: watch::Receiver<bool>) -> Self {
        Self { handle, clock, answers, watchers: Watchers::default(), stop }
    }

    /// Carries out a command; `room`: what it takes until then.
    pub(super) async fn done(&self, command: OperatorCommand, room: Option<Room>) -> Result<(), Status> {
        self.handle.command(command, room).await.map_err(|refusal| status(refusal, ""))
    }

    /// Shows what is asked for, as `finish` makes it of the answer, and the place that it has.
    pub(super) async fn shown<T: Send + 'static>(
        &self,
        kind: Type,
        finish: impl FnOnce(Response) -> T + Send + 'static,
    ) -> Result<(T, Option<Place>), Status> {
        let known = match kind {
            Type::GetHealth => Some(views::health()),
            Type::GetVersion => Some(views::version()),
            Type::GetLoggingLevel => Some(views::logging_level()),
            _ => None,
        };
        if let Some(answer) = known {
            return Ok((finish(answer), None));
        }
        if kind == Type::GetMetrics {
            let figures = metrics_snapshot::all(&self.handle, self.clock, &self.answers).await?;
            return Ok((finish(views::metrics(figures)), None));
        }
        let Some(view) = view(kind) else {
            let message = format!("this master does not serve {} yet", kind.as_str_name());
            return Err(Status::unimplemented(message));
        };
        let made = self.answers.of_picture(&self.handle, move |snapshot| finish(view(snapshot)));
        let (made, place) = made.await?;
        Ok((made, Some(place)))
    }

    /// Everything as it stands, and every change after it, until the master stops.
    pub(super) async fn events(
        &self,
    ) -> Result<(Arc<Snapshot>, impl Stream<Item = Result<Event, Status>> + Send + use<>), Status> {
        let (snapshot, changes) = self.handle.watch().await.map_err(stopped)?;
        let (mut stop, lost) = (self.stop.clone(), self.watchers.add());
        let ended = async move {
            tokio::select! {
                // The master stops, or another watches in its place.
                _ = stop.wait_for(|stop| *stop) => {}
                _ = lost => {}
            }
        };
        let changes = stream::unfold(Some(Changes::new(changes)), Changes::next);
        Ok((snapshot, changes.take_until(Box::pin(ended))))
    }
}

/// How to show it; `None`: it cannot be.
fn view(kind: Type) -> Option<fn(&Snapshot) -> Response> {
    Some(match kind {
        Type::GetFlags => views::flags,
        Type::GetExecutors => views::executors,
        Type::GetMaster => views::master,
        Type::GetAgents => views::agents,
        Type::GetFrameworks => views::frameworks,
        Type::GetTasks => views::tasks,
        Type::GetRoles => views::roles,
        Type::GetState => views::state,
        Type::GetWeights => views::weights,
        Type::GetQuota => views::quotas,
        Type::GetOperations => views::operations,
        Type::GetMaintenanceSchedule => views::maintenance_schedule,
        Type::GetMaintenanceStatus => views::maintenance_status,
        _ => return None,
    })
}

/// What one who watches is told after the first picture.
struct Changes {
    news: News,
    /// Signs of life, however much else is told.
    beats: Interval,
}

/// The changes, one by one.
struct News {
    changes: broadcast::Receiver<ClusterEvent>,
    /// Several that came at once, and how many of them are told.
    several: Option<(Arc<[ClusterEvent]>, usize)>,
}

impl Changes {
    fn new(changes: broadcast::Receiver<ClusterEvent>) -> Self {
        let mut beats = tokio::time::interval_at(Instant::now() + views::HEARTBEAT, views::HEARTBEAT);
        // One who was slow to read needs no more of them.
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { news: News { changes, several: None }, beats }
    }

    /// The next change as an event. One who falls behind is told so and cut off: after a gap, what it believes
    /// would be wrong.
    async fn next(changes: Option<Self>) -> Option<(Result<Event, Status>, Option<Self>)> {
        let mut all = changes?;
        let change = tokio::select! {
            _ = all.beats.tick() => return Some((Ok(views::heartbeat()), Some(all))),
            change = all.news.next() => change,
        };
        match change {
            Ok(change) => Some((Ok(views::event(change)), Some(all))),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                let message =
                    format!("{missed} events were missed: read faster; subscribe again for a new snapshot");
                Some((Err(Status::resource_exhausted(message)), None))
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl News {
    /// To stop waiting for it loses none.
    async fn next(&mut self) -> Result<ClusterEvent, broadcast::error::RecvError> {
        loop {
            if let Some((several, told)) = &mut self.several {
                if let Some(change) = several.get(*told) {
                    *told += 1;
                    return Ok(change.clone());
                }
                self.several = None;
            }
            match self.changes.recv().await? {
                ClusterEvent::Several(several) => self.several = Some((several, 0)),
                change => return Ok(change),
            }
        }
    }
}

impl From<Unanswered> for Status {
    fn from(unanswered: Unanswered) -> Self {
        Self::unavailable(unanswered.to_string())
    }
}

/// A refusal about this field of the call; it may name one within.
pub(super) fn status(refusal: Refusal, field: &str) -> Status {
    let message = match &refusal.field {
        Some(path) if field.is_empty() => format!("{path}: {}", refusal.message),
        Some(path) => format!("{field}.{path}: {}", refusal.message),
        None => refusal.message.clone(),
    };
    match refusal.code {
        RefusalCode::InvalidArgument => Status::invalid_argument(message),
        RefusalCode::NotFound => Status::not_found(message),
        RefusalCode::Conflict | RefusalCode::NotSubscribed => Status::failed_precondition(message),
        RefusalCode::RateLimited => Status::resource_exhausted(message),
        RefusalCode::NotLeader => Status::unavailable(message),
        RefusalCode::Unsupported => Status::unimplemented(message),
    }
}

/// What is answered once the master has stopped.
pub(super) fn stopped(_: crate::handle::Stopped) -> Status {
    Status::unavailable("the master has stopped; try again, or another master")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lonja_model::AgentId;
    use lonja_proto::mesos::master::event;

    use super::*;

    fn removed(number: usize) -> ClusterEvent {
        ClusterEvent::AgentRemoved(AgentId::new(format!("agent-{number}")).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_come_however_much_else_is_told() {
        let (sender, changes) = broadcast::channel(16);
        let mut events = Box::pin(stream::unfold(Some(Changes::new(changes)), Changes::next));
        let mut beats = 0;
        for number in 0..60 {
            sender.send(removed(number)).unwrap();
            tokio::time::advance(Duration::from_secs(1)).await;
            let mut kind = event::Type::Heartbeat;
            while kind == event::Type::Heartbeat {
                kind = events.next().await.unwrap().unwrap().r#type();
                beats += u32::from(kind == event::Type::Heartbeat);
            }
        }
        assert!((3..=4).contains(&beats), "{beats} in a minute");
    }

    #[tokio::test]
    async fn what_one_step_changed_is_told_one_by_one_and_takes_one_place() {
        let (sender, changes) = broadcast::channel(2);
        let mut events = Box::pin(stream::unfold(Some(Changes::new(changes)), Changes::next));
        sender.send(ClusterEvent::Several((0..1_000).map(removed).collect())).unwrap();
        sender.send(removed(1_000)).unwrap();
        for number in 0..=1_000 {
            let event = events.next().await.unwrap().unwrap();
            let id = event.agent_removed.unwrap().agent_id.value;
            assert_eq!(id, format!("agent-{number}"));
        }
    }
}
