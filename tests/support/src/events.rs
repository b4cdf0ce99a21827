//! Events and manifests for tests, and the unchanged order handlers.

use std::path::Path;

use serde_json::{Value, json};

/// A CloudEvents event with JSON data; `key` is its subject.
pub fn event(r#type: &str, key: &str, id: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/tests", "type": r#type, "subject": key,
        "datacontenttype": "application/json", "data": data,
    })
}

/// A manifest that takes these event types from the beginning, and retries soon and often.
pub fn manifest(name: &str, types: &[&str]) -> Value {
    json!({
        "name": name, "start": "beginning", "subscriptions": [{ "types": types }],
        "retry": [{ "attempts": 999, "first_delay_ms": 20, "factor": 2.0, "delay_ms_max": 100 }],
    })
}

/// The manifests and components that handle an order from the shop to its delivery, as the demo deploys them.
pub fn order_handlers() -> Vec<(Value, Vec<u8>)> {
    ["order", "inventory", "payment", "invoice", "notification", "delivery"].map(handler).into()
}

/// The manifest and component of one of `handlers/`, as the demo deploys it.
pub fn handler(name: &str) -> (Value, Vec<u8>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../handlers").join(name).join("handler.toml");
    let text = std::fs::read_to_string(file).expect("a manifest");
    let mut manifest: Value = toml::from_str(&text).expect("TOML");
    manifest.as_object_mut().expect("a table").remove("module");
    (manifest, weirgate_guests::build(&format!("{name}-handler")))
}

/// The shop's event when a customer places an order for one piece each.
pub fn placed(order: &str, lines: &[(&str, u64)], card: &str) -> Value {
    let line = |(sku, cents): &(&str, u64)| json!({ "sku": sku, "name": sku, "quantity": 1, "unit_price_cents": cents, "substitutes_ok": true });
    let customer =
        json!({ "name": "Ada Lovelace", "email": "ada@example.org", "address": "12 St James's Square, London" });
    let lines: Vec<_> = lines.iter().map(line).collect();
    let data = json!({ "order": order, "customer": customer, "lines": lines, "card": card });
    from("/shop", event("order.placed", &format!("order/{order}"), &format!("placed-{order}"), &data))
}

/// The event, with another source.
pub fn from(source: &str, mut event: Value) -> Value {
    event["source"] = source.into();
    event
}
