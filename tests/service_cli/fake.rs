//! A service framework that says what a test wants: a small HTTP server, ended by whoever drops it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

/// An answer: status, and the body; text is sent as it is.
pub(crate) type Answer = (u16, Value);

/// What is answered, by the start of `METHOD path`. The last of several answers is given from then on.
type Answers = Vec<(String, VecDeque<Answer>)>;

/// A framework that answers by a script.
pub(crate) struct Fake {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<Answers>,
    asked: Mutex<Vec<(String, Value)>>,
    over: AtomicBool,
}

impl Fake {
    /// Starts it.
    pub(crate) fn start() -> Self {
        Self::stranger().answer("GET /v2/info", 200, serde_json::json!({ "name": "fake" }))
    }

    /// Starts one that is no framework as yet.
    pub(crate) fn stranger() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.over.load(Ordering::SeqCst) {
                    return;
                }
                // Who asks closes the connection when it has ended; a broken one is its own affair.
                let _broken = serving.serve(stream);
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// Answers whatever begins so with this; said again for the same, it is what comes after that.
    pub(crate) fn answer(self, request: &str, status: u16, body: Value) -> Self {
        let mut answers = self.shared.answers.lock().unwrap();
        match answers.iter_mut().find(|(known, _)| known == request) {
            Some((_, script)) => script.push_back((status, body)),
            None => answers.push((request.to_owned(), VecDeque::from([(status, body)]))),
        }
        drop(answers);
        self
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked that is no look: `METHOD path`, and the body.
    pub(crate) fn changes(&self) -> Vec<(String, Value)> {
        let asked = self.shared.asked.lock().unwrap();
        asked.iter().filter(|(request, _)| !request.starts_with("GET ")).cloned().collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the one that waits for a connection.
        let _gone = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

impl Shared {
    /// One request a connection.
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let request = first.rsplit_once(' ').map_or("", |(request, _)| request).to_owned();
        let (status, answer) = self.answer_to(&request);
        self.asked.lock().unwrap().push((request, serde_json::from_slice(&body).unwrap_or_default()));
        let kind = if answer.is_string() { "text/event-stream" } else { "application/json" };
        let text = answer.as_str().map_or_else(|| answer.to_string(), ToOwned::to_owned);
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        )
    }

    fn answer_to(&self, request: &str) -> Answer {
        let mut answers = self.answers.lock().unwrap();
        // The longest that fits: `/v2/apps/web` before `/v2/apps`.
        let fitting = answers.iter_mut().filter(|(known, _)| request.starts_with(known.as_str()));
        let Some((_, script)) = fitting.max_by_key(|(known, _)| known.len()) else {
            return (404, serde_json::json!({ "message": format!("{request} does not exist") }));
        };
        if script.len() > 1 { script.pop_front().unwrap() } else { script.front().cloned().unwrap() }
    }
}
