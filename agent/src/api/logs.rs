//! A task's output as it comes.
//!
//! The file belongs to the task: it is opened from its folder, must be a plain file there, and no link is
//! followed. Waiting is by inotify on the folder; when the container has ended and all is read, the
//! stream ends.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use futures::stream::{self, Stream};
use lonja_proto::lonja::LogChunk;
use rustix::fs::{FileType, Mode, OFlags, inotify};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::containerizer::running::watched;
use crate::handle::TaskFiles;
use crate::sandbox::Sandboxes;

/// Bytes of one chunk, at most.
const CHUNK: usize = 64 << 10;

/// How far back the last lines are looked for, in bytes.
const TAIL: u64 = 1 << 20;

/// Where to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From {
    /// At this byte.
    Offset(u64),
    /// So many lines before the end.
    LastLines(u64),
}

/// A reader of one file, between two chunks.
struct Reader {
    sandboxes: Sandboxes,
    sandbox: PathBuf,
    name: &'static str,
    file: Option<File>,
    from: From,
    offset: u64,
    follow: bool,
    ended: watch::Receiver<bool>,
    changes: Option<AsyncFd<OwnedFd>>,
    done: bool,
}

/// The chunks of a task's file from `from` on; with `follow`, until nothing more can come.
pub(crate) fn read(
    sandboxes: Sandboxes,
    files: TaskFiles,
    name: &'static str,
    from: From,
    follow: bool,
) -> impl Stream<Item = io::Result<LogChunk>> {
    let offset = if let From::Offset(offset) = from { offset } else { 0 };
    let reader = Reader {
        changes: if follow { watch_folder(&files.sandbox).ok() } else { None },
        sandboxes,
        sandbox: files.sandbox,
        name,
        file: None,
        from,
        offset,
        follow,
        ended: files.ended,
        done: false,
    };
    stream::unfold(reader, |mut reader| async move {
        if reader.done {
            return None;
        }
        let chunk = reader.next().await;
        reader.done = chunk.as_ref().map_or(true, |chunk| chunk.end);
        Some((chunk, reader))
    })
}

impl Reader {
    async fn next(&mut self) -> io::Result<LogChunk> {
        loop {
            // Looked at before reading: what was written before the end is then read for certain.
            let ended = *self.ended.borrow_and_update();
            let data = tokio::task::block_in_place(|| self.read_some())?;
            let end = data.is_empty() && (ended || !self.follow);
            if !data.is_empty() || end {
                let offset = self.offset;
                self.offset += data.len() as u64;
                return Ok(LogChunk { data, offset, end });
            }
            self.changed().await?;
        }
    }

    fn read_some(&mut self) -> io::Result<Vec<u8>> {
        if self.file.is_none() {
            self.file = open(&self.sandboxes, &self.sandbox, self.name)?;
            if let (Some(file), From::LastLines(lines)) = (&self.file, self.from) {
                self.offset = start_of_last_lines(file, lines)?;
            }
        }
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let mut data = vec![0; CHUNK];
        let read = file.read_at(&mut data, self.offset)?;
        data.truncate(read);
        Ok(data)
    }

    /// Resolves when there may be more to read, or nothing more can come.
    async fn changed(&mut self) -> io::Result<()> {
        let ended = self.ended.wait_for(|ended| *ended);
        match &self.changes {
            None => {
                // No inotify left on this host: look again now and then.
                let again = tokio::time::sleep(std::time::Duration::from_millis(50));
                tokio::select! { _ = ended => {}, () = again => {} }
            }
            Some(changes) => {
                tokio::select! {
                    _ = ended => {}
                    ready = changes.readable() => {
                        let mut ready = ready?;
                        // Which file changed does not matter; the events only have to be taken.
                        let mut taken = [MaybeUninit::<u8>::uninit(); 4096];
                        let _taken = rustix::io::read(changes.get_ref(), &mut taken);
                        ready.clear_ready();
                    }
                }
            }
        }
        Ok(())
    }
}

fn watch_folder(sandbox: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let changes = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    inotify::add_watch(&changes, sandbox, inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE)?;
    watched(changes, tokio::io::Interest::READABLE)
}

/// Opens a plain file in the sandbox; `None` if it is not there yet.
fn open(sandboxes: &Sandboxes, sandbox: &Path, name: &str) -> io::Result<Option<File>> {
    let folder = match sandboxes.open_root(sandbox) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::RDONLY;
    let file = match rustix::fs::openat(&folder, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err(io::Error::other("the task has put a link in its place")),
        Err(error) => return Err(error.into()),
    };
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("the task has put something else than a file in its place"));
    }
    Ok(Some(File::from(file)))
}

fn start_of_last_lines(file: &File, lines: u64) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let from = size.saturating_sub(TAIL);
    let mut data = vec![0; usize::try_from(size - from).unwrap_or(0)];
    let read = file.read_at(&mut data, from)?;
    data.truncate(read);
    // A newline at the very end ends the last line, it does not begin another.
    let body = data.strip_suffix(b"\n").unwrap_or(&data);
    let mut left = lines;
    if left == 0 {
        return Ok(size);
    }
    for (index, byte) in body.iter().enumerate().rev() {
        if *byte == b'\n' {
            left -= 1;
            if left == 0 {
                return Ok(from + index as u64 + 1);
            }
        }
    }
    Ok(from)
}
