//! `on-corrected`: what it gets, and that it is a call like that of `handle`.

mod support;

use std::sync::Arc;

use serde_json::json;
use support::{Attempt, Memory, TestHost, attempt, failure, host, host_with, journal::Journal, web::Web};
use weirgate_host::{CallError, Module, NoOutbound, Outbound, ReadState};
use weirgate_types::{Event, FailureClass, FailureKind, KEY_REPAIRED, StateWrite};

fn load_into(host: TestHost, name: &str) -> (TestHost, Module) {
    let info = host.put_module(&weirgate_guests::build(name)).expect("a handler");
    let module = host.load(info.digest).expect("it was just put there");
    (host, module)
}

fn load(name: &str) -> (TestHost, Module) {
    load_into(host(), name)
}

fn repaired(data: &serde_json::Value) -> Attempt {
    let mut attempt = attempt("");
    attempt.event = Event { r#type: KEY_REPAIRED.into(), data: data.to_string().into(), ..attempt.event };
    attempt
}

/// A repair for this reason that took one event and one call back.
fn for_reason(reason: &str) -> serde_json::Value {
    let logged = |position, n| {
        json!({"position": position, "by": 9, "event": {
            "specversion": "1.0", "id": format!("mender@9/{n}"), "source": "/handlers/mender", "type": "mend.done",
            "partitionkey": "order/o-1", "data": {"n": n},
        }})
    };
    json!({
        "replay": "40", "reason": reason, "truncated": true,
        "emitted_before": [logged(10, 7), logged(11, 8)], "emitted_now": [logged(41, 9)],
        "calls_before": [{"by": 9, "step": "charge", "method": "POST", "url": "https://pay.example/charge", "status": 201,
            "body": {"hex": "ff"}}],
        "state_before": [{"name": "done", "value": {"text": "2"}}, {"name": "note", "value": null}],
    })
}

fn run(attempt: &Attempt, module: &Module) -> weirgate_host::CallReport {
    attempt.run_with(module, Box::new(Memory(attempt.state.clone())))
}

#[test]
fn a_repair_is_called_with_all_its_parts_and_every_service() {
    let web = Web::start();
    let (_host, module) =
        load_into(host_with(|options| options.outbound.allow_private = vec![web.address().to_string()]), "mender");
    let mut attempt = repaired(&for_reason("it was wrong"));
    attempt.config = Arc::new([("gateway_url".into(), web.at("/status/200?"))].into());
    attempt.capabilities.hosts = vec![web.at("")];
    attempt.state.insert("repairs".into(), b"1".to_vec());
    let journal = Journal::default();
    let call = || {
        let state = Box::new(Memory(attempt.state.clone()));
        attempt.run_outbound(&module, state, Box::new(journal.clone()))
    };
    let report = call();
    let effects = report.result.expect("it completes");
    let emitted: Vec<_> = effects.emitted.iter().map(|event| (event.r#type.as_str(), event.data.as_slice())).collect();
    assert_eq!(emitted, [("mend.undone", br#"{"n":7}"#.as_slice()), ("mend.undone", br#"{"n":8}"#)]);
    assert_eq!(effects.state, [StateWrite { name: "repairs".into(), value: Some(b"2".to_vec()) }]);
    assert_eq!(effects.status[0].text, "by 40: 2 undone, 1 done, and more");
    let lines: Vec<_> = report.log.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(lines, [r#"done was Some("2")"#, "note was None"]);
    assert!(report.reproducible);
    // The step is kept with the delivery: another attempt sends nothing.
    assert_eq!(journal.steps(), ["undo-9-charge"]);
    let again = call().result.expect("it completes");
    assert_eq!((web.asked("/status").len(), again.emitted), (1, effects.emitted));
}

#[test]
fn it_fails_like_a_handler() {
    let (_host, module) = load("mender");
    for (reason, class, kind) in [
        ("transient", FailureClass::Transient, FailureKind::Handler),
        ("permanent", FailureClass::Permanent, FailureKind::Handler),
        ("correctable", FailureClass::Correctable, FailureKind::Handler),
        ("trap", FailureClass::Transient, FailureKind::Trap),
        // It calls another host, which the manifest does not name.
        ("it was wrong", FailureClass::Permanent, FailureKind::Handler),
    ] {
        let found = failure(run(&repaired(&for_reason(reason)), &module));
        assert_eq!((found.class, found.kind), (class, kind), "{reason}: {}", found.message);
    }
    let mut without_calls = for_reason("it was wrong");
    without_calls["calls_before"] = json!([]);
    let mut limited = repaired(&without_calls);
    limited.limits.emitted_events = 1;
    assert_eq!(failure(run(&limited, &module)).kind, FailureKind::EffectLimit);
}

#[test]
fn what_no_handler_can_take_fails_for_good() {
    let (_host, ledger) = load("ledger");
    assert!(!ledger.has_on_corrected());
    let found = failure(run(&repaired(&for_reason("it was wrong")), &ledger));
    assert_eq!((found.class, found.kind), (FailureClass::Permanent, FailureKind::Contract));
    assert!(found.message.contains("does not export `on-corrected`"), "{}", found.message);
    let (_host, mender) = load("mender");
    let mut not_cloudevents = for_reason("it was wrong");
    not_cloudevents["emitted_now"][0]["event"]["specversion"] = json!("2.0");
    for data in [json!({"replay": "40"}), json!(null), not_cloudevents] {
        let found = failure(run(&repaired(&data), &mender));
        assert_eq!((found.class, found.kind), (FailureClass::Permanent, FailureKind::Contract));
        assert!(found.message.contains("the data of weirgate.key.repaired is not"), "{}", found.message);
    }
}

#[test]
fn no_hook_corrects_a_repair() {
    let (_host, module) = load("prices");
    let mut attempt = repaired(&for_reason("dearer"));
    attempt.state.insert("cents".into(), b"90".to_vec());
    assert_eq!(run(&attempt, &module).result.expect("it completes").status[0].text, "90 cents: dearer");
    attempt.state.clear();
    let report = run(&attempt, &module);
    assert_eq!((report.correction.clone(), failure(report).class), (None, FailureClass::Correctable));
}

#[test]
fn in_a_batch_handler_it_is_alone() {
    let (_host, module) = load("meters-each");
    let repaired = repaired(&for_reason("a wrong meter"));
    let mut reading = attempt("");
    (reading.event.r#type, reading.event.data) = ("meter.read".into(), br#"{"watts":1}"#.to_vec());
    let batch = |items: &[&Attempt]| {
        let calls: Vec<_> = items.iter().map(|item| item.call()).collect();
        let states =
            items.iter().map(|_| Box::new(Memory([("total".into(), b"7".to_vec())].into())) as Box<dyn ReadState>);
        module.call_batch(
            &calls,
            states.collect(),
            items.iter().map(|_| Box::new(NoOutbound) as Box<dyn Outbound>).collect(),
        )
    };
    let report = batch(&[&repaired]);
    assert_eq!(report.logs[0][0].message, "repaired by 40");
    assert_eq!(report.results[0].as_ref().expect("it completes").status[0].text, "7 in all");
    assert!(run(&repaired, &module).result.is_ok());
    for result in batch(&[&reading, &repaired]).results {
        let Err(CallError::Failed(failure)) = result else { panic!("{result:?}") };
        assert!(failure.message.contains("shares no call"), "{}", failure.message);
    }
    assert!(batch(&[&reading, &reading]).results.iter().all(Result::is_ok));
}
