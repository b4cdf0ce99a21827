//! Violations of the contract.

use crate::{
    Given, Outcome,
    weirgate::handler::{
        outbox::{self, Due, Emission, Status, Timer},
        state,
    },
};

pub fn bad_status_json(_: &Given) -> Outcome {
    outbox::set_status(None, &Status { state: "s".into(), text: String::new(), data: Some("{not json".into()) });
    Ok(())
}

pub fn bad_status_state(_: &Given) -> Outcome {
    outbox::set_status(None, &Status { state: String::new(), text: String::new(), data: None });
    Ok(())
}

pub fn control_status_state(_: &Given) -> Outcome {
    outbox::set_status(None, &Status { state: "s\u{1b}".into(), text: String::new(), data: None });
    Ok(())
}

pub fn bad_state_name(_: &Given) -> Outcome {
    state::set("", b"value");
    Ok(())
}

pub fn long_state_name(_: &Given) -> Outcome {
    state::get(&"n".repeat(257));
    Ok(())
}

pub fn emit(type_: &str, data: Vec<u8>) {
    outbox::emit(&Emission { type_: type_.into(), subject: None, key: None, data_content_type: None, data });
}

pub fn bad_emission(_: &Given) -> Outcome {
    emit("order.seen", b"{not json".to_vec());
    Ok(())
}

pub fn deep_emission(_: &Given) -> Outcome {
    emit("order.seen", [b"[".repeat(100), b"]".repeat(100)].concat());
    Ok(())
}

fn emit_to(subject: Option<&str>, key: Option<&str>) {
    outbox::emit(&Emission {
        type_: "order.seen".into(),
        subject: subject.map(Into::into),
        key: key.map(Into::into),
        data_content_type: None,
        data: b"{}".to_vec(),
    });
}

pub fn empty_subject(_: &Given) -> Outcome {
    emit_to(Some(""), Some("key"));
    Ok(())
}

pub fn empty_key(_: &Given) -> Outcome {
    emit_to(Some("order/o-2"), Some(""));
    Ok(())
}

pub fn reserved_emission(_: &Given) -> Outcome {
    emit("weirgate.delivery.dead-lettered", b"{}".to_vec());
    Ok(())
}

fn start_timer(name: &str, due: Due, type_: &str, data: &[u8]) -> Outcome {
    outbox::start_timer(name, &Timer { due, type_: type_.into(), data_content_type: None, data: data.to_vec() });
    Ok(())
}

pub fn reserved_timer(_: &Given) -> Outcome {
    start_timer("name", Due::After(1), "weirgate.delivery.dead-lettered", b"{}")
}

pub fn bad_timer_name(_: &Given) -> Outcome {
    start_timer(&"n".repeat(257), Due::After(1), "order.overdue", b"{}")
}

pub fn bad_timer_data(_: &Given) -> Outcome {
    start_timer("name", Due::After(1), "order.overdue", b"{not json")
}

pub fn far_timer(_: &Given) -> Outcome {
    start_timer("name", Due::At(u64::MAX), "order.overdue", b"{}")
}

pub fn exits(_: &Given) -> Outcome {
    state::set("name", b"value");
    std::process::exit(0)
}
