//! Events and manifests as tests send them, and the order handlers as they are.

use std::path::Path;

use serde_json::{Value, json};

/// A CloudEvents event with JSON data; `key` is its subject.
pub fn event(r#type: &str, key: &str, id: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/tests", "type": r#type, "subject": key,
        "datacontenttype": "application/json", "data": data,
    })
}

/// A manifest that takes these types of event from the beginning, and tries again soon and often.
pub fn manifest(name: &str, types: &[&str]) -> Value {
    json!({
        "name": name, "start": "beginning", "subscriptions": [{ "types": types }],
        "retry": [{ "attempts": 999, "first_delay_ms": 20, "factor": 2.0, "delay_ms_max": 100 }],
    })
}

/// The manifests and components of the order domain, as the demo deploys them.
pub fn order_handlers() -> Vec<(Value, Vec<u8>)> {
    let handlers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../handlers");
    let handler = |name: &&str| {
        let text = std::fs::read_to_string(handlers.join(name).join("handler.toml")).expect("a manifest");
        let mut manifest: Value = toml::from_str(&text).expect("TOML");
        manifest.as_object_mut().expect("a table").remove("module");
        (manifest, weirgate_guests::build(&format!("{name}-handler")))
    };
    ["order", "inventory", "payment", "invoice", "notification", "delivery"].iter().map(handler).collect()
}
