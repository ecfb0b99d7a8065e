//! Custom executors, each a process in its container with a memory of its own: it remembers tasks and what was not
//! confirmed, over lost connections and deaths of the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use lonja_model::execution::{Call, Event as Said};
use lonja_model::framework::Capability;
use lonja_model::link::ToAgent;
use lonja_model::role::Role;
use lonja_model::task::Source;
use lonja_model::{ContainerId, ExecutorId, FrameworkId, TaskId, TaskInfo, TaskState, TaskStatus, UpdateId};

use super::Mishap;
use super::folders::needs;
use super::world::{World, framework_name, key, pick};
use crate::company::ExecutorPlace;
use crate::effects::ExecutorOrder;
use crate::fixture::*;
use crate::{Agent, Event};

/// One executor's process.
#[derive(Debug)]
struct Player {
    framework: FrameworkId,
    connection: Option<u64>,
    /// Its connection is dead, and neither it nor the agent knows.
    is_deaf: bool,
    /// What it was given, and where that stands.
    tasks: BTreeMap<TaskId, TaskState>,
    /// Those of which nothing was confirmed.
    unacknowledged: BTreeSet<TaskId>,
    /// What was not confirmed, oldest first.
    updates: Vec<TaskStatus>,
    kills: BTreeSet<TaskId>,
}

/// All of them, by their containers.
#[derive(Debug, Default)]
pub(super) struct Customs {
    players: BTreeMap<ContainerId, Player>,
    connections: u64,
    said: u64,
}

impl Customs {
    pub(super) fn launched(&mut self, container: ContainerId, framework: FrameworkId) {
        let player = Player {
            framework,
            connection: None,
            is_deaf: false,
            tasks: BTreeMap::new(),
            unacknowledged: BTreeSet::new(),
            updates: Vec::new(),
            kills: BTreeSet::new(),
        };
        self.players.insert(container, player);
    }

    /// Is it the container of one?
    pub(super) fn has(&self, container: &ContainerId) -> bool {
        self.players.contains_key(container)
    }

    pub(super) fn agent_died(&mut self) {
        for player in self.players.values_mut() {
            player.connection = None;
        }
    }

    /// What the agent has for executors.
    pub(super) fn hear(&mut self, orders: Vec<ExecutorOrder>) {
        for order in orders {
            match order {
                ExecutorOrder::HangUp { container, connection, why: _ } => {
                    if let Some(player) = self.players.get_mut(&container)
                        && player.connection == Some(connection)
                    {
                        player.connection = None;
                    }
                }
                ExecutorOrder::Say { container, connection, event } => {
                    let player = self.players.get_mut(&container).expect("somebody is spoken to");
                    if player.connection == Some(connection) && !player.is_deaf {
                        player.hear(*event);
                    }
                }
            }
        }
    }

    /// Whoever is known to run and hears the agent has what it is to have, and knows what it is to end.
    pub(super) fn check(&self, agent: &Agent) {
        for (key, executor) in agent.book.company.iter().filter(|(_, executor)| executor.is_open()) {
            let Some(player) = self.players.get(&executor.record.container) else { continue };
            let subscribed = executor.place.pid().and(executor.place.connection());
            if subscribed.is_none() || player.connection != subscribed || player.is_deaf {
                continue;
            }
            for task_key in agent.book.company.tasks_of(key) {
                let Some(task) = agent.book.get(&task_key).filter(|task| task.place.is_in_executor()) else {
                    continue;
                };
                assert!(player.tasks.contains_key(&task_key.1), "task {} was not given", task_key.1);
                let told = task.record.killing.is_none() || player.kills.contains(&task_key.1);
                assert!(told, "the kill of {} is lost", task_key.1);
            }
            assert_ne!(executor.place, ExecutorPlace::Ended);
        }
    }
}

impl Player {
    fn hear(&mut self, event: Said) {
        match event {
            Said::Launch(task) => self.take(*task),
            Said::LaunchGroup(tasks) => tasks.into_iter().for_each(|task| self.take(task)),
            Said::Kill { task, grace: _ } => {
                self.kills.insert(task);
            }
            Said::Acknowledged { task, update } => {
                self.updates.retain(|status| status.update != Some(update));
                self.unacknowledged.remove(&task);
            }
            Said::Subscribed(_) | Said::Message(_) | Said::Error(_) | Said::Shutdown | Said::Heartbeat => {}
        }
    }

    fn take(&mut self, task: TaskInfo) {
        let before = self.tasks.insert(task.id.clone(), TaskState::Staging);
        assert_eq!(before, None, "task {} is given twice", task.id);
        self.unacknowledged.insert(task.id);
    }
}

impl World {
    pub(super) fn run_custom(
        &mut self,
        (framework, executor): (u8, u8),
        tasks: Range<u8>,
        which: u8,
        as_group: bool,
        mishap: Mishap,
    ) {
        let keys: Vec<_> = tasks.map(|task| key(framework, 16 + task)).collect();
        if self.is_shut_down(framework) || !self.is_registered() || keys.iter().any(|key| self.is_over(key)) {
            return;
        }
        let id = ExecutorId::new(format!("own{executor}")).unwrap();
        let command = task_info("x", "").command;
        let info = lonja_model::executor::ExecutorInfo::custom(id.clone(), command, resources("cpus:0.5"));
        let whose = framework_id(&framework_name(framework));
        let task = |(index, key): (usize, &crate::book::Key)| TaskInfo {
            resources: needs(which.wrapping_add(u8::try_from(index).unwrap())),
            executor: Some(Box::new(info.clone())),
            ..task_info(key.1.as_str(), "")
        };
        let capabilities: &[_] = if framework == 0 { &[Capability::TaskKillingState] } else { &[] };
        let starts_executor = self.charged.charge((whose.clone(), id));
        let message = ToAgent::RunInExecutor {
            framework: whose,
            info: Box::new(framework_info(capabilities)),
            role: Role::new("eng").unwrap(),
            tasks: keys.iter().enumerate().map(task).collect(),
            starts_executor,
            as_group,
        };
        self.receive(message, mishap);
    }

    /// The containers of executors whose program runs.
    fn living_players(&self) -> Vec<ContainerId> {
        let alive = |name: &&ContainerId| self.containers.get(*name).is_some_and(|one| one.is_alive());
        self.customs.players.keys().filter(alive).cloned().collect()
    }

    pub(super) fn subscribe(&mut self, which: u8, mishap: Mishap) {
        let Some(container) = pick(&self.living_players(), which) else { return };
        self.customs.connections += 1;
        let connection = self.customs.connections;
        let Some(player) = self.customs.players.get_mut(&container) else { return };
        (player.connection, player.is_deaf) = (Some(connection), false);
        let call = Box::new(Call::Subscribe {
            unacknowledged_tasks: player.unacknowledged.iter().map(|id| task_info(id.as_str(), "")).collect(),
            unacknowledged_updates: player.updates.clone(),
        });
        self.happen(Event::ExecutorCalled { container, connection, call }, mishap);
    }

    pub(super) fn disconnect(&mut self, which: u8, mishap: Mishap) {
        let Some(container) = pick(&self.living_players(), which) else { return };
        let Some(player) = self.customs.players.get_mut(&container) else { return };
        if let Some(connection) = player.connection.take() {
            self.happen(Event::ExecutorLeft { container, connection }, mishap);
        }
    }

    pub(super) fn go_deaf(&mut self, which: u8) {
        let Some(container) = pick(&self.living_players(), which) else { return };
        if let Some(player) = self.customs.players.get_mut(&container) {
            player.is_deaf = true;
        }
    }

    /// An executor says something of a task: mostly what may follow, now and then nonsense.
    pub(super) fn report(&mut self, which: u8, task: u8, what: u8, mishap: Mishap) {
        let Some(container) = pick(&self.living_players(), which) else { return };
        self.customs.said += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.customs.said.to_be_bytes());
        let now = self.now;
        let Some(player) = self.customs.players.get_mut(&container) else { return };
        let tasks: Vec<TaskId> = player.tasks.keys().cloned().collect();
        let stranger = (what % 16 == 15).then(|| task_id("t1"));
        let Some(task) = stranger.or_else(|| pick(&tasks, task)) else { return };
        let state = match what % 8 {
            0 => TaskState::Starting,
            1 | 2 => TaskState::Running,
            3 => TaskState::Killing,
            4 => TaskState::Finished,
            5 => TaskState::Failed,
            6 => TaskState::Killed,
            _ => TaskState::Staging,
        };
        let makes_sense = player.tasks.get(&task).is_some_and(|known| known.may_become(state));
        let says = TaskStatus {
            update: Some(UpdateId(id)),
            ..TaskStatus::new(task.clone(), state, Source::Executor, now)
        };
        if makes_sense {
            player.tasks.insert(task, state);
            player.updates.push(says.clone());
        }
        let Some(connection) = player.connection.filter(|_| !player.is_deaf) else { return };
        let call = Box::new(Call::Update(Box::new(says)));
        assert!(!player.framework.as_str().is_empty());
        self.happen(Event::ExecutorCalled { container, connection, call }, mishap);
    }
}
