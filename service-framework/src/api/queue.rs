//! `/v2/queue`: what waits to be launched. A job whose runs wait is shown as the app that each of them is: clients of
//! Marathon's know of nothing else.

use axum::http::StatusCode;
use lonja_services_core::{Command, PathId, Refused};
use serde_json::{Value, json};

use super::problem::Problem;
use super::queue_json::SeenWaiting;
use super::reply::{self, Outcome};
use super::route::Route;
use super::{Api, Ask, aside};

/// Answers for the queue, and for the delay of one app or pod in it.
pub(super) async fn answer(api: &Api, route: &Route, ask: &Ask) -> Outcome {
    match (route, ask.method.as_str()) {
        (Route::Queue, "GET") => list(api, ask).await,
        (Route::Queue, _) => Err(Problem::Method("GET")),
        (Route::QueueDelay(id), "DELETE") => reset(api, id).await,
        (Route::QueueDelay(_), _) => Err(Problem::Method("DELETE")),
        _ => Err(Problem::Unknown("URI not found".to_owned())),
    }
}

async fn list(api: &Api, ask: &Ask) -> Outcome {
    let with_offers = ask.query.all("embed").any(|value| value == "lastUnusedOffers");
    let (entries, now) = api
        .door
        .look(move |services, now| {
            let entries = services.services().values().chain(services.runs().values());
            (entries.filter_map(|one| SeenWaiting::of(one, with_offers)).collect::<Vec<_>>(), now)
        })
        .await?;
    aside(move || {
        let queue: Vec<Value> = entries.iter().map(|entry| entry.json(now, with_offers)).collect();
        reply::ok(&json!({ "queue": queue }))
    })
    .await
}

async fn reset(api: &Api, id: &PathId) -> Outcome {
    let spec = id.clone();
    match api.door.ask(|answer| Command::ResetDelay { spec, answer }).await? {
        Ok(()) => Ok(reply::empty(StatusCode::NO_CONTENT)),
        Err(Refused::Unknown { .. } | Refused::NotNow(_)) => {
            Err(Problem::Unknown(format!("Application {id} not found in tasks queue.")))
        }
        Err(refused) => Err(refused.into()),
    }
}
