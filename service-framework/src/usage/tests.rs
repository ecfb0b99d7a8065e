use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::made_up::{free_port, id};

/// An agent or server that answers each request with the next of these.
async fn answering(answers: Vec<String>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4_096];
            let _length = stream.read(&mut asked).await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
            stream.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
        }
    });
    port
}

fn statistics(seconds: f64, cpu: f64, memory: u64) -> String {
    format!(
        r#"[{{"executor_id":"t1","framework_id":"f","statistics":{{"timestamp":{seconds},"cpus_user_time_secs":{cpu},
            "cpus_system_time_secs":1.0,"mem_rss_bytes":{memory},"mem_total_bytes":1,"blkio_statistics":{{}}}}}},
            {{"executor_id":"other","statistics":{{}}}},{{}}]"#
    )
}

fn app(name: &str, measure: Measure, ports: &[u16]) -> Scaled {
    let tasks = ports.iter().zip(1..).map(|(port, number)| Measured {
        task: format!("t{number}"),
        agent: Agent { host: "127.0.0.1".to_owned(), port: *port },
        cpus: 2.0,
        memory_bytes: 1_000.0,
    });
    Scaled { app: id(name), measure, tasks: tasks.collect() }
}

fn told(commands: Vec<Command>) -> Vec<(String, f64)> {
    let each = commands.into_iter().map(|command| match command {
        Command::Usage { app, value } => (app.to_string(), value),
        other => panic!("{other:?}"),
    });
    each.collect()
}

#[tokio::test]
async fn cpu_is_measured_between_two_rounds_and_memory_at_once() {
    let port = answering(vec![statistics(100.0, 10.0, 500), statistics(110.0, 20.0, 250)]).await;
    // The second task's agent is not there: what is known of the first counts.
    let apps = [app("/cpu", Measure::Cpu, &[port, free_port()]), app("/mem", Measure::Memory, &[port])];
    let counters = Arc::new(Counters::default());
    let mut sampler = Sampler::new(Arc::clone(&counters));

    assert_eq!(told(sampler.round(&apps).await), [("/mem".to_owned(), 0.5)]);
    assert_eq!(told(sampler.round(&apps).await), [("/cpu".to_owned(), 0.5), ("/mem".to_owned(), 0.25)]);
    assert_eq!((counters.usage_samples.get(), counters.usage_failed.get()), (3, 2));
}

#[tokio::test]
async fn what_cannot_be_measured_is_not_told() {
    let port = answering(vec!["no json".to_owned(), statistics(1.0, 1.0, 1)]).await;
    let mut sampler = Sampler::new(Arc::default());
    assert!(sampler.round(&[app("/mem", Measure::Memory, &[port])]).await.is_empty());
    assert!(sampler.round(&[app("/mem", Measure::Memory, &[])]).await.is_empty());
    // A counter that fell is another container's.
    let port = answering(vec![statistics(100.0, 10.0, 1), statistics(110.0, 5.0, 1)]).await;
    for _ in 0..2 {
        assert!(sampler.round(&[app("/cpu", Measure::Cpu, &[port])]).await.is_empty());
    }
}

#[tokio::test]
async fn a_prometheus_server_is_asked_for_one_number() {
    let answer =
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"3.5"]}]}}"#;
    let port = answering(vec![answer.to_owned()]).await;
    let server = format!("http://127.0.0.1:{port}");
    let ask = |server: &str| Measure::Prometheus { server: server.to_owned(), query: "sum(x)".to_owned() };
    let mut sampler = Sampler::new(Arc::default());
    let apps = [app("/a", ask(&server), &[]), app("/b", ask("https://127.0.0.1:1"), &[])];
    assert_eq!(told(sampler.round(&apps).await), [("/a".to_owned(), 3.5)]);
}
