//! What an agent says of itself.

use lonja_model::agent::AgentCapability;
use lonja_proto::convert::agent::agent_capabilities_to_wire;
use serde_json::{Value, json};

/// Which build this is. The version is three whole numbers, which clients take apart; what Mesos says beside it is not
/// known here.
pub(super) fn build() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "git_sha": "",
        "git_branch": "",
        "git_tag": "",
        "build_date": "",
        "build_time": 0.0,
        "build_user": "",
    })
}

/// What agents of this version can do, by name.
pub(super) fn capabilities() -> Value {
    let all = agent_capabilities_to_wire(&AgentCapability::all());
    all.iter().map(|one| json!(one.r#type().as_str_name())).collect()
}
