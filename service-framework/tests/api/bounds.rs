//! What is too large, too deep, too long or no request at all is refused, and costs nobody else anything.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::door::Door;

#[tokio::test]
async fn a_body_above_ten_mebibytes_is_refused() {
    let door = Door::open().await;
    let large = door.send("POST", "/v2/apps", &[], vec![b' '; (10 << 20) + 1]).await;
    assert_eq!(large.status, 413, "{}", large.text);
    let just_small_enough = door.send("POST", "/v2/apps", &[], vec![b' '; 10 << 20]).await;
    assert_eq!(just_small_enough.status, 400, "{}", just_small_enough.text);
    door.close().await;
}

#[tokio::test]
async fn what_is_no_json_or_too_deep_is_refused_with_the_parsers_words() {
    let door = Door::open().await;
    let deep = "[".repeat(1 << 20);
    for (path, body) in
        [("/v2/apps", "{"), ("/v2/groups", deep.as_str()), ("/v2/pods", ""), ("/v2/tasks/delete", "nan")]
    {
        let reply = door.send("POST", path, &[], body.to_owned()).await;
        assert_eq!(reply.status, 400, "{path}: {}", reply.text);
        assert_eq!(reply.json()["message"], "Invalid JSON", "{path}");
        assert!(reply.json()["details"].is_string(), "{path}");
    }
    for (path, body) in
        [("/v2/apps", "[]"), ("/v2/tasks/delete", "{\"ids\":[\"x\"]}"), ("/v2/tasks/delete", "{}")]
    {
        assert_eq!(door.send("POST", path, &[], body).await.status, 400, "{path}");
    }
    door.close().await;
}

#[tokio::test]
async fn what_is_no_http_gets_no_further() {
    let door = Door::open().await;
    let head = format!("GET /v2/apps HTTP/1.1\r\nhost: x\r\nlarge: {}\r\n\r\n", "x".repeat(1 << 20));
    for bytes in ["\0\0\0\0 what\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", head.as_str()] {
        let mut stream = TcpStream::connect(door.address()).await.unwrap();
        // It may close before it has read all.
        let _broken = stream.write_all(bytes.as_bytes()).await;
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(door.get("/ping").await.status, 200);
    door.close().await;
}

#[tokio::test]
async fn bodies_that_come_to_more_than_there_is_room_for_are_refused_until_others_have_ended() {
    let door = Door::open().await;
    let mut unended = Vec::new();
    for _ in 0..6 {
        let mut stream = TcpStream::connect(door.address()).await.unwrap();
        let head = format!("POST /v2/apps HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 10 << 20);
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; (10 << 20) - 1]).await.unwrap();
        unended.push(stream);
    }
    // Of 64 MiB some 4 are left once all of it was read.
    let attempt = || door.send("POST", "/v2/apps", &[], vec![b' '; 6 << 20]);
    let turns_to = async |status| {
        for _ in 0..1_000 {
            if attempt().await.status == status {
                return true;
            }
        }
        false
    };
    assert!(turns_to(503).await, "all were taken");
    assert_eq!(door.send("POST", "/v2/apps", &[], "{").await.status, 400, "small ones go on");
    drop(unended);
    assert!(turns_to(400).await, "their places stay taken");
    door.close().await;
}

#[tokio::test]
async fn who_asks_whether_to_send_too_much_is_told_not_to() {
    let door = Door::open().await;
    let mut stream = TcpStream::connect(door.address()).await.unwrap();
    let head =
        b"POST /v2/apps HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
    door.close().await;
}
