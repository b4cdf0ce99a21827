//! The behaviour of a good handler, and its ways to fail.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::{
    Given, Outcome,
    weirgate::handler::{
        config, log,
        outbox::{self, Due, Emission, Status, Timer},
        state,
        types::{CorrectableFailure, Failure, TransientFailure},
    },
};

fn status(state: &str) -> Status {
    Status { state: state.into(), text: String::new(), data: None }
}

/// The workload for measuring the cost of a call: reads a value, writes it, sets a status.
pub fn plain(given: &Given) -> Outcome {
    let data: serde_json::Value = serde_json::from_slice(&given.event.data).unwrap_or_default();
    let before = state::get("count").and_then(|value| Some(u64::from_le_bytes(value.try_into().ok()?))).unwrap_or(0);
    let count = before + data["quantity"].as_u64().unwrap_or(1);
    state::set("count", &count.to_le_bytes());
    outbox::set_status(None, &Status { state: "counted".into(), text: format!("{count} so far"), data: None });
    Ok(())
}

pub fn effects(_: &Given) -> Outcome {
    for (state, data) in [("first", None), ("second", Some(r#"{"n":2}"#.to_owned()))] {
        outbox::set_status(Some("order/o-2"), &Status { state: state.into(), text: "text".into(), data });
    }
    outbox::set_status(None, &status("own"));
    state::set("name", b"old");
    state::set("name", b"new");
    outbox::emit(&Emission {
        type_: "order.reserved".into(),
        subject: Some("order/o-2".into()),
        key: Some("key-2".into()),
        data_content_type: Some("text/plain".into()),
        data: b"not { json".to_vec(),
    });
    Ok(())
}

/// A text for people may contain anything.
pub fn status_text(_: &Given) -> Outcome {
    let text = "two\nlines\u{1b}[31m".into();
    outbox::set_status(None, &Status { state: "told".into(), text, data: None });
    Ok(())
}

pub fn emit_defaults(_: &Given) -> Outcome {
    for subject in [None, Some("order/o-3".to_owned())] {
        outbox::emit(&Emission {
            type_: "order.seen".into(),
            subject,
            key: None,
            data_content_type: None,
            data: b"{}".to_vec(),
        });
    }
    Ok(())
}

/// A call sees the committed state and its own writes.
pub fn state_operations(_: &Given) -> Outcome {
    assert_eq!(state::get("committed").as_deref(), Some(b"1".as_slice()));
    assert_eq!(state::get("unknown"), None);
    state::set("committed", b"2");
    assert_eq!(state::get("committed").as_deref(), Some(b"2".as_slice()));
    state::delete("committed");
    assert_eq!(state::get("committed"), None);
    state::delete("unknown");
    state::set("own", b"");
    assert_eq!(state::get("own").as_deref(), Some(b"".as_slice()));
    Ok(())
}

/// Committed are `a/1`, `a/2` and more.
pub fn state_list(_: &Given) -> Outcome {
    state::set("a/0", b"");
    state::delete("a/1");
    assert_eq!(state::list("a/"), ["a/0", "a/2"]);
    assert_eq!(state::list("zzz"), [""; 0]);
    let many = state::list("n");
    assert_eq!((many.len(), many[0].as_str(), many[999].as_str()), (1_000, "n0000", "n0999"));
    Ok(())
}

fn timer(due: Due) -> Timer {
    Timer { due, type_: "order.overdue".into(), data_content_type: None, data: br#"{"n":1}"#.to_vec() }
}

/// The later call for a name counts, whether it starts or cancels.
pub fn timers(_: &Given) -> Outcome {
    outbox::start_timer("payment", &timer(Due::At(1)));
    outbox::start_timer("payment", &timer(Due::After(60_000)));
    outbox::start_timer("delivery", &timer(Due::After(1)));
    outbox::cancel_timer("delivery");
    let text =
        Timer { data_content_type: Some("text/plain".into()), data: b"not { json".to_vec(), ..timer(Due::At(7)) };
    outbox::start_timer("past", &text);
    Ok(())
}

/// The maximum number, as far ahead as allowed.
pub fn timer_limits(_: &Given) -> Outcome {
    for n in 0..64 {
        outbox::start_timer(&format!("{n:0256}"), &timer(Due::After(3_650 * 86_400_000)));
    }
    outbox::cancel_timer(&format!("{:0256}", 7));
    Ok(())
}

pub fn read_config(_: &Given) -> Outcome {
    assert_eq!(config::get("region").as_deref(), Some("eu"));
    assert_eq!(config::get("unknown"), None);
    Ok(())
}

pub fn log_levels(_: &Given) -> Outcome {
    log::write(log::Level::Debug, "debug");
    log::write(log::Level::Info, "info");
    log::write(log::Level::Warn, "\u{1b}[31mwarn\u{1b}[0m\r\nforged");
    log::write(log::Level::Error, "error");
    Ok(())
}

/// Statics and the heap are in their initial state in every call.
pub fn nothing_left_over(_: &Given) -> Outcome {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    static DIRTY: [AtomicU32; 16_384] = [const { AtomicU32::new(0) }; 16_384];
    assert_eq!(CALLS.fetch_add(1, Ordering::SeqCst), 0, "an earlier call was here");
    assert!(DIRTY.iter().all(|word| word.swap(7, Ordering::SeqCst) == 0), "an earlier call wrote here");
    let heap = vec![7_u8; 8 << 20];
    assert!(std::hint::black_box(heap).iter().all(|byte| *byte == 7));
    Ok(())
}

pub fn fails_transient(given: &Given) -> Outcome {
    outbox::set_status(None, &status("lost"));
    let retry_after_ms = (given.delivery.attempt > 1).then_some(1_500);
    Err(Failure::Transient(TransientFailure { message: "not now".into(), retry_after_ms }))
}

pub fn fails_correctable(_: &Given) -> Outcome {
    let what_is_wrong = "the quantity is negative".into();
    Err(Failure::Correctable(CorrectableFailure { message: "bad order".into(), what_is_wrong }))
}

pub fn fails_permanent(_: &Given) -> Outcome {
    Err(Failure::Permanent("never".into()))
}

pub fn fails_at_length(_: &Given) -> Outcome {
    let message = "\u{1b}[31m".to_owned() + &"long ".repeat(100_000);
    Err(Failure::Transient(TransientFailure { message, retry_after_ms: Some(u64::MAX) }))
}
