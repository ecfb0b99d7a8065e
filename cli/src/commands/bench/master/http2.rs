//! As much of HTTP/2 as one gRPC stream on a connection of its own needs.
//!
//! A load generator shares the machine with what it measures: each of ten thousand agents has a connection, and a message
//! must cost the agents' side less than the master's. So this knows one stream, one set of headers, and no more
//! of flow control than the master's windows. The master's end is the real one.
//!
//! Source: RFC 9113 (frames, windows), RFC 7541 (headers), gRPC over HTTP/2 (message prefix).

use std::net::SocketAddr;

use anyhow::bail;

use super::socket::{Buffer, Socket};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a frame may hold unless the peer allows more, in bytes.
const FRAME: usize = 16_384;

/// What is granted the master at once, on the stream and on the connection: all there can be.
const WINDOW: u32 = i32::MAX as u32;

/// What a connection and its first stream begin with.
const FIRST_WINDOW: i64 = 65_535;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const INITIAL_WINDOW_SIZE: u16 = 4;

/// The one stream.
const STREAM: u32 = 1;

/// One bidirectional gRPC call, for as long as the connection lasts.
pub(super) struct GrpcStream {
    pub(super) socket: Socket,
    /// Messages with their prefixes that the master has not granted room for.
    waiting: Buffer,
    /// What has come of messages.
    body: Buffer,
    connection_window: i64,
    stream_window: i64,
    /// What the master's settings say a stream begins with.
    initial_window: i64,
    /// Bytes that came since the master was granted more.
    received: u32,
}

impl GrpcStream {
    /// Connects and opens a call of `path`, such as `/lonja.v1.AgentLink/Connect`.
    pub(super) fn open(master: SocketAddr, path: &str) -> anyhow::Result<Self> {
        let mut socket = Socket::connect(master)?;
        let out = &mut socket.outgoing;
        out.push(PREFACE);
        let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        settings.extend(WINDOW.to_be_bytes());
        frame(out, SETTINGS, 0, 0, &settings);
        frame(out, WINDOW_UPDATE, 0, 0, &(WINDOW - 65_535).to_be_bytes());
        frame(out, HEADERS, END_HEADERS, STREAM, &headers(&master.to_string(), path));
        Ok(Self {
            socket,
            waiting: Buffer::default(),
            body: Buffer::default(),
            connection_window: FIRST_WINDOW,
            stream_window: FIRST_WINDOW,
            initial_window: FIRST_WINDOW,
            received: 0,
        })
    }

    /// Puts a message in line; [`Self::flush`] sends it.
    pub(super) fn send(&mut self, message: &impl prost::Message) {
        let bytes = message.encode_to_vec();
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        self.waiting.push(&[0, length[0], length[1], length[2], length[3]]);
        self.waiting.push(&bytes);
    }

    /// Sends what the master and the kernel have room for.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        while !self.waiting.bytes().is_empty() {
            let room = self.connection_window.min(self.stream_window);
            let room = usize::try_from(room).unwrap_or(0).min(FRAME);
            let bytes = self.waiting.bytes();
            let part = bytes.get(..room.min(bytes.len())).unwrap_or_default();
            if part.is_empty() {
                break;
            }
            frame(&mut self.socket.outgoing, DATA, 0, STREAM, part);
            let sent = part.len();
            self.connection_window -= sent as i64;
            self.stream_window -= sent as i64;
            self.waiting.skip(sent);
        }
        self.socket.flush()
    }

    /// Takes in all that is there. Errors: the master has ended the stream or the connection.
    pub(super) fn fill(&mut self, scratch: &mut [u8]) -> anyhow::Result<()> {
        let open = self.socket.fill(scratch)?;
        while let Some(head) = self.socket.incoming.bytes().first_chunk::<9>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let Some(payload) = self.socket.incoming.bytes().get(9..9 + length) else { break };
            if kind == DATA {
                if flags & PADDED != 0 {
                    bail!("the master pads its frames, which is not known here");
                }
                self.body.push(payload);
                self.received += u32::try_from(length).unwrap_or(u32::MAX);
                if flags & END_STREAM != 0 {
                    bail!("the master has ended a stream");
                }
            } else {
                let payload = payload.to_vec();
                self.control(kind, flags, stream, &payload)?;
            }
            self.socket.incoming.skip(9 + length);
        }
        if self.received > WINDOW / 2 {
            let more = self.received.to_be_bytes();
            frame(&mut self.socket.outgoing, WINDOW_UPDATE, 0, 0, &more);
            frame(&mut self.socket.outgoing, WINDOW_UPDATE, 0, STREAM, &more);
            self.received = 0;
        }
        if !open {
            bail!("the master has closed a connection");
        }
        Ok(())
    }

    /// A frame that carries no message.
    fn control(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> anyhow::Result<()> {
        let number = payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        match kind {
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
                    if u16::from_be_bytes([setting[0], setting[1]]) == INITIAL_WINDOW_SIZE {
                        // What was granted before counts from the new start.
                        self.stream_window += i64::from(value) - self.initial_window;
                        self.initial_window = i64::from(value);
                    }
                }
                frame(&mut self.socket.outgoing, SETTINGS, ACK, 0, &[]);
            }
            PING if flags & ACK == 0 => frame(&mut self.socket.outgoing, PING, ACK, 0, payload),
            WINDOW_UPDATE if stream == 0 => self.connection_window += i64::from(number),
            WINDOW_UPDATE => self.stream_window += i64::from(number),
            HEADERS if flags & END_STREAM != 0 => bail!("the master has refused or ended a stream"),
            RST_STREAM => bail!("the master has reset a stream (error {number} of HTTP/2)"),
            GOAWAY => bail!("the master says goodbye to a connection"),
            _ => {}
        }
        Ok(())
    }

    /// The next message that is complete.
    pub(super) fn next<M: prost::Message + Default>(&mut self) -> anyhow::Result<Option<M>> {
        let Some(prefix) = self.body.bytes().first_chunk::<5>() else { return Ok(None) };
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        let Some(bytes) = self.body.bytes().get(5..5 + length) else { return Ok(None) };
        let message = M::decode(bytes)?;
        self.body.skip(5 + length);
        Ok(Some(message))
    }
}

fn frame(out: &mut Buffer, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    let stream = stream.to_be_bytes();
    out.push(&[length[1], length[2], length[3], kind, flags, stream[0], stream[1], stream[2], stream[3]]);
    out.push(payload);
}

/// The headers of a gRPC call: nothing indexed but by the table that every peer has, nothing compressed.
fn headers(authority: &str, path: &str) -> Vec<u8> {
    // `:method: POST` and `:scheme: http`, whole; then names of the table with values of our own.
    let mut block = vec![0x83, 0x86];
    let mut text = |name: &[u8], value: &str| {
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap_or(u8::MAX).min(126));
        block.extend(value.bytes().take(126));
    };
    text(&[0x04], path);
    text(&[0x01], authority);
    // `content-type` is number 31, of which 4 bits hold 15 and the next byte the rest.
    text(&[0x0f, 31 - 15], "application/grpc");
    text(b"\x00\x02te", "trailers");
    block
}
