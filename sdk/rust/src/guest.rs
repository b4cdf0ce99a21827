//! The component's side of the contract: the bindings to its imports, and the call from its export into the handler.
//! The only file besides `arena.rs` that exists on WebAssembly alone.

use crate::{
    Context, Delivery, Event, EventData, Failure, Level,
    backend::{Backend, RawEmission, RawStatus},
};

/// What `wit-bindgen` writes from the contract.
pub mod bindings {
    #![allow(unsafe_code, missing_docs, reason = "generated: lifts and lowers values across the component boundary")]
    #![allow(clippy::all, clippy::pedantic, clippy::restriction, reason = "generated")]

    wit_bindgen::generate!({
        path: "wit",
        world: "handler",
        pub_export_macro: true,
        default_bindings_module: "::weirgate_sdk::__private::bindings",
    });
}

use bindings::weirgate::handler as imports;

/// Run the handler once; what the exported `handle` does.
///
/// # Errors
/// The handler's failure, or that the event's data does not fit what it takes.
pub fn call<T: EventData>(
    event: bindings::Event,
    delivery: bindings::Delivery,
    handler: fn(Event<T>, &mut Context) -> Result<(), Failure>,
) -> Result<(), bindings::Failure> {
    run(event, delivery, handler).map_err(Into::into)
}

fn run<T: EventData>(
    event: bindings::Event,
    delivery: bindings::Delivery,
    handler: fn(Event<T>, &mut Context) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let event = Event::<Vec<u8>>::from(event).read()?;
    let mut context = Context::new(Box::new(Imports), delivery.into());
    handler(event, &mut context)?;
    context.finish()
}

/// The runtime's functions.
struct Imports;

impl Backend for Imports {
    fn state_get(&self, name: &str) -> Option<Vec<u8>> {
        imports::state::get(name)
    }

    fn state_set(&self, name: &str, value: Vec<u8>) {
        imports::state::set(name, &value);
    }

    fn state_delete(&self, name: &str) {
        imports::state::delete(name);
    }

    fn state_list(&self, prefix: &str) -> Vec<String> {
        imports::state::list(prefix)
    }

    fn emit(&self, emission: RawEmission) {
        let RawEmission { r#type, subject, key, data_content_type, data } = emission;
        imports::outbox::emit(&imports::outbox::Emission { type_: r#type, subject, key, data_content_type, data });
    }

    fn set_status(&self, status: RawStatus) {
        let RawStatus { subject, state, text, data } = status;
        imports::outbox::set_status(subject.as_deref(), &imports::outbox::Status { state, text, data });
    }

    fn config(&self, name: &str) -> Option<String> {
        imports::config::get(name)
    }

    fn log(&self, level: Level, message: &str) {
        use imports::log::Level as Imported;
        let level = match level {
            Level::Debug => Imported::Debug,
            Level::Info => Imported::Info,
            Level::Warn => Imported::Warn,
            Level::Error => Imported::Error,
        };
        imports::log::write(level, message);
    }
}

impl From<bindings::Event> for Event<Vec<u8>> {
    fn from(event: bindings::Event) -> Self {
        let bindings::Event { id, source, type_, subject, time, data_content_type, extensions, data } = event;
        Self { id, source, r#type: type_, subject, time, data_content_type, extensions, data }
    }
}

impl From<bindings::Delivery> for Delivery {
    fn from(delivery: bindings::Delivery) -> Self {
        let bindings::Delivery { id, handler, position, key, attempt } = delivery;
        Self { id, handler, position, key, attempt }
    }
}

impl From<Failure> for bindings::Failure {
    fn from(failure: Failure) -> Self {
        use imports::types::{CorrectableFailure, TransientFailure};
        match failure {
            Failure::Transient { message, retry_after_ms } => {
                Self::Transient(TransientFailure { message, retry_after_ms })
            }
            Failure::Correctable { message, what_is_wrong } => {
                Self::Correctable(CorrectableFailure { message, what_is_wrong })
            }
            Failure::Permanent { message } => Self::Permanent(message),
        }
    }
}
