//! Why somebody gets what it gets: the allocator's words, with names that people know.
//!
//! Asking changes nothing. What is asked about is a framework, by its id or its name, or a role.

pub use lonja_allocator::{ClientExplanation, Obstacle, RoleExplanation};
use lonja_model::{FrameworkId, Role, Timestamp};

use crate::{Master, State};

/// What can be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A framework.
    Framework(FrameworkId),
    /// A role.
    Role(Role),
    /// A framework by its id, else a framework by its name if only one has it, else a role.
    Named(String),
}

/// How the subject stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The role, if that was asked about. Its frameworks are in `clients`.
    pub role: Option<RoleExplanation>,
    /// Each framework in a role, with the framework's name.
    pub clients: Vec<(String, ClientExplanation)>,
}

impl Master {
    /// How the subject stands at this moment; `None`: nobody has heard of it. O(agents × what is asked about).
    pub fn explain(&self, now: Timestamp, subject: &Subject) -> Option<Explanation> {
        let state = &self.state;
        match subject {
            Subject::Framework(framework) => of_framework(state, now, framework),
            Subject::Role(role) => of_role(state, now, role),
            Subject::Named(name) => {
                let framework = named_framework(state, name);
                let found = framework.and_then(|framework| of_framework(state, now, &framework));
                found.or_else(|| of_role(state, now, &Role::new(name).ok()?))
            }
        }
    }
}

fn named_framework(state: &State, name: &str) -> Option<FrameworkId> {
    if let Some((id, _)) = state.frameworks.iter().find(|(id, _)| id.as_str() == name) {
        return Some(id.clone());
    }
    let mut called = state.frameworks.iter().filter(|(_, known)| known.info.name == name);
    let first = called.next()?.0.clone();
    called.next().is_none().then_some(first)
}

fn of_framework(state: &State, now: Timestamp, framework: &FrameworkId) -> Option<Explanation> {
    let explained = state.allocator.explain_framework(now, framework)?;
    Some(Explanation { role: None, clients: with_names(state, explained.roles) })
}

fn of_role(state: &State, now: Timestamp, role: &Role) -> Option<Explanation> {
    let mut explained = state.allocator.explain_role(now, role)?;
    let clients = with_names(state, std::mem::take(&mut explained.frameworks));
    Some(Explanation { role: Some(explained), clients })
}

fn with_names(state: &State, clients: Vec<ClientExplanation>) -> Vec<(String, ClientExplanation)> {
    let name = |client: &ClientExplanation| {
        state.frameworks.get(&client.framework).map(|known| known.info.name.clone()).unwrap_or_default()
    };
    clients.into_iter().map(|client| (name(&client), client)).collect()
}
