//! Shared parts of the host's tests: a host with its own directory, a call with all defaults, state in memory.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod fetching;
pub mod journal;
pub mod web;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use weirgate_host::{
    Call, CallError, CallReport, Host, HostOptions, Module, NoOutbound, Outbound, OwnProcessor, Processor, ReadState,
    StateError,
};
use weirgate_types::{AttemptFailure, CallLimits, Capabilities, DeliveryId, Event, Position};

pub const AT_MS: u64 = 1_735_689_600_123;

/// A host that compiles with this crate's own program. Its directory is deleted with it.
pub struct TestHost {
    host: Host,
    pub dir: tempfile::TempDir,
}

impl std::ops::Deref for TestHost {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

pub fn options(dir: &std::path::Path) -> HostOptions {
    let compiler = vec![env!("CARGO_BIN_EXE_weirgate-compile").into()];
    HostOptions { instances_max: 16, ..HostOptions::new(dir.join("modules"), compiler) }
}

pub fn host() -> TestHost {
    host_with(|_| {})
}

pub fn host_with(change: impl FnOnce(&mut HostOptions)) -> TestHost {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = options(dir.path());
    change(&mut options);
    TestHost { host: Host::new(options).expect("a host"), dir }
}

/// The guest `hostile`, loaded once for all tests of a program.
pub fn hostile() -> Module {
    static LOADED: OnceLock<(TestHost, Module)> = OnceLock::new();
    let (_, module) = LOADED.get_or_init(|| {
        let host = host();
        let info = host.put_module(&weirgate_guests::build("hostile")).expect("a handler");
        let module = host.load(info.digest).expect("it was just put there");
        (host, module)
    });
    module.clone()
}

/// The guest `hostile-batch`, loaded once for all tests of a program.
pub fn hostile_batch() -> Module {
    static LOADED: OnceLock<(TestHost, Module)> = OnceLock::new();
    let (_, module) = LOADED.get_or_init(|| {
        let host = host();
        let info = host.put_module(&weirgate_guests::build("hostile-batch")).expect("a batch handler");
        let module = host.load(info.digest).expect("it was just put there");
        (host, module)
    });
    module.clone()
}

/// A call that can be changed before it is made.
#[derive(Clone)]
pub struct Attempt {
    pub event: Event,
    pub delivery: DeliveryId,
    pub key: String,
    pub number: u32,
    pub at_ms: u64,
    pub wall_ms: u64,
    pub config: Arc<BTreeMap<String, String>>,
    pub limits: CallLimits,
    pub migrate_from: Option<u32>,
    pub capabilities: Capabilities,
    pub state: BTreeMap<String, Vec<u8>>,
    pub processor: Arc<dyn Processor>,
}

/// The call of a behaviour, with all defaults except a larger CPU limit: the tests share a slow machine.
pub fn attempt(behaviour: &str) -> Attempt {
    let extensions = BTreeMap::from([
        ("correlationid".to_owned(), "c-1".into()),
        ("traceparent".to_owned(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    ]);
    Attempt {
        event: Event {
            id: "e-1".into(),
            source: "/shop".into(),
            r#type: format!("hostile.{behaviour}"),
            subject: Some("order/o-1".into()),
            time: None,
            data_content_type: None,
            data_schema: None,
            extensions,
            implied_key: None,
            data: br#"{"quantity": 3}"#.to_vec(),
        },
        delivery: DeliveryId { handler: "hostile".parse().expect("a name"), position: Position(42) },
        key: "order/o-1".into(),
        number: 1,
        at_ms: AT_MS,
        wall_ms: AT_MS,
        config: Arc::new(BTreeMap::from([("region".to_owned(), "eu".to_owned())])),
        limits: CallLimits { cpu_ms: 1_000, wall_ms: 10_000, ..CallLimits::default() },
        migrate_from: None,
        capabilities: Capabilities::default(),
        state: BTreeMap::new(),
        processor: Arc::new(OwnProcessor),
    }
}

impl Attempt {
    pub fn run(&self) -> CallReport {
        self.run_with(&hostile(), Box::new(Memory(self.state.clone())))
    }

    pub fn run_with(&self, module: &Module, state: Box<dyn ReadState>) -> CallReport {
        self.run_outbound(module, state, Box::new(NoOutbound))
    }

    pub fn run_outbound(&self, module: &Module, state: Box<dyn ReadState>, outbound: Box<dyn Outbound>) -> CallReport {
        module.call(&self.call(), state, outbound)
    }

    pub fn call(&self) -> Call<'_> {
        Call {
            event: &self.event,
            delivery: &self.delivery,
            key: &self.key,
            attempt: self.number,
            at_ms: self.at_ms,
            wall_ms: self.wall_ms,
            config: &self.config,
            limits: &self.limits,
            migrate_from: self.migrate_from,
            capabilities: &self.capabilities,
            processor: &self.processor,
        }
    }
}

/// Committed state.
#[derive(Default)]
pub struct Memory(pub BTreeMap<String, Vec<u8>>);

impl ReadState for Memory {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(name).cloned())
    }

    fn list(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StateError> {
        Ok(self.0.keys().filter(|name| name.starts_with(prefix)).take(limit).cloned().collect())
    }
}

/// The failure of a call that must have failed because of the guest.
#[track_caller]
pub fn read(json: Option<&[u8]>) -> serde_json::Value {
    serde_json::from_slice(json.expect("a value")).expect("JSON")
}

pub fn failure(report: CallReport) -> AttemptFailure {
    match report.result {
        Err(CallError::Failed(failure)) => failure,
        other => panic!("the guest had to fail, but: {other:?}"),
    }
}
