//! Reservations and volumes.

use clap::{Args, Subcommand};

use super::{Family, mebibytes};

/// Reservations.
#[derive(Debug, Args)]
pub(crate) struct Reservations {
    #[command(flatten)]
    pub(crate) family: Family,
    #[command(subcommand)]
    pub(crate) command: Option<ReservationsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReservationsCommand {
    /// List what is reserved, by agent and role.
    List,
    /// Set resources of an agent aside for a role.
    Add(Reserve),
    /// Give reserved resources back to everyone, or to the role they were reserved for before.
    Remove(Reserve),
}

/// What is reserved, or no longer.
#[derive(Debug, Args)]
pub(crate) struct Reserve {
    /// The agent: its id, the end of it, or its host.
    pub(crate) agent: String,
    /// Such as 'cpus(eng):2;mem(eng):1024' (mem and disk in MiB); 'cpus(eng)(eng/web):1' is for eng/web within
    /// what is reserved for eng.
    pub(crate) resources: String,
    /// For this role, where the resources name none.
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// A label of the reservation: K=V. May be given more than once.
    #[arg(long = "label", value_name = "K=V", value_parser = label)]
    pub(crate) labels: Vec<(String, Option<String>)>,
}

/// Volumes.
#[derive(Debug, Args)]
pub(crate) struct Volumes {
    #[command(flatten)]
    pub(crate) family: Family,
    #[command(subcommand)]
    pub(crate) command: Option<VolumesCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VolumesCommand {
    /// List volumes.
    List,
    /// Make a volume of disk that is reserved for a role.
    Create {
        /// The agent: its id, the end of it, or its host.
        agent: String,
        /// The role, which has disk reserved there.
        #[arg(long)]
        role: String,
        /// What to call it; once for each role and agent.
        #[arg(long)]
        id: String,
        /// How large, in MiB or with a unit, such as 512MiB.
        #[arg(long, value_parser = mebibytes)]
        size: f64,
        /// Where it appears in a task's sandbox.
        #[arg(long, value_name = "PATH", default_value = "data")]
        path: String,
        /// Several tasks may use it at once.
        #[arg(long)]
        shared: bool,
    },
    /// Remove a volume and all that is in it.
    Destroy(Volume),
    /// Make a volume larger, by disk that is reserved as it is.
    Grow {
        #[command(flatten)]
        volume: Volume,
        /// By how much, in MiB or with a unit.
        #[arg(long, value_parser = mebibytes, value_name = "SIZE")]
        by: f64,
    },
    /// Make a volume smaller. What is in it must fit.
    Shrink {
        #[command(flatten)]
        volume: Volume,
        /// By how much, in MiB or with a unit.
        #[arg(long, value_parser = mebibytes, value_name = "SIZE")]
        by: f64,
    },
}

/// One volume.
#[derive(Debug, Args)]
pub(crate) struct Volume {
    /// The agent: its id, the end of it, or its host.
    pub(crate) agent: String,
    /// The volume.
    pub(crate) id: String,
    /// Whose it is, if more than one role has one of that id there.
    #[arg(long)]
    pub(crate) role: Option<String>,
}

fn label(text: &str) -> Result<(String, Option<String>), String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    if key.is_empty() {
        return Err("a label has a key; write, for example, team=web".to_owned());
    }
    Ok((key.to_owned(), value))
}
