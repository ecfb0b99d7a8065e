//! What people and programs read: tables, JSON with a schema version, messages on stderr.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where output is made")]

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::args::Format;

/// The form of JSON listings; it changes when a field changes its meaning or goes.
const SCHEMA: u32 = 1;

/// One listing: rows for people, objects for programs, ids for pipes.
pub(crate) struct Listing {
    /// What it lists, such as `agents`.
    pub(crate) what: &'static str,
    pub(crate) columns: Vec<&'static str>,
    /// Columns from here on are only for wide windows.
    pub(crate) wide_from: usize,
    pub(crate) rows: Vec<Row>,
}

/// One line of a listing.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) cells: Vec<String>,
    pub(crate) object: Value,
}

impl Listing {
    /// Prints it. Nobody reading it is no error.
    pub(crate) fn print(self, format: Format, quiet: bool) {
        if quiet {
            let ids: Vec<String> = self.rows.into_iter().map(|row| row.id).collect();
            return print_lines(&ids);
        }
        match format {
            Format::Json => {
                let objects: Vec<Value> = self.rows.into_iter().map(|row| row.object).collect();
                let document = json!({ "schema": SCHEMA, self.what: objects });
                print_lines(&[format!("{document:#}")]);
            }
            Format::Table | Format::Wide => self.table(format == Format::Wide),
        }
    }

    fn table(self, wide: bool) {
        if self.rows.is_empty() {
            return note(&format!("no {}", self.what));
        }
        let shown = if wide { self.columns.len() } else { self.wide_from };
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.columns.iter().take(shown).map(|column| column.to_uppercase()));
        for row in self.rows {
            table.add_row(row.cells.into_iter().take(shown));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        print_lines(&lines);
    }
}

/// Prints lines to stdout; a pipe that is closed early is no error.
pub(crate) fn print_lines(lines: &[String]) {
    let mut stdout = std::io::stdout().lock();
    for line in lines {
        if writeln!(stdout, "{line}").is_err() {
            return;
        }
    }
    let _closed = stdout.flush();
}

/// A line for people on stderr.
pub(crate) fn note(message: &str) {
    let _closed = writeln!(std::io::stderr(), "{message}");
}

/// A warning on stderr.
pub(crate) fn warn(message: &str) {
    note(&format!("warning: {message}"));
}

/// An error and its causes on stderr.
pub(crate) fn complain(error: &anyhow::Error) {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    note(&format!("error: {}", causes.join(": ")));
}

/// An amount without needless zeros.
pub(crate) fn amount(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
