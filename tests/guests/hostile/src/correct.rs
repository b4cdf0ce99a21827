//! Deliveries that fail as correctable, and the component's correction hook.

use std::hint::black_box;

use serde_json::Value;

use crate::{
    Correction, Given, Outcome, emit, fetch_all,
    weirgate::handler::{
        log, outbox, state,
        types::{CorrectableFailure, Failure},
    },
};

fn wrong() -> Outcome {
    let what_is_wrong = "the quantity is too small".into();
    Err(Failure::Correctable(CorrectableFailure { message: "bad order".into(), what_is_wrong }))
}

pub fn corrects(_: &Given) -> Outcome {
    state::set("half-done", b"1");
    eprintln!("said by handle");
    wrong()
}

pub fn corrects_to_text(_: &Given) -> Outcome {
    wrong()
}

pub fn correction_is_no_json(_: &Given) -> Outcome {
    wrong()
}

pub fn correction_is_huge(_: &Given) -> Outcome {
    wrong()
}

pub fn correction_traps(_: &Given) -> Outcome {
    eprintln!("said by handle");
    wrong()
}

pub fn correction_loops_forever(_: &Given) -> Outcome {
    wrong()
}

pub fn correction_fetches(given: &Given) -> Outcome {
    fetch_all(given);
    wrong()
}

pub fn correction_after_many_lines(_: &Given) -> Outcome {
    for _ in 0..200 {
        log::write(log::Level::Info, "line");
    }
    wrong()
}

/// The behaviour of `on-correctable`.
pub fn correct(behaviour: &str, given: &Given, failure: &CorrectableFailure) -> Option<Correction> {
    match behaviour {
        "corrects" => Some(well(given, failure)),
        "corrects_to_text" => answer(b"not { json".to_vec(), Some("text/plain")),
        "correction_is_no_json" => answer(b"{not json".to_vec(), None),
        "correction_is_huge" => answer(vec![b'1'; 300 * 1024], None),
        "correction_loops_forever" => loop {
            black_box(());
        },
        "correction_fetches" => answer(Value::from(fetch_all(given)).to_string().into_bytes(), None),
        "correction_traps" | "correction_after_many_lines" => std::process::abort(),
        _ => None,
    }
}

/// It sees the committed state and nothing of the attempt; its effects are dropped.
fn well(given: &Given, failure: &CorrectableFailure) -> Correction {
    assert_eq!((failure.message.as_str(), failure.what_is_wrong.as_str()), ("bad order", "the quantity is too small"));
    assert_eq!(given.event.data, br#"{"quantity": 3}"#);
    assert_eq!((state::get("half-done"), state::get("committed")), (None, Some(b"1".to_vec())));
    state::set("corrected", b"1");
    emit("order.corrected", b"{}".to_vec());
    outbox::cancel_timer("name");
    log::write(log::Level::Info, &format!("corrected {}", given.delivery.id));
    Correction { data: br#"{"quantity": 4}"#.to_vec(), data_content_type: None }
}

fn answer(data: Vec<u8>, content_type: Option<&str>) -> Option<Correction> {
    Some(Correction { data, data_content_type: content_type.map(Into::into) })
}
