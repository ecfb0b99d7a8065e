//! The filter on a task's system calls.
//!
//! A program in three parts: calls of another machine's table (32-bit ones, x32) are said not to exist; a search
//! tree over ranges of numbers allows what is allowed whole; what depends on arguments, and the refusal of all the
//! rest with EPERM, is a filter made by seccompiler. The tree keeps both the program and its loading short: the
//! kernel tries the program on every number when it is loaded.
//!
//! Invariants
//! - A number that no group and no rule names is never allowed.
//! - `clone3` is said not to exist, for its flags lie in memory where no filter sees them: libraries take `clone`.
//!
//! Source: seccomp(2); Linux `Documentation/userspace-api/seccomp_filter.rst`.

mod arguments;
mod search;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use lonja_model::privileges::CapabilitySet;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch};

pub(crate) use search::Verdict;

use super::capabilities;

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeccompError {
    /// This kind of machine has no table here.
    #[error("no system call filter is known for this kind of machine")]
    Machine,
    /// The compiler refused; tests see to it that it does not.
    #[error("cannot compile the system call filter: {0}")]
    Compile(String),
    /// The kernel refused.
    #[error("cannot load the system call filter: {0}")]
    Load(String),
}

/// The filters of tasks that ask for nothing, made before they are needed: forked processes share them.
static READY: [OnceLock<BpfProgram>; 2] = [OnceLock::new(), OnceLock::new()];

/// Compiles the usual filters, so that no start of a container has to.
pub(crate) fn prepare() {
    for (hardened, bounding) in [(false, capabilities::DEFAULT), (true, CapabilitySet::EMPTY)] {
        let _ = ready(hardened, bounding);
    }
}

fn ready(hardened: bool, bounding: CapabilitySet) -> Option<&'static BpfProgram> {
    let usual = if hardened { CapabilitySet::EMPTY } else { capabilities::DEFAULT };
    let place = READY.get(usize::from(hardened)).filter(|_| bounding == usual)?;
    if place.get().is_none() {
        let _ = place.set(compile(hardened, bounding).ok()?);
    }
    place.get()
}

/// Loads the filter into this process for good; no_new_privs with it.
pub(super) fn load(hardened: bool, bounding: CapabilitySet) -> Result<(), SeccompError> {
    let compiled;
    let program = match ready(hardened, bounding) {
        Some(program) => program,
        None => {
            compiled = compile(hardened, bounding)?;
            &compiled
        }
    };
    seccompiler::apply_filter(program).map_err(|error| SeccompError::Load(error.to_string()))
}

fn compile(hardened: bool, bounding: CapabilitySet) -> Result<BpfProgram, SeccompError> {
    let machine: TargetArch = std::env::consts::ARCH.try_into().map_err(|_| SeccompError::Machine)?;
    let refused = |error: seccompiler::BackendError| SeccompError::Compile(error.to_string());
    let rules = arguments::rules(hardened, bounding).map_err(refused)?;
    let tree = search::program(&verdicts(hardened, bounding, &rules));
    let rest = SeccompFilter::new(
        // A call whose every use is allowed has no rules, and stands in the tree.
        rules.into_iter().filter(|(_, rules)| !rules.is_empty()).collect(),
        SeccompAction::Errno(libc::EPERM.cast_unsigned()),
        SeccompAction::Allow,
        machine,
    );
    let rest: BpfProgram = rest.and_then(TryInto::try_into).map_err(refused)?;
    let mut program = search::only_this_machine(machine);
    program.extend(tree);
    program.extend(rest);
    Ok(program)
}

/// What the tree says of each number it decides on.
fn verdicts(
    hardened: bool,
    bounding: CapabilitySet,
    rules: &BTreeMap<i64, Vec<SeccompRule>>,
) -> BTreeMap<u32, Verdict> {
    let mut verdicts: BTreeMap<u32, Verdict> = allowed(hardened, bounding)
        .into_iter()
        .filter(|number| !rules.contains_key(number))
        .chain(rules.iter().filter(|(_, rules)| rules.is_empty()).map(|(number, _)| *number))
        .filter_map(|number| Some((u32::try_from(number).ok()?, Verdict::Allow)))
        .collect();
    if let Ok(clone3) = u32::try_from(libc::SYS_clone3) {
        verdicts.insert(clone3, Verdict::NoSuchCall);
    }
    verdicts
}

/// Numbers of the calls that groups open.
fn allowed(hardened: bool, bounding: CapabilitySet) -> BTreeSet<i64> {
    let groups = table::GROUPS.iter().chain(table::OLDER);
    let open = groups.filter(|group| group.open_for.includes(hardened, bounding));
    open.flat_map(|group| group.calls.iter().copied()).collect()
}

/// What the groups are about, and whether each is open: for people.
pub(crate) fn overview(hardened: bool, bounding: CapabilitySet) -> Vec<(&'static str, usize, bool)> {
    let groups = table::GROUPS.iter().chain(table::OLDER);
    groups
        .map(|group| (group.about, group.calls.len(), group.open_for.includes(hardened, bounding)))
        .collect()
}

#[cfg(test)]
mod tests;
