//! Named steps at which a test may have a process die, as `kill -9` would end it there.
//!
//! `LONJA_FAILPOINT=NAME` or `NAME@N` (the Nth time it is passed) in the environment of a daemon of a debug build. The
//! daemon's launcher, and every supervisor and init forked from it, know the same name. Release builds have none of it.
//!
//! Source: docs/invariants.md, INV-25 to INV-29.

/// Every step, in the order of a container's life.
pub const ALL: [&str; 37] = [
    "agent: before the commit",
    "agent: committed",
    "agent: launch taken on",
    "agent: image formatted",
    "agent: image mounted",
    "agent: image attached",
    "agent: sandbox made",
    "agent: run directory made",
    "agent: order written",
    "agent: launcher asked",
    "launcher: request taken",
    "launcher: supervisor has it",
    "supervisor: claimed",
    "supervisor: order read",
    "supervisor: errand sent",
    "supervisor: limited",
    "init: errand read",
    "init: set up",
    "init: told to go",
    "init: forked",
    "supervisor: told to go",
    "supervisor: start noted",
    "supervisor: start told",
    "agent: start known",
    "agent: kill begun",
    "agent: kill asked",
    "supervisor: end seen",
    "supervisor: group removed",
    "supervisor: end noted",
    "agent: image taken off",
    "agent: end known",
    "agent: before the clean-up",
    "agent: group is gone",
    "agent: run directory removed",
    "agent: cleaned up",
    "agent: sandbox removed",
    "agent: image removed",
];

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Armed {
        name: String,
        left: AtomicU32,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    fn armed() -> Option<&'static Armed> {
        let read = || {
            let said = std::env::var("LONJA_FAILPOINT").ok()?;
            let (name, nth) = said.split_once('@').unwrap_or((&said, "1"));
            Some(Armed { name: name.to_owned(), left: AtomicU32::new(nth.parse().ok()?) })
        };
        ARMED.get_or_init(read).as_ref()
    }

    /// Looks at the environment, before whoever is forked has none.
    pub fn arm() {
        let _now = armed();
    }

    /// This process has come to a step. If it is the one, this process is no more.
    pub(crate) fn reach(name: &'static str) {
        debug_assert!(super::ALL.contains(&name), "an unknown step: {name}");
        let Some(armed) = armed().filter(|armed| armed.name == name) else { return };
        if armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            // Not a signal: pid 1 of a namespace is deaf to its own.
            crate::supervisor::sys::exit_now(137)
        }
    }
}

#[cfg(debug_assertions)]
pub use armed::arm;
#[cfg(debug_assertions)]
pub(crate) use armed::reach;

/// Nothing, in a release build.
#[cfg(not(debug_assertions))]
pub fn arm() {}

#[cfg(not(debug_assertions))]
pub(crate) fn reach(_: &'static str) {}
