//! `lonja files`.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use lonja_proto::lonja::agent_api_client::AgentApiClient;
use lonja_proto::lonja::{FileChunk, ListFilesRequest, ListFilesResponse, ReadFileRequest};
use lonja_proto::mesos;
use serde_json::json;
use tonic::transport::Channel;

use super::stats::size;
use crate::args::Files;
use crate::client::Client;
use crate::output::{self, Listing, Row};

/// Folders inside each other that are downloaded.
const DEEPEST: usize = 64;

const KIND: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// Zeros to write where nothing was sent.
const ZEROS: [u8; 4096] = [0; 4096];

/// Shows, prints or fetches a task's files.
pub(crate) async fn run(files: &Files) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect(&files.master.master).await?;
    let task = client.find_task(&files.task, files.framework.as_deref()).await?;
    let agent = client.agent(&task.agent_id.value).await?;
    let mut sandbox = Sandbox { agent, framework: task.framework_id, task: task.task_id };
    if files.cat {
        sandbox.print(&files.path).await?;
    } else if let Some(destination) = &files.download {
        sandbox.download(&files.path, destination).await?;
    } else {
        let listing = sandbox.list(&files.path).await?;
        if listing.truncated {
            output::warn("the folder holds more than is shown");
        }
        let columns = vec!["mode", "links", "uid", "gid", "size", "modified", "name"];
        let rows = listing.files.iter().map(row).collect();
        Listing { what: "files", columns, wide_from: 7, rows }.print(files.output, false);
    }
    Ok(ExitCode::SUCCESS)
}

fn row(file: &mesos::FileInfo) -> Row {
    let seconds = file.mtime.as_ref().map_or(0, |time| time.nanoseconds / 1_000_000_000);
    let modified =
        std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let mode = mode_text(file.mode());
    let name = safe(&file.path);
    let cells = vec![
        mode.clone(),
        file.nlink().to_string(),
        file.uid().to_owned(),
        file.gid().to_owned(),
        size(file.size()),
        humantime::format_rfc3339_seconds(modified).to_string(),
        name,
    ];
    let object = json!({
        "path": file.path,
        "mode": mode,
        "nlink": file.nlink,
        "uid": file.uid,
        "gid": file.gid,
        "size": file.size,
        "mtime": seconds,
    });
    Row { id: file.path.clone(), cells, object }
}

/// A name that does nothing to the terminal it is printed on.
fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Kind and permissions as ls(1) writes them, without what is rare.
fn mode_text(mode: u32) -> String {
    let kind = match mode & KIND {
        FOLDER => 'd',
        0o120_000 => 'l',
        0o010_000 => 'p',
        0o140_000 => 's',
        0o020_000 => 'c',
        0o060_000 => 'b',
        _ => '-',
    };
    let bit =
        |index: u32| if mode & (0o400 >> index) != 0 { ['r', 'w', 'x'][index as usize % 3] } else { '-' };
    std::iter::once(kind).chain((0..9).map(bit)).collect()
}

/// A task's sandbox on its agent.
struct Sandbox {
    agent: AgentApiClient<Channel>,
    framework: mesos::FrameworkId,
    task: mesos::TaskId,
}

impl Sandbox {
    async fn list(&mut self, path: &str) -> anyhow::Result<ListFilesResponse> {
        let request = ListFilesRequest {
            framework_id: Some(self.framework.clone()),
            task_id: Some(self.task.clone()),
            path: path.to_owned(),
        };
        let listed = self.agent.list_files(request).await;
        Ok(listed.map_err(|status| anyhow!("{}", status.message()))?.into_inner())
    }

    async fn open(&mut self, path: &str) -> anyhow::Result<tonic::Streaming<FileChunk>> {
        let request = ReadFileRequest {
            framework_id: Some(self.framework.clone()),
            task_id: Some(self.task.clone()),
            path: path.to_owned(),
            offset: 0,
            length: None,
        };
        let opened = self.agent.read_file(request).await;
        Ok(opened.map_err(|status| anyhow!("{}", status.message()))?.into_inner())
    }

    /// Prints a file. Nobody reading on is no error.
    async fn print(&mut self, path: &str) -> anyhow::Result<()> {
        let mut pieces = self.open(path).await?;
        let mut stdout = std::io::stdout();
        let mut written = 0;
        while let Some(piece) = pieces.message().await.context("the file broke off")? {
            let printed = tokio::task::block_in_place(|| {
                fill(&mut stdout, piece.offset.saturating_sub(written))?;
                stdout.write_all(&piece.data)?;
                stdout.flush()
            });
            if let Err(error) = printed {
                return if error.kind() == std::io::ErrorKind::BrokenPipe {
                    Ok(())
                } else {
                    Err(error.into())
                };
            }
            written = piece.offset + piece.data.len() as u64;
            if piece.end {
                return Ok(());
            }
        }
        bail!("the file broke off")
    }

    /// Fetches a file or folder.
    async fn download(&mut self, path: &str, destination: &Path) -> anyhow::Result<()> {
        let name = path.trim_matches('/').rsplit('/').next().unwrap_or_default();
        let name = if name.is_empty() { self.task.value.clone() } else { name.to_owned() };
        let destination =
            if destination.is_dir() { destination.join(file_name(&name)?) } else { destination.to_owned() };
        // A file is listed as itself, and nothing can be opened that is none.
        match self.open(path).await {
            Ok(pieces) => save(pieces, &destination).await,
            Err(_) if self.is_folder(path).await => self.download_folder(path, &destination).await,
            Err(error) => Err(error),
        }
    }

    async fn is_folder(&mut self, path: &str) -> bool {
        // `.` below anything but a folder is not there.
        self.list(&format!("{path}/.")).await.is_ok()
    }

    async fn download_folder(&mut self, path: &str, destination: &Path) -> anyhow::Result<()> {
        let mut waiting: Vec<(String, PathBuf, usize)> = vec![(path.to_owned(), destination.to_owned(), 0)];
        while let Some((path, destination, depth)) = waiting.pop() {
            if depth > DEEPEST {
                output::warn(&format!("{} is left out: folders lie deeper than {DEEPEST}", safe(&path)));
                continue;
            }
            let listing = self.list(&path).await?;
            if listing.truncated {
                output::warn(&format!("{} holds more than was listed; the rest is left out", safe(&path)));
            }
            let cannot_make = || format!("cannot make {}", destination.display());
            fs::create_dir(&destination).with_context(cannot_make)?;
            for file in listing.files {
                let from = format!("{path}/{}", file.path);
                let to = destination.join(file_name(&file.path)?);
                match file.mode() & KIND {
                    FOLDER => waiting.push((from, to, depth + 1)),
                    FILE => match self.open(&from).await {
                        Ok(pieces) => save(pieces, &to).await?,
                        Err(error) => output::warn(&format!("{} is left out: {error}", safe(&from))),
                    },
                    _ => output::warn(&format!("{} is left out: it is no file", safe(&from))),
                }
            }
        }
        Ok(())
    }
}

/// The name of one file here, whatever the other side says.
fn file_name(name: &str) -> anyhow::Result<&str> {
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    if plain { Ok(name) } else { Err(anyhow!("{name:?} is not the name of a file")) }
}

/// Writes a file that is not there yet. Where nothing was sent it has holes.
async fn save(mut pieces: tonic::Streaming<FileChunk>, to: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", to.display());
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(to).with_context(cannot)?;
    loop {
        let piece = pieces.message().await.context("the file broke off")?;
        let FileChunk { data, offset, end, .. } = piece.context("the file broke off")?;
        let written = tokio::task::block_in_place(|| {
            file.seek(SeekFrom::Start(offset))?;
            file.write_all(&data)?;
            if end { file.set_len(offset + data.len() as u64) } else { Ok(()) }
        });
        written.with_context(cannot)?;
        if end {
            return Ok(());
        }
    }
}

fn fill(to: &mut impl Write, zeros: u64) -> std::io::Result<()> {
    let mut left = zeros;
    while left > 0 {
        let some = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
        to.write_all(&ZEROS[..some])?;
        left -= some as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_elsewhere_stay_names() {
        assert!(file_name("a b").is_ok());
        for bad in ["", ".", "..", "a/b", "/etc/passwd", "a\0"] {
            assert!(file_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(safe("a\u{1b}[2J"), "a?[2J");
        assert_eq!(mode_text(0o040_750), "drwxr-x---");
    }
}
