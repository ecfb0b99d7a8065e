//! A cluster with the service framework on it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Output;

use serde_json::Value;

use crate::{Cluster, Daemon, PATIENCE, run, stderr, stdout};

/// A cluster with the service framework on it, which can be killed and started again at its address.
pub struct Served {
    /// Below it.
    pub cluster: Cluster,
    services: Option<Daemon>,
    flags: Vec<String>,
    listen: String,
}

impl Served {
    /// Brings the services up on a cluster; `flags` are for them, now and whenever they start again.
    pub fn on(cluster: Cluster, flags: &[&str]) -> Self {
        let flags = flags.iter().map(ToString::to_string).collect();
        let mut served = Self { cluster, services: None, flags, listen: "127.0.0.1:0".to_owned() };
        served.start();
        let url = served.url();
        served.listen = url["http://".len()..].to_owned();
        served
    }

    /// Starts the services, at the address that they had before.
    pub fn start(&mut self) {
        let (dir, master) = (self.cluster.path("services"), self.cluster.url().to_owned());
        let mut arguments = vec![
            "services",
            "--work-dir",
            &dir,
            "--listen",
            &self.listen,
            "--master",
            &master,
            "--log",
            "error",
        ];
        arguments.extend(self.flags.iter().map(String::as_str));
        self.services = Some(Daemon::start(&arguments));
    }

    /// `kill -9` of the services.
    pub fn kill9(&mut self) {
        if let Some(services) = self.services.take() {
            services.kill9();
        }
    }

    /// `kill -9` of the services, and new ones at the same address.
    pub fn restart(&mut self) {
        self.kill9();
        self.start();
    }

    /// Where they listen.
    ///
    /// # Panics
    /// They do not run.
    pub fn url(&self) -> String {
        self.services.as_ref().expect("they run").url.clone()
    }

    /// Runs `lonja service` to its end.
    pub fn service(&self, arguments: &[&str]) -> Output {
        run(&[&["service"], arguments, &["--services", &self.url()]].concat())
    }

    /// The same, and it must end with `status`; stdout.
    pub fn ends_with(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.service(arguments);
        let (said, why) = (stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}{why}");
        said + &why
    }

    /// One request; the status and the JSON of the answer, null where there is none.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(&self.listen).expect("they listen");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .expect("they read");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while reader.read_line(&mut head).expect("they answer") > 2 {}
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut answer = String::new();
        reader.read_to_string(&mut answer).expect("they answer");
        (status, serde_json::from_str(&answer).unwrap_or_default())
    }

    /// What a path shows.
    pub fn get(&self, path: &str) -> Value {
        self.api("GET", path, &Value::Null).1
    }

    /// An app as it is, with its tasks.
    pub fn app(&self, id: &str) -> Value {
        self.get(&format!("/v2/apps{id}?embed=app.tasks&embed=app.counts"))["app"].clone()
    }

    /// The ids of an app's tasks, sorted.
    pub fn tasks(&self, id: &str) -> Vec<String> {
        let app = self.app(id);
        let tasks = app["tasks"].as_array().into_iter().flatten();
        let mut ids: Vec<String> =
            tasks.filter_map(|task| task["id"].as_str()).map(ToOwned::to_owned).collect();
        ids.sort();
        ids
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Before the cluster: it is a framework on it.
        drop(self.services.take());
    }
}
