//! One GET request, of whose answer nothing counts but the status.
//!
//! No redirect is followed: a status from 300 to 399 is good as it is. The request is closed after the first line of
//! the final answer; nothing of its body is read.
//!
//! Source: RFC 9112, sections 3 and 4; RFC 9110, section 15.2 on interim answers.

use std::time::Duration;

use lonja_agent_core::CheckResult;
use lonja_model::check::{Family, HttpProbe};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::network;

/// The most that is read of an answer, interim ones included.
const LARGEST_HEAD: usize = 16 << 10;

/// Sends the request to the task whose process is `pid`.
pub(super) async fn get(pid: u32, probe: &HttpProbe) -> CheckResult {
    match network::connect(pid, probe.family, probe.port).await {
        Ok(stream) => match ask(stream, &request(probe)).await {
            Ok(status) => CheckResult::Answered(status),
            Err(why) => CheckResult::Failed(why),
        },
        Err(error) => error.result(),
    }
}

fn host(probe: &HttpProbe) -> String {
    match probe.family {
        Family::IPv4 => format!("127.0.0.1:{}", probe.port),
        Family::IPv6 => format!("[::1]:{}", probe.port),
    }
}

fn path(probe: &HttpProbe) -> &str {
    probe.path.as_deref().unwrap_or("/")
}

fn request(probe: &HttpProbe) -> String {
    let (path, host) = (path(probe), host(probe));
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lonja-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
}

/// Sends a request and reads the status of the final answer. Errors: why there is none, for people.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Result<u16, String> {
    stream.write_all(request.as_bytes()).await.map_err(|error| format!("cannot send a request: {error}"))?;
    let mut head = Vec::with_capacity(1_024);
    let mut buffer = [0; 1_024];
    loop {
        match final_status(&head)? {
            Some(status) => return Ok(status),
            None if head.len() >= LARGEST_HEAD => {
                return Err(format!("no answer in the first {LARGEST_HEAD} bytes"));
            }
            None => {}
        }
        let room = buffer.len().min(LARGEST_HEAD - head.len());
        let read = stream.read(&mut buffer[..room]).await;
        match read.map_err(|error| format!("cannot read an answer: {error}"))? {
            0 => return Err("the connection was closed before an answer".to_owned()),
            length => head.extend_from_slice(&buffer[..length]),
        }
    }
}

/// The status of the first answer in `head` that is final; `None`: it is not there yet. Errors: this is no HTTP.
fn final_status(mut head: &[u8]) -> Result<Option<u16>, String> {
    loop {
        let Some(end) = head.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let status = status_of(&head[..end])?;
        if !(100..200).contains(&status) || status == 101 {
            return Ok(Some(status));
        }
        // An interim answer ends with an empty line; another follows.
        let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        head = &head[end + 4..];
    }
}

fn status_of(line: &[u8]) -> Result<u16, String> {
    let nonsense = || "what answers does not speak HTTP/1".to_owned();
    let line = std::str::from_utf8(line).map_err(|_| nonsense())?;
    let rest = line.strip_prefix("HTTP/1.").ok_or_else(nonsense)?;
    let status = rest.split_ascii_whitespace().nth(1).filter(|status| status.len() == 3);
    let status = status.and_then(|status| status.parse().ok()).filter(|status| (100..600).contains(status));
    status.ok_or_else(nonsense)
}

/// Sends the request over TLS; whose certificate it is, is not looked at. It has a thread of its own, which ends by
/// `timeout`: the library blocks, and is in the task's network namespace as a whole.
pub(super) async fn get_over_tls(pid: u32, probe: &HttpProbe, timeout: Duration) -> CheckResult {
    let namespace = match network::foreign_namespace(pid) {
        Ok(namespace) => namespace,
        Err(error) => return network::NoConnection::Namespace(error).result(),
    };
    let url = format!("https://{}{}", host(probe), path(probe));
    let (sender, answered) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("check-tls".to_owned()).spawn(move || {
        let result = match namespace.as_ref().map_or(Ok(()), network::enter) {
            Ok(()) => get_blocking(&url, timeout),
            Err(error) => network::NoConnection::Namespace(error).result(),
        };
        // Whoever waited may have left.
        let _left = sender.send(result);
    });
    match thread {
        Ok(_runs) => answered.await.unwrap_or_else(|_| CheckResult::NotBegun("the thread ended".to_owned())),
        Err(error) => CheckResult::NotBegun(format!("no thread for it: {error}")),
    }
}

fn get_blocking(url: &str, timeout: Duration) -> CheckResult {
    let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_response_header_size(LARGEST_HEAD)
        .timeout_global(Some(timeout))
        .user_agent("lonja-check")
        .build()
        .into();
    match agent.get(url).call() {
        Ok(answer) => CheckResult::Answered(answer.status().as_u16()),
        Err(error) => CheckResult::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_that_of_the_final_answer() {
        let status = |head: &str| final_status(head.as_bytes());
        assert_eq!(status("HTTP/1.1 200 OK\r\n"), Ok(Some(200)));
        assert_eq!(status("HTTP/1.0 503\n"), Ok(Some(503)));
        assert_eq!(status("HTTP/1.1 200 O"), Ok(None));
        assert_eq!(
            status("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n"),
            Ok(Some(204))
        );
        assert_eq!(status("HTTP/1.1 100 Continue\r\nx: y\r\n"), Ok(None));
        assert_eq!(status("HTTP/1.1 101 Switching Protocols\r\n"), Ok(Some(101)));
        for nonsense in
            ["SSH-2.0-OpenSSH\r\n", "HTTP/2 200\r\n", "HTTP/1.1 99999 x\r\n", "HTTP/1.1 x\r\n", "\n"]
        {
            assert!(status(nonsense).is_err(), "{nonsense:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_without_end_is_left() {
        for filler in ["HTTP/1.1 100 Continue\r\n\r\n", "x"] {
            let (ours, mut theirs) = tokio::io::duplex(1 << 10);
            let endless = tokio::spawn(async move {
                // Ends when the other side has left.
                while theirs.write_all(filler.as_bytes()).await.is_ok() {}
            });
            let answer = ask(ours, "GET / HTTP/1.1\r\n\r\n").await;
            assert!(answer.is_err_and(|why| why.contains("no answer in the first 16384 bytes")));
            endless.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_request_is_one_that_servers_take() {
        let probe = HttpProbe { port: 80, path: Some("/health?x=1".to_owned()), ..HttpProbe::default() };
        let (ours, mut theirs) = tokio::io::duplex(1 << 10);
        let asked = tokio::spawn(async move {
            let mut buffer = vec![0; 1 << 10];
            let length = theirs.read(&mut buffer).await.unwrap();
            theirs.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await.unwrap();
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        });
        assert_eq!(ask(ours, &request(&probe)).await, Ok(404));
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /health?x=1 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"), "{asked}");
        assert!(asked.ends_with("\r\n\r\n"));
    }
}
