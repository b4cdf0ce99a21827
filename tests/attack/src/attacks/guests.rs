//! Handlers that use everything that their manifests allow, and events that cause it.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::{Field, field::largest_limits};

/// A handler that emits copies of its own event.
pub async fn self_emission(field: &Field) {
    let settings = json!({ "limits": largest_limits(), "concurrency": 1_024 });
    field.deploy("attack-copies", "greedy", &["greedy.act"], settings).await;
    field.publish("greedy.act", "copies/#", 0, 1, &json!({ "copies": 1_024, "bytes": 100 })).await;
    field.wait().await;
}

/// Batches of as many items as a call may have, each of which writes and emits as much as allowed.
pub async fn large_batches(field: &Field) {
    let settings = json!({ "batch": { "events_max": 256 }, "limits": { "cpu_ms": 5_000, "wall_ms": 30_000 } });
    field.deploy("attack-batches", "hostile-batch", &["hostile.each_its_limits"], settings).await;
    again(field, async |from| {
        field.publish("hostile.each_its_limits", "batches/#", from, 1_000, &Value::Null).await;
    })
    .await;
}

/// A mebibyte of log lines in each of many attempts.
pub async fn log_lines(field: &Field) {
    let settings = json!({ "limits": largest_limits(), "concurrency": 1_024 });
    field.deploy("attack-lines", "hostile", &["hostile.floods_log"], settings).await;
    again(field, async |from| {
        field.publish("hostile.floods_log", "lines/#", from, 100, &Value::Null).await;
    })
    .await;
}

/// Thousands of deliveries that await correction, and correction events of all sizes, hundreds per request.
pub async fn corrections(field: &Field) {
    let settings = json!({ "subscriptions": [{ "types": ["mend.work"], "corrections": ["fix.*"] }] });
    field.deploy("attack-corrections", "mender", &["mend.work"], settings).await;
    let wrong = json!({ "n": 1, "fail": "correctable" });
    for from in (0..20_000).step_by(1_000).take_while(|_| field.goes_on()) {
        field.publish("mend.work", "corrections/#", from, 1_000, &wrong).await;
    }
    let large = json!({ "fill": "x".repeat(250_000) });
    again(field, async |from| {
        field.publish("fix.small", "corrections/#", from, 300, &json!({ "n": from })).await;
        // Each adds another member, so that the merged data grows.
        for n in from..from + 15 {
            let data = json!({ format!("fill-{n}"): large["fill"] });
            field.publish("fix.large", "corrections/7", n, 1, &data).await;
        }
    })
    .await;
}

/// Calls that run until their time limit, as many at once as allowed.
pub async fn endless_calls(field: &Field) {
    let settings = json!({ "limits": largest_limits(), "concurrency": 1_024 });
    field.deploy("attack-loops", "hostile", &["hostile.loops_forever"], settings).await;
    again(field, async |from| {
        field.publish("hostile.loops_forever", "loops/#", from, 40, &Value::Null).await;
    })
    .await;
}

/// Publishes repeatedly, with new numbers each time.
async fn again(field: &Field, publish: impl AsyncFn(u64)) {
    let next = AtomicU64::new(0);
    field.at_once(1, |_| publish(next.fetch_add(1_000, Ordering::Relaxed))).await;
}
