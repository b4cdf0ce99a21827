//! Several deliveries in one call. Every behaviour of the guest `hostile-batch` has a test of the same name here; the
//! program does not compile if one is missing.

mod support;

use std::sync::OnceLock;

use support::{
    AT_MS, Attempt, Memory, TestHost, attempt, host_with, hostile, hostile_batch, journal::Journal, web::Web,
};
use weirgate_host::{BatchReport, CallError, Module, NoOutbound, Outbound, ReadState};
use weirgate_types::{Effects, FailureClass, FailureKind, HostCall, Position, TimerSetting, TimerWrite};

macro_rules! every_behaviour_has_a_test {
    ($($name:ident),* $(,)?) => { mod tested { $(#[allow(unused_imports)] use super::$name as _;)* } };
}
weirgate_guests::for_each_hostile_batch!(every_behaviour_has_a_test);

/// Deliveries of these keys, which all make the guest do this. They are at positions 42 and after.
fn batch(behaviour: &str, keys: &[&str]) -> Vec<Attempt> {
    let items = keys.iter().zip(42..).map(|(key, position)| {
        let mut item = attempt("");
        item.event.r#type = format!("batch.{behaviour}");
        item.event.data = b"{}".to_vec();
        (item.key, item.delivery.position) = ((*key).to_owned(), Position(position));
        item
    });
    items.collect()
}

fn run_with(module: &Module, items: &[Attempt]) -> BatchReport {
    run_outbound(module, items, items.iter().map(|_| Box::new(NoOutbound) as Box<dyn Outbound>).collect())
}

fn run_outbound(module: &Module, items: &[Attempt], outbound: Vec<Box<dyn Outbound>>) -> BatchReport {
    let calls: Vec<_> = items.iter().map(Attempt::call).collect();
    let states = items.iter().map(|item| Box::new(Memory(item.state.clone())) as Box<dyn ReadState>).collect();
    let report = module.call_batch(&calls, states, outbound);
    assert_eq!((report.results.len(), report.logs.len()), (items.len(), items.len()));
    report
}

fn run(items: &[Attempt]) -> BatchReport {
    run_with(&hostile_batch(), items)
}

#[track_caller]
fn succeeds(items: &[Attempt]) -> Vec<Effects> {
    let BatchReport { results, logs, .. } = run(items);
    let effects = results.into_iter().map(|result| result.unwrap_or_else(|error| panic!("{error}; log: {logs:?}")));
    effects.collect()
}

/// All items must end with the same failure; another batch must succeed afterwards.
#[track_caller]
fn fails(items: &[Attempt], kind: FailureKind, says: &str) -> BatchReport {
    let report = run(items);
    for result in &report.results {
        let Err(CallError::Failed(failure)) = result else { panic!("it had to fail, but: {result:?}") };
        assert_eq!((failure.kind, failure.class), (kind, FailureClass::Transient), "{}", failure.message);
        assert!(failure.message.contains(says), "{}", failure.message);
    }
    succeeds(&batch("counts", &["a"]));
    report
}

fn value<'a>(effects: &'a Effects, name: &str) -> Option<&'a [u8]> {
    effects.state.iter().find(|write| write.name == name)?.value.as_deref()
}

#[test]
fn counts() {
    let mut items = batch("counts", &["a", "b", "a"]);
    for item in &mut items {
        item.state.insert("count".into(), vec![if item.key == "a" { 7 } else { 1 }]);
    }
    let effects = succeeds(&items);
    let texts: Vec<_> = effects.iter().map(|effects| effects.status[0].text.as_str()).collect();
    assert_eq!(texts, ["8 of a in eu", "2 of b in eu", "9 of a in eu"]);
    let values: Vec<_> = effects.iter().map(|effects| value(effects, "count").expect("a count")).collect();
    assert_eq!(values, [[8], [2], [9]]);
    let emitted: Vec<_> =
        effects.iter().map(|effects| (effects.emitted[0].id.as_str(), effects.emitted[0].key())).collect();
    assert_eq!(emitted, [("42/1", "a"), ("43/1", "b"), ("44/1", "a")]);
    assert!(effects.iter().all(|effects| effects.timers.len() == 1 && effects.timers[0].name == "again"));
}

#[test]
fn does_not_select() {
    let effects = succeeds(&batch("does_not_select", &["a", "b"]));
    assert_eq!(value(&effects[0], "whose"), Some(b"the first's".as_slice()));
    assert_eq!(effects[1], Effects::default());
}

#[test]
fn selects_back_and_forth() {
    let effects = succeeds(&batch("selects_back_and_forth", &["a", "b", "c"]));
    let orders: Vec<_> = effects.iter().map(|effects| value(effects, "order").expect("written")).collect();
    assert_eq!(orders, [[0, 0].as_slice(), &[1], &[2, 2, 2]]);
}

#[test]
fn reads_of_its_key() {
    let mut items = batch("reads_of_its_key", &["a", "b", "a", "a"]);
    for item in &mut items {
        item.state.insert("of".into(), b"committed".to_vec());
    }
    let effects = succeeds(&items);
    assert_eq!(value(&effects[0], "of"), Some(b"the first".as_slice()));
    assert!(effects[1].state.is_empty() && effects[2].state[0].value.is_none() && effects[3].state[0].value.is_none());
}

#[test]
fn lists_of_its_key() {
    let mut items = batch("lists_of_its_key", &["a", "a", "a"]);
    for item in &mut items {
        item.state.extend(["n/1", "n/2"].map(|name| (name.into(), vec![])));
    }
    succeeds(&items);
}

#[test]
fn some_fail() {
    let mut items = batch("some_fail", &["a", "b", "a", "c", "d", "b", "a"]);
    for (index, data) in [(2, "\"transient\""), (3, "\"correctable\""), (4, "\"permanent\"")] {
        items[index].event.data = data.into();
    }
    let results = run(&items).results;
    let classes: Vec<_> = results
        .iter()
        .map(|result| match result {
            Ok(effects) => format!("{:?}", value(effects, "count")),
            Err(CallError::Failed(failure)) => format!("{:?}: {}", failure.class, failure.message),
            Err(error) => format!("{error:?}"),
        })
        .collect();
    let expected = [
        "Some([1])",
        "Some([1])",
        "Transient: not now",
        "Correctable: bad order",
        "Permanent: never",
        "Some([2])",
        "Blocked",
    ];
    assert_eq!(classes, expected);
}

#[test]
fn says_what() {
    let report = run(&batch("says_what", &["a", "b"]));
    let lines: Vec<Vec<_>> =
        report.logs.iter().map(|log| log.iter().map(|line| line.message.as_str()).collect()).collect();
    assert_eq!(
        lines,
        [vec!["before", "hostile@42", "printed by hostile@42"], vec!["hostile@43", "printed by hostile@43"]]
    );
    assert_eq!(report.log_lines_dropped, [0, 0]);
}

#[test]
fn given_of_the_first() {
    let mut items = batch("given_of_the_first", &["a", "b"]);
    items[1].at_ms += 5;
    items[1].wall_ms += 5;
    let effects = succeeds(&items);
    for (effects, due_ms) in effects.iter().zip([AT_MS, AT_MS + 5]) {
        assert_eq!(value(effects, "wall-ms"), Some(AT_MS.to_string().as_bytes()), "the clock does not advance");
        let set = TimerSetting { due_ms, r#type: "t".into(), data_content_type: None, data: vec![] };
        assert_eq!(effects.timers, [TimerWrite { name: "now".into(), set: Some(set) }], "from its own attempt's time");
    }
}

#[test]
fn each_its_limits() {
    assert_eq!(succeeds(&batch("each_its_limits", &["a", "a", "b"])).len(), 3);
    let mut items = batch("each_its_limits", &["a", "b"]);
    items[1].limits.emitted_events = 63;
    fails(&items, FailureKind::EffectLimit, "at most 63 (limits.emitted_events)");
}

/// A web server that may be called, and the guest.
struct World {
    web: Web,
    module: Module,
    _host: TestHost,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let web = Web::start();
        let host = host_with(|options| options.outbound.allow_private = vec![web.address().to_string()]);
        let digest = host.put_module(&weirgate_guests::build("hostile-batch")).expect("a batch handler").digest;
        let module = host.load(digest).expect("it was just put there");
        World { web, module, _host: host }
    })
}

/// A batch whose items call these paths, separated by spaces.
fn fetching(behaviour: &str, items: &[(&str, &str)]) -> Vec<(Attempt, Journal)> {
    let web = &world().web;
    let keys: Vec<_> = items.iter().map(|(key, _)| *key).collect();
    let items = batch(behaviour, &keys).into_iter().zip(items).map(|(mut item, (_, paths))| {
        let urls: Vec<_> = paths.split(' ').map(|path| web.at(path)).collect();
        item.event.data = urls.join("\n").into_bytes();
        item.capabilities.hosts = vec![web.at("")];
        item.limits.outbound_bytes = 4 << 20;
        let journal = Journal::default();
        journal.with(|kept| kept.delivery = Some(item.delivery.to_string()));
        (item, journal)
    });
    items.collect()
}

fn run_fetching(items: &[(Attempt, Journal)]) -> BatchReport {
    let outbound = items.iter().map(|(_, journal)| Box::new(journal.clone()) as Box<dyn Outbound>).collect();
    let items: Vec<_> = items.iter().map(|(item, _)| item.clone()).collect();
    run_outbound(&world().module, &items, outbound)
}

#[test]
fn fetches() {
    let web = &world().web;
    let mut items = fetching("fetches", &[("a", "/f/echo"), ("b", "/f/echo /f/status/500"), ("a", "/f/echo")]);
    items[0].0.limits.outbound_calls = 1;
    items[2].0.limits.outbound_calls = 1;
    let report = run_fetching(&items);
    let effects: Vec<_> = report.results.into_iter().map(|result| result.expect("it went well")).collect();
    assert_eq!(value(&effects[1], "2"), Some(b"500".as_slice()));
    let keys = || -> Vec<_> {
        web.asked("/f/echo").iter().map(|asked| asked.header("idempotency-key").expect("one").to_owned()).collect()
    };
    assert_eq!(keys(), ["hostile@42/1", "hostile@43/1", "hostile@44/1"], "the same step of each is its own");
    assert!(items.iter().all(|(_, journal)| journal.steps() == ["1"]), "the other is not finished");
    assert_eq!(
        report.hosts,
        [HostCall { host: format!("127.0.0.1:{}", web.port), is_success: false }],
        "it answered badly once"
    );
    let report = run_fetching(&items);
    assert!(report.results.iter().all(Result::is_ok) && keys().len() == 3, "no step is sent twice");
}

#[test]
fn one_item_with_too_many_calls_fails_all_of_them_and_their_steps_are_kept() {
    let mut items = fetching("fetches", &[("a", "/many/echo"), ("b", "/many/echo")]);
    items[1].0.limits.outbound_calls = 0;
    for result in run_fetching(&items).results {
        let Err(CallError::Failed(failure)) = result else { panic!("it had to fail, but: {result:?}") };
        assert!(failure.message.contains("at most 0 (limits.outbound_calls)"), "{}", failure.message);
    }
    assert_eq!((items[0].1.steps(), items[1].1.steps()), (vec!["1".to_owned()], vec![]));
}

#[test]
fn answers_are_held_for_all_items_together() {
    let much = "/much/bytes/3000000";
    let much = [much; 3].join(" ");
    assert!(run_fetching(&fetching("fetches", &[("a", &much)])).results[0].is_ok());
    for result in run_fetching(&fetching("fetches", &[("a", &much), ("b", &much)])).results {
        let Err(CallError::Failed(failure)) = result else { panic!("it had to fail, but: {result:?}") };
        assert_eq!(failure.kind, FailureKind::EffectLimit);
        assert!(failure.message.contains("too many bytes of answers to outbound calls"), "{}", failure.message);
    }
}

#[test]
fn all_fail_after_fetches() {
    let web = &world().web;
    let items = fetching("all_fail_after_fetches", &[("a", "/open/echo"), ("b", "/open/echo"), ("a", "/open/echo")]);
    let failures = |items: &[(Attempt, Journal)]| -> Vec<_> {
        let failure = |result| match result {
            Err(CallError::Failed(failure)) => Some((failure.kind, failure.retry_after_ms)),
            Err(CallError::Blocked) => None,
            other => panic!("it had to fail, but: {other:?}"),
        };
        run_fetching(items).results.into_iter().map(failure).collect()
    };
    let handler = Some((FailureKind::Handler, None));
    assert_eq!(failures(&items), [handler, handler, None]);
    items[1].1.with(|kept| {
        kept.steps.clear();
        kept.open.insert(format!("127.0.0.1:{}", web.port), 4_500);
    });
    let open = Some((FailureKind::CircuitOpen, Some(4_500)));
    assert_eq!(failures(&items), [open, open, None], "one call may have been made for both");
}

#[test]
fn selects_no_item() {
    fails(&batch("selects_no_item", &["a", "b"]), FailureKind::Contract, "item 2 is selected, of a batch of 2");
}

#[test]
fn answers_too_few() {
    fails(&batch("answers_too_few", &["a", "b"]), FailureKind::Contract, "answered 1 results to 2 items");
}

#[test]
fn answers_too_many() {
    fails(&batch("answers_too_many", &["a", "b"]), FailureKind::Contract, "answered 4 results to 2 items");
}

#[test]
fn traps_in_the_second() {
    let report = fails(&batch("traps_in_the_second", &["a", "b"]), FailureKind::Trap, "the guest's own words");
    assert!(report.logs[0].is_empty() && !report.logs[1].is_empty(), "it was about the second: {:?}", report.logs);
}

#[test]
fn floods_in_the_second() {
    fails(&batch("floods_in_the_second", &["a", "b"]), FailureKind::EffectLimit, "at most 256 (limits.host_calls)");
}

#[test]
fn loops_forever() {
    let mut items = batch("loops_forever", &["a", "b"]);
    items[0].limits.cpu_ms = 50;
    let report = fails(&items, FailureKind::Timeout, "50 ms of CPU time (limits.cpu_ms)");
    assert!((50..500).contains(&report.cpu.as_millis()), "{:?}", report.cpu);
}

#[test]
fn one_delivery_is_a_batch_of_one() {
    assert!(hostile_batch().is_batch() && !hostile().is_batch());
    let items = batch("counts", &["a"]);
    let report = items[0].run_with(&hostile_batch(), Box::new(Memory::default()));
    let effects = report.result.expect("a good call");
    assert_eq!((value(&effects, "count"), effects.emitted[0].id.as_str()), (Some([1].as_slice()), "42/1"));
}

#[test]
fn an_empty_batch_has_no_results() {
    let report = hostile_batch().call_batch(&[], Vec::new(), Vec::new());
    assert!(report.results.is_empty() && report.logs.is_empty());
}

#[test]
fn a_handler_without_batches_refuses_a_batch() {
    let report = run_with(&hostile(), &[attempt("plain"), attempt("plain")]);
    for result in report.results {
        let Err(CallError::Failed(failure)) = result else { panic!("{result:?}") };
        assert_eq!((failure.kind, failure.message.contains("one delivery at a time")), (FailureKind::Contract, true));
    }
    assert!(run_with(&hostile(), &[attempt("plain")]).results[0].is_ok(), "one is no more than it takes");
}
