//! The macros of `weirgate-sdk`: `#[handler]`, `#[batch_handler]`, `#[derive(EventType)]`, `#[derive(Events)]`. Each turns one item into
//! code that names the SDK by its full path; what that code does is the SDK's business.

mod batch;
mod events;
mod handler;

use proc_macro::TokenStream;

/// Make a function the handler that this crate's component exports.
///
/// The function is `fn(event: Event<T>, context: &mut Context) -> Result<(), Failure>`, where `T` is a type with
/// `#[derive(EventType)]`, an enum with `#[derive(Events)]`, or `Raw`. Natively it stays an ordinary function, which the
/// test kit calls. A crate has one handler.
///
/// With `#[handler(on_correctable = function)]` that function is asked whenever the handler has failed as correctable. It is
/// `fn(event: Event<T>, context: &Context, failure: &CorrectableFailure) -> Option<T>`, where `T` is a type with
/// `#[derive(EventType)]` that can be read and written, or `Raw`; it is asked about events of that type only. What it
/// answers is handled in place of the event's data; `None` leaves the correction to people.
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(&arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Make a function the handler that this crate's component exports, for several deliveries in one call.
///
/// The function is `fn(items: &mut [Item<T>]) -> Result<(), Failure>` where seeing all of them at once saves work: each item
/// has its event and its context, and `item.fail(failure)` fails that one alone; a failure that is returned is that of all
/// items which have not failed by themselves. Or it is what `#[handler]` takes: then it is called for one item after
/// another, and the call's own cost is shared. `T` is as for `#[handler]`; items whose data does not fit have failed.
///
/// Each item's effects are its own: an item that failed loses them, and so do the later ones of its key. State that earlier
/// items of its key have written is there to read.
#[proc_macro_attribute]
pub fn batch_handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    batch::expand(&arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Make a struct the data of one type of event: `#[derive(EventType)] #[event("order.placed")]`.
#[proc_macro_derive(EventType, attributes(event))]
pub fn event_type(item: TokenStream) -> TokenStream {
    events::expand_type(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Make an enum of event types something that a handler takes; the event's type chooses the variant.
#[proc_macro_derive(Events)]
pub fn events(item: TokenStream) -> TokenStream {
    events::expand_enum(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
