//! Files from http and https servers.
//!
//! Invariants
//! - The address that is connected to is the one that was allowed: a name is resolved once for each request, so that a
//!   second answer of its server changes nothing.
//! - A redirect is a new request, judged like the first; there are few of them, and none from https to http.
//! - No proxy, cookie or credential of the agent's is used: it has none here.
//!
//! Source: RFC 9110; docs/isolation.md, "Files".

use std::io::Write;
use std::net::ToSocketAddrs;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::super::addresses::Addresses;
use super::super::authorities::Authorities;
use super::budget::{Budget, Copied};

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 5;

/// How long a server may take to be connected to.
const CONNECT: Duration = Duration::from_secs(15);

/// How long nothing may come. Source: Mesos, `--fetcher_stall_timeout`.
const STALL: Duration = Duration::from_secs(60);

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebError {
    #[error("is no URL: {0}")]
    Url(String),
    #[error("the server redirects to {0:?}, which is not followed")]
    Redirect(String),
    #[error("the server redirects more than {MOST_REDIRECTS} times")]
    Redirects,
    #[error("the server answered {0}")]
    Status(String),
    #[error("{0}")]
    Ended(String),
    #[error("only {came} of {promised} bytes came")]
    Short { came: u64, promised: u64 },
    #[error(transparent)]
    Write(#[from] std::io::Error),
}

/// Asks servers.
pub(super) struct Client(ureq::Agent);

impl Client {
    pub(super) fn new(addresses: Addresses, authorities: Option<&Authorities>) -> Self {
        let tls = TlsConfig::builder().root_certs(Authorities::roots(authorities)).build();
        let config = Config::builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(STALL))
            .timeout_per_read(Some(STALL))
            .accept_encoding("identity")
            .user_agent(concat!("lonja/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(0)
            .build();
        Self(ureq::Agent::with_parts(config, DefaultConnector::default(), Guarded(addresses)))
    }

    /// Writes what is at `url` to `to`.
    pub(super) fn download(
        &self,
        url: &str,
        to: &mut impl Write,
        budget: &mut Budget,
    ) -> Result<Copied, WebError> {
        let mut uri = parse(url)?;
        for _ in 0..=MOST_REDIRECTS {
            let response = self.0.get(&uri).call().map_err(|error| WebError::Ended(error.to_string()))?;
            let status = response.status();
            if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                let location = response.headers().get("location").and_then(|location| location.to_str().ok());
                uri = redirected(&uri, location.unwrap_or_default())?;
                continue;
            }
            if status.as_u16() != 200 {
                return Err(WebError::Status(status.to_string()));
            }
            let promised = response.body().content_length();
            budget.foresee(promised.unwrap_or(0))?;
            let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
            let copied = budget.copy(&mut body, to)?;
            return match promised {
                Some(promised) if promised != copied.bytes => {
                    Err(WebError::Short { came: copied.bytes, promised })
                }
                _ => Ok(copied),
            };
        }
        Err(WebError::Redirects)
    }
}

/// A URL as people write it: what may not stand in one is escaped.
fn parse(url: &str) -> Result<Uri, WebError> {
    let mut escaped = String::with_capacity(url.len());
    let url = url.split('#').next().unwrap_or_default();
    for byte in url.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                escaped.push_str(&format!("%{byte:02X}"))
            }
            0x21..=0x7e => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped.parse().map_err(|error| WebError::Url(format!("{error}")))
}

/// Where a redirect leads. Errors: to another kind of place, in the clear, or with a password.
fn redirected(from: &Uri, location: &str) -> Result<Uri, WebError> {
    let shown = || location.split('?').next().unwrap_or_default().chars().take(200).collect::<String>();
    let refuse = || WebError::Redirect(shown());
    let scheme = from.scheme_str().unwrap_or("http");
    let host = from.authority().map_or("", |authority| authority.as_str());
    let is_absolute = location.split(['/', '?', '#']).next().is_some_and(|start| start.contains(':'));
    let target = if location.is_empty() {
        return Err(refuse());
    } else if is_absolute {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{host}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{host}{folder}/{location}")
    };
    let target = parse(&target).map_err(|_| refuse())?;
    let allowed = match target.scheme_str() {
        Some("https") => true,
        Some("http") => scheme == "http",
        _ => false,
    };
    let named = target.authority().is_some_and(|to| !to.as_str().contains('@') && !to.host().is_empty());
    if allowed && named { Ok(target) } else { Err(refuse()) }
}

/// Resolves names to addresses that may be spoken to, and to no others.
#[derive(Debug)]
struct Guarded(Addresses);

impl Resolver for Guarded {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let authority = uri.authority().ok_or_else(|| ureq::Error::BadUri(uri.to_string()))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let mut allowed = self.empty();
        let mut refused = None;
        for address in (host, port).to_socket_addrs().map_err(|_| ureq::Error::HostNotFound)?.take(16) {
            match self.0.admit(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(what) => {
                    refused = Some(format!(
                        "{host} is {}, {what}; such are fetched from only where the agent was started with --fetch-allow",
                        address.ip()
                    ));
                }
            }
        }
        match refused {
            _ if !allowed.is_empty() => Ok(allowed),
            Some(why) => Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, why).into()),
            None => Err(ureq::Error::HostNotFound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_to_no_other_kind_of_place() {
        let from = |url: &str| url.parse::<Uri>().unwrap();
        let lead = |url: &str, to: &str| redirected(&from(url), to).map(|uri| uri.to_string());
        assert_eq!(lead("http://h:1/a/b?c", "/x y").unwrap(), "http://h:1/x%20y");
        assert_eq!(lead("http://h/a/b", "c?d").unwrap(), "http://h/a/c?d");
        assert_eq!(lead("https://h/a", "//i/b").unwrap(), "https://i/b");
        assert_eq!(lead("http://h/a", "https://i/b").unwrap(), "https://i/b");
        for to in
            ["", "file:///etc/passwd", "gopher://h/", "http://i/b", "https://u:p@i/b", "https://", "data:x"]
        {
            assert!(lead("https://h/a", to).is_err(), "{to}");
        }
        let refused = lead("http://h/a", "ftp://i/b?token=x").unwrap_err().to_string();
        assert!(!refused.contains("token"), "{refused}");
    }
}
