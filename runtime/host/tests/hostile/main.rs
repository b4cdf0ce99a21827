//! Every behaviour of the guest `hostile` has a test of the same name here; the program does not compile if one is missing.
//! After each failure a good call follows, because the host must continue.

mod refused;
#[path = "../support/mod.rs"]
mod support;

use refused::*;
use support::{AT_MS, Attempt, attempt, failure};
use weirgate_host::CallReport;
use weirgate_types::{
    AttemptFailure, Correction, Effects, FailureClass, FailureKind, LogLevel, StatusWrite, TimerSetting, TimerWrite,
};

macro_rules! every_behaviour_has_a_test {
    ($($name:ident),* $(,)?) => { mod tested { $(#[allow(unused_imports)] use super::$name as _;)* } };
}
weirgate_guests::for_each_hostile!(every_behaviour_has_a_test);

/// The call must end with this failure; another call must succeed afterwards.
#[track_caller]
fn fails(attempt: &Attempt, kind: FailureKind, says: &str) -> CallReport {
    let report = attempt.run();
    let found = match &report.result {
        Err(weirgate_host::CallError::Failed(failure)) => failure.clone(),
        other => panic!("it had to fail, but: {other:?}"),
    };
    assert_eq!(found.kind, kind, "{}", found.message);
    assert!(found.message.contains(says), "{}", found.message);
    assert_eq!(found.class, FailureClass::Transient);
    succeeds(&support::attempt("plain"));
    report
}

#[track_caller]
fn succeeds(attempt: &Attempt) -> Effects {
    let report = attempt.run();
    report.result.unwrap_or_else(|error| panic!("{error}; log: {:?}", report.log))
}

fn value<'a>(effects: &'a Effects, name: &str) -> &'a [u8] {
    let write = effects.state.iter().find(|write| write.name == name);
    write.and_then(|write| write.value.as_deref()).unwrap_or_else(|| panic!("{name} was not written: {effects:?}"))
}

#[test]
fn plain() {
    let mut attempt = attempt("plain");
    attempt.state.insert("count".into(), 39_u64.to_le_bytes().to_vec());
    let report = attempt.run();
    let effects = report.result.expect("a good call");
    assert_eq!(value(&effects, "count"), 42_u64.to_le_bytes());
    assert_eq!(effects.status.len(), 1);
    assert_eq!((effects.status[0].subject.as_str(), effects.status[0].text.as_str()), ("order/o-1", "42 so far"));
    assert!(report.memory_bytes_peak >= 64 << 10 && report.memory_bytes_peak < 4 << 20, "{}", report.memory_bytes_peak);
    assert!(report.cpu.as_micros() > 0 && report.log.is_empty());
}

#[test]
fn effects() {
    let effects = succeeds(&attempt("effects"));
    let second = StatusWrite {
        subject: "order/o-2".into(),
        state: "second".into(),
        text: "text".into(),
        data: Some(r#"{"n":2}"#.into()),
    };
    assert_eq!(effects.status.len(), 2, "the later status of a subject replaces the earlier: {:?}", effects.status);
    assert_eq!((effects.status[0].state.as_str(), &effects.status[1]), ("own", &second));
    assert_eq!((effects.state.len(), value(&effects, "name")), (1, b"new".as_slice()));
    let [event] = effects.emitted.as_slice() else { panic!("{:?}", effects.emitted) };
    assert_eq!((event.source.as_str(), event.id.as_str()), ("/handlers/hostile", "42/1"));
    assert_eq!((event.r#type.as_str(), event.subject.as_deref()), ("order.reserved", Some("order/o-2")));
    assert_eq!((event.key(), event.data_content_type.as_deref()), ("key-2", Some("text/plain")));
    assert_eq!(event.time.as_deref(), Some("2025-01-01T00:00:00.123Z"));
    assert_eq!((&event.extensions["causationid"], &event.extensions["correlationid"]), (&"e-1".into(), &"c-1".into()));
    assert!(event.extensions["traceparent"].as_str().starts_with("00-0af7"));
    assert_eq!(event.data, b"not { json");
}

#[test]
fn status_text() {
    assert_eq!(succeeds(&attempt("status_text")).status[0].text, "two lines [31m");
}

#[test]
fn emit_defaults() {
    let mut attempt = attempt("emit_defaults");
    attempt.key = "customer/c-1".into();
    attempt.event.extensions.clear();
    let effects = succeeds(&attempt);
    let events: Vec<_> = effects.emitted.iter().map(|e| (e.id.as_str(), e.subject.as_deref(), e.key())).collect();
    assert_eq!(events, [("42/1", Some("order/o-1"), "customer/c-1"), ("42/2", Some("order/o-3"), "order/o-3")]);
    assert!(!effects.emitted[1].extensions.contains_key("partitionkey"), "the subject is the key");
    assert_eq!(effects.emitted[0].extensions["correlationid"], "e-1", "the first event of a chain begins it");
}

#[test]
fn state_operations() {
    let mut attempt = attempt("state_operations");
    attempt.state.insert("committed".into(), b"1".to_vec());
    let effects = succeeds(&attempt);
    let writes: Vec<_> = effects.state.iter().map(|write| (write.name.as_str(), write.value.is_some())).collect();
    assert_eq!(writes, [("committed", false), ("own", true), ("unknown", false)]);
}

#[test]
fn state_list() {
    let mut attempt = attempt("state_list");
    for name in ["a/1", "a/2", "b"] {
        attempt.state.insert(name.into(), vec![]);
    }
    attempt.state.extend((0..1_500).map(|n| (format!("n{n:04}"), vec![])));
    succeeds(&attempt);
}

#[test]
fn read_config() {
    succeeds(&attempt("read_config"));
}

#[test]
fn log_levels() {
    let log = attempt("log_levels").run().log;
    let lines: Vec<_> = log.iter().map(|line| (line.level, line.message.as_str())).collect();
    let warn = "\u{fffd}warn\u{fffd}\u{fffd} forged";
    let expected =
        [(LogLevel::Debug, "debug"), (LogLevel::Info, "info"), (LogLevel::Warn, warn), (LogLevel::Error, "error")];
    assert_eq!(lines, expected);
}

#[test]
fn timers() {
    let effects = succeeds(&attempt("timers"));
    let setting = |due_ms, content_type: Option<&str>, data: &str| TimerSetting {
        due_ms,
        r#type: "order.overdue".into(),
        data_content_type: content_type.map(Into::into),
        data: data.into(),
    };
    let expected = [
        ("delivery", None),
        ("past", Some(setting(7, Some("text/plain"), "not { json"))),
        ("payment", Some(setting(AT_MS + 60_000, None, r#"{"n":1}"#))),
    ];
    assert_eq!(effects.timers, expected.map(|(name, set)| TimerWrite { name: name.into(), set }));
}

#[test]
fn timer_limits() {
    let timers = succeeds(&attempt("timer_limits")).timers;
    assert_eq!((timers.len(), timers.iter().filter(|timer| timer.set.is_none()).count()), (64, 1));
    assert!(timers.iter().flat_map(|timer| &timer.set).all(|set| set.due_ms == AT_MS + 315_360_000_000));
}

#[test]
fn nothing_left_over() {
    for _ in 0..50 {
        succeeds(&attempt("nothing_left_over"));
    }
}

#[test]
fn ambient() {
    let first = succeeds(&attempt("ambient"));
    assert_eq!(value(&first, "wall-ms"), AT_MS.to_string().as_bytes());
    assert_eq!(value(&first, "passed-ns"), b"0");
    assert_eq!(succeeds(&attempt("ambient")), first, "the same delivery sees the same");
    let mut other = attempt("ambient");
    other.delivery.position = weirgate_types::Position(43);
    assert_ne!(value(&succeeds(&other), "random"), value(&first, "random"), "another delivery draws other numbers");
}

#[test]
fn sleeps() {
    let report = attempt("sleeps").run();
    assert!(report.result.is_ok(), "{report:?}");
    assert!(report.cpu.as_secs() < 1, "an hour is over at once");
}

#[test]
fn sleeps_forever() {
    fails(&attempt("sleeps_forever"), FailureKind::EffectLimit, "too many WASI streams and timers");
}

#[test]
fn no_files() {
    succeeds(&attempt("no_files"));
}

#[test]
fn no_environment() {
    succeeds(&attempt("no_environment"));
}

#[test]
fn nan_bits() {
    let effects = succeeds(&attempt("nan_bits"));
    assert_eq!(value(&effects, "double"), f64::NAN.to_bits().to_le_bytes());
    assert_eq!(value(&effects, "single"), f32::NAN.to_bits().to_le_bytes());
}

#[test]
fn copes_without_memory() {
    succeeds(&attempt("copes_without_memory"));
}

#[test]
fn prints() {
    let log = attempt("prints").run().log;
    let lines: Vec<_> = log.iter().map(|line| (line.level, line.message.as_str())).collect();
    let expected = [(LogLevel::Info, "to stdout"), (LogLevel::Warn, "\u{fffd}to stderr"), (LogLevel::Info, "no end")];
    assert_eq!(lines, expected);
}

#[test]
fn fails_transient() {
    let mut attempt = attempt("fails_transient");
    let expected = AttemptFailure::found(FailureKind::Handler, "not now");
    assert_eq!(failure(attempt.run()), expected);
    attempt.number = 2;
    assert_eq!(failure(attempt.run()), AttemptFailure { retry_after_ms: Some(1_500), ..expected });
}

#[test]
fn fails_correctable() {
    let failure = failure(attempt("fails_correctable").run());
    assert_eq!((failure.class, failure.kind), (FailureClass::Correctable, FailureKind::Handler));
    assert_eq!(failure.what_is_wrong.as_deref(), Some("the quantity is negative"));
    assert_eq!(correction(&attempt("fails_correctable")).0, None, "the component knows no better");
}

#[test]
fn fails_permanent() {
    let failure = failure(attempt("fails_permanent").run());
    assert_eq!((failure.class, failure.message.as_str()), (FailureClass::Permanent, "never"));
}

#[test]
fn fails_at_length() {
    let failure = failure(attempt("fails_at_length").run());
    assert!(failure.message.starts_with("\u{fffd}long ") && failure.message.len() <= 4 * 1024, "{}", failure.message);
    assert_eq!(failure.retry_after_ms, Some(86_400_000), "a day at most");
}

/// The call fails as correctable, and the component returns this correction.
#[track_caller]
fn correction(attempt: &Attempt) -> (Option<Correction>, CallReport) {
    let mut report = attempt.run();
    let result = std::mem::replace(&mut report.result, Ok(Effects::default()));
    match result {
        Err(weirgate_host::CallError::Failed(failure)) => assert_eq!(failure.class, FailureClass::Correctable),
        other => panic!("it had to fail, but: {other:?}"),
    }
    (report.correction.take(), report)
}

/// It returns no correction, and the log's last line gives the reason.
#[track_caller]
fn gives_no_correction(attempt: &Attempt, says: &str) {
    let (found, report) = correction(attempt);
    assert_eq!(found, None);
    let last = report.log.last().expect("a line says why");
    assert_eq!(last.level, LogLevel::Warn);
    assert!(
        last.message.starts_with("`on-correctable` gave no correction: ") && last.message.contains(says),
        "{last:?}"
    );
    succeeds(&support::attempt("plain"));
}

#[test]
fn corrects() {
    let mut attempt = attempt("corrects");
    attempt.state.insert("committed".into(), b"1".to_vec());
    let (found, report) = correction(&attempt);
    let expected = Correction { data: br#"{"quantity": 4}"#.to_vec(), data_content_type: None, event: None };
    assert_eq!(found, Some(expected));
    let lines: Vec<_> = report.log.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(lines, ["said by handle", "corrected hostile@42"]);
}

#[test]
fn corrects_to_text() {
    let (found, _) = correction(&attempt("corrects_to_text"));
    let found = found.expect("a correction");
    assert_eq!(
        (found.data.as_slice(), found.data_content_type.as_deref()),
        (b"not { json".as_slice(), Some("text/plain"))
    );
}

#[test]
fn correction_is_no_json() {
    gives_no_correction(&attempt("correction_is_no_json"), "a correction: the event's data is not valid JSON");
}

#[test]
fn correction_is_huge() {
    gives_no_correction(&attempt("correction_is_huge"), "too many bytes in a correction: at most 262144 (fixed)");
}

#[test]
fn correction_traps() {
    gives_no_correction(&attempt("correction_traps"), "the component trapped: wasm `unreachable`");
    let (_, report) = correction(&attempt("correction_traps"));
    assert!(!report.log[1].message.contains("said by handle"), "those were not its words: {:?}", report.log);
}

#[test]
fn correction_loops_forever() {
    let mut attempt = attempt("correction_loops_forever");
    attempt.limits.cpu_ms = 50;
    gives_no_correction(&attempt, "50 ms of CPU time (limits.cpu_ms)");
    assert!(attempt.run().cpu.as_millis() >= 50, "its time is the call's");
}

#[test]
fn correction_after_many_lines() {
    let attempt = attempt("correction_after_many_lines");
    gives_no_correction(&attempt, "the component trapped");
    assert_eq!(attempt.run().log.len(), 101, "the runtime's own line is one more");
}

/// It may not, although the manifest names the host.
#[test]
fn correction_fetches() {
    let mut attempt = attempt("correction_fetches");
    attempt.event.data = br#"{"fetches": [{"url": "http://127.0.0.1:1/"}]}"#.to_vec();
    attempt.capabilities.hosts = vec!["http://127.0.0.1:1".into()];
    let (found, report) = correction(&attempt);
    let told = String::from_utf8(found.expect("a correction").data).expect("text");
    assert!(told.contains("denied") && told.contains("from `handle` and `handle-batch` only"), "{told}");
    assert_eq!(report.hosts, []);
}
