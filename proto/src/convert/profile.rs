//! How much of the host a container sees: its profile and its network.

use lonja_model::profile::{Network, Profile};

use super::refusal::{Fault, Refusal};
use crate::mesos;

/// The name of the network that is a loopback and nothing else. Source: Docker, `--network none`.
const NONE: &str = "none";

/// The profile, if one is named. Errors: there is none of this name.
pub(super) fn profile_from_wire(wire: Option<String>) -> Result<Option<Profile>, Refusal> {
    let parse = |name: String| name.parse().map_err(|error| refuse(&error));
    wire.filter(|name| !name.is_empty()).map(parse).transpose()
}

fn refuse(error: &dyn std::fmt::Display) -> Refusal {
    Fault::Invalid(error.to_string()).into()
}

/// The network that a container joins. Errors: any but `none` alone, which are not supported yet.
pub(super) fn network_from_wire(wire: Vec<mesos::NetworkInfo>) -> Result<Network, Refusal> {
    match wire.as_slice() {
        [] => Ok(Network::Host),
        [network] if is_none(network) => Ok(Network::None),
        _ => Err(Fault::Unsupported("joining a network other than \"none\"").into()),
    }
}

/// Whether it asks for no network, and for nothing beside that.
fn is_none(network: &mesos::NetworkInfo) -> bool {
    let nothing_else = mesos::NetworkInfo { name: Some(NONE.to_owned()), ..Default::default() };
    *network == nothing_else
}

/// The network's form on the wire; the host's is left out.
pub(super) fn network_to_wire(network: Network) -> Vec<mesos::NetworkInfo> {
    match network {
        Network::Host => Vec::new(),
        Network::None => vec![mesos::NetworkInfo { name: Some(NONE.to_owned()), ..Default::default() }],
    }
}
