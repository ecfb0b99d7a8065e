//! What a balancer changes in the heads of HTTP messages.
//!
//! Source: RFC 9110, section 7.6.1; RFC 9112, sections 3.2 and 9.6; the `X-Forwarded-` fields as proxies commonly set them.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Request, Uri, Version};

/// Fields that concern one connection only, beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRAILER,
    header::TRANSFER_ENCODING,
];

/// The longest list of addresses that is passed on, in bytes; beyond it the list begins anew.
const FORWARDED_BYTES: usize = 4_096;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A request that does not say clearly which server it is for, or names nothing there.
#[derive(Debug)]
pub(super) struct Unclear;

/// The protocol that a request wants to change to, if it does.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = listed(headers).any(|name| name.eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| asks).cloned()
}

/// Is the body coded otherwise than in chunks? What undoes the chunks would leave the rest, and nobody could tell.
pub(super) fn is_coded(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::TRANSFER_ENCODING).iter();
    let codings: Vec<&str> = fields
        .flat_map(|field| field.to_str().unwrap_or("unreadable").split(','))
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
        .collect();
    codings.len() > 1 || codings.iter().any(|coding| !coding.eq_ignore_ascii_case("chunked"))
}

/// Takes away what concerns one connection only; a change of protocol stays.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named = listed(headers).filter_map(|name| name.parse().ok());
    let named: Vec<HeaderName> = named.filter(|name| !is_of_message(name)).collect();
    let upgrade = upgrade(headers);
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // The chunks say how long it is.
        headers.remove(header::CONTENT_LENGTH);
    }
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    headers.remove(header::UPGRADE);
    headers.remove(header::TE);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
}

/// Does a field tell of the message itself? Then it goes to its other end, whoever calls it the connection's.
fn is_of_message(name: &HeaderName) -> bool {
    const ALWAYS: [HeaderName; 4] = [header::HOST, header::AUTHORIZATION, header::COOKIE, header::SET_COOKIE];
    ALWAYS.contains(name) || name.as_str().starts_with("content-")
}

/// Makes a client's request one to an instance. Errors: it has not exactly one `Host` that is a name and a port at most, or no
/// path.
pub(super) fn prepare<B>(request: &mut Request<B>, from: IpAddr) -> Result<(), Unclear> {
    let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
    if let Some(authority) = authority {
        // What the target says counts for more than the field.
        let host = HeaderValue::from_str(&authority).map_err(|_| Unclear)?;
        request.headers_mut().insert(header::HOST, host);
    }
    let is_old = request.version() == Version::HTTP_10;
    let hosts = request.headers().get_all(header::HOST).iter().count();
    let is_good = request.headers().get(header::HOST).is_none_or(is_host);
    if hosts > 1 || (hosts == 0 && !is_old) || !is_good {
        return Err(Unclear);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path: Uri = path.parse().map_err(|_| Unclear)?;
    *request.uri_mut() = path;
    let headers = request.headers_mut();
    strip(headers);
    // The balancer itself has told the client to go on.
    headers.remove(header::EXPECT);
    forward(headers, from);
    *request.version_mut() = Version::HTTP_11;
    Ok(())
}

/// Is it a name and a port at most, or nothing?
fn is_host(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    host.is_empty() || (host.parse::<Authority>().is_ok() && !host.contains('@'))
}

fn forward(headers: &mut HeaderMap, from: IpAddr) {
    let from = from.to_canonical().to_string();
    let before: Vec<&str> =
        headers.get_all(FORWARDED_FOR).iter().filter_map(|one| one.to_str().ok()).collect();
    let mut list = before.join(", ");
    if list.len() + from.len() + 2 > FORWARDED_BYTES {
        list.clear();
    }
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push_str(&from);
    if let Ok(list) = HeaderValue::from_str(&list) {
        headers.insert(FORWARDED_FOR, list);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    } else {
        // Of an old client, which need not say.
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    }
}

/// The names in all `Connection` fields.
fn listed(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let fields = headers.get_all(header::CONNECTION).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
