//! Who gets how much: quotas and weights.

use clap::{Args, Subcommand};
use lonja_model::quota::Quota as Amounts;
use lonja_model::resources::{Quantities, Resources, Scalar, Value};

use super::{Family, Format, MasterUrl};

/// Quotas.
#[derive(Debug, Args)]
#[command(
    after_help = "A quota holds for a role and all roles below it. What counts against it: every reservation \
                        for them, used or not, and all that they are offered or use beyond."
)]
pub(crate) struct Quota {
    #[command(flatten)]
    pub(crate) family: Family,
    #[command(subcommand)]
    pub(crate) command: Option<QuotaCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuotaCommand {
    /// List quotas and what counts against them.
    List,
    /// Set a role's quota. What is not given stays as it was.
    Set {
        /// The role.
        role: String,
        /// What it is sure of, such as 'cpus:4;mem:8192' (mem and disk in MiB); none: nothing.
        #[arg(long, value_name = "RESOURCES", value_parser = amounts, required_unless_present = "limit")]
        guarantee: Option<Quantities>,
        /// What it may have at most; what is not named is unlimited; none: no limits.
        #[arg(long, value_name = "RESOURCES", value_parser = limits)]
        limit: Option<Quantities>,
        /// Also when a limit is below what the role has, or guarantees are above what all agents have.
        #[arg(long)]
        force: bool,
    },
    /// Remove a role's quota.
    Remove {
        /// The role.
        role: String,
    },
}

impl QuotaCommand {
    /// The quota after `set`, where it was `before`.
    pub(crate) fn merge(
        before: Amounts,
        guarantee: Option<&Quantities>,
        limit: Option<&Quantities>,
    ) -> Amounts {
        Amounts {
            guarantees: guarantee.cloned().unwrap_or(before.guarantees),
            limits: limit.cloned().unwrap_or(before.limits),
        }
    }
}

/// Weights.
#[derive(Debug, Args)]
pub(crate) struct Weights {
    #[command(flatten)]
    pub(crate) family: Family,
    #[command(subcommand)]
    pub(crate) command: Option<WeightsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WeightsCommand {
    /// List the weights of roles.
    List,
    /// Set weights, all of them or none; a role without one has 1.
    Set {
        /// A role and its weight, above zero: eng=2.5.
        #[arg(required = true, value_name = "ROLE=WEIGHT", value_parser = weight)]
        weights: Vec<(String, Scalar)>,
    },
}

/// Plain amounts of resources by name.
pub(super) fn amounts(text: &str) -> Result<Quantities, String> {
    if text.trim().is_empty() || text.trim() == "none" {
        return Ok(Quantities::default());
    }
    let resources =
        Resources::parse(text).map_err(|error| format!("{error}; write, for example, 'cpus:4;mem:8192'"))?;
    let plain = |resource: &lonja_model::resources::Resource| {
        resource.reserved_for().is_none() && matches!(resource.value(), Value::Scalar(_))
    };
    if let Some(other) = resources.iter().find(|resource| !plain(resource)) {
        return Err(format!("{other} is no plain amount; write, for example, 'cpus:4;mem:8192'"));
    }
    Ok(resources.quantities())
}

/// Plain amounts above zero: a limit of nothing would be none.
fn limits(text: &str) -> Result<Quantities, String> {
    let limits = amounts(text)?;
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty() && *part != "none");
    for part in parts {
        if amounts(part)?.is_empty() {
            return Err(format!(
                "{part:?} cannot be told from no limit; give 0.001, so that the role gets nothing of use"
            ));
        }
    }
    Ok(limits)
}

fn weight(text: &str) -> Result<(String, Scalar), String> {
    let example = "write, for example, eng=2.5";
    let (role, weight) =
        text.split_once('=').ok_or_else(|| format!("{text:?} names no weight; {example}"))?;
    let weight = Scalar::parse(weight).map_err(|error| format!("{error}; {example}"))?;
    if weight == Scalar::ZERO {
        return Err(format!("a weight is above zero; {example}"));
    }
    Ok((role.to_owned(), weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_plain() {
        assert_eq!(amounts("cpus:4;mem:8192").unwrap().to_string(), "cpus:4;mem:8192");
        assert!(amounts("none").unwrap().is_empty());
        for bad in ["cpus", "cpus(eng):4", "ports:[1-2]", "cpus:-1"] {
            assert!(amounts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_of_nothing_is_refused_and_not_taken_for_none() {
        assert_eq!(limits("cpus:0.001").unwrap().to_string(), "cpus:0.001");
        assert!(limits("none").unwrap().is_empty());
        assert!(limits("cpus:0").is_err() && limits("mem:1;cpus:0").is_err());
    }

    #[test]
    fn weights_are_above_zero() {
        assert_eq!(weight("eng=2.5").unwrap().1.to_string(), "2.5");
        for bad in ["eng", "eng=0", "eng=-1", "eng=x"] {
            assert!(weight(bad).is_err(), "{bad}");
        }
    }
}

/// What a framework or role gets, what it could get, and what stands in the way; why a task waits.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A task's id, a framework's id or name, or a role.
    #[arg(value_name = "TASK|FRAMEWORK|ROLE")]
    pub(crate) name: String,
    /// It is a role, even if a framework is called so.
    #[arg(long, conflicts_with = "task")]
    pub(crate) role: bool,
    /// It is a task, even if a framework or a role is called so.
    #[arg(long)]
    pub(crate) task: bool,
    /// Whose task it is, by the framework's id, if more than one has one of that name.
    #[arg(long, value_name = "ID", conflicts_with = "role")]
    pub(crate) framework: Option<String>,
    #[command(flatten)]
    pub(crate) master: MasterUrl,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}
