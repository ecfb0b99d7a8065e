//! What is written down, and under which key.

use std::collections::BTreeMap;

use lonja_sdk_core::Change as StoredChange;

use super::Services;
use crate::definition::RunSpec;
use crate::deployment::{Deployment, DeploymentId, RolloutState};
use crate::instance::{Condition, InstanceId};
use crate::kept::{Kept, KeptDeployment, KeptInstance, KeptPlan, KeptRollout};
use crate::path_id::PathId;

impl Services {
    pub(super) fn keep(&mut self, key: String, kept: &Kept) {
        let value = self.codec.write(kept);
        self.changes.insert(key.clone(), StoredChange::put(key, value));
    }

    pub(super) fn forget(&mut self, key: String) {
        self.changes.insert(key.clone(), StoredChange::remove(key));
    }

    /// What is wanted of one, and its versions but those that are no longer remembered.
    pub(super) fn keep_spec(&mut self, id: &PathId) {
        let Some(service) = self.services.get_mut(id) else { return };
        let (spec, version) = (service.spec.clone(), service.spec.version().version);
        service.versions.insert(version, spec.clone());
        let deployed = service.deployment.as_ref().and_then(|one| self.deployments.get(one));
        let original = deployed.and_then(|one| one.plan.original.get(id)?.as_ref());
        let in_use: Vec<_> = service
            .instances
            .values()
            .map(|one| &one.spec)
            .chain(original)
            .map(|one| one.version().version)
            .collect();
        let surplus = service.versions.len().saturating_sub(self.config.max_versions.max(1));
        let old: Vec<_> = service
            .versions
            .keys()
            .filter(|one| **one != version && !in_use.contains(one))
            .take(surplus)
            .copied()
            .collect();
        for one in &old {
            service.versions.remove(one);
        }
        for one in old {
            self.forget(format!("version{id}/{}", one.0));
        }
        self.keep(format!("spec{id}"), &Kept::Spec(spec.clone()));
        self.keep(format!("version{id}/{}", version.0), &Kept::Spec(spec));
    }

    /// What is wanted of one is forgotten, with all its versions.
    pub(super) fn forget_spec(&mut self, id: &PathId) {
        let versions: Vec<_> = self.of(id).into_iter().flat_map(|one| one.versions.keys().copied()).collect();
        self.forget(format!("spec{id}"));
        for version in versions {
            self.forget(format!("version{id}/{}", version.0));
        }
        self.forget(format!("failure{id}"));
    }

    pub(super) fn keep_group(&mut self, id: &PathId) {
        match self.groups.get(id).cloned() {
            Some(group) => self.keep(format!("group{id}"), &Kept::Group(group)),
            None => self.forget(format!("group{id}")),
        }
    }

    /// One that never had a place is made anew as it is needed, so it is not kept.
    pub(super) fn keep_instance(&mut self, id: &InstanceId) {
        let Some(owner) = self.owners.get(id).cloned() else { return };
        let Some(instance) = self.of(&owner).and_then(|service| service.instances.get(id)) else {
            return;
        };
        if instance.condition == Condition::Scheduled && instance.incarnation == 0 {
            return;
        }
        let kept = KeptInstance {
            id: id.clone(),
            spec: owner,
            version: instance.spec.version().version,
            goal: instance.goal,
            incarnation: instance.incarnation,
            launched: instance.is_active(),
            staged_at: instance.tasks.first().map(|task| task.staged_at).unwrap_or_default(),
            started_at: instance.started_at(),
            place: instance.place.clone(),
            settled: instance.settled,
            hidden: instance.hidden,
        };
        self.keep(format!("instance/{id}"), &Kept::Instance(kept));
    }

    pub(super) fn forget_kept_instance(&mut self, id: &InstanceId) {
        self.forget(format!("instance/{id}"));
    }

    pub(super) fn keep_deployment(&mut self, id: &DeploymentId) {
        let Some(deployment) = self.deployments.get(id) else { return };
        let Deployment { id, plan, began, step, reverts, rollouts, .. } = deployment;
        let versions = |specs: &BTreeMap<PathId, Option<RunSpec>>| {
            let version = |spec: &Option<RunSpec>| spec.as_ref().map(|spec| spec.version().version);
            specs.iter().map(|(id, spec)| (id.clone(), version(spec))).collect()
        };
        let rollout = |state: &RolloutState| KeptRollout {
            strategy: state.strategy.clone(),
            phase: state.phase,
            promoted: state.promoted,
        };
        let kept = KeptDeployment {
            id: id.clone(),
            plan: KeptPlan {
                version: plan.version,
                steps: plan.steps.clone(),
                original: versions(&plan.original),
                target: versions(&plan.target),
                original_groups: plan.original_groups.clone(),
                target_groups: plan.target_groups.clone(),
            },
            began: *began,
            step: *step,
            reverts: reverts.clone(),
            rollouts: rollouts.iter().map(|(id, state)| (id.clone(), rollout(state))).collect(),
        };
        self.keep(format!("deployment/{id}"), &Kept::Deployment(Box::new(kept)));
    }

    pub(super) fn forget_deployment(&mut self, id: &DeploymentId) {
        self.forget(format!("deployment/{id}"));
    }
}
