//! Queries that scan everything and find nothing.

use serde_json::json;
use weirgate_tests::Live;

use crate::Field;

/// Lists with filters that match nothing.
pub async fn filters(field: &Field) {
    let paths = [
        "/v1/deliveries?key=nosuch",
        "/v1/deliveries?state=blocked&key=nosuch",
        "/v1/events?type=nosuch&limit=1000",
        "/v1/events?key=nosuch&limit=1000",
        "/v1/dead-letters?key=nosuch",
        "/v1/dead-letters?class=permanent&type=nosuch",
        "/v1/deliveries?state=retrying&limit=1000",
        "/v1/handlers",
    ];
    field.at_once(16, async |index| drop(field.client.try_get(paths[index % paths.len()]).await)).await;
}

/// Sockets that subscribe to subjects without a status, and leave again.
pub async fn subscriptions(field: &Field) {
    field
        .at_once(8, async |index| {
            let Ok(mut live) = Live::try_connect(&field.client.url(""), None).await else { return };
            let wanted: Vec<_> = (0..128).map(|n| json!({ "subject": format!("nosuch/{index}-{n}") })).collect();
            let _ = live.try_say(json!({ "type": "subscribe", "subjects": wanted }).to_string()).await;
            drop(live.frame().await);
        })
        .await;
}
