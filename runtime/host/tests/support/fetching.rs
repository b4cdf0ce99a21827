//! A guest that makes the calls which its event names, and the web servers that it calls.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde_json::{Value, json};
use weirgate_host::{CallReport, Module, Resolve, ResolveError};

use super::{Attempt, Memory, TestHost, host_with, journal::Journal, web::Web};

/// Two web servers that may be called, one that may not, and the guest.
pub struct World {
    pub shop: Web,
    pub other: Web,
    pub private: Web,
    pub module: Module,
    _host: TestHost,
}

/// Every name resolves to this machine.
#[derive(Debug)]
pub struct AlwaysHere;

impl Resolve for AlwaysHere {
    fn resolve(&self, _: &str, _: Duration) -> Result<Vec<IpAddr>, ResolveError> {
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }
}

pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let (shop, other, private) = (Web::start(), Web::start(), Web::start());
        let allowed = [shop.address(), other.address(), ([127, 0, 0, 1], 1).into()];
        let host = host_with(|options| {
            options.outbound.allow_private = allowed.map(|address| address.to_string()).to_vec();
            options.outbound.resolver = Arc::new(AlwaysHere);
        });
        let digest = host.put_module(&weirgate_guests::build("hostile")).expect("a handler").digest;
        let module = host.load(digest).expect("it was just put there");
        World { shop, other, private, module, _host: host }
    })
}

/// An attempt that may call all three servers, a closed port, and a name.
pub fn fetching(behaviour: &str, fetches: &[Value]) -> Attempt {
    let World { shop, other, private, .. } = world();
    let mut attempt = super::attempt(behaviour);
    attempt.capabilities.hosts = [shop, other, private].map(|web| web.at("")).to_vec();
    attempt.capabilities.hosts.push("http://127.0.0.1:1".into());
    attempt.capabilities.hosts.extend(["http", "https"].map(|scheme| format!("{scheme}://shop.test:{}", shop.port)));
    attempt.event.data = json!({"fetches": fetches}).to_string().into_bytes();
    attempt
}

pub fn run(attempt: &Attempt, journal: &Journal) -> CallReport {
    attempt.run_outbound(&world().module, Box::new(Memory::default()), Box::new(journal.clone()))
}

/// What the guest got for each fetch.
#[track_caller]
pub fn answers(attempt: &Attempt, journal: &Journal) -> Vec<Value> {
    let effects = run(attempt, journal).result.expect("a good call");
    let mut answers: Vec<(usize, Value)> = effects
        .state
        .iter()
        .map(|write| (write.name.parse().expect("a number"), super::read(write.value.as_deref())))
        .collect();
    answers.sort_by_key(|(n, _)| *n);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[track_caller]
pub fn fetch(fetches: &[Value], journal: &Journal) -> Vec<Value> {
    answers(&fetching("fetches", fetches), journal)
}
