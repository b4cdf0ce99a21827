//! The results of a history's attempts: emissions, timers and failures.

use weirgate_types::{
    AttemptFailure, Event, FailureClass, FailureKind, HandlerName, Position, TimerSetting, TimerWrite,
};

use crate::{Chance, clients, handlers::EMITTED};

/// What an attempt may emit. The last handler emits nothing.
pub fn some_emission(chance: &mut Chance, handler: &HandlerName, key: &str, position: Position) -> Option<Event> {
    let emits = handler.as_str() != "c" && chance.one_in(2);
    // Several keys may emit to one.
    let to = if emits && chance.one_in(4) { "k0" } else { key };
    emits.then(|| Event {
        source: format!("/handlers/{handler}"),
        ..clients::event(&format!("{handler}-{position}"), to, &format!("{EMITTED}{}", position.0 % 3))
    })
}

/// A timer that an attempt may start or cancel.
pub fn some_timer(chance: &mut Chance, now_ms: u64) -> Option<TimerWrite> {
    if !chance.one_in(4) {
        return None;
    }
    let (name, due_ms) = (format!("t{}", chance.below(2)), now_ms + chance.below(3_000));
    let setting = TimerSetting { due_ms, r#type: "timer.due".into(), data_content_type: None, data: Vec::new() };
    Some(TimerWrite { name, set: (!chance.one_in(4)).then_some(setting) })
}

pub fn some_failure(chance: &mut Chance) -> AttemptFailure {
    let found = |kind| AttemptFailure::found(kind, "");
    let classed = |class| AttemptFailure { class, ..found(FailureKind::Handler) };
    match chance.below(10) {
        0 | 1 => classed(FailureClass::Correctable),
        2 => classed(FailureClass::Permanent),
        3 => found(FailureKind::Trap),
        4 => found(FailureKind::Timeout),
        5 => found(FailureKind::CircuitOpen),
        _ => classed(FailureClass::Transient),
    }
}
