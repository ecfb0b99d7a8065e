//! The workspace as text: its packages and its files, read once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// One package of the workspace.
pub(crate) struct Package {
    /// Its folder, from the top of the workspace: `master/core`.
    pub(crate) folder: String,
    /// Its name: `lonja-master-core`.
    pub(crate) name: String,
    /// Its `Cargo.toml`.
    pub(crate) manifest: Table,
}

/// Which of a package's dependency tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What the package itself stands on, build scripts included.
    Normal,
    /// What only its tests, examples and benches stand on.
    Dev,
}

/// One entry of a dependency table.
pub(crate) struct Dependency {
    /// The package it names.
    pub(crate) name: String,
    /// The features it turns on.
    pub(crate) features: BTreeSet<String>,
    /// Is it there only with a feature?
    pub(crate) optional: bool,
    /// Does it take its version from the workspace?
    pub(crate) inherited: bool,
}

/// One text file of the project.
pub(crate) struct TextFile {
    /// From the top of the workspace.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) text: String,
}

impl TextFile {
    /// Is it Rust?
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Its lines, each with its place as an editor understands it.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (String, &str)> {
        self.text.lines().zip(1..).map(|(line, number)| (format!("{}:{number}", self.path), line))
    }
}

/// The top of the workspace.
pub(crate) fn top() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the package of the tests lies one folder below the top").to_path_buf()
}

/// A file from the top, which must exist.
pub(crate) fn read(path: &str) -> String {
    let full = top().join(path);
    fs::read_to_string(&full).unwrap_or_else(|error| panic!("cannot read {}: {error}", full.display()))
}

/// The root `Cargo.toml`.
pub(crate) fn root_manifest() -> Table {
    parse("Cargo.toml")
}

fn parse(path: &str) -> Table {
    read(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every member of the workspace, in the order in which the root `Cargo.toml` names them.
pub(crate) fn packages() -> Vec<Package> {
    let root = root_manifest();
    let members = root["workspace"]["members"].as_array().expect("members is a list");
    let folders = members.iter().map(|member| member.as_str().expect("a member is a folder").to_owned());
    folders
        .map(|folder| {
            let manifest = parse(&format!("{folder}/Cargo.toml"));
            let name = manifest["package"]["name"].as_str().expect("a package has a name").to_owned();
            Package { folder, name, manifest }
        })
        .collect()
}

impl Package {
    /// The entries of the package's dependency tables, those for some targets only included.
    pub(crate) fn dependencies(&self, kind: Kind) -> Vec<Dependency> {
        let names: &[&str] = match kind {
            Kind::Normal => &["dependencies", "build-dependencies"],
            Kind::Dev => &["dev-dependencies"],
        };
        let targets = self.manifest.get("target").and_then(Value::as_table);
        let places = std::iter::once(&self.manifest)
            .chain(targets.into_iter().flat_map(Table::values).filter_map(Value::as_table));
        places
            .flat_map(|place| names.iter().filter_map(|name| place.get(*name)))
            .filter_map(Value::as_table)
            .flatten()
            .map(|(name, value)| dependency(name, value))
            .collect()
    }

    /// The crate root, if the package has code of its own: its path and its text.
    pub(crate) fn crate_root(&self) -> Option<TextFile> {
        let named = self.manifest.get("lib").and_then(|lib| lib.get("path")).and_then(Value::as_str);
        let candidates = [named.unwrap_or("src/lib.rs"), "src/main.rs"];
        let path = candidates.iter().map(|file| format!("{}/{file}", self.folder));
        let path = path.into_iter().find(|path| top().join(path).is_file())?;
        Some(TextFile { text: read(&path), path })
    }
}

fn dependency(name: &str, value: &Value) -> Dependency {
    let table = value.as_table();
    let flag = |key| table.and_then(|table| table.get(key)).and_then(Value::as_bool).unwrap_or(false);
    let text = |key| table.and_then(|table| table.get(key)).and_then(Value::as_str);
    let features = table.and_then(|table| table.get("features")).and_then(Value::as_array);
    let features = features.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    Dependency {
        name: text("package").unwrap_or(name).to_owned(),
        features: features.collect(),
        optional: flag("optional"),
        inherited: flag("workspace"),
    }
}

/// Every text file of the project: all that the top `.gitignore` does not name, except git's own.
pub(crate) fn text_files() -> Vec<TextFile> {
    let ignored: BTreeSet<PathBuf> = read(".gitignore")
        .lines()
        .filter_map(|line| line.strip_prefix('/'))
        .map(|name| top().join(name.trim_end_matches('/')))
        .collect();
    let mut files = Vec::new();
    let mut folders = vec![top()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let entry = entry.expect("a folder that opened can be listed");
            let path = entry.path();
            let kind = entry.file_type().expect("an entry has a kind");
            if entry.file_name() == ".git" || ignored.contains(&path) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(&path)
            {
                let path = path.strip_prefix(top()).expect("it was found below the top");
                files.push(TextFile { path: path.display().to_string(), text });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files
}

/// The modules that a crate root declares, except those that exist for its tests alone.
pub(crate) fn modules(root: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut for_tests = false;
    for line in root.lines().map(str::trim) {
        if line.starts_with("#[") {
            for_tests |= line == "#[cfg(test)]";
            continue;
        }
        if let Some(name) = module_name(line)
            && !for_tests
        {
            found.insert(name.to_owned());
        }
        for_tests = false;
    }
    found
}

/// `pub(crate) mod offers;` names `offers`.
fn module_name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub").map_or(line, |rest| {
        let rest = rest.trim_start();
        rest.strip_prefix('(')
            .and_then(|rest| rest.split_once(')'))
            .map_or(rest, |(_, rest)| rest.trim_start())
    });
    let name = line.strip_prefix("mod ")?;
    Some(name.trim_end_matches(|end: char| !(end.is_alphanumeric() || end == '_')))
}

/// The part of a Markdown text below the heading that holds `heading`, up to the next heading of the same
/// depth or above.
pub(crate) fn section<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let depth = |line: &str| line.chars().take_while(|&mark| mark == '#').count();
    let mut start = None;
    let mut position = 0;
    for line in text.split_inclusive('\n') {
        let level = depth(line);
        match start {
            None if level > 0 && line.contains(heading) => start = Some((position + line.len(), level)),
            Some((begin, own)) if level > 0 && level <= own => return Some(&text[begin..position]),
            None | Some(_) => {}
        }
        position += line.len();
    }
    start.map(|(begin, _)| &text[begin..])
}

/// What stands between backticks.
pub(crate) fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
