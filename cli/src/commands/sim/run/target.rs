//! The file that a report goes to.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use tempfile::NamedTempFile;

/// A file that can be written, found out before the runs begin. A new or ordinary file appears under its name when it is
/// whole; what was there before stays until then. Pipes and devices are written as they are.
#[derive(Debug)]
pub(super) enum Target {
    Whole { beside: NamedTempFile, path: PathBuf },
    Stream { stream: File, path: PathBuf },
}

impl Target {
    /// Opens it. Errors: a folder, or a place where nothing can be written.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("--out {}: cannot be written", path.display());
        let (path, metadata) = (path.to_owned(), std::fs::metadata(path));
        if let Ok(metadata) = &metadata
            && !metadata.is_file()
        {
            if metadata.is_dir() {
                bail!("--out {}: is a folder; name a file in it", path.display());
            }
            let stream = File::options().write(true).open(&path).with_context(cannot)?;
            return Ok(Self::Stream { stream, path });
        }
        // Beside the file itself, even behind a symbolic link: a rename reaches no other file system.
        let path = if metadata.is_ok() { path.canonicalize().with_context(cannot)? } else { path };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let permissions = Permissions::from_mode(0o666);
        let beside = tempfile::Builder::new().permissions(permissions).tempfile_in(folder);
        // Without the name of the file beside, which nobody asked for.
        let beside = beside.map_err(|error| anyhow!(error.kind())).with_context(cannot)?;
        Ok(Self::Whole { beside, path })
    }

    /// Writes all of it.
    pub(super) fn write(self, text: &str) -> anyhow::Result<()> {
        let cannot = |path: &Path| format!("--out {}: cannot be written", path.display());
        match self {
            Self::Whole { mut beside, path } => {
                beside.write_all(text.as_bytes()).with_context(|| cannot(&path))?;
                beside.persist(&path).map_err(|error| error.error).with_context(|| cannot(&path))?;
            }
            Self::Stream { mut stream, path } => {
                stream.write_all(text.as_bytes()).with_context(|| cannot(&path))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_appears_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.svg");
        std::fs::write(&path, "before").unwrap();

        let target = Target::open(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        target.write("after").unwrap();

        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_said_before_anything_runs() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| Target::open(path).unwrap_err().to_string();
        assert!(error(folder.path()).ends_with("is a folder; name a file in it"));
        assert!(error(&folder.path().join("no/such/file")).ends_with("cannot be written"));
        assert!(Target::open(Path::new("/dev/null")).unwrap().write("x").is_ok());
    }
}
