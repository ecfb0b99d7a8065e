//! Balancing by HTTP request: a client keeps its connection while its requests go wherever there is most room.
//!
//! A request is sent again, to another instance, if it was never sent, or if sending it twice is the same as once and it has
//! no body. What was sent and may have been done is not; its client hears 502.
//!
//! Source: RFC 9110, sections 7.6.1 (hop by hop) and 9.2.2 (idempotent methods); RFC 9112.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use lonja_serve::Impatient;
use lonja_services_core::instance::InstanceId;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::connect::{self, Unserved};
use super::pool::{Lease, Pool};
use super::{Shared, headers, tcp};

/// What passes, in either direction.
pub(super) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why the rest of a body does not come.
type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A drained instance had no more time.
#[derive(Debug, thiserror::Error)]
#[error("the instance was drained and had no more time")]
struct Cut;

/// Nothing of a body came for too long.
#[derive(Debug, thiserror::Error)]
#[error("nothing more of the body came in time")]
struct Silent;

/// The most bytes of a head.
const HEAD_BYTES: usize = 64 * 1024;

/// The most fields of a head.
const HEAD_FIELDS: usize = 128;

/// How long a client may take to send a head, and how long its connection may wait for the next request.
const HEAD_WITHIN: Duration = Duration::from_secs(60);

/// Serves one client.
pub(super) async fn serve(
    stream: TcpStream,
    from: IpAddr,
    app: &str,
    pool: &Arc<Pool>,
    shared: &Arc<Shared>,
) {
    let desk = Desk { from, app: app.into(), pool: Arc::clone(pool), shared: Arc::clone(shared) };
    let desk = Arc::new(desk);
    let service = service_fn(move |request| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(desk.handle(request).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .half_close(true);
    // How it ended is for the client to know.
    let stream = TokioIo::new(Impatient::new(stream, shared.limits.silence));
    let _end = server.serve_connection(stream, service).with_upgrades().await;
}

/// What one client's requests need.
struct Desk {
    from: IpAddr,
    app: Arc<str>,
    pool: Arc<Pool>,
    shared: Arc<Shared>,
}

/// Why a request has no answer from an instance.
enum Failed {
    /// Nobody could be asked.
    Unserved(Unserved),
    /// It broke, and it is not certain that nothing was done.
    Broken(hyper::Error),
    /// Its client did not send it whole.
    Unfinished,
    /// There is an answer that cannot be passed on; why.
    Unfit(String),
    /// No answer came in time.
    Silent,
}

/// How one try went wrong.
enum Try {
    /// It was not sent, and here it is again.
    Unsent(Box<Request<Body>>),
    /// It may have been.
    Sent(hyper::Error),
    /// It was, and nothing came back in time.
    Silent,
}

impl Desk {
    async fn handle(&self, mut request: Request<Incoming>) -> Response<Body> {
        if request.method() == Method::CONNECT {
            return say(StatusCode::NOT_IMPLEMENTED, "CONNECT is not for balancers\n".to_owned());
        }
        if headers::is_coded(request.headers()) {
            let text = "of transfer codings only chunked is known here\n";
            return say(StatusCode::NOT_IMPLEMENTED, text.to_owned());
        }
        if headers::prepare(&mut request, self.from).is_err() {
            let text = "a request needs one Host, a name and a port at most, and a path\n";
            return say(StatusCode::BAD_REQUEST, text.to_owned());
        }
        self.shared.counters.proxy_requests.add(1);
        let upgrade = headers::upgrade(request.headers()).is_some();
        let client = upgrade.then(|| hyper::upgrade::on(&mut request));
        let silence = self.shared.limits.silence;
        match self.pass_on(request.map(|body| of_peer(body, silence))).await {
            Ok((mut response, lease)) => {
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    let Some(client) = client else {
                        let why = "it changes to a protocol that nobody asked for".to_owned();
                        return self.tell(Failed::Unfit(why));
                    };
                    self.switch(client, hyper::upgrade::on(&mut response), lease);
                    return response.map(|_| nothing());
                }
                if headers::is_coded(response.headers()) {
                    let why = "it has a transfer coding other than chunked".to_owned();
                    return self.tell(Failed::Unfit(why));
                }
                headers::strip(response.headers_mut());
                *response.version_mut() = Version::HTTP_11;
                let shared = Arc::clone(&self.shared);
                response.map(|body| {
                    let body = Patient::new(body, silence);
                    Leased { body, cut: Box::pin(lease.cut()), _lease: lease, shared }.boxed_unsync()
                })
            }
            Err(failed) => self.tell(failed),
        }
    }

    /// Sends it to one instance after the other as long as that is safe.
    async fn pass_on(&self, mut request: Request<Body>) -> Result<(Response<Incoming>, Lease), Failed> {
        // An empty request that may be sent twice can be made again from its head.
        let once = !request.method().is_idempotent() || !request.body().is_end_stream();
        let head = (!once).then(|| copy_of_head(&request));
        let mut tried: Vec<InstanceId> = Vec::new();
        let mut by_idle = true;
        loop {
            let (lease, sender, is_new) =
                self.connection(once, by_idle, &mut tried).await.map_err(Failed::Unserved)?;
            let result = self.attempt(sender, request, &lease).await;
            let (error, again) = match result {
                Ok(response) => return Ok((response, lease)),
                Err(Try::Silent) => return Err(Failed::Silent),
                // Neither says anything against the instance, and another one would meet the same.
                Err(Try::Sent(error)) if error.is_user() => return Err(Failed::Unfinished),
                Err(Try::Sent(error)) if error.is_parse_too_large() => {
                    let why = format!("it has too many fields, more than {HEAD_FIELDS}, or too large ones");
                    return Err(Failed::Unfit(why));
                }
                Err(Try::Unsent(unsent)) => (None, Some(*unsent)),
                Err(Try::Sent(error)) => (Some(error), head.as_ref().map(copy_of_head)),
            };
            // A connection that waited may only have been closed in the meantime; its instance gets another chance.
            by_idle = false;
            if is_new {
                lease.backend().has_failed();
                tried.push(lease.backend().instance.clone());
            }
            request = match (again, error) {
                (Some(again), _) => again,
                (None, Some(error)) => return Err(Failed::Broken(error)),
                (None, None) => return Err(Failed::Unserved(Unserved::Unreachable)),
            };
            self.shared.counters.proxy_retries.add(1);
        }
    }

    /// A connection to the best instance: one that waits there, or a new one.
    async fn connection(
        &self,
        once: bool,
        by_idle: bool,
        tried: &mut Vec<InstanceId>,
    ) -> Result<(Lease, SendRequest<Body>, bool), Unserved> {
        loop {
            let lease = connect::next(&self.pool, tried)?;
            if by_idle && let Some(sender) = lease.backend().idle.take(once) {
                return Ok((lease, sender, false));
            }
            let Some(stream) = connect::open(&lease, &self.shared, tried).await else { continue };
            let mut client = hyper::client::conn::http1::Builder::new();
            client.max_buf_size(HEAD_BYTES).max_headers(HEAD_FIELDS);
            let stream = TokioIo::new(Impatient::new(stream, self.shared.limits.silence));
            if let Ok((sender, connection)) = client.handshake(stream).await {
                tokio::spawn(connection.with_upgrades());
                return Ok((lease, sender, true));
            }
            tried.push(lease.backend().instance.clone());
        }
    }

    async fn attempt(
        &self,
        mut sender: SendRequest<Body>,
        request: Request<Body>,
        lease: &Lease,
    ) -> Result<Response<Incoming>, Try> {
        let answer = tokio::time::timeout(self.shared.limits.answer, sender.try_send_request(request)).await;
        match answer {
            Ok(Ok(response)) => {
                self.keep(sender, lease);
                Ok(response)
            }
            Ok(Err(mut error)) => match error.take_message() {
                Some(unsent) => Err(Try::Unsent(Box::new(unsent))),
                None => Err(Try::Sent(error.into_error())),
            },
            Err(_) => Err(Try::Silent),
        }
    }

    /// Keeps the connection for another request, once this one's answer has passed.
    fn keep(&self, mut sender: SendRequest<Body>, lease: &Lease) {
        let backend = Arc::clone(lease.backend());
        if sender.is_ready() {
            backend.idle.put(sender);
            return;
        }
        tokio::spawn(async move {
            // Ends when the answer has been read, or with the connection.
            if sender.ready().await.is_ok() && backend.accepts() {
                backend.idle.put(sender);
            }
        });
    }

    /// Both sides speak something else from here on.
    fn switch(&self, client: hyper::upgrade::OnUpgrade, server: hyper::upgrade::OnUpgrade, lease: Lease) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let Ok((client, server)) = tokio::try_join!(client, server) else { return };
            let cut = lease.cut();
            let (client, server) = (TokioIo::new(client), TokioIo::new(server));
            tokio::select! {
                _end = tcp::both_ways(client, server, shared.limits.silence) => {}
                () = cut => shared.counters.proxy_cut.add(1),
            }
        });
    }

    fn tell(&self, failed: Failed) -> Response<Body> {
        let app = &self.app;
        match failed {
            Failed::Unserved(Unserved::Nobody) => {
                self.shared.counters.proxy_unserved.add(1);
                let mut response = say(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("no instance of {app} takes requests now\n"),
                );
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
            Failed::Unserved(Unserved::Unreachable) => {
                self.shared.counters.proxy_failed.add(1);
                let text = format!("no instance of {app} that should take requests can be reached\n");
                let mut response = say(StatusCode::SERVICE_UNAVAILABLE, text);
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
            Failed::Broken(error) => {
                self.shared.counters.proxy_failed.add(1);
                say(StatusCode::BAD_GATEWAY, format!("an instance of {app} broke off: {error}\n"))
            }
            Failed::Unfinished => {
                say(StatusCode::BAD_REQUEST, "the body of the request broke off or is none\n".to_owned())
            }
            Failed::Unfit(why) => {
                self.shared.counters.proxy_failed.add(1);
                let text = format!("the answer of an instance of {app} cannot be passed on: {why}\n");
                say(StatusCode::BAD_GATEWAY, text)
            }
            Failed::Silent => {
                self.shared.counters.proxy_failed.add(1);
                let limit = self.shared.limits.answer;
                say(
                    StatusCode::GATEWAY_TIMEOUT,
                    format!("an instance of {app} did not answer within {limit:?}\n"),
                )
            }
        }
    }
}

/// The same request without a body.
fn copy_of_head<B>(request: &Request<B>) -> Request<Body> {
    let mut copy = Request::new(nothing());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn of_peer(body: Incoming, silence: Duration) -> Body {
    // What has none needs no clock.
    if body.is_end_stream() { nothing() } else { Patient::new(body, silence).boxed_unsync() }
}

fn nothing() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn say(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// A body that breaks off once nothing of it has come for too long.
struct Patient {
    body: Incoming,
    silence: Duration,
    silent: Pin<Box<Sleep>>,
}

impl Patient {
    fn new(body: Incoming, silence: Duration) -> Self {
        Self { body, silence, silent: Box::pin(tokio::time::sleep(silence)) }
    }
}

impl hyper::body::Body for Patient {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let until = Instant::now() + self.silence;
            self.silent.as_mut().reset(until);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.silent.as_mut().poll(context).map(|()| Some(Err(Silent.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body, which counts at its instance until it has passed.
struct Leased {
    body: Patient,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    _lease: Lease,
    shared: Arc<Shared>,
}

impl hyper::body::Body for Leased {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        if self.cut.as_mut().poll(context).is_ready() {
            self.shared.counters.proxy_cut.add(1);
            return Poll::Ready(Some(Err(Cut.into())));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
