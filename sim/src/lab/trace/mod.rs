//! Recorded workloads: text in, a [`Workload`] out.
//!
//! A trace is a folder of comma-separated files: the published openb trace of 2023, or the general format that
//! `docs/traces.md` documents. [`choose`] says by the names of the files which it is, [`read`] reads it through
//! whatever opens the files: nothing here touches a disk.
//!
//! Invariants
//! - What is not understood is refused, with file, line, field, what was found and what was expected; nothing is guessed.
//! - Memory is bounded: by [`MOST_LINE_BYTES`] while reading, by [`MOST_ROWS`] machines and tasks in all.
//! - The same text gives the same workload.

mod build;
mod error;
mod general;
mod openb;
mod table;
mod values;

#[cfg(test)]
mod tests;

use std::io::{self, BufRead};

use super::Workload;
use build::Building;
use error::shown;

pub use error::{Place, TraceError};
pub use general::{write_frameworks, write_machines, write_tasks};
pub use table::{MOST_FIELD_BYTES, MOST_LINE_BYTES, MOST_ROWS};

/// How the files of a trace are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As published with the paper on fragmentation: `openb_node_list_*.csv`, `openb_pod_list_*.csv`.
    Openb2023,
    /// `machines.csv` and `tasks.csv`, perhaps `frameworks.csv`.
    General,
}

/// The files of one trace, by their names within their folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// How they are written.
    pub format: Format,
    /// The machines.
    pub machines: String,
    /// The tasks.
    pub tasks: String,
    /// The frameworks, where they have a file.
    pub frameworks: Option<String>,
}

const EXPECTED: &str = "machines.csv and tasks.csv, or openb_node_list_all_node.csv and openb_pod_list_default.csv \
                        (or another openb_pod_list_NAME.csv)";

/// Which files of a folder make a trace. `list` names one of several lists of tasks: `gpuspec33` means
/// `openb_pod_list_gpuspec33.csv`; without it `default`, or the only one.
///
/// Errors: no trace there, both formats, no list of this name.
pub fn choose<'n>(names: impl IntoIterator<Item = &'n str>, list: Option<&str>) -> Result<Files, TraceError> {
    let names: Vec<&str> = names.into_iter().collect();
    let has = |name: &str| names.contains(&name).then(|| name.to_owned());
    let no_trace = |found: &str| TraceError::NoTrace { found: found.to_owned(), expected: EXPECTED };
    let mut lists: Vec<&str> = names.iter().filter_map(|name| list_name(name)).collect();
    lists.sort_unstable();
    let nodes = has("openb_node_list_all_node.csv").or_else(|| has("openb_node_list_gpu_node.csv"));
    match (has("machines.csv"), has("tasks.csv"), nodes) {
        (Some(_), Some(_), Some(_)) => Err(no_trace("two traces in one folder")),
        (Some(machines), Some(tasks), None) => {
            if let Some(list) = list {
                let there_are = "a folder with tasks.csv has only that one".to_owned();
                return Err(TraceError::NoSuchList { name: shown(list), there_are });
            }
            Ok(Files { format: Format::General, machines, tasks, frameworks: has("frameworks.csv") })
        }
        (_, _, Some(machines)) if !lists.is_empty() => {
            let tasks = format!("{LIST_BEGINS}{}{LIST_ENDS}", choose_list(&lists, list)?);
            Ok(Files { format: Format::Openb2023, machines, tasks, frameworks: None })
        }
        (Some(_), None, _) => Err(no_trace("machines.csv without tasks.csv")),
        (None, Some(_), _) => Err(no_trace("tasks.csv without machines.csv")),
        (None, None, Some(_)) => Err(no_trace("machines of openb without a list of tasks")),
        (_, _, None) if lists.is_empty() => Err(no_trace("no trace")),
        (_, _, _) => Err(no_trace("lists of tasks of openb without its machines")),
    }
}

const LIST_BEGINS: &str = "openb_pod_list_";
const LIST_ENDS: &str = ".csv";

fn list_name(file: &str) -> Option<&str> {
    file.strip_prefix(LIST_BEGINS)?.strip_suffix(LIST_ENDS).filter(|name| !name.is_empty())
}

/// The list that was asked for; else the default one or the only one.
fn choose_list<'l>(lists: &[&'l str], asked: Option<&str>) -> Result<&'l str, TraceError> {
    let wanted = asked.unwrap_or("default");
    let found = lists.iter().find(|list| **list == wanted).copied();
    let only = if asked.is_none() && lists.len() == 1 { lists.first().copied() } else { None };
    found.or(only).ok_or_else(|| TraceError::NoSuchList {
        name: shown(wanted),
        there_are: format!("there are {}", lists.join(", ")),
    })
}

/// Reads a trace through `open`, which is given the names of its files. `source` is for people: where it comes from.
///
/// A run lasts until its last task has ended; an hour behind the last arrival if none ends. Memory grows with the
/// workload alone; time is linear, but for the sorting of names.
///
/// Errors: [`TraceError::Malformed`], [`TraceError::TooMuch`], [`TraceError::Unreadable`].
pub fn read<R: BufRead>(
    files: &Files,
    source: &str,
    mut open: impl FnMut(&str) -> io::Result<R>,
) -> Result<Workload, TraceError> {
    let mut building = Building::default();
    let mut open = |file: &str| {
        open(file).map_err(|source| {
            let place = Place { file: file.to_owned(), line: 0 };
            TraceError::Unreadable { place, source }
        })
    };
    let Files { format, machines, tasks, frameworks } = files;
    match format {
        Format::Openb2023 => {
            openb::machines(&mut building, machines, open(machines)?)?;
            openb::tasks(&mut building, tasks, open(tasks)?)?;
        }
        Format::General => {
            if let Some(frameworks) = frameworks {
                general::frameworks(&mut building, frameworks, open(frameworks)?)?;
            }
            general::machines(&mut building, machines, open(machines)?)?;
            general::tasks(&mut building, tasks, open(tasks)?)?;
        }
    }
    building.finish(source, machines, tasks)
}
