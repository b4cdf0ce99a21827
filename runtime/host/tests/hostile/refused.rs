//! What the contract and the limits refuse: the attempt fails, and the host continues.

use weirgate_types::{FailureClass, FailureKind};

use super::{
    fails, succeeds,
    support::{attempt, failure},
    value,
};

#[test]
pub fn bad_status_json() {
    fails(&attempt("bad_status_json"), FailureKind::Contract, "a status's data is not JSON");
}

#[test]
pub fn bad_status_state() {
    fails(&attempt("bad_status_state"), FailureKind::Contract, "a status's state is empty");
}

#[test]
pub fn control_status_state() {
    fails(&attempt("control_status_state"), FailureKind::Contract, "a status's state holds a control character");
}

#[test]
pub fn bad_state_name() {
    fails(&attempt("bad_state_name"), FailureKind::Contract, "a state name is empty");
}

#[test]
pub fn long_state_name() {
    fails(&attempt("long_state_name"), FailureKind::Contract, "257 bytes long; at most 256");
}

#[test]
pub fn bad_emission() {
    fails(&attempt("bad_emission"), FailureKind::Contract, "not valid JSON");
}

#[test]
pub fn deep_emission() {
    fails(&attempt("deep_emission"), FailureKind::Contract, "more than 64 levels deep");
}

#[test]
pub fn empty_subject() {
    fails(&attempt("empty_subject"), FailureKind::Contract, "an emitted event's subject is empty");
}

#[test]
pub fn empty_key() {
    fails(&attempt("empty_key"), FailureKind::Contract, "an emitted event's key is empty");
}

#[test]
pub fn reserved_emission() {
    fails(&attempt("reserved_emission"), FailureKind::Contract, "an emitted event's type begins with `weirgate.`");
}

#[test]
pub fn reserved_timer() {
    fails(&attempt("reserved_timer"), FailureKind::Contract, "a timer's event's type begins with `weirgate.`");
}

#[test]
pub fn bad_timer_name() {
    fails(&attempt("bad_timer_name"), FailureKind::Contract, "a timer's name is 257 bytes long; at most 256");
}

#[test]
pub fn bad_timer_data() {
    fails(&attempt("bad_timer_data"), FailureKind::Contract, "a timer's event: the event's data is not valid JSON");
}

#[test]
pub fn far_timer() {
    fails(&attempt("far_timer"), FailureKind::Contract, "a timer is due in more than 3650 days");
}

#[test]
pub fn exits() {
    fails(&attempt("exits"), FailureKind::Contract, "exited with status 0");
}

#[test]
pub fn loops_forever() {
    let mut cpu = attempt("loops_forever");
    cpu.limits.cpu_ms = 50;
    let report = fails(&cpu, FailureKind::Timeout, "50 ms of CPU time (limits.cpu_ms)");
    assert!((50..500).contains(&report.cpu.as_millis()), "{:?}", report.cpu);
    let mut wall = attempt("loops_forever");
    (wall.limits.cpu_ms, wall.limits.wall_ms) = (5_000, 60);
    fails(&wall, FailureKind::Timeout, "60 ms of wall time (limits.wall_ms)");
}

#[test]
pub fn recurses_deeply() {
    fails(&attempt("recurses_deeply"), FailureKind::Trap, "call stack is exhausted");
}

#[test]
pub fn hogs_memory() {
    let report = fails(&attempt("hogs_memory"), FailureKind::Memory, "limits.memory_bytes");
    assert!((60 << 20..=64 << 20).contains(&report.memory_bytes_peak), "{}", report.memory_bytes_peak);
}

#[test]
pub fn panics() {
    let report = fails(&attempt("panics"), FailureKind::Trap, "it said: the guest's own words");
    assert!(report.log.iter().any(|line| line.message.contains("panicked at")), "{:?}", report.log);
}

#[test]
pub fn traps_after_effects() {
    fails(&attempt("traps_after_effects"), FailureKind::Trap, "trapped: wasm `unreachable`");
}

/// Without hosts in the manifest nothing is called.
#[test]
pub fn fetches() {
    let mut attempt = attempt("fetches");
    attempt.event.data = br#"{"fetches": [{"url": "https://api.example.com/charges?n=1"}]}"#.to_vec();
    let report = attempt.run();
    assert_eq!(report.hosts, []);
    let effects = report.result.expect("an error is an answer");
    let answer = String::from_utf8_lossy(value(&effects, "0"));
    assert!(answer.contains(r#""error":"denied""#), "{answer}");
    assert!(answer.contains(r#"add \"https://api.example.com\" to capabilities.hosts"#), "{answer}");
}

#[test]
pub fn fails_after_fetches() {
    let mut attempt = attempt("fails_after_fetches");
    attempt.event.data = br#"{"fetches": [{"url": "https://api.example.com/"}]}"#.to_vec();
    let failure = failure(attempt.run());
    assert_eq!((failure.class, failure.kind), (FailureClass::Transient, FailureKind::Handler));
    assert!(failure.message.contains("denied"), "{}", failure.message);
}

#[test]
pub fn bad_step_name() {
    fails(&attempt("bad_step_name"), FailureKind::Contract, "a step's name is empty");
}

#[test]
pub fn floods_fetches() {
    let mut attempt = attempt("floods_fetches");
    attempt.capabilities.hosts = vec!["http://127.0.0.1:1".into()];
    fails(&attempt, FailureKind::EffectLimit, "too many outbound calls: at most 32 (limits.outbound_calls)");
}

#[test]
pub fn emits_a_million() {
    let mut attempt = attempt("emits_a_million");
    fails(&attempt, FailureKind::EffectLimit, "at most 64 (limits.emitted_events)");
    attempt.limits.emitted_events = 1_024;
    fails(&attempt, FailureKind::EffectLimit, "at most 256 (limits.host_calls)");
}

#[test]
pub fn huge_emission() {
    fails(&attempt("huge_emission"), FailureKind::EffectLimit, "too many bytes in an emitted event");
}

#[test]
pub fn huge_string() {
    fails(&attempt("huge_string"), FailureKind::EffectLimit, "moved more than 4 MiB");
}

#[test]
pub fn forged_length() {
    let found = failure(attempt("forged_length").run());
    assert!(matches!(found.kind, FailureKind::Trap | FailureKind::EffectLimit), "{found:?}");
    succeeds(&attempt("plain"));
}

#[test]
pub fn huge_state_value() {
    fails(&attempt("huge_state_value"), FailureKind::EffectLimit, "too many bytes in a state value: at most 65536");
}

#[test]
pub fn effects_add_up() {
    fails(&attempt("effects_add_up"), FailureKind::EffectLimit, "at most 262144 (limits.effects_bytes)");
}

#[test]
pub fn floods_host_calls() {
    fails(&attempt("floods_host_calls"), FailureKind::EffectLimit, "at most 256 (limits.host_calls)");
}

#[test]
pub fn floods_log() {
    let report = attempt("floods_log").run();
    assert!(report.result.is_ok(), "too many lines are no failure: {:?}", report.result);
    assert_eq!((report.log.len(), report.log_lines_dropped), (100, 900));
    assert!(report.log.iter().all(|line| line.message.len() <= 1024 && !line.message.contains('\u{1b}')));
}

#[test]
pub fn floods_output() {
    let report = attempt("floods_output").run();
    assert_eq!(report.log.len(), 100);
    assert!(report.log_lines_dropped > 0);
    assert!(report.log.iter().all(|line| line.message.len() <= 1024));
    if report.result.is_err() {
        assert_eq!(failure(report).kind, FailureKind::Timeout, "a gigabyte may take longer than there is time");
    }
}

#[test]
pub fn many_timers() {
    fails(&attempt("many_timers"), FailureKind::EffectLimit, "at most 4096");
}

#[test]
pub fn many_random_bytes() {
    fails(&attempt("many_random_bytes"), FailureKind::EffectLimit, "too many random bytes at once: at most 65536");
}

#[test]
pub fn many_timer_writes() {
    fails(&attempt("many_timer_writes"), FailureKind::EffectLimit, "too many timers: at most 64 (fixed)");
}

#[test]
pub fn huge_timer() {
    fails(&attempt("huge_timer"), FailureKind::EffectLimit, "too many bytes in a timer's event: at most 262144");
}
