//! A task's output as it comes.
//!
//! Its files belong to the task: they are opened from its folder, must be plain files there, and no link is
//! followed. Full ones and the present one are read as one ([`files`]), without a gap or a repeat unless the
//! oldest go before they are read; the offsets then say how much is missing. Waiting is by inotify on the
//! folder; when the container has ended and all is read, the stream ends.

mod files;

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use futures::stream::{self, Stream};
use lonja_proto::lonja::LogChunk;
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::containerizer::running::watched;
use crate::handle::TaskFiles;
use crate::sandbox::Sandboxes;
use files::{Files, Part};

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
    files: Files,
    part: Option<Part>,
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
        files: Files::new(move || sandboxes.open_root(&files.sandbox), name),
        part: None,
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
        if self.part.is_none() {
            if let From::LastLines(lines) = self.from {
                self.offset = self.files.start_of_last_lines(lines, TAIL)?;
            }
            self.part = self.files.at(self.offset)?;
        }
        while let Some(part) = &self.part {
            self.offset = self.offset.max(part.start);
            let data = part.read(self.offset, CHUNK)?;
            if !data.is_empty() {
                return Ok(data);
            }
            let Some(next) = self.files.after(part)? else { break };
            // Between the two looks the last of it may have been written.
            let data = part.read(self.offset, CHUNK)?;
            if !data.is_empty() {
                return Ok(data);
            }
            self.part = Some(next);
        }
        Ok(Vec::new())
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
