//! A socket that is never waited for, with what has come in and what is to go out.
//!
//! Ten thousand of these lie in one process: an idle one holds no memory beyond itself.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Context;

/// Memory that an empty buffer keeps for later, in bytes.
const KEPT: usize = 4 << 10;

/// Bytes that are put on at the end and taken off at the front.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    from: usize,
}

impl Buffer {
    /// What is in it.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }

    /// Takes so many bytes off the front.
    pub(super) fn skip(&mut self, count: usize) {
        self.from = (self.from + count).min(self.bytes.len());
        if self.from == self.bytes.len() {
            self.from = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEPT {
                self.bytes = Vec::new();
            }
        }
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        // What was taken off makes room, once it is the greater part.
        if self.from > KEPT && self.from * 2 > self.bytes.len() {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
        self.bytes.extend_from_slice(more);
    }
}

/// One connection to the master.
pub(super) struct Socket {
    stream: TcpStream,
    pub(super) incoming: Buffer,
    pub(super) outgoing: Buffer,
}

impl Socket {
    /// Connects. On a loopback this waits for room in the master's queue at most.
    pub(super) fn connect(master: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(master).with_context(|| {
            format!("no connection to the master at {master}; are there enough descriptors and ports?")
        })?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, incoming: Buffer::default(), outgoing: Buffer::default() })
    }

    /// Takes in all that is there; `false`: the master has closed it. `scratch` is anybody's.
    pub(super) fn fill(&mut self, scratch: &mut [u8]) -> anyhow::Result<bool> {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return Ok(false),
                Ok(count) => self.incoming.push(scratch.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
                Err(error) => return Err(error).context("cannot read from the master"),
            }
        }
    }

    /// Sends what the kernel takes; the rest waits for the next call.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        while !self.outgoing.bytes().is_empty() {
            match self.stream.write(self.outgoing.bytes()) {
                Ok(count) => self.outgoing.skip(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot write to the master"),
            }
        }
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_gives_back_in_order_what_was_put_in() {
        let mut buffer = Buffer::default();
        let (mut put, mut taken) = (0_u32, 0_u32);
        for round in 0..2_000_usize {
            for _ in 0..round % 7 {
                buffer.push(&put.to_le_bytes());
                put += 1;
            }
            for _ in 0..(round % 5).min(buffer.bytes().len() / 4) {
                assert_eq!(buffer.bytes()[..4], taken.to_le_bytes());
                buffer.skip(4);
                taken += 1;
            }
        }
        assert_eq!(buffer.bytes().len(), (put - taken) as usize * 4);
        buffer.skip(usize::MAX / 2);
        assert!(buffer.bytes().is_empty());
    }
}
