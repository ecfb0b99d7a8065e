//! Service ports: a number for balancers, given where none was named.
//!
//! Invariants
//! - A port that is given is in nobody's definition, before or after the change, but the app's own.
//!
//! Source: Marathon's service ports. Numbers that people name are not compared with those of others.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::draft::Draft;
use super::tree::Tree;
use crate::command::Refused;
use crate::config::Config;
use crate::definition::{App, RunSpec};

/// Gives each port 0 one of the app's former ports, else the lowest that is free. Errors: none is.
/// O(ports asked for, and the range once).
pub(super) fn assign(draft: &mut Draft<'_>, config: &Config) -> Result<(), Refused> {
    let tree = draft.tree();
    let named: BTreeSet<u16> =
        draft.specs().filter_map(|(_, spec)| spec).flat_map(RunSpec::service_ports).collect();
    let mut free = (config.local_port_min..=config.local_port_max)
        .filter(|port| !named.contains(port) && !tree.service_port_taken(*port));
    for (id, spec) in draft.specs_mut() {
        let RunSpec::App(app) = spec else { continue };
        let wanted = app.service_ports();
        if !wanted.contains(&0) {
            continue;
        }
        let range = config.local_port_min..=config.local_port_max;
        let mut former = Tree::spec(tree, id).map(RunSpec::service_ports).unwrap_or_default();
        former.retain(|port| range.contains(port) && !named.contains(port));
        let mut source = former.into_iter().chain(free.by_ref());
        let mut given = Vec::with_capacity(wanted.len());
        for port in wanted {
            let port = if port == 0 { source.next() } else { Some(port) };
            let none_free = || Refused::NoServicePort(config.local_port_min, config.local_port_max);
            given.push(port.ok_or_else(none_free)?);
        }
        set(app, given);
    }
    Ok(())
}

fn set(app: &mut Arc<App>, ports: Vec<u16>) {
    let app = Arc::make_mut(app);
    match app.container.as_mut().and_then(|container| container.port_mappings.as_mut()) {
        Some(mappings) => {
            mappings.iter_mut().zip(ports).for_each(|(mapping, port)| mapping.service_port = port);
        }
        None => {
            let definitions = app.port_definitions.iter_mut().flatten();
            definitions.zip(ports).for_each(|(definition, port)| definition.port = port);
        }
    }
}
