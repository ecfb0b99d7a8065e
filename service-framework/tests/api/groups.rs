//! Groups are made, shown as deep as is asked for, changed as a whole, scaled and removed.

use serde_json::{Value, json};

use crate::door::Door;

fn shop() -> Value {
    let app = |id: &str| json!({ "id": id, "cmd": "sleep 1000", "cpus": 0.1, "mem": 32 });
    json!({
        "id": "/shop",
        "apps": [app("front")],
        "groups": [{ "id": "back", "apps": [app("db"), app("cache")], "dependencies": [] }],
    })
}

#[tokio::test]
async fn a_group_is_made_with_all_that_is_in_it() {
    let door = Door::open().await;
    let made = door.put("POST", "/v2/groups", shop()).await;
    assert_eq!((made.status, made.header("location")), (201, "/shop"), "{}", made.text);
    assert_eq!(door.put("POST", "/v2/groups", shop()).await.status, 409);
    assert_eq!(door.put("POST", "/v2/groups", json!({ "apps": [] })).await.status, 409);

    let shown = door.get("/v2/groups/shop").await.json();
    assert_eq!(
        (&shown["apps"][0]["id"], &shown["groups"][0]["id"]),
        (&json!("/shop/front"), &json!("/shop/back"))
    );
    assert_eq!(shown["groups"][0]["apps"].as_array().map(Vec::len), Some(2));
    assert!(shown["apps"][0].get("tasksRunning").is_none());
    let counted = door.get("/v2/groups/shop?embed=group.apps&embed=group.apps.counts").await.json();
    assert!(counted["apps"][0]["tasksRunning"].is_number() && counted.get("groups").is_none());
    assert_eq!(door.get("/v2/groups/shop/apps").await.json().as_array().map(Vec::len), Some(3));
    let versions = door.get("/v2/groups/shop/versions").await.json();
    assert_eq!(versions[0], made.json()["version"]);
    door.close().await;
}

#[tokio::test]
async fn what_an_update_does_not_list_is_removed_and_what_it_leaves_out_is_kept() {
    let door = Door::open().await;
    door.put("POST", "/v2/groups", shop()).await;
    let update = json!({ "groups": [{ "id": "back", "apps": [] }] });
    let plan = door.put("PUT", "/v2/groups/shop?dryRun=true", update.clone()).await;
    assert_eq!(plan.status, 200, "{}", plan.text);
    assert!(plan.text.contains("StopApplication"), "{}", plan.text);
    let locked = door.put("PUT", "/v2/groups/shop", update.clone()).await;
    assert_eq!(locked.status, 409, "{}", locked.text);
    let forced = door.put("PUT", "/v2/groups/shop?force=true", update).await;
    assert_eq!(forced.status, 200, "{}", forced.text);
    let ids: Vec<Value> = door
        .get("/v2/groups/shop/apps")
        .await
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|app| app["id"].clone())
        .collect();
    assert_eq!(ids, [json!("/shop/front")]);
    door.close().await;
}

#[tokio::test]
async fn a_group_is_scaled_and_taken_back() {
    let door = Door::open().await;
    let made = door.put("POST", "/v2/groups", shop()).await.json();
    let scaled = door.put("PUT", "/v2/groups/shop?force=true", json!({ "scaleBy": 2.5 })).await;
    assert_eq!(scaled.status, 200, "{}", scaled.text);
    assert_eq!(door.get("/v2/apps/shop/back/db").await.json()["app"]["instances"], 3);
    let back = door.put("PUT", "/v2/groups/shop?force=true", json!({ "version": made["version"] })).await;
    assert_eq!(back.status, 200, "{}", back.text);
    assert_eq!(door.get("/v2/apps/shop/back/db").await.json()["app"]["instances"], 1);
    let unknown = json!({ "version": "2001-01-01T00:00:00.000Z" });
    assert_eq!(door.put("PUT", "/v2/groups/shop?force=true", unknown).await.status, 422);
    door.close().await;
}

#[tokio::test]
async fn only_a_top_level_group_enforces_its_role() {
    let door = Door::open().await;
    door.put("POST", "/v2/groups", shop()).await;
    let set = door.put("PATCH", "/v2/groups/shop", json!({ "enforceRole": true })).await;
    assert_eq!((set.status, set.text.as_str()), (200, ""));
    assert_eq!(door.get("/v2/groups/shop").await.json()["enforceRole"], true);
    assert_eq!(door.put("PATCH", "/v2/groups/shop/back", json!({ "enforceRole": true })).await.status, 422);
    assert_eq!(door.put("PATCH", "/v2/groups/shop", json!({ "apps": [] })).await.status, 422);
    assert_eq!(door.put("PATCH", "/v2/groups/none", json!({ "enforceRole": true })).await.status, 404);
    door.close().await;
}

#[tokio::test]
async fn a_group_is_removed_with_all_that_is_in_it() {
    let door = Door::open().await;
    door.put("POST", "/v2/groups", shop()).await;
    let removed = door.send("DELETE", "/v2/groups/shop?force=true", &[], "").await;
    assert_eq!(removed.status, 200, "{}", removed.text);
    assert_eq!(door.get("/v2/groups/shop").await.status, 404);
    assert_eq!(door.get("/v2/apps").await.json(), json!({ "apps": [] }));
    assert_eq!(door.get("/v2/groups").await.status, 200);
    door.close().await;
}
