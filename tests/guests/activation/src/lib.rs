//! A guest that creates keys for the members of an organisation once it is activated. With `forgets = "true"` in its configuration it
//! has a defect: members who had registered before get no key. Deployed as another handler for `key.created`, it counts the keys of
//! each member, and says who got the last one. The event's key is the organisation, members are subjects. With `keys_under` in its
//! configuration all keys are created under that one; with `announces = "true"` it announces what it has counted, and, deployed for
//! `key.counted`, it lists that. With `call` in its configuration, `GET https://host/path`, it makes that call for each key that it counts.

use serde::{Deserialize, Serialize};
use weirgate_sdk::{Request, prelude::*};

#[derive(Debug, Clone, Serialize, Deserialize, EventType)]
#[event("member.registered")]
pub struct Registered {
    pub member: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, EventType)]
#[event("organisation.activated")]
pub struct Activated {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, EventType)]
#[event("key.created")]
pub struct KeyCreated {
    pub member: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, EventType)]
#[event("key.counted")]
pub struct KeyCounted {
    pub member: String,
    /// Number of all keys, this one included.
    pub count: u64,
}

#[derive(Debug, Events)]
pub enum Incoming {
    Registered(Registered),
    Activated(Activated),
    KeyCreated(KeyCreated),
    KeyCounted(KeyCounted),
}

/// The state of an organisation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Organisation {
    pub active: bool,
    /// Members without a key.
    pub waiting: Vec<String>,
}

/// # Errors
/// Permanent, for the organisation that `fails_for` in the configuration names; or the call fails.
#[handler]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    let organisation_key = context.delivery().key.clone();
    if context.config("fails_for").is_some_and(|fails| fails == organisation_key) {
        return Err(Failure::permanent("this organisation has no contract"));
    }
    let forgets = context.config("forgets").is_some_and(|forgets| forgets == "true");
    let mut organisation: Organisation = context.state().get("organisation")?.unwrap_or_default();
    match event.data {
        Incoming::KeyCreated(created) => return count(&created, context),
        Incoming::KeyCounted(counted) => return list(&counted, context),
        Incoming::Registered(Registered { member }) if organisation.active => {
            create(context, &organisation_key, &member);
        }
        Incoming::Registered(Registered { member }) => {
            context.set_status("registered", "Waits for the activation").on(format!("member/{member}"));
            organisation.waiting.extend((!forgets).then_some(member));
        }
        Incoming::Activated(Activated {}) => {
            organisation.active = true;
            for member in std::mem::take(&mut organisation.waiting) {
                create(context, &organisation_key, &member);
            }
        }
    }
    context.state().set("organisation", &organisation)
}

fn create(context: &mut Context, organisation_key: &str, member: &str) {
    let subject = format!("member/{member}");
    let key = context.config("keys_under").unwrap_or_else(|| organisation_key.to_owned());
    let misspelt = context.config("misspells").unwrap_or_default();
    context.emit(&KeyCreated { member: format!("{member}{misspelt}") }).subject(subject.clone()).key(key);
    context.set_status("active", "Has a key").on(subject);
}

fn count(created: &KeyCreated, context: &mut Context) -> Result<(), Failure> {
    let name = format!("keys/{}", created.member);
    let keys = context.state().get::<u64>(&name)?.unwrap_or_default() + 1;
    context.state().set(&name, &keys)?;
    let call = context.config("call").unwrap_or_default();
    if let Some((method, url)) = call.split_once(' ') {
        let url = format!("{url}/{}", created.member);
        let request = if method == "GET" { Request::get(url) } else { Request::post(url).json(created)? };
        context.fetch(format!("tell-{}", created.member), request)?.ok()?;
    }
    let subject = format!("last-key/{}", context.delivery().key);
    context.set_status("last", created.member.clone()).on(subject);
    context.set_status("issued", format!("{keys} keys")).on(format!("member/{}", created.member)).data(&keys);
    if context.config("announces").is_some_and(|announces| announces == "true") {
        let count = context.state().get::<u64>("count")?.unwrap_or_default() + 1;
        context.state().set("count", &count)?;
        let key = context.delivery().key.clone();
        context.emit(&KeyCounted { member: created.member.clone(), count }).key(key);
    }
    Ok(())
}

fn list(counted: &KeyCounted, context: &mut Context) -> Result<(), Failure> {
    let mut listed: Vec<String> = context.state().get("listed")?.unwrap_or_default();
    listed.push(format!("{} {}", counted.count, counted.member));
    context.state().set("listed", &listed)?;
    let subject = format!("listed/{}", context.delivery().key);
    context.set_status("listed", listed.join(", ")).on(subject);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weirgate_sdk::testing::{Delivery, World};

    fn story(world: &mut World) -> Vec<KeyCreated> {
        let registered = |member: &str| Delivery::of(&Registered { member: member.into() }).key("org/1");
        world.run(registered("early"), handle).completed();
        let activation = world.run(Delivery::of(&Activated {}).key("org/1"), handle).emitted::<KeyCreated>();
        let late = world.run(registered("late"), handle).emitted::<KeyCreated>();
        [activation, late].concat()
    }

    fn keys(members: &[&str]) -> Vec<KeyCreated> {
        members.iter().map(|member| KeyCreated { member: (*member).to_owned() }).collect()
    }

    #[test]
    fn members_get_a_key_whenever_they_registered() {
        assert_eq!(story(&mut World::new()), keys(&["early", "late"]));
    }

    #[test]
    fn the_defect_leaves_out_those_who_registered_before() {
        assert_eq!(story(&mut World::new().config("forgets", "true")), keys(&["late"]));
    }

    #[test]
    fn what_is_counted_is_announced_and_listed() {
        let mut world = World::new().config("announces", "true");
        let created = |member: &str| Delivery::of(&KeyCreated { member: member.into() }).key("all");
        let counted =
            [world.run(created("a"), handle), world.run(created("b"), handle)].map(|run| run.emitted::<KeyCounted>());
        assert_eq!(counted.concat().last(), Some(&KeyCounted { member: "b".into(), count: 2 }));
        let mut world = World::new();
        let runs: Vec<_> = counted.concat().iter().map(|one| world.run(Delivery::of(one).key("all"), handle)).collect();
        assert_eq!(
            runs.last().and_then(|run| run.status_on("listed/all")).map(|status| status.text.clone()),
            Some("1 a, 2 b".to_owned())
        );
    }

    #[test]
    fn an_organisation_may_fail() {
        let mut world = World::new().config("fails_for", "org/2");
        world.run(Delivery::of(&Activated {}).key("org/1"), handle).completed();
        assert!(world.run(Delivery::of(&Activated {}).key("org/2"), handle).failure().is_permanent());
    }
}
