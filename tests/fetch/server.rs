//! A small web server: what it answers is set path by path, and it counts who asks.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What is answered.
#[derive(Clone)]
pub(super) struct Answer {
    head: String,
    body: Vec<u8>,
    promised: Option<usize>,
    stalls: bool,
}

impl Answer {
    pub(super) fn bytes(body: Vec<u8>) -> Self {
        Self { head: "200 OK".to_owned(), body, promised: None, stalls: false }
    }

    pub(super) fn text(body: &str) -> Self {
        Self::bytes(body.as_bytes().to_vec())
    }

    pub(super) fn redirect(to: &str) -> Self {
        Self { head: format!("302 Found\r\nLocation: {to}"), ..Self::text("") }
    }

    /// Says that so many bytes come.
    pub(super) fn promising(self, bytes: usize) -> Self {
        Self { promised: Some(bytes), ..self }
    }

    /// Says that much comes, and goes silent after its body.
    pub(super) fn stalling(self) -> Self {
        Self { promised: Some(1 << 20), stalls: true, ..self }
    }
}

type Shared = Arc<Mutex<BTreeMap<String, (Answer, usize)>>>;

/// A server, until it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    answers: Shared,
    /// Connections that were left to wait; dropped with the server.
    _stalled: Arc<Mutex<Vec<TcpStream>>>,
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Shared::default();
        let stalled = Arc::new(Mutex::new(Vec::new()));
        let (known, waiting) = (Arc::clone(&answers), Arc::downgrade(&stalled));
        // Ends with the test's process; until then a dropped server knows nothing and keeps nobody waiting.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(kept) = answer(stream, &known) else { continue };
                if let Some(waiting) = waiting.upgrade() {
                    waiting.lock().unwrap().push(kept);
                }
            }
        });
        Self { address, answers, _stalled: stalled }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on, this is the answer there.
    pub(super) fn serve(&self, path: &str, answer: Answer) {
        let mut answers = self.answers.lock().unwrap();
        let hits = answers.get(path).map_or(0, |(_, hits)| *hits);
        answers.insert(path.to_owned(), (answer, hits));
    }

    /// How often that was asked for.
    pub(super) fn hits(&self, path: &str) -> usize {
        self.answers.lock().unwrap().get(path).map_or(0, |(_, hits)| *hits)
    }
}

/// Answers one request. Returns the connection if it is to be left open.
fn answer(mut stream: TcpStream, answers: &Shared) -> Option<TcpStream> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let answer = {
        let mut answers = answers.lock().unwrap();
        answers.get_mut(&path).map(|(answer, hits)| {
            *hits += 1;
            answer.clone()
        })
    };
    let Some(Answer { head, body, promised, stalls }) = answer else {
        let _left =
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return None;
    };
    let length = promised.unwrap_or(body.len());
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _left = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    stalls.then_some(stream)
}
