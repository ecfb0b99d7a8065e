//! How many descriptors the agent may have.
//!
//! The soft limit is what old programs bear, which is a thousand; each task, each session and each look at a sandbox takes some of
//! ours. Containers do not inherit it: they come from the launcher, and their limits are set.
//!
//! Source: getrlimit(2), `RLIMIT_NOFILE`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes all that this process may have. Where that cannot be, it is as before.
pub(crate) fn take_all() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::debug!(?current, ?maximum, "the limit of descriptors is raised"),
        Err(error) => tracing::warn!(%error, ?current, ?maximum, "the limit of descriptors cannot be raised"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_may_have_as_many_descriptors_as_it_can_get() {
        let before = getrlimit(Resource::Nofile);
        // The other tests of this process go on.
        let lower = before.maximum.map_or(1 << 16, |maximum| maximum - 1);
        setrlimit(Resource::Nofile, Rlimit { current: Some(lower), maximum: before.maximum }).unwrap();

        take_all();

        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }
}
