//! The macros of `weirgate-sdk`: `#[handler]`, `#[batch_handler]`, `#[derive(EventType)]`, `#[derive(Events)]`. Each turns
//! one item into code that names the SDK by its full path; the SDK implements that code.

mod batch;
mod events;
mod handler;
mod hooks;

use proc_macro::TokenStream;

/// Makes a function the handler that this crate's component exports.
///
/// The function is `fn(event: Event<T>, context: &mut Context) -> Result<(), Failure>`, where `T` is a type with
/// `#[derive(EventType)]`, an enum with `#[derive(Events)]`, or `Raw`. Natively it stays an ordinary function, which the
/// test kit calls. A crate has one handler.
///
/// With `#[handler(on_correctable = function)]` that function is called whenever the handler has failed as correctable. It
/// is `fn(event: Event<T>, context: &Context, failure: &CorrectableFailure) -> Option<T>`, where `T` is a type with
/// `#[derive(EventType)]` that can be serialized and deserialized, or `Raw`; it is called for events of that type only. The
/// data that it returns is handled in place of the event's; `None` leaves the correction to people.
///
/// With `#[handler(on_corrected = function)]` that function is called after a repair of a key, to compensate what the repair
/// cannot take back: events that were emitted and calls that were made. It is `fn(repair: &Repair, context: &mut Context) ->
/// Result<(), Failure>`, and an ordinary delivery in every other respect.
///
/// With `#[handler(migrate_state = function)]` that function converts the state of a key that an earlier version of the handler
/// has written: after a deployment with a higher `state_version` it is called once for each key with state, before the key's
/// first delivery. It is `fn(from: u32, context: &Context) -> Result<(), Failure>`; a failure fails the delivery as transient.
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(&arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a function the handler that this crate's component exports, for several deliveries in one call.
///
/// The function is `fn(items: &mut [Item<T>]) -> Result<(), Failure>` if seeing all items at once saves work: each item has
/// its event and its context, and `item.fail(failure)` fails only that item; a returned failure applies to all items that
/// have not failed already. Or it has the signature of a `#[handler]`: then it is called for one item after another, and the
/// cost of the call is shared. `T` is as for `#[handler]`; items whose data does not fit fail.
///
/// Each item has its own effects: a failed item loses them, and so do the later ones of its key. An item can read the state
/// that earlier items of its key have written. `on_corrected` and `migrate_state` are as for `#[handler]`; the former is always
/// called alone.
#[proc_macro_attribute]
pub fn batch_handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    batch::expand(&arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct the data of one event type: `#[derive(EventType)] #[event("order.placed")]`.
#[proc_macro_derive(EventType, attributes(event))]
pub fn event_type(item: TokenStream) -> TokenStream {
    events::expand_type(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes an enum of event types a handler's input; the event's type selects the variant.
#[proc_macro_derive(Events)]
pub fn events(item: TokenStream) -> TokenStream {
    events::expand_enum(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
