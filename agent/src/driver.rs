//! The loop that owns the core: take all that is ready, handle it, commit once, then act.
//!
//! Launches, kills and clean-ups run beside the loop; their results come back as inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use lonja_agent_core::{Admitted, Agent, CallRefusal, Caller, Effects, Event, Recovery, VolumeOrder};
use lonja_model::checkpoint::Checkpoint;
use lonja_model::clock::Clock;
use lonja_model::execution::Call;
use lonja_model::link::FromAgent;
use lonja_model::{ContainerId, FrameworkId, TaskId, TaskState, Timestamp};
use tokio::sync::{mpsc, watch};

use crate::checkpoints::Checkpoints;
use crate::containers::{Containers, Launched};
use crate::counts::Counts;
use crate::disk;
use crate::groups;
use crate::handle::{Description, Handle, Heard, INBOX, Input, Question, TaskFiles, TaskLine};
use crate::master_link::MasterLink;
use crate::picture::{Picture, place_of};
use crate::volumes::Volumes;
use crate::{AgentError, failpoint};

/// Inputs handled with one commit, at most.
const BATCH: usize = 256;

/// Orders about volumes that wait for their disks, at most.
const VOLUME_ORDERS: usize = 4_096;

/// Owns the core, the checkpoints and the containers.
pub(crate) struct Driver {
    clock: Clock,
    started: Timestamp,
    agent: Agent,
    checkpoints: Checkpoints,
    containers: Arc<Containers>,
    /// What is to be done about volumes, for a worker that waits for disks so that nobody else does.
    volumes: mpsc::Sender<VolumeOrder>,
    inbox: mpsc::Receiver<Input>,
    handle: Handle,
    link: MasterLink,
    /// Where messages for the master go, and the number of the link.
    master: Option<(u64, mpsc::Sender<FromAgent>)>,
    /// The number of a link that was found broken while sending.
    broken: Option<u64>,
    /// For each container in use, whether it has ended.
    ended: BTreeMap<ContainerId, watch::Sender<bool>>,
}

impl Driver {
    pub(crate) fn new(
        clock: Clock,
        agent: Agent,
        checkpoints: Checkpoints,
        containers: Arc<Containers>,
        volumes: Volumes,
        master: String,
    ) -> (Handle, Self) {
        let (sender, inbox) = mpsc::channel(INBOX);
        let handle = Handle::new(sender);
        let link = MasterLink::new(master, handle.clone());
        let driver = Self {
            started: clock.now(),
            clock,
            agent,
            checkpoints,
            containers,
            volumes: work_on_volumes(volumes, handle.clone()),
            inbox,
            handle: handle.clone(),
            link,
            master: None,
            broken: None,
            ended: BTreeMap::new(),
        };
        (handle, driver)
    }

    /// Runs until asked to stop, until a commit fails, or until the master refuses the agent for good. In
    /// each case tasks run on.
    pub(crate) async fn run(
        mut self,
        checkpoint: Checkpoint,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), AgentError> {
        self.recover(checkpoint).await?;
        self.handle.recovered();
        self.link.connect();
        let mut inputs = Vec::with_capacity(BATCH);
        loop {
            let deadline = self.agent.next_deadline().map(|deadline| self.clock.instant(deadline).into());
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                taken = self.inbox.recv_many(&mut inputs, BATCH) => {
                    if taken == 0 {
                        return Ok(());
                    }
                }
                () = sleep_until(deadline) => {}
            }
            let mut effects = Effects::default();
            for input in inputs.drain(..) {
                if let Some(event) = self.event_of(input) {
                    effects.append(self.agent.handle(self.clock.now(), event));
                }
            }
            if self.agent.next_deadline().is_some_and(|deadline| deadline <= self.clock.now()) {
                effects.append(self.agent.handle(self.clock.now(), Event::Tick));
            }
            self.perform(effects).await?;
            if let Some(number) = self.broken.take()
                && let Some(event) = self.event_of(Input::LinkDown(number))
            {
                let effects = self.agent.handle(self.clock.now(), event);
                self.perform(effects).await?;
                self.link.connect();
            }
        }
    }

    /// Tells the core what it remembers and what is left of its containers.
    async fn recover(&mut self, checkpoint: Checkpoint) -> Result<(), AgentError> {
        let custom = checkpoint.executors.iter().filter(|(_, record)| record.info.is_custom());
        let custom = custom.map(|((framework, executor), record)| {
            (record.container.clone(), framework.clone(), groups::as_task(executor))
        });
        let expected: Vec<(ContainerId, FrameworkId, TaskId)> = checkpoint
            .tasks
            .iter()
            .filter(|(_, record)| !record.info.is_in_custom_executor())
            .map(|((framework, task), record)| (record.container.clone(), framework.clone(), task.clone()))
            .chain(custom)
            .collect();
        let shared: Vec<_> = checkpoint
            .executors
            .iter()
            .filter(|(_, record)| !record.info.is_custom())
            .map(|((framework, executor), record)| {
                (record.container.clone(), framework.clone(), executor.clone())
            })
            .collect();
        let limits: BTreeMap<ContainerId, Option<u64>> = checkpoint
            .tasks
            .values()
            .map(|record| (record.container.clone(), disk::limit_of(&record.info)))
            .collect();
        let containers = self.containers.recover(&expected, &shared, self.clock.now()).await?;
        if !expected.is_empty() {
            let running =
                containers.iter().filter(|(_, state)| matches!(state, Recovery::Running { .. })).count();
            tracing::info!(records = expected.len(), running, "containers recovered");
        }
        for (container, state) in &containers {
            let is_running = matches!(state, Recovery::Running { .. });
            self.ended.insert(container.clone(), watch::Sender::new(!is_running));
            if is_running {
                let limit = limits.get(container).copied().flatten();
                self.containers.watch_disk_of(container, limit);
                self.watch_end(container.clone());
            }
        }
        // Recovery may take long, and nobody could subscribe meanwhile: patience counts from here.
        let effects = self.agent.handle(self.clock.now(), Event::Recovered { checkpoint, containers });
        self.perform(effects).await
    }

    /// What an input means to the core; `None`: nothing.
    fn event_of(&mut self, input: Input) -> Option<Event> {
        let current = self.master.as_ref().map(|(number, _)| *number);
        match input {
            Input::LinkUp(number, sender) => {
                self.master = Some((number, sender));
                Some(Event::LinkUp)
            }
            Input::LinkDown(number) => (current == Some(number)).then(|| {
                self.master = None;
                Event::LinkDown
            }),
            Input::Received(number, message) => (current == Some(number)).then_some(Event::Received(message)),
            Input::Launched(container, Launched::Started { pid }) => {
                failpoint::reach("agent: start known");
                self.watch_end(container.clone());
                Some(Event::ContainerStarted { container, pid })
            }
            Input::Launched(container, Launched::Failed { reason, message }) => {
                self.mark_ended(&container);
                Some(Event::ContainerFailed { container, reason, message })
            }
            Input::Exited(container, exit) => {
                failpoint::reach("agent: end known");
                self.mark_ended(&container);
                Some(Event::ContainerExited { container, exit })
            }
            Input::CheckEnded { container, kind, number, result } => {
                Some(Event::CheckEnded { container, kind, number, result })
            }
            Input::VolumesMade(number, result) => Some(Event::VolumesMade { number, result }),
            Input::ExecutorCalled { container, connection, call } => {
                Some(Event::ExecutorCalled { container, connection, call })
            }
            Input::ExecutorSays { caller, call, answer } => {
                let (heard, event) = self.hear(&caller, call);
                let _left = answer.send(heard);
                event
            }
            Input::ExecutorLeft { container, connection } => {
                Some(Event::ExecutorLeft { container, connection })
            }
            Input::Asked(question) => {
                self.answer(question);
                None
            }
        }
    }

    /// Answers who asks. Whoever asked may have left.
    fn answer(&mut self, question: Question) {
        match question {
            Question::Executor(container, answer) => {
                self.agent.note_proof(&container);
                let known = self.agent.executor_in(&container).filter(|known| known.info().is_custom());
                let whose = known.map(|known| (known.framework().clone(), known.info().id.clone()));
                let _left = answer.send(whose);
            }
            Question::Find(framework, task, answer) => {
                let _left = answer.send(self.find(&framework, &task));
            }
            Question::InContainer(container, answer) => {
                let _left = answer.send(self.in_container(container));
            }
            Question::Picture(answer) => {
                let picture = Picture::of(&self.agent, &self.containers, self.started);
                let _left = answer.send(picture);
            }
            Question::Counts(answer) => {
                let _left = answer.send(Counts::of(&self.agent, self.started, self.clock.now()));
            }
            Question::Describe(answer) => {
                let _left = answer.send(self.describe());
            }
        }
    }

    /// What becomes of a call that came over no connection, and what it means to the core.
    fn hear(&mut self, caller: &Caller, call: Box<Call>) -> (Result<Heard, CallRefusal>, Option<Event>) {
        match (self.agent.admit(caller, &call), &*call) {
            (Err(refusal), _) => (Err(refusal), None),
            (Ok(Admitted { container, .. }), Call::Subscribe { .. }) => {
                (Ok(Heard::Subscribes(container, call)), None)
            }
            (Ok(Admitted { container, connection: Some(connection) }), _) => {
                let taken = Heard::Taken(container.clone());
                (Ok(taken), Some(Event::ExecutorCalled { container, connection, call }))
            }
            (Ok(Admitted { connection: None, .. }), _) => (Err(CallRefusal::NotSubscribed), None),
        }
    }

    async fn perform(&mut self, effects: Effects) -> Result<(), AgentError> {
        let Effects {
            persist,
            volumes,
            launch,
            kill,
            checks,
            forget,
            send,
            new_link: _,
            reconnect,
            shutdown,
            notes,
            cancel,
            resize,
            executors,
        } = effects;
        for note in notes {
            if note.is_warning() {
                tracing::warn!(%note, "agent");
            } else {
                tracing::debug!(%note, "agent");
            }
        }
        let changes = !persist.is_empty();
        if changes {
            failpoint::reach("agent: before the commit");
        }
        self.checkpoints.commit(persist).await?;
        if changes {
            failpoint::reach("agent: committed");
        }
        volumes.into_iter().for_each(|order| self.order(order));
        for order in launch {
            let (containers, handle) = (self.containers.clone(), self.handle.clone());
            self.ended.insert(order.container.clone(), watch::Sender::new(false));
            containers.announce(&order.container);
            let id = self.agent.id().cloned();
            failpoint::reach("agent: launch taken on");
            tokio::spawn(async move {
                let container = order.container.clone();
                let launched = containers.launch(order, id).await;
                // The agent has stopped: it finds the container when it starts again.
                let _stopped = handle.put(Input::Launched(container, launched)).await;
            });
        }
        cancel.iter().for_each(|container| self.containers.cancel(container));
        for order in kill {
            let containers = self.containers.clone();
            tokio::spawn(async move { containers.kill(&order.container, order.grace).await });
        }
        for order in checks {
            self.containers.look(order, self.handle.clone());
        }
        for container in forget {
            let containers = self.containers.clone();
            self.ended.remove(&container);
            tokio::spawn(async move { containers.forget(&container).await });
        }
        // An executor is to have room for what it is about to be given.
        resize.iter().for_each(|order| self.containers.resize(order));
        self.containers.executors().carry_out(executors);
        self.send(send);
        if reconnect {
            self.master = None;
            self.link.connect();
        }
        match shutdown {
            Some(reason) => Err(AgentError::Refused(reason)),
            None => Ok(()),
        }
    }

    /// Hands an order about volumes to the worker. Where too many wait already a new volume fails; what should go is
    /// found again at the next start.
    fn order(&self, order: VolumeOrder) {
        let Err(refused) = self.volumes.try_send(order) else { return };
        let order = refused.into_inner();
        tracing::error!(?order, "volumes: the disks do not keep up, and too many orders wait for them");
        if let VolumeOrder::Make { number, .. } = order {
            let handle = self.handle.clone();
            let result = Err(format!("{VOLUME_ORDERS} orders wait for this agent's disks already"));
            tokio::spawn(async move { handle.put(Input::VolumesMade(number, result)).await });
        }
    }

    /// A master that does not keep up is left, and found again with everything told anew.
    fn send(&mut self, messages: Vec<FromAgent>) {
        let Some((number, sender)) = &self.master else { return };
        for message in messages {
            if sender.try_send(message).is_err() {
                tracing::warn!("the master does not keep up, or the link broke: connecting anew");
                self.broken = Some(*number);
                return;
            }
        }
    }

    fn watch_end(&self, container: ContainerId) {
        let (containers, handle) = (self.containers.clone(), self.handle.clone());
        tokio::spawn(async move {
            let exit = containers.wait(&container).await;
            // The agent has stopped: it learns of the end when it starts again.
            let _stopped = handle.put(Input::Exited(container, exit)).await;
        });
    }

    fn mark_ended(&self, container: &ContainerId) {
        if let Some(ended) = self.ended.get(container) {
            ended.send_replace(true);
        }
    }

    fn find(&self, framework: &FrameworkId, task: &TaskId) -> Option<TaskFiles> {
        let known = self.agent.task(framework, task);
        let container = known.as_ref().map(|task| task.container());
        let executor = known.filter(|task| task.info().is_in_custom_executor());
        let executor = executor.and_then(|task| task.info().executor_id()).map(groups::as_task);
        let sandbox = self.containers.sandbox(framework, executor.as_ref().unwrap_or(task), container)?;
        let ended = match container.and_then(|container| self.ended.get(container)) {
            Some(ended) => ended.subscribe(),
            None => watch::channel(true).1,
        };
        Some(TaskFiles { sandbox, container: container.cloned(), ended })
    }

    fn in_container(&self, container: ContainerId) -> Option<TaskFiles> {
        let executor = self.agent.executor_in(&container).filter(|executor| executor.info().is_custom());
        let executor =
            executor.map(|executor| (executor.framework().clone(), groups::as_task(&executor.info().id)));
        let task = || {
            let task = self.agent.tasks().find(|task| *task.container() == container)?;
            Some((task.framework().clone(), task.id().clone()))
        };
        let (framework, task) = executor.or_else(task)?;
        let sandbox = self.containers.path(&framework, &task, &container);
        let ended = self.ended.get(&container)?.subscribe();
        Some(TaskFiles { sandbox, container: Some(container), ended })
    }

    fn describe(&self) -> Description {
        let tasks = self.agent.tasks().map(|task| TaskLine {
            framework: task.framework().clone(),
            task: task.id().clone(),
            state: task.state(),
            container: task.container().clone(),
            pid: task.pid(),
            name: task.info().name.clone(),
            resources: task.info().resources.clone(),
            sandbox: self.containers.path(task.framework(), &place_of(task.info()), task.container()),
        });
        let custom = self.agent.executors().filter(|executor| executor.info().is_custom());
        let executors = custom.map(|executor| {
            let task = groups::as_task(&executor.info().id);
            TaskLine {
                framework: executor.framework().clone(),
                state: TaskState::Running,
                container: executor.container().clone(),
                pid: executor.pid(),
                name: executor.info().name.clone().unwrap_or_else(|| task.to_string()),
                resources: executor.info().resources.clone(),
                sandbox: self.containers.path(executor.framework(), &task, executor.container()),
                task,
            }
        });
        Description {
            id: self.agent.id().cloned(),
            info: self.agent.info().clone(),
            total: self.agent.total().clone(),
            operations: self.agent.operations().cloned().collect(),
            registered: self.agent.is_registered(),
            tasks: tasks.collect(),
            executors: executors.collect(),
            instance: self.containers.instance().to_owned(),
        }
    }
}

/// Carries out orders about volumes, one after the other.
fn work_on_volumes(volumes: Volumes, handle: Handle) -> mpsc::Sender<VolumeOrder> {
    let (sender, mut orders) = mpsc::channel(VOLUME_ORDERS);
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            let volumes = volumes.clone();
            let worked = tokio::task::spawn_blocking(move || volumes.carry_out(&order)).await;
            if let Ok(Some((number, result))) = worked
                && handle.put(Input::VolumesMade(number, result)).await.is_err()
            {
                // The agent has stopped: what is half done is found when it starts again.
                return;
            }
        }
    });
    sender
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
