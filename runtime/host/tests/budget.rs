//! Answers to outbound calls and the memory of instances take their bytes from the budget first, and release them.

mod support;

use serde_json::json;
use support::{Memory, attempt, failure, host_with, journal::Journal, web::Web};
use weirgate_host::{Budget, Purpose};
use weirgate_types::FailureKind;

#[test]
fn an_answer_takes_its_bytes_before_the_request_is_sent() {
    let web = Web::start();
    let budget = Budget::new(64 << 20);
    let host = host_with(|options| {
        options.outbound.allow_private = vec![format!("127.0.0.1:{}", web.port)];
        options.budget = budget.clone();
    });
    let digest = host.put_module(&weirgate_guests::build("hostile")).expect("a handler").digest;
    let module = host.load(digest).expect("it was just put there");
    let mut attempt = attempt("fetches");
    attempt.capabilities.hosts = vec![web.at("")];
    let mut answer = |timeout_ms: u32| {
        let fetch = json!({"step": "a", "url": web.at("/echo"), "timeout_ms": timeout_ms});
        attempt.event.data = json!({ "fetches": [fetch] }).to_string().into_bytes();
        let journal = Journal::default();
        let report = attempt.run_outbound(&module, Box::new(Memory::default()), Box::new(journal.clone()));
        let effects = report.result.expect("a good call");
        let value = effects.state.first().and_then(|write| write.value.clone()).expect("an answer");
        (serde_json::from_slice::<serde_json::Value>(&value).expect("JSON"), journal.steps())
    };
    let taken = budget.take(Purpose::Outbound, budget.share(Purpose::Outbound)).expect("all of it");
    let (answered, steps) = answer(200);
    assert_eq!((&answered["error"], steps.len()), (&json!("timed-out"), 0), "{answered}");
    assert_eq!((web.connections(), budget.refusals(Purpose::Outbound)), (0, 1), "nothing was sent");
    drop(taken);
    let (answered, steps) = answer(9_000);
    assert_eq!((&answered["status"], steps.len()), (&json!(200), 1), "{answered}");
    assert_eq!(budget.held_bytes(Purpose::Outbound), 0, "all of it was given back");
}

#[test]
fn an_instance_takes_its_memory_from_the_budget_of_all() {
    let budget = Budget::new(64 << 20);
    let host = host_with(|options| options.budget = budget.clone());
    let digest = host.put_module(&weirgate_guests::build("hostile")).expect("a handler").digest;
    let module = host.load(digest).expect("it was just put there");
    let mut attempt = attempt("plain");
    attempt.limits.wall_ms = 100;
    let taken = budget.take(Purpose::Instances, budget.share(Purpose::Instances)).expect("all of it");
    let failed = failure(attempt.run_with(&module, Box::new(Memory::default())));
    assert_eq!(failed.kind, FailureKind::Memory, "{failed:?}");
    assert!(failed.message.contains("as much memory as the server has"), "{failed:?}");
    drop(taken);
    attempt.run_with(&module, Box::new(Memory::default())).result.expect("a good call");
    assert_eq!(budget.held_bytes(Purpose::Instances), 0, "all of it was given back");
}
