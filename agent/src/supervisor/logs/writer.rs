//! The process that writes the files: whatever the disk does, only this one waits for it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::super::sys::{self, Forked};
use super::file::LogFile;

/// Bytes of one read, at most.
const PIECE: usize = 32 << 10;

/// Forks the writer; it ends when nobody can write into its sources any more.
pub(super) fn start(streams: &mut [(OwnedFd, &mut LogFile)]) -> std::io::Result<sys::Child> {
    match sys::fork_into(0)? {
        Forked::Parent(child) => Ok(child),
        Forked::Child => {
            let mut keep = Vec::new();
            for (source, file) in streams.iter() {
                keep.push(source.as_raw_fd());
                keep.extend(file.descriptors().map(AsRawFd::as_raw_fd));
            }
            sys::close_all_except(&keep);
            sys::set_process_name(c"lonja-logs");
            run(streams);
            sys::exit_now(0)
        }
    }
}

fn run(streams: &mut [(OwnedFd, &mut LogFile)]) {
    let mut open = vec![true; streams.len()];
    let mut piece = vec![0_u8; PIECE];
    while open.contains(&true) {
        let mut entries: Vec<libc::pollfd> = streams
            .iter()
            .zip(&open)
            .map(|((source, _), open)| sys::poll_entry(open.then(|| source.as_fd()), libc::POLLIN))
            .collect();
        if sys::poll(&mut entries, None).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(10));
            continue;
        }
        for (index, (source, file)) in streams.iter_mut().enumerate() {
            if entries[index].revents == 0 {
                continue;
            }
            match rustix::io::read(&*source, &mut piece) {
                Ok(length @ 1..) => file.append(piece.get(..length).unwrap_or_default()),
                Err(rustix::io::Errno::INTR) => {}
                Ok(0) | Err(_) => open[index] = false,
            }
        }
    }
}
