//! Bounded reading of comma-separated values.
//!
//! A header names the columns, in any order; then a row a line. A field may stand in double quotes, where a comma
//! is a character like others and two quotes are one; a line never goes on behind a line break. Empty lines are skipped.
//!
//! Always: no more than [`MOST_LINE_BYTES`] of a file are in memory at once, whatever it holds.
//!
//! Source: RFC 4180, without line breaks in fields: an open quote would else swallow the file before it is seen.

use std::io::{self, BufRead, Read};

use super::error::{Place, TraceError, shown};

/// Bytes of one field.
pub const MOST_FIELD_BYTES: usize = 1024;
/// Bytes of one line: 64 fields of full size.
pub const MOST_LINE_BYTES: usize = 64 * MOST_FIELD_BYTES;
/// Rows of one file, and machines or tasks of one trace.
pub const MOST_ROWS: usize = 10_000_000;

/// One column that a format knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) required: bool,
}

pub(super) const fn required(name: &'static str) -> Column {
    Column { name, required: true }
}

pub(super) const fn optional(name: &'static str) -> Column {
    Column { name, required: false }
}

/// A file, read row by row.
pub(super) struct Table<R> {
    place: Place,
    lines: R,
    /// The line in work, without its end.
    line: String,
    /// Of each known column: where it stands, if it does.
    order: Vec<Option<usize>>,
    columns: &'static [Column],
    width: usize,
    rows: usize,
    fields: Vec<String>,
}

impl<R: BufRead> Table<R> {
    /// Reads the header. Errors: columns that are unknown, missing or there twice.
    pub(super) fn open(file: &str, lines: R, columns: &'static [Column]) -> Result<Self, TraceError> {
        let place = Place { file: file.to_owned(), line: 0 };
        let mut table = Self {
            place,
            lines,
            line: String::new(),
            order: vec![None; columns.len()],
            columns,
            width: 0,
            rows: 0,
            fields: Vec::new(),
        };
        if !table.read_line()? {
            table.place.line = 1;
            return Err(table.malformed("header", "", &format!("a header with {}", names(columns))));
        }
        if let Some(rest) = table.line.strip_prefix('\u{feff}') {
            table.line = rest.to_owned();
        }
        table.split()?;
        table.width = table.fields.len();
        for index in 0..table.width {
            let name = table.fields[index].trim();
            let known = columns.iter().position(|column| column.name == name);
            let Some(known) = known else {
                return Err(table.malformed("header", name, &format!("only {}", names(columns))));
            };
            if table.order[known].replace(index).is_some() {
                return Err(table.malformed("header", name, "each column once"));
            }
        }
        let missing = columns.iter().zip(&table.order).find(|(column, at)| column.required && at.is_none());
        if let Some((column, _)) = missing {
            let expected = format!("the column {} as well", column.name);
            return Err(table.malformed("header", &table.line, &expected));
        }
        Ok(table)
    }

    /// The next row; `None` at the end. Errors: fields too many or too few, quotes that do not close, what is too long.
    pub(super) fn next_row(&mut self) -> Result<Option<Row<'_>>, TraceError> {
        loop {
            if !self.read_line()? {
                return Ok(None);
            }
            if !self.line.trim().is_empty() {
                break;
            }
        }
        if self.rows >= MOST_ROWS {
            return Err(self.too_much("more rows", MOST_ROWS));
        }
        self.rows += 1;
        self.split()?;
        if self.fields.len() != self.width {
            let expected = format!("{} fields as in the header, not {}", self.width, self.fields.len());
            return Err(self.malformed("row", &self.line, &expected));
        }
        Ok(Some(Row { place: &self.place, fields: &self.fields, order: &self.order, columns: self.columns }))
    }

    /// Reads one line, without its end; `false` at the end of the file.
    fn read_line(&mut self) -> Result<bool, TraceError> {
        self.place.line += 1;
        self.line.clear();
        let most = u64::try_from(MOST_LINE_BYTES).unwrap_or(u64::MAX) + 2;
        let mut bytes = std::mem::take(&mut self.line).into_bytes();
        let read = self.lines.by_ref().take(most).read_until(b'\n', &mut bytes);
        read.map_err(|source| self.unreadable(source))?;
        if bytes.is_empty() {
            return Ok(false);
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if bytes.len() > MOST_LINE_BYTES {
            return Err(self.too_much("a line of more bytes", MOST_LINE_BYTES));
        }
        match String::from_utf8(bytes) {
            Ok(line) => self.line = line,
            Err(error) => {
                let found = shown(&String::from_utf8_lossy(error.as_bytes()));
                return Err(self.malformed("row", &found, "UTF-8"));
            }
        }
        Ok(true)
    }

    /// Cuts the line into `fields`, whose memory is used again.
    fn split(&mut self) -> Result<(), TraceError> {
        let (mut count, mut rest) = (0, self.line.as_str());
        loop {
            if self.fields.len() == count {
                self.fields.push(String::new());
            }
            let field = &mut self.fields[count];
            field.clear();
            let taken = take_field(rest, field);
            count += 1;
            let after = taken.map_err(|expected| self.malformed("row", rest, expected))?;
            if self.fields[count - 1].len() > MOST_FIELD_BYTES {
                return Err(self.too_much("a field of more bytes", MOST_FIELD_BYTES));
            }
            match after {
                Some(after) => rest = after,
                None => break,
            }
        }
        self.fields.truncate(count);
        Ok(())
    }

    fn malformed(&self, field: &str, found: &str, expected: &str) -> TraceError {
        malformed(&self.place, field, found, expected)
    }

    fn too_much(&self, what: &'static str, most: usize) -> TraceError {
        TraceError::TooMuch { place: self.place.clone(), what, most }
    }

    fn unreadable(&self, source: io::Error) -> TraceError {
        TraceError::Unreadable { place: self.place.clone(), source }
    }
}

/// Moves the first field of `text` into `field`, and gives what stands behind its comma; `None` after the last one.
/// Errors: what was expected.
fn take_field<'t>(text: &'t str, field: &mut String) -> Result<Option<&'t str>, &'static str> {
    let Some(mut quoted) = text.strip_prefix('"') else {
        let (all, after) = match text.split_once(',') {
            Some((all, after)) => (all, Some(after)),
            None => (text, None),
        };
        if all.contains('"') {
            return Err("a field with a quote to stand in quotes, its own quotes doubled");
        }
        field.push_str(all);
        return Ok(after);
    };
    loop {
        let (part, after) = quoted.split_once('"').ok_or("a quote that closes on its line")?;
        field.push_str(part);
        if let Some(after) = after.strip_prefix('"') {
            field.push('"');
            quoted = after;
        } else if after.is_empty() {
            return Ok(None);
        } else {
            return after.strip_prefix(',').map(Some).ok_or("a comma behind the closing quote");
        }
    }
}

fn malformed(place: &Place, field: &str, found: &str, expected: &str) -> TraceError {
    TraceError::Malformed {
        place: place.clone(),
        field: field.to_owned(),
        found: shown(found),
        expected: expected.to_owned(),
    }
}

fn names(columns: &[Column]) -> String {
    columns.iter().map(|column| column.name).collect::<Vec<_>>().join(",")
}

/// One row of a table.
#[derive(Clone, Copy)]
pub(super) struct Row<'t> {
    place: &'t Place,
    fields: &'t [String],
    order: &'t [Option<usize>],
    columns: &'static [Column],
}

impl<'t> Row<'t> {
    /// What stands in a column, without blanks around it; empty if the file has no such column.
    pub(super) fn get(&self, name: &'static str) -> &'t str {
        let known = self.columns.iter().position(|column| column.name == name);
        let at = known.and_then(|known| self.order[known]);
        at.map_or("", |at| self.fields[at].trim())
    }

    /// Where the row stands.
    pub(super) fn place(&self) -> &'t Place {
        self.place
    }

    /// That a column holds something else than it should.
    pub(super) fn wrong(&self, name: &'static str, expected: &str) -> TraceError {
        malformed(self.place, name, self.get(name), expected)
    }

    /// That the row as a whole is wrong.
    pub(super) fn wrong_row(&self, expected: &str) -> TraceError {
        malformed(self.place, "row", &self.fields.join(","), expected)
    }

    /// That there is too much.
    pub(super) fn too_much(&self, what: &'static str, most: usize) -> TraceError {
        TraceError::TooMuch { place: self.place.clone(), what, most }
    }
}
