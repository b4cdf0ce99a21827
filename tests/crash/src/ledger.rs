//! The ledger and its audit, deployed: two handlers of one module, the second of which handles the first one's emissions.

use serde_json::{Value, json};
use weirgate_tests::{Client, event, manifest};

/// Deploy both.
pub async fn deploy_ledger(client: &Client) {
    let module = weirgate_guests::build("ledger");
    client.deploy(&manifest("ledger", &["ledger.add"]), module.clone()).await;
    let mut audit = manifest("audit", &["ledger.added"]);
    audit["subscriptions"][0]["source"] = "/handlers/ledger".into();
    client.deploy(&audit, module).await;
}

/// The event that adds number `n` to an account; its first `failures` attempts fail.
pub fn entry(account: &str, n: u64, failures: u32) -> Value {
    event("ledger.add", account, &format!("{account}-{n}"), &json!({ "n": n, "failures": failures }))
}
