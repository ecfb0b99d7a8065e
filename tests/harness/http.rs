//! Plain HTTP, byte for byte: what a client sends is what it was told to, and what comes back is shown as it came.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;

/// An answer, of which the body may still be under way.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    reader: BufReader<TcpStream>,
}

/// Sends a request with a body, over a connection of its own that ends with the answer.
pub fn send(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    try_send(address, method, path, headers, body).expect("the daemon answers")
}

/// The same to a daemon that may be away. Errors: it is.
pub fn try_send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(&[head.as_bytes(), body].concat())?;
    Answer::read(stream)
}

impl Answer {
    /// Reads the head of an answer. Errors: there is none.
    pub fn read(stream: TcpStream) -> io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no answer: {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        Ok(Self { status, headers, reader })
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The next chunk of a body that comes in chunks; `None`: the last has come. Errors: none comes for long, the body breaks off, or
    /// it is not in chunks.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = usize::from_str_radix(line.trim(), 16);
        let length = length.map_err(|_| io::Error::other(format!("no length of a chunk: {line:?}")))?;
        let mut chunk = vec![0; length + 2];
        self.reader.read_exact(&mut chunk)?;
        chunk.truncate(length);
        Ok((length > 0).then_some(chunk))
    }

    /// The rest of the body, whole.
    pub fn body(mut self) -> Vec<u8> {
        let mut body = Vec::new();
        if self.header("transfer-encoding") == "chunked" {
            while let Some(chunk) = self.chunk().expect("the body comes whole") {
                body.extend(chunk);
            }
        } else {
            self.reader.read_to_end(&mut body).expect("it answers");
        }
        body
    }

    /// The rest of the body, as a text.
    pub fn text(self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }
}
