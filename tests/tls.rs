//! Servers that speak TLS: files from them, and checks by them. The authority is made for each test.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use lonja_tests::{Cluster, eventually, needs_root, run, stderr, stdout};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const RESOURCES: &str = "cpus:4;mem:2048";

/// Answers every request with a line, on loopback.
struct Server {
    port: u16,
    /// Who says who it is, as PEM.
    authority: String,
}

impl Server {
    /// With a certificate for this name or address.
    fn start(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(own.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config =
            config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who does not believe us leaves.
                let _left = answer(stream, &config);
            }
        });
        Self { port, authority }
    }
}

fn answer(stream: TcpStream, config: &Arc<ServerConfig>) -> std::io::Result<()> {
    let connection = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nover TLS\n")?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// A cluster whose agent fetches from loopback and believes this authority.
fn cluster(authority: &str) -> Cluster {
    let mut cluster = Cluster::without_agent(&[]);
    let file = cluster.path("ca.pem");
    std::fs::write(&file, authority).unwrap();
    let settings = [("LONJA_AGENT_FETCH_ALLOW", "127.0.0.0/8"), ("LONJA_AGENT_FETCH_CA", file.as_str())];
    cluster.start_agent_in(RESOURCES, &settings);
    cluster
}

fn fetch(cluster: &Cluster, server: &Server) -> std::process::Output {
    let uri = format!("https://127.0.0.1:{}/file", server.port);
    cluster.spawn_run(&["--fetch", &uri, "--", "cat", "file"]).wait_with_output().unwrap()
}

#[test]
fn a_server_is_believed_if_its_authority_is_and_it_is_who_it_says() {
    if needs_root() {
        return;
    }
    let server = Server::start("127.0.0.1");
    let believing = cluster(&server.authority);
    let output = fetch(&believing, &server);
    assert_eq!(stdout(&output), "over TLS\n", "{}", stderr(&output));
    // Another's authority, and a certificate for another name.
    for (authority, server) in
        [(&server.authority, Server::start("127.0.0.1")), (&server.authority, Server::start("other.example"))]
    {
        let output = fetch(&cluster(authority), &server);
        assert_eq!(output.status.code(), Some(125));
        let said = stderr(&output).to_lowercase();
        assert!(said.contains("certificate") && said.contains("https://127.0.0.1"), "{said}");
    }
    let misnamed = Server::start("other.example");
    let output = fetch(&cluster(&misnamed.authority), &misnamed);
    assert!(stderr(&output).to_lowercase().contains("certificate"), "{}", stderr(&output));
}

#[test]
fn a_file_of_authorities_without_one_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (work_dir, file) = (dir.path().join("agent"), dir.path().join("ca.pem"));
    std::fs::write(&file, "none").unwrap();
    let arguments = ["--work-dir", work_dir.to_str().unwrap(), "--fetch-ca", file.to_str().unwrap()];
    let output = run(&[&["agent"][..], &arguments].concat());
    assert_ne!(output.status.code(), Some(0));
    let said = stderr(&output);
    assert!(said.contains("--fetch-ca") && said.contains("holds no certificate"), "{said}");
}

#[test]
fn health_over_tls_is_seen_whoever_signed_the_certificate() {
    if needs_root() {
        return;
    }
    let server = Server::start("other.example");
    let cluster = Cluster::start(&[]);
    let probe = format!("https:{}/health", server.port);
    let flags = ["--health-http", &probe, "--health-interval", "100ms", "--", "sleep", "1000"];
    let mut child = cluster.spawn_run(&flags);
    eventually("it is healthy", || {
        cluster.list("tasks").iter().any(|task| task["healthy"] == true).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
}
