//! `#[batch_handler]`: like `#[handler]`, for a function that takes all items of a batch at once, or one after another. The
//! number of its arguments decides which.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Error, ItemFn, Result, spanned::Spanned};

use crate::{
    handler::check_kind,
    hooks::{Hooks, MIGRATE_STATE, ON_CORRECTED},
};

const SHAPE: &str = "fn handle(items: &mut [Item<T>]) -> Result<(), Failure>";
const OTHER_SHAPE: &str = "fn handle(event: Event<T>, context: &mut Context) -> Result<(), Failure>";

/// # Errors
/// The item is not a function that could be a batch handler; the error points at the problem.
pub fn expand(arguments: &TokenStream, item: TokenStream) -> Result<TokenStream> {
    let hooks = Hooks::parse("batch_handler", &[ON_CORRECTED, MIGRATE_STATE], arguments)?;
    let shapes = format!("`{SHAPE}` or `{OTHER_SHAPE}`");
    let function: ItemFn = syn::parse2(item)
        .map_err(|error| Error::new(error.span(), format!("#[batch_handler] belongs on a function like {shapes}")))?;
    let (check, call) = match function.sig.inputs.len() {
        1 => (quote!(check_batch_signature), quote!(call_all)),
        2 => (quote!(check_signature), quote!(call_each)),
        _ => {
            let message = format!("a batch handler takes the items, or an event and a context: {shapes}");
            return Err(Error::new(function.sig.paren_token.span.join(), message));
        }
    };
    check_kind(&function.sig, SHAPE)?;
    let (name, signature) = (&function.sig.ident, function.sig.span());
    let check = quote_spanned! {signature=> ::weirgate_sdk::__private::#check(#name); };
    let (on_corrected, migrate_state) = (hooks.on_corrected_export(), hooks.migrate_state_export());
    let check_hooks = hooks.checks();
    Ok(quote! {
        #[allow(clippy::needless_pass_by_value, reason = "the event is the handler's own")]
        #function

        const _: () = { #check #check_hooks };

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, clippy::all, clippy::pedantic, reason = "generated: the component's export")]
        const _: () = {
            use ::weirgate_sdk::__private::bindings::batching;
            struct Component;
            impl batching::Guest for Component {
                fn handle_batch(
                    items: ::std::vec::Vec<batching::BatchItem>,
                ) -> ::std::vec::Vec<::core::result::Result<(), batching::Failure>> {
                    ::weirgate_sdk::__private::#call(items, #name)
                }
            }
            batching::export!(Component with_types_in ::weirgate_sdk::__private::bindings::batching);
        };

        #on_corrected
        #migrate_state
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_shape_is_named() {
        let none = TokenStream::new();
        let good = quote! { fn f(items: &mut [Item<T>]) -> Result<(), Failure> { Ok(()) } };
        for (arguments, item, says) in [
            (quote!(on_correctable = f), good, "handler.toml"),
            (none.clone(), quote! { struct S; }, "belongs on a function like `fn handle(items"),
            (none.clone(), quote! { async fn f(a: A) -> R {} }, "not async"),
            (none.clone(), quote! { fn f() -> R {} }, "takes the items, or an event and a context"),
            (none.clone(), quote! { fn f(a: A) {} }, "returns Result<(), Failure>"),
        ] {
            let error = expand(&arguments, item).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn the_number_of_arguments_selects_the_kind_of_handler() {
        for (item, check, call) in [
            (quote! { fn f(items: &mut [Item<T>]) -> R {} }, "check_batch_signature (f)", "call_all (items , f)"),
            (quote! { fn f(a: A, b: &mut B) -> R {} }, "check_signature (f)", "call_each (items , f)"),
        ] {
            let expanded = expand(&TokenStream::new(), item).expect("a batch handler").to_string();
            assert!(expanded.contains(check) && expanded.contains(call), "{expanded}");
        }
    }
}
