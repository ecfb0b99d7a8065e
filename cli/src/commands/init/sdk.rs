//! Where the SDK is: a workspace on this machine, or wherever crates are published.
//!
//! Looked for upward from a folder: the first that is the crate itself, or a workspace one of whose members is it. Nothing
//! about this machine is compiled in.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use toml::{Table, Value};

/// The crate's name.
const SDK: &str = "lonja-sdk";

/// Where a new crate gets the SDK.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sdk {
    /// From this folder, whose workspace has a `Cargo.lock` or not.
    Folder { sdk: PathBuf, lock: Option<PathBuf> },
    /// From where crates are published, this version or a later one that is compatible.
    Published { version: String },
}

impl Sdk {
    /// The value of the dependency in a manifest.
    pub(super) fn requirement(&self) -> anyhow::Result<String> {
        Ok(match self {
            Self::Folder { sdk, .. } => {
                let path = sdk.to_str().with_context(|| {
                    format!("the path {} is not UTF-8, and a manifest has to be", sdk.display())
                })?;
                format!("path = {}", Value::from(path))
            }
            Self::Published { version } => format!("version = {}", Value::from(version.as_str())),
        })
    }

    /// What was named, or what is found upward from one of these folders, or else this version as it is published.
    pub(super) fn find(named: Option<&Path>, from: &[PathBuf], version: &str) -> anyhow::Result<Self> {
        if let Some(named) = named {
            let folder = named.canonicalize().with_context(|| format!("--sdk {}", named.display()))?;
            let Some(found) = at(&folder) else {
                bail!(
                    "--sdk {}: neither the crate {SDK} nor a workspace that holds it; name the folder framework-sdk of \
                     Lonja's repository, or the repository",
                    named.display()
                );
            };
            return Ok(found);
        }
        let found = from.iter().flat_map(|folder| folder.ancestors()).find_map(at);
        Ok(found.unwrap_or_else(|| Self::Published { version: version.to_owned() }))
    }
}

/// The SDK, if this folder is it or a workspace that holds it.
fn at(folder: &Path) -> Option<Sdk> {
    let sdk = if is_sdk(folder) { folder.to_owned() } else { member(folder)? };
    let lock = sdk.ancestors().find(|folder| is_workspace(folder)).map(|root| root.join("Cargo.lock"));
    Some(Sdk::Folder { sdk, lock: lock.filter(|lock| lock.is_file()) })
}

fn manifest(folder: &Path) -> Option<Table> {
    std::fs::read_to_string(folder.join("Cargo.toml")).ok()?.parse().ok()
}

fn is_sdk(folder: &Path) -> bool {
    let name =
        manifest(folder).and_then(|manifest| Some(manifest.get("package")?.get("name")?.as_str()? == SDK));
    name.unwrap_or(false)
}

fn is_workspace(folder: &Path) -> bool {
    manifest(folder).is_some_and(|manifest| manifest.contains_key("workspace"))
}

/// The member of this workspace that is the SDK.
fn member(folder: &Path) -> Option<PathBuf> {
    let manifest = manifest(folder)?;
    let members = manifest.get("workspace")?.get("members")?.as_array()?;
    let mut folders = members.iter().filter_map(|member| Some(folder.join(member.as_str()?)));
    folders.find(|folder| is_sdk(folder))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A workspace with the SDK, with or without a lock.
    fn workspace(root: &Path, lock: bool) {
        fs::create_dir_all(root.join("sdk/src")).unwrap();
        fs::create_dir_all(root.join("target/debug")).unwrap();
        fs::write(root.join("Cargo.toml"), "[workspace]\nmembers = [\"other\", \"sdk\"]\n").unwrap();
        fs::write(root.join("sdk/Cargo.toml"), "[package]\nname = \"lonja-sdk\"\n").unwrap();
        if lock {
            fs::write(root.join("Cargo.lock"), "version = 4\n").unwrap();
        }
    }

    fn found(root: &Path, lock: bool) -> Sdk {
        Sdk::Folder { sdk: root.join("sdk"), lock: lock.then(|| root.join("Cargo.lock")) }
    }

    #[test]
    fn it_is_found_upward_from_each_folder_in_turn() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (elsewhere, inside) = (root.join("elsewhere"), root.join("lonja/target/debug"));
        workspace(&root.join("lonja"), true);
        fs::create_dir(&elsewhere).unwrap();

        let find = |from: &[PathBuf]| Sdk::find(None, from, "1.2.3").unwrap();

        assert_eq!(find(&[elsewhere.clone(), inside.clone()]), found(&root.join("lonja"), true));
        assert_eq!(find(&[root.join("lonja/sdk/src")]), found(&root.join("lonja"), true));
        assert_eq!(find(&[elsewhere]), Sdk::Published { version: "1.2.3".to_owned() });
    }

    #[test]
    fn what_is_named_is_taken_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        workspace(&root, false);

        for named in [root.clone(), root.join("sdk")] {
            assert_eq!(Sdk::find(Some(&named), &[], "1.2.3").unwrap(), found(&root, false));
        }
        for (named, said) in [("sdk/src", "neither the crate"), ("missing", "--sdk")] {
            let error = Sdk::find(Some(&root.join(named)), &[], "1.2.3").unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn a_path_is_written_so_that_a_manifest_can_hold_it() {
        let sdk = Sdk::Folder { sdk: PathBuf::from("/a \"b\"/sdk"), lock: None };

        let line = format!("lonja-sdk = {{ {} }}", sdk.requirement().unwrap());

        let read: Table = line.parse().unwrap();
        assert_eq!(read["lonja-sdk"]["path"].as_str(), Some("/a \"b\"/sdk"));
    }
}
