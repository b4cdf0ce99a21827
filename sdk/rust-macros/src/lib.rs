//! The macros of `weirgate-sdk`: `#[handler]`, `#[derive(EventType)]`, `#[derive(Events)]`. Each turns one item into
//! code that names the SDK by its full path; what that code does is the SDK's business.

mod events;
mod handler;

use proc_macro::TokenStream;

/// Make a function the handler that this crate's component exports.
///
/// The function is `fn(event: Event<T>, context: &mut Context) -> Result<(), Failure>`, where `T` is a type with
/// `#[derive(EventType)]`, an enum with `#[derive(Events)]`, or `Raw`. Natively it stays an ordinary function, which the
/// test kit calls. A crate has one handler.
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(&arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
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
