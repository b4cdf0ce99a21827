//! Write a Weirgate handler as a plain function.
//!
//! ```
//! use weirgate_sdk::prelude::*;
//!
//! #[derive(Serialize, Deserialize, EventType)]
//! #[event("order.placed")]
//! struct OrderPlaced {
//!     order: String,
//! }
//!
//! #[derive(Serialize, Deserialize, EventType)]
//! #[event("customer.greeted")]
//! struct Greeted {
//!     order: String,
//! }
//!
//! #[handler]
//! fn greet(event: Event<OrderPlaced>, context: &mut Context) -> Result<(), Failure> {
//!     let seen: u64 = context.state().get("seen")?.unwrap_or_default();
//!     context.state().set("seen", &(seen + 1))?;
//!     context.set_status("greeted", format!("Hello {}", event.data.order));
//!     context.emit(&Greeted { order: event.data.order });
//!     Ok(())
//! }
//!
//! use weirgate_sdk::testing::Delivery;
//! let run = Delivery::of(&OrderPlaced { order: "o-1".into() }).key("order/o-1").state("seen", &1).run(greet);
//! run.completed();
//! assert_eq!(run.status().text, "Hello o-1");
//! assert_eq!(run.emitted::<Greeted>().len(), 1);
//! assert_eq!(run.state::<u64>("seen"), Some(2));
//! ```
//!
//! Another signature does not compile, and the error says what it should be:
//!
//! ```compile_fail
//! # use weirgate_sdk::prelude::*;
//! #[handler]
//! fn greet(event: Event<String>, context: &mut Context) -> Result<(), Failure> {
//!     Ok(())
//! }
//! ```
//!
//! `cargo build --target wasm32-wasip2` makes a component of it. The contract, `wit/handler.wit`, documents every call and
//! every limit. This crate knows nothing of the runtime beyond that contract.

// The macros name this crate by its full path, also where the crate's own tests use them.
extern crate self as weirgate_sdk;

mod backend;
mod batch;
mod context;
mod correction;
mod event;
mod failure;
mod http;
mod repair;
pub mod testing;
mod timer;

#[cfg(any(test, all(target_family = "wasm", feature = "arena")))]
mod arena;
#[cfg(target_family = "wasm")]
mod guest;

pub use backend::{Delivery, Level};
pub use batch::Item;
pub use context::{Context, Emission, Migration, State, Status};
pub use correction::{CorrectableData, CorrectableFailure};
pub use event::{Event, EventData, EventType, Raw};
pub use failure::Failure;
pub use http::{HttpError, Request, Response};
pub use repair::{CallBefore, LoggedEvent, Repair, ValueBefore};
pub use timer::Due;
pub use weirgate_sdk_macros::{EventType, Events, batch_handler, handler};

/// The prelude of a handler's file: `use weirgate_sdk::prelude::*;`.
pub mod prelude {
    pub use crate::{
        Context, CorrectableFailure, Due, Event, EventType, Events, Failure, HttpError, Item, Raw, Repair, Request,
        Response, batch_handler, handler,
    };
    pub use serde::{Deserialize, Serialize};
}

/// For the code that the macros generate; not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::event::{decode, unknown_type};
    #[cfg(target_family = "wasm")]
    pub use crate::guest::{bindings, call, call_all, call_each, compensate, correct, migrate};

    use crate::{Context, CorrectableData, CorrectableFailure, Event, EventData, Failure, Item, Migration, Repair};

    /// Accepts exactly what `#[handler]` can export, so that another signature is an error on every target.
    pub const fn check_signature<T: EventData>(_: fn(Event<T>, &mut Context) -> Result<(), Failure>) {}

    /// The same for a `#[batch_handler]` that takes all items at once.
    pub const fn check_batch_signature<T: EventData>(_: fn(&mut [Item<T>]) -> Result<(), Failure>) {}

    /// The same for `on_correctable`.
    pub const fn check_correction<T: CorrectableData>(_: fn(Event<T>, &Context, &CorrectableFailure) -> Option<T>) {}

    /// The same for `on_corrected`.
    pub const fn check_compensation(_: fn(&Repair, &mut Context) -> Result<(), Failure>) {}

    /// The same for `migrate_state`.
    pub const fn check_migration(_: Migration) {}
}

/// The README, so that its examples are tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Documents;
