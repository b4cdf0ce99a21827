//! The component's side of the contract: the bindings to its imports, and the call from its export into the handler. Besides
//! `arena.rs`, the only code that exists on WebAssembly only.

use crate::{
    Context, CorrectableData, CorrectableFailure, Delivery, Due, Event, EventData, Failure, HttpError, Level,
    Migration, Request, Response,
    backend::{Backend, RawEmission, RawStatus, RawTimer},
    correction::{self, Corrected},
};

mod batch;
pub mod bindings;
mod repair;

pub use batch::{call_all, call_each};
pub use repair::compensate;

use bindings::weirgate::handler as imports;

/// Runs the handler once; called by the exported `handle`.
///
/// # Errors
/// The handler's failure, or that the event's data does not fit its type.
pub fn call<T: EventData>(
    event: bindings::Event,
    delivery: bindings::Delivery,
    handler: fn(Event<T>, &mut Context) -> Result<(), Failure>,
) -> Result<(), bindings::Failure> {
    run(event, delivery, handler).map_err(Into::into)
}

/// Calls the hook once; called by the exported `on-correctable`.
pub fn correct<T: CorrectableData>(
    event: bindings::Event,
    delivery: bindings::Delivery,
    failure: imports::types::CorrectableFailure,
    hook: fn(Event<T>, &Context, &CorrectableFailure) -> Option<T>,
) -> Option<imports::types::Correction> {
    let context = Context::new(Box::new(Imports::ONE), delivery.into());
    let imports::types::CorrectableFailure { message, what_is_wrong } = failure;
    let failure = CorrectableFailure { message, what_is_wrong };
    let Corrected { data, data_content_type } = correction::correct(event.into(), &context, &failure, hook)?;
    Some(imports::types::Correction { data, data_content_type })
}

/// Calls the migration once; called by the exported `migrate-state`.
///
/// # Errors
/// The migration failed.
pub fn migrate(delivery: bindings::Delivery, from: u32, migration: Migration) -> Result<(), String> {
    let context = Context::new(Box::new(Imports::ONE), delivery.into());
    migration(from, &context).map_err(|failure| failure.message().to_owned())
}

fn run<T: EventData>(
    event: bindings::Event,
    delivery: bindings::Delivery,
    handler: fn(Event<T>, &mut Context) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let event = Event::<Vec<u8>>::from(event).read()?;
    let mut context = Context::new(Box::new(Imports::ONE), delivery.into());
    handler(event, &mut context)?;
    context.finish()
}

/// The runtime's functions, for one delivery.
struct Imports {
    /// The batch item of the delivery.
    index: u32,
    /// Selects it as the item of the runtime's functions. A pointer, so that only batch handlers import the function it
    /// calls.
    select: fn(u32),
}

impl Imports {
    /// For a call of one delivery.
    const ONE: Self = Self { index: 0, select: |_| {} };

    fn select(&self) {
        (self.select)(self.index);
    }
}

impl Backend for Imports {
    fn state_get(&self, name: &str) -> Option<Vec<u8>> {
        self.select();
        imports::state::get(name)
    }

    fn state_set(&self, name: &str, value: Vec<u8>) {
        self.select();
        imports::state::set(name, &value);
    }

    fn state_delete(&self, name: &str) {
        self.select();
        imports::state::delete(name);
    }

    fn state_list(&self, prefix: &str) -> Vec<String> {
        self.select();
        imports::state::list(prefix)
    }

    fn emit(&self, emission: RawEmission) {
        self.select();
        let RawEmission { r#type, subject, key, data_content_type, data } = emission;
        imports::outbox::emit(&imports::outbox::Emission { type_: r#type, subject, key, data_content_type, data });
    }

    fn set_status(&self, status: RawStatus) {
        self.select();
        let RawStatus { subject, state, text, data } = status;
        imports::outbox::set_status(subject.as_deref(), &imports::outbox::Status { state, text, data });
    }

    fn fetch(&self, step: &str, request: Request) -> Result<Response, HttpError> {
        self.select();
        let Request { method, url, headers, body, timeout_ms } = request;
        let request = imports::http::Request { method, url, headers, body, timeout_ms };
        imports::http::fetch(step, &request).map(Into::into).map_err(Into::into)
    }

    fn start_timer(&self, name: &str, timer: RawTimer) {
        self.select();
        let RawTimer { due, r#type, data_content_type, data } = timer;
        let due = match due {
            Due::AtMs(at_ms) => imports::outbox::Due::At(at_ms),
            Due::AfterMs(after_ms) => imports::outbox::Due::After(after_ms),
        };
        imports::outbox::start_timer(name, &imports::outbox::Timer { due, type_: r#type, data_content_type, data });
    }

    fn cancel_timer(&self, name: &str) {
        self.select();
        imports::outbox::cancel_timer(name);
    }

    fn config(&self, name: &str) -> Option<String> {
        self.select();
        imports::config::get(name)
    }

    fn log(&self, level: Level, message: &str) {
        use imports::log::Level as Imported;
        self.select();
        let level = match level {
            Level::Debug => Imported::Debug,
            Level::Info => Imported::Info,
            Level::Warn => Imported::Warn,
            Level::Error => Imported::Error,
        };
        imports::log::write(level, message);
    }
}

impl From<imports::http::Response> for Response {
    fn from(response: imports::http::Response) -> Self {
        let imports::http::Response { status, headers, body } = response;
        Self { status, headers, body }
    }
}

impl From<imports::http::Error> for HttpError {
    fn from(error: imports::http::Error) -> Self {
        use imports::http::Error;
        match error {
            Error::Denied(reason) => Self::Denied(reason),
            Error::Unreachable(reason) => Self::Unreachable(reason),
            Error::TimedOut => Self::TimedOut,
            Error::TooLarge => Self::TooLarge,
            Error::CircuitOpen(retry_after_ms) => Self::CircuitOpen { retry_after_ms },
        }
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
