//! Components built with the Rust SDK: exports of its macros and calls of its contexts arrive at the host as intended.

mod support;

use std::sync::Arc;

use support::{AT_MS, Attempt, Memory, TestHost, attempt, host, host_with, journal::Journal, web::Web};
use weirgate_host::{BatchReport, CallError, Module, NoOutbound, Outbound, ReadState};
use weirgate_types::{Correction, FailureClass, TimerSetting, TimerWrite};

fn load(name: &str) -> (TestHost, Module) {
    load_into(host(), name)
}

fn load_into(host: TestHost, name: &str) -> (TestHost, Module) {
    let info = host.put_module(&weirgate_guests::build(name)).expect("a handler");
    let module = host.load(info.digest).expect("it was just put there");
    (host, module)
}

fn event(r#type: &str, data: &str) -> Attempt {
    let mut attempt = attempt("");
    (attempt.event.r#type, attempt.event.data) = (r#type.to_owned(), data.into());
    attempt
}

#[test]
fn a_timer_is_started_and_cancelled() {
    let (_host, module) = load("prices");
    let timers = |data| {
        let report = event("price.set", data).run_with(&module, Box::new(Memory::default()));
        report.result.expect("a good call").timers
    };
    let set = TimerSetting {
        due_ms: AT_MS + 60_000,
        r#type: "price.ended".into(),
        data_content_type: None,
        data: br#"{"cents":250}"#.to_vec(),
    };
    assert_eq!(timers(r#"{"cents":250,"seconds":60}"#), [TimerWrite { name: "end".into(), set: Some(set) }]);
    assert_eq!(timers(r#"{"cents":250}"#), [TimerWrite { name: "end".into(), set: None }]);
}

#[test]
fn a_handler_corrects_what_it_can() {
    let (_host, module) = load("prices");
    let mut wrong = event("price.set", r#"{"cents":0}"#);
    let report = wrong.run_with(&module, Box::new(Memory::default()));
    assert_eq!((support::failure(report).class, correction_of(&wrong, &module)), (FailureClass::Correctable, None));
    wrong.state.insert("cents".into(), b"90".to_vec());
    let correction = correction_of(&wrong, &module).expect("it knows a price");
    assert_eq!(correction.data, br#"{"cents":90,"seconds":null}"#);
}

fn correction_of(attempt: &Attempt, module: &Module) -> Option<Correction> {
    attempt.run_with(module, Box::new(Memory(attempt.state.clone()))).correction
}

/// The readings of these meters, in one call.
fn read(module: &Module, readings: &[(&str, &str)]) -> BatchReport {
    let items = readings.iter().map(|(meter, data)| {
        let mut item = event("meter.read", data);
        item.key = (*meter).into();
        item
    });
    let items: Vec<_> = items.collect();
    run_batch(module, &items, items.iter().map(|_| Box::new(NoOutbound) as Box<dyn Outbound>).collect())
}

fn run_batch(module: &Module, items: &[Attempt], outbound: Vec<Box<dyn Outbound>>) -> BatchReport {
    let calls: Vec<_> = items.iter().map(Attempt::call).collect();
    let states = items.iter().map(|_| Box::new(Memory::default()) as Box<dyn ReadState>).collect();
    module.call_batch(&calls, states, outbound)
}

/// The text of each item's status, or its failure.
fn words(report: &BatchReport) -> Vec<&str> {
    let words = report.results.iter().map(|result| match result {
        Ok(effects) => effects.status.first().map_or("no status", |status| status.text.as_str()),
        Err(CallError::Failed(failure)) => failure.message.as_str(),
        Err(CallError::Blocked) => "blocked",
        Err(error) => panic!("{error}"),
    });
    words.collect()
}

const READINGS: [(&str, &str); 5] =
    [("a", r#"{"watts":1}"#), ("b", r#"{"watts":-2}"#), ("a", r#"{"watts":5}"#), ("b", r#"{"watts":4}"#), ("c", "[]")];

#[test]
fn a_batch_is_handled_at_once() {
    let (_host, module) = load("meters");
    let report = read(&module, &READINGS);
    let backwards = "a meter does not run backwards";
    let found = words(&report);
    assert_eq!(found[..4], ["1 in all, 12% of these 8", backwards, "6 in all, 62% of these 8", "blocked"]);
    assert!(found[4].starts_with("the data of meter.read does not fit Reading"), "{}", found[4]);
    let lines: Vec<_> = report.logs.iter().flatten().map(|line| line.message.as_str()).collect();
    assert_eq!((lines, report.logs[2].len()), (vec!["1 more", "5 more", "4 more"], 1));
    assert_eq!(words(&read(&module, &[("a", r#"{"watts":0}"#)])), ["nothing was used"]);
}

#[test]
fn each_item_of_a_batch_makes_its_own_outbound_calls() {
    let web = Web::start();
    let host = host_with(|options| options.outbound.allow_private = vec![web.address().to_string()]);
    let (_host, module) = load_into(host, "meters");
    let mut item = event("meter.read", r#"{"watts":1}"#);
    item.config = Arc::new([("tariff".into(), web.at("/status/200"))].into());
    item.capabilities.hosts = vec![web.at("")];
    let journals = [Journal::default(), Journal::default()];
    let outbound = journals.iter().map(|journal| Box::new(journal.clone()) as Box<dyn Outbound>).collect();
    let report = run_batch(&module, &[item.clone(), item], outbound);
    assert_eq!(words(&report), ["1 in all, 50% of these 2", "2 in all, 50% of these 2"]);
    assert!(report.logs.iter().all(|log| log[0].message == "the tariff: so it is"), "{:?}", report.logs);
    assert!(journals.iter().all(|journal| journal.steps() == ["tariff"]));
}

#[test]
fn a_batch_is_handled_one_after_another() {
    let (_host, module) = load("meters-each");
    let report = read(&module, &READINGS);
    let found = words(&report);
    assert_eq!(found[..4], ["1 in all", "a meter does not run backwards", "6 in all", "blocked"]);
    let lines: Vec<Vec<_>> =
        report.logs.iter().map(|log| log.iter().map(|line| line.message.as_str()).collect()).collect();
    assert_eq!(lines, [vec!["1 of a"], vec!["-2 of b"], vec!["5 of a"], vec![], vec![]]);
}

#[test]
fn only_a_batch_handler_imports_batches() {
    let batch = "weirgate:handler/batch@0.1.0".to_owned();
    for (name, imports, exports) in [
        ("ledger", false, vec!["handle"]),
        ("mender", false, vec!["handle", "on-corrected"]),
        ("prices", false, vec!["handle", "on-correctable", "on-corrected"]),
        ("meters", true, vec!["handle-batch"]),
        ("meters-each", true, vec!["handle-batch", "on-corrected"]),
    ] {
        let (_host, module) = load(name);
        assert_eq!(module.info().imports.contains(&batch), imports, "{name}");
        let mut found = module.info().exports.clone();
        found.sort();
        assert_eq!(found, exports, "{name}");
        assert_eq!(module.has_on_corrected(), exports.contains(&"on-corrected"), "{name}");
    }
}
