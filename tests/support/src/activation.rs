//! Organisations whose members get keys, by the guest `activation`: a version of it forgets members who had registered before, and
//! the fix comes too late.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use crate::{Client, event, manifest};

const PATIENCE: Duration = Duration::from_mins(2);
/// Maximum number of events in a request.
const PAGE: usize = 100;

/// The manifest of the version with the defect, or of the fixed one.
pub fn version(forgets: bool) -> Value {
    let mut manifest = manifest("activation", &["member.registered", "organisation.activated"]);
    manifest["config"] = if forgets { json!({ "forgets": "true" }) } else { json!({}) };
    manifest["retry"] = json!([]);
    manifest
}

/// An event about an organisation.
pub fn of_organisation(r#type: &str, organisation: usize, id: &str, data: &Value) -> Value {
    let mut event = event(r#type, &format!("org/{organisation}"), id, data);
    event["partitionkey"] = format!("org/{organisation}").into();
    event
}

/// A member registers.
pub fn registered(organisation: usize, member: &str) -> Value {
    of_organisation("member.registered", organisation, member, &json!({ "member": member }))
}

/// Each organisation has an early member, is activated if its number is odd, and has a late member.
pub fn story(organisations: usize) -> Vec<Value> {
    let of = |n: usize| {
        let activated = of_organisation("organisation.activated", n, &format!("activated-{n}"), &json!({}));
        let activated = (n % 2 == 1).then_some(activated);
        [Some(registered(n, &format!("early-{n}"))), activated, Some(registered(n, &format!("late-{n}")))]
    };
    (0..organisations).flat_map(of).flatten().collect()
}

/// The version with the defect has handled everything. Returns the module's digest.
pub async fn forgetful(client: &Client, organisations: usize) -> Value {
    let digest = client.deploy(&version(true), weirgate_guests::build("activation")).await["digest"].clone();
    client.redeploy(&manifest("keyring", &["key.created"]), &digest).await.ok();
    for page in story(organisations).chunks(PAGE) {
        client.publish(page).await.ok();
    }
    client.drained(PATIENCE).await;
    digest
}

/// The same, and the fixed version is in force.
pub async fn fixed_too_late(client: &Client, organisations: usize) -> Value {
    let digest = forgetful(client, organisations).await;
    client.redeploy(&version(false), &digest).await.ok();
    digest
}

/// The members of activated organisations whose name begins so.
pub fn members(organisations: usize, name: &str) -> BTreeSet<String> {
    (0..organisations).filter(|n| n % 2 == 1).map(|n| format!("{name}-{n}")).collect()
}

/// Each member of an activated organisation once, in alphabetical order.
pub fn all_members(organisations: usize) -> Vec<String> {
    let all: BTreeSet<_> = members(organisations, "early").into_iter().chain(members(organisations, "late")).collect();
    all.into_iter().collect()
}

/// A member for each key in the log, in alphabetical order.
pub async fn keys(client: &Client) -> Vec<String> {
    let created = client.events_of("key.created").await.into_iter();
    let mut members: Vec<_> =
        created.map(|event| event["data"]["member"].as_str().expect("a member").to_owned()).collect();
    members.sort();
    members
}
