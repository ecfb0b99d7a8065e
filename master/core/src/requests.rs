//! REQUEST: what a framework needs an offer to hold.
//!
//! A call replaces all that was asked before, role by role: a role that no request is about gets any offer again. So
//! does a new subscription.
//!
//! The agent that a request names is not honoured: resources are asked for, wherever they are. A framework that wants
//! offers of some agents only says so by offer constraints, which may name a hostname.
//!
//! Source: Mesos v1 scheduler API, REQUEST, which has no effect there.

use lonja_allocator::requests::MAX_ALTERNATIVES;
use lonja_model::offer::ResourceRequest;
use lonja_model::resources::Quantities;
use lonja_model::scheduler::{CallResult, Refusal, RefusalCode};
use lonja_model::{FrameworkId, Role};

use crate::State;

/// Takes all of a framework's requests, or refuses them all.
pub(crate) fn request(state: &mut State, id: &FrameworkId, requests: Vec<ResourceRequest>) -> CallResult {
    let Some(known) = state.frameworks.get(id) else { return Ok(()) };
    let info = known.info.clone();
    if requests.len() > MAX_ALTERNATIVES {
        let message =
            format!("{} requests, more than {MAX_ALTERNATIVES}; nothing was changed", requests.len());
        return refuse("request.requests".to_owned(), message);
    }
    let foreign =
        |request: &ResourceRequest| request.role.as_ref().is_some_and(|role| !info.roles.contains(role));
    if let Some(index) = requests.iter().position(foreign) {
        let message = "this framework has not subscribed with the role of a request; nothing was changed";
        return refuse(format!("request.requests[{index}].role"), message.to_owned());
    }
    for role in &info.roles {
        state.allocator.request(id, Some(role), alternatives(&requests, role));
    }
    Ok(())
}

/// What the requests that are about the role ask for.
fn alternatives(requests: &[ResourceRequest], role: &Role) -> Vec<Quantities> {
    let about = requests.iter().filter(|request| request.role.as_ref().is_none_or(|one| one == role));
    about.map(|request| request.needs.clone()).collect()
}

fn refuse(field: String, message: String) -> CallResult {
    Err(Refusal { field: Some(field), ..Refusal::new(RefusalCode::InvalidArgument, message) })
}
