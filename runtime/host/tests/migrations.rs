//! `migrate-state`: called before the handler, in the same call, for the deliveries that say so.

mod support;

use std::{collections::BTreeMap, sync::Arc};

use support::{Attempt, Memory, TestHost, attempt, failure, host, read};
use weirgate_guests::{build, odd};
use weirgate_host::{BatchReport, CallError, Module, NoOutbound, Outbound, ReadState};
use weirgate_types::{Effects, FailureClass, FailureKind};

fn load(bytes: &[u8]) -> (TestHost, Module) {
    let host = host();
    let info = host.put_module(bytes).expect("a handler");
    let module = host.load(info.digest).expect("it was just put there");
    (host, module)
}

/// A delivery that adds to a counter whose state has version 1.
fn add(count: i64, before: Option<i64>, config: &[(&str, &str)]) -> Attempt {
    let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut attempt = Attempt { config: Arc::new(config.collect()), migrate_from: Some(1), ..attempt("") };
    "counter.add".clone_into(&mut attempt.event.r#type);
    attempt.event.data = format!(r#"{{"count":{count}}}"#).into();
    attempt.state.extend(before.map(|count| ("count".to_owned(), count.to_string().into())));
    attempt
}

fn run(attempt: &Attempt, module: &Module) -> weirgate_host::CallReport {
    attempt.run_with(module, Box::new(Memory(attempt.state.clone())))
}

/// The state writes as text.
fn writes(effects: &Effects) -> BTreeMap<&str, Option<&str>> {
    let text = |value: &Vec<u8>| std::str::from_utf8(value).map(str::to_owned).expect("text").leak();
    let writes = effects.state.iter();
    writes.map(|write| (write.name.as_str(), write.value.as_ref().map(|value| &*text(value)))).collect()
}

#[test]
fn the_state_is_migrated_before_the_handler_reads_it() {
    let (_host, module) = load(&build("counter"));
    assert!(module.migrates());
    let report = run(&add(2, Some(40), &[]), &module);
    let effects = report.result.expect("it is migrated");
    let expected = BTreeMap::from([("count", None), ("counter", Some(r#"{"count":42,"migrated":[1]}"#))]);
    assert_eq!((writes(&effects), report.log[0].message.as_str()), (expected, "from version 1"));
    let again = Attempt { migrate_from: None, ..add(2, None, &[]) };
    let effects = run(&again, &module).result.expect("nothing is migrated");
    assert_eq!(writes(&effects), BTreeMap::from([("counter", Some(r#"{"count":2,"migrated":[]}"#))]));
}

#[test]
fn a_migration_that_fails_fails_the_attempt() {
    let (_host, module) = load(&build("counter"));
    let failed = failure(run(&add(2, Some(40), &[("migration", "fails")]), &module));
    let text = "the state of version 1 is not migrated: no such counter";
    assert_eq!((failed.kind, failed.class, &*failed.message), (FailureKind::Migration, FailureClass::Transient, text));
    let trapped = failure(run(&add(2, Some(40), &[("migration", "traps")]), &module));
    assert!(trapped.kind == FailureKind::Trap && trapped.message.contains("the migration traps"), "{trapped:?}");
}

/// What was migrated is dropped when the handler fails.
#[test]
fn a_handler_that_fails_leaves_the_state_as_it_was() {
    let (_host, module) = load(&build("counter"));
    let failed = failure(run(&add(2, Some(40), &[("handling", "fails")]), &module));
    assert_eq!((failed.kind, &*failed.message), (FailureKind::Handler, "it is to fail"));
}

#[test]
fn the_correction_hook_reads_migrated_state() {
    let (_host, module) = load(&build("counter"));
    let wrong = add(0, Some(40), &[]);
    assert_eq!(read(run(&wrong, &module).correction.as_ref().map(|one| &*one.data))["count"], 40);
    // Without a migration it finds no state in the form that it reads.
    assert_eq!(run(&Attempt { migrate_from: None, ..wrong }, &module).correction, None);
}

/// Its time and its effects are those of the call.
#[test]
fn the_limits_of_the_call_include_the_migration() {
    let (_host, module) = load(&build("counter"));
    let mut small = add(2, Some(40), &[]);
    // Four for the migration (a setting; get, delete and set), one for the handler's first setting; its next is one too many.
    small.limits.host_calls = 5;
    let failed = failure(run(&small, &module));
    assert_eq!(failed.kind, FailureKind::EffectLimit, "{failed:?}");
    small.limits.host_calls = 64;
    small.limits.effects_bytes = 10;
    assert_eq!(failure(run(&small, &module)).kind, FailureKind::EffectLimit);
}

#[test]
fn a_component_without_the_export_fails_where_there_is_something_to_migrate() {
    let (_host, module) = load(&build("prices"));
    assert!(!module.migrates());
    let failed = failure(run(&add(2, Some(40), &[]), &module));
    assert!(failed.kind == FailureKind::Migration && failed.message.contains("`migrate-state`"), "{failed:?}");
}

#[test]
fn an_export_of_another_type_is_refused() {
    let refused = host().put_module(&odd("migration-differs")).expect_err("another type").to_string();
    assert!(refused.contains("`migrate-state` differs"), "{refused}");
}

fn run_batch(module: &Module, items: &[Attempt]) -> BatchReport {
    let calls: Vec<_> = items.iter().map(Attempt::call).collect();
    let states = items.iter().map(|item| Box::new(Memory(item.state.clone())) as Box<dyn ReadState>).collect();
    let outbound = items.iter().map(|_| Box::new(NoOutbound) as Box<dyn Outbound>).collect();
    module.call_batch(&calls, states, outbound)
}

fn of_key(key: &str, item: Attempt) -> Attempt {
    Attempt { key: key.to_owned(), ..item }
}

/// Each key once; the later items of a key read what the first has migrated.
#[test]
fn a_batch_migrates_each_key_with_its_own_effects() {
    let (_host, module) = load(&build("counter-batch"));
    let second = Attempt { migrate_from: None, ..add(2, Some(10), &[]) };
    let items = [of_key("a", add(1, Some(10), &[])), of_key("b", add(1, Some(20), &[])), of_key("a", second)];
    let report = run_batch(&module, &items);
    let effects: Vec<_> = report.results.iter().map(|result| writes(result.as_ref().expect("migrated"))).collect();
    let expected = [
        BTreeMap::from([("count", None), ("sum", Some("1011"))]),
        BTreeMap::from([("count", None), ("sum", Some("1021"))]),
        BTreeMap::from([("sum", Some("1013"))]),
    ];
    assert_eq!(effects, expected);
    let lines: Vec<_> =
        report.logs.iter().map(|log| log.iter().map(|line| &*line.message).collect::<String>()).collect();
    assert_eq!(lines, ["migrated a", "migrated b", ""]);
}

#[test]
fn one_item_that_cannot_be_migrated_leaves_the_others_untried() {
    let (_host, module) = load(&build("counter-batch"));
    let items =
        [of_key("a", add(1, Some(10), &[])), of_key("b", add(1, Some(-1), &[])), of_key("c", add(1, None, &[]))];
    let report = run_batch(&module, &items);
    let [Err(CallError::Blocked), Err(CallError::Failed(failed)), Err(CallError::Blocked)] = report.results.as_slice()
    else {
        panic!("{:?}", report.results);
    };
    assert_eq!((failed.kind, failed.message.contains("-1 is negative")), (FailureKind::Migration, true));
}
