use super::*;

fn request(fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get("/path?query=1");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn here() -> IpAddr {
    "10.1.2.3".parse().unwrap()
}

fn prepared(fields: &[(&str, &str)]) -> HeaderMap {
    let mut request = request(fields);
    prepare(&mut request, here()).unwrap();
    request.headers().clone()
}

#[test]
fn what_concerns_one_connection_is_not_passed_on() {
    let headers = prepared(&[
        ("host", "a"),
        ("connection", "keep-alive, X-Own"),
        ("keep-alive", "timeout=5"),
        ("x-own", "1"),
        ("te", "trailers"),
        ("transfer-encoding", "chunked"),
        ("proxy-authorization", "secret"),
        ("upgrade", "h2c"),
        ("expect", "100-continue"),
        ("x-kept", "1"),
    ]);
    let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["host", "x-kept", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]);
}

#[test]
fn a_change_of_protocol_is_passed_on() {
    let headers = prepared(&[("host", "a"), ("connection", "Upgrade, close"), ("upgrade", "websocket")]);
    assert_eq!(
        (&headers["connection"], &headers["upgrade"]),
        (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap())
    );
}

#[test]
fn the_client_is_added_to_those_the_request_came_from() {
    assert_eq!(prepared(&[("host", "a")])["x-forwarded-for"], "10.1.2.3");
    let headers = prepared(&[("host", "a"), ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")]);
    assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 10.1.2.3");
    assert_eq!(
        (&headers["x-forwarded-host"], &headers["x-forwarded-proto"]),
        (&"a".parse().unwrap(), &"http".parse().unwrap())
    );
    let long = "1".repeat(5_000);
    assert_eq!(prepared(&[("host", "a"), ("x-forwarded-for", &long)])["x-forwarded-for"], "10.1.2.3");
}

#[test]
fn a_request_names_one_host() {
    assert!(prepare(&mut request(&[]), here()).is_err());
    assert!(prepare(&mut request(&[("host", "a"), ("host", "b")]), here()).is_err());
    let mut absolute = request(&[("host", "other")]);
    *absolute.uri_mut() = "http://named:8080/x?y".parse().unwrap();
    prepare(&mut absolute, here()).unwrap();
    assert_eq!(
        (absolute.uri().to_string().as_str(), &absolute.headers()["host"]),
        ("/x?y", &"named:8080".parse().unwrap())
    );
    let mut old = request(&[]);
    *old.version_mut() = Version::HTTP_10;
    prepare(&mut old, here()).unwrap();
    assert_eq!(old.version(), Version::HTTP_11);
}

#[test]
fn what_tells_of_the_request_itself_is_passed_on_whatever_the_client_names() {
    let named = "Host, Cookie, Authorization, Content-Type, Content-Length, X-Own";
    let headers = prepared(&[
        ("host", "a"),
        ("connection", named),
        ("cookie", "a=b"),
        ("authorization", "secret"),
        ("content-type", "text/plain"),
        ("content-length", "3"),
        ("x-own", "1"),
    ]);
    for name in ["cookie", "authorization", "content-type", "content-length"] {
        assert!(headers.contains_key(name), "{name}");
    }
    assert_eq!(headers["host"], "a");
    assert!(!headers.contains_key("x-own"));
}

#[test]
fn a_host_is_a_name_and_a_port_at_most() {
    for host in ["a b/..@", "u:p@a", "a/b", "a?b", "a#b"] {
        assert!(prepare(&mut request(&[("host", host)]), here()).is_err(), "{host}");
    }
    for host in ["a", "a.b:8080", "[::1]:80", "10.1.2.3", "a_b", ""] {
        assert!(prepare(&mut request(&[("host", host)]), here()).is_ok(), "{host}");
    }
    let mut absolute = request(&[("host", "a")]);
    *absolute.uri_mut() = "http://u:p@evil:99/a".parse().unwrap();
    assert!(prepare(&mut absolute, here()).is_err());
}

#[test]
fn a_length_beside_chunks_says_nothing() {
    let mut answer = HeaderMap::new();
    answer.insert("transfer-encoding", HeaderValue::from_static("chunked"));
    answer.insert("content-length", HeaderValue::from_static("3"));
    strip(&mut answer);
    assert!(answer.is_empty(), "{answer:?}");
}

#[test]
fn codings_beside_chunks_are_seen() {
    let coded = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("transfer-encoding", HeaderValue::from_static(value));
        }
        is_coded(&headers)
    };
    assert!(!coded(&[]));
    for good in ["chunked", "Chunked", "identity"] {
        assert!(!coded(&[good]), "{good}");
    }
    for bad in ["gzip, chunked", "chunked, chunked", "gzip"] {
        assert!(coded(&[bad]), "{bad}");
    }
    assert!(coded(&["gzip", "chunked"]));
}
