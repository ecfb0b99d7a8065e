//! One GET request over a connection of its own, with a bounded answer.

use std::fmt;
use std::io;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// As whom requests are made.
const USER_AGENT: &str = concat!("lonja-services/", env!("CARGO_PKG_VERSION"));

/// The most bytes of an answer's head.
const HEAD_BYTES: usize = 64 * 1024;

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server<'a> {
    /// A name or an address, of IPv6 without brackets.
    pub(crate) host: &'a str,
    /// Its port.
    pub(crate) port: u16,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The status.
    pub(crate) status: StatusCode,
    /// Of what kind the body is.
    pub(crate) content_type: String,
    /// As much of the body as was asked for.
    pub(crate) body: Vec<u8>,
    /// There was more of it.
    pub(crate) is_cut: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GetError {
    /// No connection.
    #[error("cannot connect to {server}: {source}")]
    Connect {
        /// Where.
        server: String,
        /// Why.
        source: io::Error,
    },
    /// What is asked for cannot be asked for.
    #[error("{path:?} is no path of a URL")]
    Path {
        /// It, cut to 100 characters.
        path: String,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("no answer from {server}: {source}")]
    Exchange {
        /// Whose.
        server: String,
        /// Why.
        source: hyper::Error,
    },
}

impl fmt::Display for Server<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Server<'_> {
    /// Opens a connection. Errors: as [`GetError::Connect`].
    pub(crate) async fn connect(&self) -> Result<TcpStream, GetError> {
        TcpStream::connect((self.host, self.port)).await.map_err(|source| self.no_connection(source))
    }

    /// GETs `path` and reads at most `most` bytes of the body; with 0 none is waited for. Redirects are answers like any
    /// other. The caller bounds the time.
    pub(crate) async fn get(
        &self,
        tls: Option<&TlsConnector>,
        path: &str,
        most: usize,
    ) -> Result<Answered, GetError> {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let request = Request::get(format!("{slash}{path}"))
            .header(header::HOST, self.to_string())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|_| GetError::Path { path: path.chars().take(100).collect() })?;
        let stream = self.connect().await?;
        match tls {
            None => self.exchange(stream, request, most).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.to_owned())
                    .map_err(|error| self.no_connection(io::Error::other(error)))?;
                let stream = tls.connect(name, stream).await.map_err(|source| self.no_connection(source))?;
                self.exchange(stream, request, most).await
            }
        }
    }

    fn no_connection(&self, source: io::Error) -> GetError {
        GetError::Connect { server: self.to_string(), source }
    }

    async fn exchange<S>(
        &self,
        stream: S,
        request: Request<Empty<Bytes>>,
        most: usize,
    ) -> Result<Answered, GetError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broken = |source| GetError::Exchange { server: self.to_string(), source };
        let mut client = hyper::client::conn::http1::Builder::new();
        let (mut sender, connection) =
            client.max_buf_size(HEAD_BYTES).handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let answer = async move { take(sender.send_request(request).await?, most).await };
        tokio::pin!(answer, connection);
        tokio::select! {
            biased;
            answer = &mut answer => answer.map_err(broken),
            // What it has read is still to be taken.
            _end = &mut connection => answer.await.map_err(broken),
        }
    }
}

async fn take(response: Response<Incoming>, most: usize) -> Result<Answered, hyper::Error> {
    let (head, mut incoming) = response.into_parts();
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let content_type =
        content_type.map_or_else(String::new, |value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut answered = Answered { status: head.status, content_type, body: Vec::new(), is_cut: false };
    while answered.body.len() < most {
        let Some(frame) = incoming.frame().await else { return Ok(answered) };
        if let Ok(data) = frame?.into_data() {
            let room = most - answered.body.len();
            answered.is_cut |= data.len() > room;
            answered.body.extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
        }
    }
    answered.is_cut |= most > 0 && !hyper::body::Body::is_end_stream(&incoming);
    Ok(answered)
}
