//! Moves output from the task's pipes to the writer's, without ever waiting.
//!
//! Both pipes hold some 64 KiB. While the writer's is full the task's is left to fill as well, and then the
//! task waits, as it would for its disk. When the disk takes nothing at all for [`STALL`], output is thrown
//! away and counted until it does again, and a line in the log says how much.
//!
//! A task's output often comes in one piece right before its end. So the writer is forked a moment after
//! the first output; what is there at the end without a writer is written directly.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

use super::super::sys::{self, Child};
use super::file::LogFile;
use super::writer;

/// How long the disk may take nothing before output is thrown away.
const STALL: Duration = Duration::from_secs(2);

/// How long after the first output the writer is forked.
const FORK_DELAY: Duration = Duration::from_millis(5);

/// How long the disk may take for the rest when the container has ended.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes moved at once, at most.
const PIECE: usize = 1 << 20;

/// How often one stream is served before the others are looked at.
const TURNS: u32 = 16;

/// What the log says about output that was thrown away.
pub(super) fn note(bytes: u64) -> String {
    format!("\n[lonja: {bytes} bytes of output are missing here: the disk did not take them in time]\n")
}

/// One of the task's outputs.
struct Stream {
    /// The task's pipe; `None` when nobody can write into it any more.
    source: Option<OwnedFd>,
    /// Whether that is a terminal, which cannot be spliced.
    is_terminal: bool,
    /// Until the writer has it.
    file: Option<LogFile>,
    /// The writer's pipe, while there is somebody to read it.
    sink: Option<OwnedFd>,
    /// Since when there is output and the writer's pipe is full.
    full_since: Option<Instant>,
    /// Thrown away and not yet said.
    dropped: u64,
}

/// A container's outputs on their way to the files.
pub(in crate::supervisor) struct Pump {
    streams: [Stream; 2],
    /// When the writer is to be forked, once there is output.
    fork_at: Option<Instant>,
    writer: Option<Child>,
}

impl Pump {
    pub(super) fn new(streams: [(Option<OwnedFd>, LogFile); 2]) -> Self {
        let streams = streams.map(|(source, file)| Stream {
            source,
            is_terminal: false,
            file: Some(file),
            sink: None,
            full_since: None,
            dropped: 0,
        });
        Self { streams, fork_at: None, writer: None }
    }

    /// The task's terminal is made: its output is all there will be.
    pub(in crate::supervisor) fn take_terminal(&mut self, master: OwnedFd) {
        let [stream, _] = &mut self.streams;
        stream.source = Some(master);
        stream.is_terminal = true;
    }

    /// What to wait for.
    pub(in crate::supervisor) fn poll_entries(&self) -> [libc::pollfd; 4] {
        let waiting = self.fork_at.is_some();
        let entry = |stream: &Stream| {
            let full = stream.full_since.is_some() && stream.dropped == 0;
            let source = stream.source.as_ref().filter(|_| !waiting && !full).map(AsFd::as_fd);
            let sink = stream.sink.as_ref().filter(|_| stream.full_since.is_some()).map(AsFd::as_fd);
            [sys::poll_entry(source, libc::POLLIN), sys::poll_entry(sink, libc::POLLOUT)]
        };
        let [[a, b], [c, d]] = [entry(&self.streams[0]), entry(&self.streams[1])];
        [a, b, c, d]
    }

    /// When to serve it even if nothing is ready.
    pub(in crate::supervisor) fn deadline(&self) -> Option<Instant> {
        let stalls = self.streams.iter().filter(|stream| stream.dropped == 0);
        let stalls = stalls.filter_map(|stream| stream.full_since.map(|since| since + STALL));
        stalls.chain(self.fork_at).min()
    }

    /// Moves what can be moved now; `ready` are the entries as poll left them.
    pub(in crate::supervisor) fn serve(&mut self, ready: &[libc::pollfd]) {
        let now = Instant::now();
        if self.fork_at.is_some_and(|at| at <= now) {
            self.fork_at = None;
            self.start_writer();
        }
        if self.writer.is_none() {
            let something = ready.iter().step_by(2).any(|entry| entry.revents & libc::POLLIN != 0);
            if something {
                self.fork_at = Some(self.fork_at.unwrap_or(now + FORK_DELAY));
            } else {
                self.close_hung_up(ready);
            }
            return;
        }
        for stream in &mut self.streams {
            stream.serve(now, Haste::Now);
        }
    }

    /// Without a writer: outputs that the task has closed without writing anything. A hang-up would be ready
    /// for ever.
    fn close_hung_up(&mut self, ready: &[libc::pollfd]) {
        for (stream, entry) in self.streams.iter_mut().zip(ready.iter().step_by(2)) {
            if entry.revents != 0 && entry.revents & libc::POLLIN == 0 {
                stream.source = None;
            }
        }
    }

    fn start_writer(&mut self) {
        let started = self.make_writer();
        if let Ok(child) = started {
            self.writer = Some(child);
            // It is the writer's alone now, who will close it.
            self.streams.iter_mut().for_each(|stream| stream.file = None);
            return;
        }
        // No process or descriptor left: tried again while output waits in the pipe.
        self.streams.iter_mut().for_each(|stream| stream.sink = None);
        self.fork_at = Some(Instant::now() + STALL);
    }

    fn make_writer(&mut self) -> io::Result<Child> {
        let mut ends = Vec::with_capacity(2);
        for stream in &mut self.streams {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::io::ioctl_fionbio(&write, true)?;
            stream.sink = Some(write);
            ends.extend(stream.file.as_mut().map(|file| (read, file)));
        }
        writer::start(&mut ends)
    }

    /// Nothing of the container is alive: brings what is left into the files.
    pub(in crate::supervisor) fn finish(mut self) {
        let deadline = Instant::now() + END_PATIENCE;
        let Some(writer) = self.writer.take() else {
            self.streams.iter_mut().for_each(Stream::write_directly);
            return;
        };
        for stream in &mut self.streams {
            stream.move_rest(deadline);
            // The writer sees the end.
            stream.sink = None;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let mut entry = [sys::poll_entry(Some(writer.handle.as_fd()), libc::POLLIN)];
        // Should the disk be stuck, the writer goes on without us.
        if sys::poll(&mut entry, Some(left)).is_ok() && entry[0].revents != 0 {
            let _ = sys::reap(writer.pid);
        }
    }
}

/// Whether a writer that is behind may be waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Haste {
    /// The task wants to go on.
    Now,
    /// The task has ended.
    None,
}

impl Stream {
    fn serve(&mut self, now: Instant, haste: Haste) {
        for _ in 0..TURNS {
            let Some(sink) = &self.sink else {
                // Somebody has killed the writer.
                self.throw_away();
                return;
            };
            // Also when nothing follows any more.
            if self.dropped > 0 {
                match rustix::io::write(sink, note(self.dropped).as_bytes()) {
                    // So short a text is written whole or not at all.
                    Ok(_) => self.dropped = 0,
                    Err(error) => {
                        self.lose_sink_unless_full(error);
                        if haste == Haste::Now || self.sink.is_none() {
                            self.throw_away();
                        }
                        return;
                    }
                }
            }
            let Some(source) = &self.source else {
                self.full_since = None;
                return;
            };
            match move_some(source, sink, self.is_terminal) {
                Ok(0) => {
                    self.source = None;
                    self.sink = None;
                    self.full_since = None;
                    return;
                }
                Ok(_) => self.full_since = None,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    self.note_full(now, haste);
                    return;
                }
                Err(error) => self.lose_sink_unless_full(error),
            }
        }
    }

    fn lose_sink_unless_full(&mut self, error: rustix::io::Errno) {
        if error != rustix::io::Errno::AGAIN {
            self.sink = None;
            self.full_since = None;
        }
    }

    /// Nothing could be moved: is there nothing, or no room?
    fn note_full(&mut self, now: Instant, haste: Haste) {
        let waiting = self.source.as_ref().and_then(|source| rustix::io::ioctl_fionread(source).ok());
        if waiting.unwrap_or(0) == 0 {
            self.full_since = None;
            return;
        }
        let since = *self.full_since.get_or_insert(now);
        if haste == Haste::Now && now.saturating_duration_since(since) >= STALL {
            self.throw_away();
        }
    }

    fn throw_away(&mut self) {
        let mut piece = [0_u8; 16 << 10];
        for _ in 0..TURNS {
            let Some(source) = &self.source else {
                return;
            };
            match rustix::io::read(source, &mut piece) {
                Ok(0) => self.source = None,
                Ok(length) => self.dropped += length as u64,
                Err(_) => return,
            }
        }
    }

    /// At the end, without a writer: there is no more than the pipe holds.
    fn write_directly(&mut self) {
        let mut piece = [0_u8; 16 << 10];
        while let Some(source) = &self.source {
            match rustix::io::read(source, &mut piece) {
                Ok(length @ 1..) => {
                    if let Some(file) = &mut self.file {
                        file.append(piece.get(..length).unwrap_or_default());
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Ok(0) | Err(_) => self.source = None,
            }
        }
    }

    fn move_rest(&mut self, deadline: Instant) {
        loop {
            self.serve(Instant::now(), Haste::None);
            let now = Instant::now();
            let unsaid = self.dropped > 0 && self.sink.is_some();
            if now >= deadline || (self.full_since.is_none() && !unsaid) {
                return;
            }
            let mut entry = [sys::poll_entry(self.sink.as_ref().map(AsFd::as_fd), libc::POLLOUT)];
            if sys::poll(&mut entry, Some(deadline - now)).is_err() {
                return;
            }
        }
    }
}

/// Moves what there is to a pipe without waiting; 0: nothing will ever come. Errors: `AGAIN` when there is nothing, or
/// no room.
fn move_some(source: &OwnedFd, sink: &OwnedFd, is_terminal: bool) -> rustix::io::Result<usize> {
    if !is_terminal {
        return splice(source, None, sink, None, PIECE, SpliceFlags::NONBLOCK | SpliceFlags::MOVE);
    }
    let mut room = [sys::poll_entry(Some(sink.as_fd()), libc::POLLOUT)];
    if sys::poll(&mut room, Some(Duration::ZERO)).is_err() || room[0].revents & libc::POLLOUT == 0 {
        let broken = room[0].revents & libc::POLLERR != 0;
        return Err(if broken { rustix::io::Errno::PIPE } else { rustix::io::Errno::AGAIN });
    }
    // A pipe that has room at all has it for so much.
    let mut piece = [0_u8; 4096];
    let length = match rustix::io::read(source, &mut piece) {
        // Nobody has the terminal open any more.
        Err(rustix::io::Errno::IO) => 0,
        other => other?,
    };
    if length == 0 {
        return Ok(0);
    }
    rustix::io::write(sink, piece.get(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// A stream whose writer is behind, the writer's end of its pipe, and the task's end of its own.
    fn behind() -> (Stream, std::fs::File, std::fs::File) {
        let (source, task) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (writer, sink) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::io::ioctl_fionbio(&sink, true).unwrap();
        rustix::io::ioctl_fionbio(&source, true).unwrap();
        while rustix::io::write(&sink, &[b'-'; 4096]).is_ok() {}
        let stream = Stream {
            source: Some(source),
            is_terminal: false,
            file: None,
            sink: Some(sink),
            full_since: Some(Instant::now()),
            dropped: 5,
        };
        (stream, writer.into(), task.into())
    }

    #[test]
    fn what_was_thrown_away_is_said_also_when_nothing_follows() {
        let (mut stream, mut writer, mut task) = behind();
        task.write_all(b"six").unwrap();
        drop(task);

        stream.serve(Instant::now(), Haste::Now);
        assert_eq!((stream.source.is_none(), stream.dropped), (true, 8));
        let mut queued = vec![0; 64 << 10];
        let length = writer.read(&mut queued).unwrap();
        stream.move_rest(Instant::now() + END_PATIENCE);
        drop(stream);

        let mut rest = String::new();
        writer.read_to_string(&mut rest).unwrap();
        assert!(queued[..length].iter().all(|byte| *byte == b'-'));
        assert!(rest.ends_with(&note(8)), "{rest}");
    }

    #[test]
    fn at_the_end_the_writer_is_waited_for() {
        let (mut stream, mut writer, mut task) = behind();
        task.write_all(b"last").unwrap();
        drop(task);

        stream.serve(Instant::now(), Haste::None);
        assert_eq!(stream.dropped, 5, "nothing more is thrown away");
        let mut queued = vec![0; 64 << 10];
        let _length = writer.read(&mut queued).unwrap();
        stream.move_rest(Instant::now() + END_PATIENCE);
        drop(stream);

        let mut rest = String::new();
        writer.read_to_string(&mut rest).unwrap();
        assert!(rest.ends_with(&format!("{}last", note(5))), "{rest}");
    }
}
