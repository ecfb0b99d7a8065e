//! Listings that are longer than a chunk.

use std::time::Duration;

use lonja_model::framework::FrameworkInfo;

use super::cluster::{Cluster, agent_info, task};

/// A cluster whose listings are many chunks long.
async fn large(agents: usize, tasks: usize) -> Cluster {
    let cluster = Cluster::start().await;
    for number in 0..agents {
        cluster
            .register(agent_info(&format!("node-{number:05}"), "cpus:64;mem:4096;ports:[31000-32000]"))
            .await;
    }
    let framework = cluster.framework(FrameworkInfo::named("f"), agents).await;
    for (number, offer) in framework.offers.iter().enumerate() {
        let one = |index: usize| task(&format!("t-{number}-{index}"), &offer.agent, "cpus:0.1;mem:1");
        cluster.launch(&framework, offer, (0..tasks).map(one).collect()).await;
    }
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_out_in_chunks_is_json_and_says_what_the_picture_says() {
    let cluster = large(300, 5).await;
    let snapshot = cluster.handle().snapshot().await.unwrap();
    let answer = cluster.get("/state").await;
    assert_eq!(answer.headers["transfer-encoding"], "chunked");
    assert!(answer.body.len() > 10 * (64 << 10), "{} bytes are no long listing", answer.body.len());
    let state = answer.json();
    assert_eq!(state["slaves"].as_array().unwrap().len(), snapshot.agents.len());
    let tasks = state["frameworks"][0]["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), snapshot.tasks.len());
    assert_eq!(state["activated_slaves"], 300);
    let all = cluster.get("/tasks?limit=-1").await.json();
    assert_eq!(all["tasks"].as_array().unwrap().len(), 1_500);
    let gzip = cluster.ask("GET", "/state", "Accept-Encoding: gzip\r\n", "").await;
    assert!(gzip.status == 200 && gzip.body.len() < answer.body.len() / 3, "{} bytes", gzip.body.len());
    let wrapped = cluster.get("/state?jsonp=f").await;
    assert!(wrapped.text().starts_with("f({") && wrapped.text().ends_with("});"));
    let summary = cluster.get("/state-summary").await.json();
    let staging = |of: &str| -> u64 {
        summary[of].as_array().unwrap().iter().map(|one| one["TASK_STAGING"].as_u64().unwrap()).sum()
    };
    assert_eq!((staging("slaves"), staging("frameworks")), (1_500, 1_500));
    assert_eq!(cluster.get("/slaves").await.json()["slaves"].as_array().unwrap().len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_in_the_middle_of_a_listing_holds_nobody_up() {
    let cluster = large(300, 1).await;
    for _ in 0..200 {
        // More than may be under way at once: each has to give its place back.
        let answer = cluster.leave("/state").await;
        assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
    let all = async {
        loop {
            let answer = cluster.get("/state").await;
            if answer.status == 200 {
                return answer.json()["slaves"].as_array().unwrap().len();
            }
            assert!(answer.text().contains("ask again later"), "{}", answer.text());
        }
    };
    let all = tokio::time::timeout(Duration::from_secs(60), all).await;
    assert_eq!(all.expect("those who left hold no places"), 300);
}
