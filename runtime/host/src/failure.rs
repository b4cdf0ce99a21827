//! Why a call ended before the guest returned: a reason from the host or from wasmtime. Converts both into the failure of
//! the attempt.

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use weirgate_types::{AttemptFailure, FailureClass, FailureKind};

use crate::{CallError, StateError, attempt::Attempt, lines, together::EFFECTS_BYTES_MAX};

/// Maximum number of stack functions in a trap's message.
const FRAMES_MAX: usize = 4;
/// Maximum retry delay that a failure may request: one day, in milliseconds.
pub(crate) const RETRY_AFTER_MS_MAX: u64 = 86_400_000;
/// wasmtime's message when one call moves more than the store's allowance; its type is private.
const HOSTCALL_FUEL: &str = "fuel allocated for hostcalls has been exhausted";

/// Why the host ended the call. Passed through wasmtime as an error and downcast afterwards.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Stop {
    #[error("{1}")]
    Guest(FailureKind, String),
    /// The items of a batch have more effects together than one call may have.
    #[error("the batch's effects exceed {} MiB in total", EFFECTS_BYTES_MAX >> 20)]
    Together,
    /// An attempt is executed again, and makes an outbound call that it did not make before.
    #[error("the step `{0}` is not recorded")]
    Unrecorded(String),
    /// The call's result is not needed any more.
    #[error("the attempt is discarded")]
    Discarded,
    #[error(transparent)]
    State(#[from] StateError),
}

/// A call that the contract does not allow.
pub(crate) fn contract(message: impl Into<String>) -> Stop {
    Stop::Guest(FailureKind::Contract, message.into())
}

/// A limit was exceeded; `limit` is its name in the manifest or in this contract.
pub(crate) fn effect_limit(what: &str, max: impl std::fmt::Display, limit: &str) -> Stop {
    Stop::Guest(FailureKind::EffectLimit, format!("{what}: at most {max} ({limit})"))
}

/// The result of a call that ended with an error of wasmtime. `attempt` is the state that the call left.
pub(crate) fn classify(error: &wasmtime::Error, attempt: &mut Attempt) -> CallError {
    match error.downcast_ref::<Stop>() {
        Some(Stop::State(error)) => return CallError::State(error.clone()),
        Some(Stop::Guest(kind, message)) => return failed(*kind, message),
        Some(Stop::Together) => return CallError::TooMuchTogether,
        Some(Stop::Unrecorded(step)) => return CallError::Unrecorded(step.clone()),
        Some(Stop::Discarded) => return CallError::Discarded,
        None => {}
    }
    if error.is::<PoolConcurrencyLimitError>() || is_out_of_descriptors(error.root_cause()) {
        return CallError::Busy;
    }
    if let Some(denied) = attempt.memory.denied() {
        return failed(FailureKind::Memory, &denied);
    }
    let cause = error.root_cause().to_string();
    if cause.contains(HOSTCALL_FUEL) {
        return failed(FailureKind::EffectLimit, "one call moved more than 4 MiB from the component to the host");
    }
    let said = attempt.item.log.last_words().map(|words| format!("; it said: {words}")).unwrap_or_default();
    failed(FailureKind::Trap, &format!("{}{}{said}", trap(error, &cause), stack(error)))
}

/// Whether the host has no descriptor left, for instance for the image of a module's memory: that is no failure of the guest.
fn is_out_of_descriptors(cause: &(dyn std::error::Error + 'static)) -> bool {
    let code = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    code.is_some_and(|code| [libc::EMFILE, libc::ENFILE].contains(&code))
}

/// The host itself failed inside the call.
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> CallError {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let words = words.unwrap_or("no reason given");
    tracing::error!(reason = words, "the host panicked inside a call; the attempt counts as failed");
    failed(FailureKind::Trap, &format!("the runtime failed inside the call: {words}"))
}

/// The failure of a guest that met an open circuit: it is not the cause, if it reports a transient failure.
pub(crate) fn at_open_circuit(error: CallError, open_ms: Option<u64>) -> CallError {
    match (error, open_ms) {
        (CallError::Failed(failure), Some(open_ms))
            if failure.kind == FailureKind::Handler && failure.class == FailureClass::Transient =>
        {
            let retry_after_ms = Some(open_ms.min(RETRY_AFTER_MS_MAX));
            CallError::Failed(AttemptFailure { kind: FailureKind::CircuitOpen, retry_after_ms, ..failure })
        }
        (error, _) => error,
    }
}

fn failed(kind: FailureKind, message: &str) -> CallError {
    CallError::Failed(AttemptFailure::found(kind, lines::message(message)))
}

fn trap(error: &wasmtime::Error, cause: &str) -> String {
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => "the component's call stack is exhausted".to_owned(),
        Some(trap) => format!("the component trapped: {}", trap.to_string().trim_start_matches("wasm trap: ")),
        None => format!("the component was stopped: {cause}"),
    }
}

/// The names of the innermost functions, if the component still has names.
fn stack(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let names = backtrace.frames().iter().filter_map(wasmtime::FrameInfo::func_name).take(FRAMES_MAX);
    // A mangled name can be very long.
    let names: Vec<String> = names.map(|name| name.chars().take(120).collect()).collect();
    if names.is_empty() { String::new() } else { format!(" in {}", names.join(" < ")) }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_a_lack_of_descriptors_is_one() {
        for (code, is) in [(libc::EMFILE, true), (libc::ENFILE, true), (libc::ENOENT, false)] {
            assert_eq!(is_out_of_descriptors(&io::Error::from_raw_os_error(code)), is, "{code}");
        }
        assert!(!is_out_of_descriptors(&io::Error::other("EMFILE")));
    }
}
