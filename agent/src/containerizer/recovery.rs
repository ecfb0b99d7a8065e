//! Finding containers again after the agent was away.
//!
//! What runs is judged by its `owner` record alone: pid, start time and boot. A container that no
//! supervisor has claimed is abandoned first, so that a late supervisor finds it taken; a container
//! that nobody asks for is destroyed, and so are the spares of launchers before ours. Other instances' containers are never looked at.
//!
//! Source: docs/invariants.md, INV-29; docs/design.md, D6.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

use super::linux::LinuxContainerizer;
use super::running::{Found, Supervisor};
use super::{ContainerExit, ContainerId, ContainerizerError, Recovered, Recovery};
use crate::isolation::GroupName;
use crate::supervisor::{StartedRecord, sharing, since_boot_ms};

impl LinuxContainerizer {
    pub(super) async fn find_again(&self, expected: &[ContainerId]) -> Result<Recovery, ContainerizerError> {
        let mut recovery = Recovery::default();
        for container in expected {
            let state = self.find_one(container).await?;
            if let (Recovered::Running { .. }, Some(age)) = (&state, self.age(container)) {
                recovery.ages.insert(container.clone(), age);
            }
            recovery.containers.push((container.clone(), state));
        }
        for stray in self.strays(expected)? {
            self.destroy_stray(&stray).await?;
            recovery.destroyed.push(stray);
        }
        self.destroy_leftover_spares(expected).await?;
        self.sweep_groups();
        Ok(recovery)
    }

    async fn find_one(&self, container: &ContainerId) -> Result<Recovered, ContainerizerError> {
        Ok(match self.find_or_abandon(container.as_str())? {
            Found::NoDirectory => {
                self.destroy_group(container.as_str()).await?;
                Recovered::NeverStarted
            }
            Found::Unclaimed | Found::Abandoned => Recovered::NeverStarted,
            Found::Supervised(Some(supervisor)) if supervisor.is_alive() => {
                // Remembers it for `wait` and `kill`.
                self.supervisor(container)?;
                Recovered::Running { pid: self.started_pid(container) }
            }
            Found::Supervised(_) | Found::OtherBoot => match self.read_end(container).await? {
                ContainerExit::NeverStarted => Recovered::NeverStarted,
                exit => Recovered::Exited(exit),
            },
        })
    }

    fn started_pid(&self, container: &ContainerId) -> Option<i32> {
        self.started(container).map(|record| record.pid)
    }

    /// How long the task has been running.
    fn age(&self, container: &ContainerId) -> Option<Duration> {
        let started = self.started(container)?.since_boot_ms?;
        Some(Duration::from_millis(since_boot_ms().ok()?.saturating_sub(started)))
    }

    fn started(&self, container: &ContainerId) -> Option<StartedRecord> {
        let path = self.run_dir(container.as_str()).join(StartedRecord::FILE);
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Containers with a run directory or a control group of ours that are not expected.
    fn strays(&self, expected: &[ContainerId]) -> Result<BTreeSet<String>, ContainerizerError> {
        let refuse = |error: io::Error| ContainerizerError::RunDirectory {
            what: "list the run directories",
            container: "any".to_owned(),
            source: error.into(),
        };
        let groups = self.groups()?.into_iter();
        let mut found: BTreeSet<String> =
            groups.filter(|group| !group.is_spare()).map(|group| group.to_string()).collect();
        for entry in fs::read_dir(&self.run_root).map_err(refuse)? {
            if let Ok(name) = entry.map_err(refuse)?.file_name().into_string() {
                found.insert(name);
            }
        }
        for container in expected {
            found.remove(container.as_str());
        }
        Ok(found)
    }

    fn groups(&self) -> Result<BTreeSet<GroupName>, ContainerizerError> {
        self.layout.groups(&self.instance).map_err(|source| ContainerizerError::Destroy {
            container: "any".to_owned(),
            source: Box::new(source),
        })
    }

    /// Removes the groups of an earlier launcher's spares that no container in a run directory uses.
    ///
    /// By now every run directory has its owner for ever, so none of them is about to be used.
    async fn destroy_leftover_spares(&self, expected: &[ContainerId]) -> Result<(), ContainerizerError> {
        let used: BTreeSet<GroupName> =
            expected.iter().filter_map(|container| self.group_of(container.as_str())).collect();
        for group in self.groups()? {
            let ours = group.is_spare_of(&self.launcher_name);
            if group.is_spare() && !ours && !used.contains(&group) {
                self.destroy_group(group.as_str()).await?;
            }
        }
        Ok(())
    }

    /// Removes what killed supervisors have left of their groups.
    pub(super) fn sweep_groups(&self) {
        if let Some(work_dir) = self.run_root.parent() {
            sharing::sweep(work_dir);
        }
    }

    async fn destroy_stray(&self, stray: &str) -> Result<(), ContainerizerError> {
        if let Ok(Found::Supervised(Some(supervisor))) = self.find_or_abandon(stray) {
            self.end_supervisor(stray, &supervisor).await?;
        }
        self.destroy_group(stray).await?;
        self.remove_run_dir(stray)
    }

    async fn end_supervisor(&self, stray: &str, supervisor: &Supervisor) -> Result<(), ContainerizerError> {
        let refuse = |error: io::Error| ContainerizerError::RunDirectory {
            what: "end the supervisor",
            container: stray.to_owned(),
            source: error.into(),
        };
        supervisor.request_kill(Some(Duration::ZERO)).map_err(refuse)?;
        supervisor.ended().await.map_err(refuse)
    }
}
