//! As much of HTTP/1.1 as a client of the v1 API needs: requests one after another, answers in order, bodies in pieces.

use std::collections::VecDeque;
use std::net::SocketAddr;

use anyhow::{Context, bail};

use super::socket::Socket;

/// The head of an answer, at most, in bytes.
const HEAD: usize = 64 << 10;

/// What has come of answers.
pub(super) enum Piece<'a> {
    /// An answer begins.
    Head { status: u16, stream_id: Option<&'a str> },
    /// A part of its body.
    Body(&'a [u8]),
    /// It is complete.
    End,
}

enum Awaited {
    Head,
    /// So much of a body of known length.
    Body(u64),
    ChunkSize,
    Chunk(u64),
    Trailers,
}

/// One connection.
pub(super) struct Http1 {
    pub(super) socket: Socket,
    host: String,
    awaited: Awaited,
    waiting: VecDeque<Vec<u8>>,
    unanswered: usize,
    /// Requests that may be on their way at once.
    pub(super) most: usize,
}

impl Http1 {
    pub(super) fn connect(master: SocketAddr, most: usize) -> anyhow::Result<Self> {
        Ok(Self {
            socket: Socket::connect(master)?,
            host: master.to_string(),
            awaited: Awaited::Head,
            waiting: VecDeque::new(),
            unanswered: 0,
            most,
        })
    }

    /// Puts a request in line; [`Self::flush`] sends it. `headers` end each with a line break.
    pub(super) fn request(&mut self, line: &str, headers: &str, body: &[u8]) {
        let length = body.len();
        let host = &self.host;
        let mut request =
            format!("{line} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n")
                .into_bytes();
        request.extend_from_slice(body);
        if self.unanswered < self.most {
            self.unanswered += 1;
            self.socket.outgoing.push(&request);
        } else {
            self.waiting.push_back(request);
        }
    }

    /// Sends what the kernel has room for.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.socket.flush()
    }

    /// Takes in all that is there. Errors: what comes is no answer, the master has closed the connection, or `take` failed.
    pub(super) fn receive(
        &mut self,
        scratch: &mut [u8],
        mut take: impl FnMut(Piece<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let open = self.socket.fill(scratch)?;
        while self.step(&mut take)? {}
        if !open {
            bail!("the master has closed a connection with {} calls unanswered", self.unanswered);
        }
        Ok(())
    }

    /// One piece; `false`: there is none as yet.
    fn step(&mut self, take: &mut impl FnMut(Piece<'_>) -> anyhow::Result<()>) -> anyhow::Result<bool> {
        let bytes = self.socket.incoming.bytes();
        let used = match &mut self.awaited {
            Awaited::Head => {
                let Some(end) = find(bytes, b"\r\n\r\n") else {
                    if bytes.len() > HEAD {
                        bail!("the master's answer has a head of more than {HEAD} bytes");
                    }
                    return Ok(false);
                };
                let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
                let (status, length, stream_id) = read_head(head)?;
                take(Piece::Head { status, stream_id })?;
                self.awaited = length.map_or(Awaited::ChunkSize, Awaited::Body);
                end + 4
            }
            Awaited::Body(0) => {
                self.ended(take)?;
                0
            }
            Awaited::Body(left) | Awaited::Chunk(left) if *left > 0 => {
                if bytes.is_empty() {
                    return Ok(false);
                }
                let part = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                take(Piece::Body(bytes.get(..part).unwrap_or_default()))?;
                *left -= part as u64;
                part
            }
            Awaited::Body(_) | Awaited::Chunk(_) => {
                if bytes.len() < 2 {
                    return Ok(false);
                }
                self.awaited = Awaited::ChunkSize;
                2
            }
            Awaited::ChunkSize => {
                let Some(end) = find(bytes, b"\r\n") else { return Ok(false) };
                let line = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
                let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
                let size = size.with_context(|| format!("{line:?} is no size of a chunk"))?;
                self.awaited = if size == 0 { Awaited::Trailers } else { Awaited::Chunk(size) };
                end + 2
            }
            Awaited::Trailers => {
                let Some(end) = find(bytes, b"\r\n") else { return Ok(false) };
                if end == 0 {
                    self.ended(take)?;
                }
                end + 2
            }
        };
        self.socket.incoming.skip(used);
        Ok(true)
    }

    fn ended(&mut self, take: &mut impl FnMut(Piece<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.awaited = Awaited::Head;
        match self.waiting.pop_front() {
            Some(request) => self.socket.outgoing.push(&request),
            None => self.unanswered -= self.unanswered.min(1),
        }
        take(Piece::End)
    }
}

/// Status, length of the body (`None`: in chunks) and the id of the stream.
fn read_head(head: &str) -> anyhow::Result<(u16, Option<u64>, Option<&str>)> {
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.with_context(|| format!("{first:?} is no answer of HTTP/1.1"))?;
    let (mut length, mut stream_id) = (Some(0), None);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            length = None;
        } else if name.eq_ignore_ascii_case("mesos-stream-id") {
            stream_id = Some(value);
        }
    }
    Ok((status, length, stream_id))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
