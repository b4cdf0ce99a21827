//! Steps and their requests: what a recorded answer answers, and attempts that are executed again on their record.

mod support;

use serde_json::{Value, json};
use support::{
    failure,
    fetching::{World, fetch, fetching, run, world},
    journal::Journal,
};
use weirgate_host::CallError;
use weirgate_types::FailureKind;

/// The receipt for 100 is no answer to a charge of 105.
#[test]
fn a_finished_step_answers_its_own_request_only() {
    let shop = &world().shop;
    let charge =
        |amount: &str| json!({"step": "charge", "method": "POST", "url": shop.at("/same/echo"), "body": amount});
    let refused = |fetches: &[Value], journal: &Journal| {
        let found = failure(run(&fetching("fetches", fetches), journal));
        assert_eq!(found.kind, FailureKind::Contract);
        assert!(found.message.contains("the step `charge` was finished with another request"), "{}", found.message);
        assert!(found.message.contains("another step name"), "{}", found.message);
    };
    let journal = Journal::default();
    refused(&[charge("100"), charge("105")], &journal);
    refused(&[charge("105")], &journal);
    assert_eq!(fetch(&[charge("100")], &journal)[0]["status"], 200);
    assert_eq!(shop.asked("/same").len(), 1, "nothing else was sent");
}

/// A step that is not finished may change: its next request is sent.
#[test]
fn an_unfinished_step_may_make_another_request() {
    let shop = &world().shop;
    let charge = |status: u16| json!({"step": "charge", "url": shop.at(&format!("/changed/status/{status}"))});
    let journal = Journal::default();
    let answers = fetch(&[charge(503), charge(200)], &journal);
    assert_eq!((&answers[0]["status"], &answers[1]["status"]), (&json!(503), &json!(200)));
}

/// What came of each call is recorded, and the attempt executed again on that record has the same result and sends nothing.
#[test]
fn an_attempt_is_executed_again_on_its_record() {
    let World { shop, other, .. } = world();
    let of = |step: &str, url: String| json!({"step": step, "url": url});
    let fetches = [
        of("ok", shop.at("/again/status/200")),
        of("busy", shop.at("/again/status/503")),
        of("busy", shop.at("/again/status/429")),
        of("denied", "http://unlisted.test/".into()),
        of("gone", "http://127.0.0.1:1/".into()),
        of("open", other.at("/again/status/200")),
        of("redirected", shop.at("/again/redirect/302?/again/status/200")),
    ];
    for (behaviour, calls_max) in [("fetches", 32), ("fails_after_fetches", 32), ("fetches", 4)] {
        let journal = Journal::default();
        journal.with(|kept| kept.open.insert(format!("127.0.0.1:{}", other.port), 4_500));
        let mut attempt = fetching(behaviour, &fetches);
        attempt.limits.outbound_calls = calls_max;
        let first = run(&attempt, &journal);
        let sent = shop.asked("/again").len();
        let again = run(&attempt, &journal.to_record());
        assert_eq!(again.result, first.result, "{behaviour}, at most {calls_max} calls");
        assert_eq!((again.log, again.reproducible), (first.log, first.reproducible));
        assert_eq!(shop.asked("/again").len(), sent, "nothing was sent");
        assert_eq!(journal.with(|kept| kept.calls.len()), fetches.len(), "the one beyond the limit as well");
    }
}

#[test]
fn a_call_without_a_record_ends_the_repeated_attempt() {
    let fetches = [json!({"step": "new", "url": world().shop.at("/unrecorded")})];
    let report = run(&fetching("fetches", &fetches), &Journal::default().to_record());
    assert_eq!(report.result, Err(CallError::Unrecorded("new".into())));
    assert!(world().shop.asked("/unrecorded").is_empty());
}
