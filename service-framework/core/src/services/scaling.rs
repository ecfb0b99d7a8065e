//! The number of instances follows what they do.

use std::sync::Arc;

use lonja_model::Timestamp;

use super::Services;
use crate::autoscale::Autoscaler;
use crate::command::{Change, ChangeOptions};
use crate::definition::RunSpec;
use crate::path_id::PathId;

impl Services {
    /// An app was measured. Its number of instances follows, unless something else is done to it.
    pub(super) fn used(&mut self, now: Timestamp, id: &PathId, value: f64) {
        let Some(service) = self.services.get(id).filter(|service| !service.removed) else { return };
        let RunSpec::App(app) = &service.spec else { return };
        let app = Arc::clone(app);
        let Some(rule) = &app.autoscale else {
            self.scalers.remove(id);
            return;
        };
        // What is measured while instances come and go says nothing of the number to come.
        if service.deployment.is_some() {
            return;
        }
        let scaler = self.scalers.entry(id.clone()).or_insert_with(|| Autoscaler::new(rule.clone()));
        if scaler.rule() != rule {
            scaler.set_rule(rule.clone());
        }
        let Some(wanted) = scaler.measured(now, value, app.instances) else { return };
        let spec = service.spec.with_instances(wanted);
        let change = Change { specs: [(id.clone(), Some(spec))].into(), ..Change::default() };
        // What is refused now is measured again.
        if self.change(now, change, &ChangeOptions::default(), None).is_ok()
            && let Some(scaler) = self.scalers.get_mut(id)
        {
            scaler.changed(now, wanted);
        }
    }
}
