//! `#[handler]`: checks that the function can be exported, and exports it. Knows the shape of the function, not its types;
//! those are checked by the compiler through `check_signature`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Error, ItemFn, Result, spanned::Spanned};

const SHAPE: &str = "fn handle(event: Event<T>, context: &mut Context) -> Result<(), Failure>";

/// # Errors
/// The item is no function that could be a handler; the error points at what is wrong.
pub fn expand(arguments: &TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "#[handler] takes no arguments; settings belong in handler.toml"));
    }
    let function: ItemFn = syn::parse2(item)
        .map_err(|error| Error::new(error.span(), format!("#[handler] belongs on a function like `{SHAPE}`")))?;
    check_shape(&function)?;
    let (name, signature) = (&function.sig.ident, function.sig.span());
    let check = quote_spanned! {signature=> ::weirgate_sdk::__private::check_signature(#name); };
    Ok(quote! {
        #[allow(clippy::needless_pass_by_value, reason = "the event is the handler's own")]
        #function

        const _: () = { #check };

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, clippy::all, clippy::pedantic, reason = "generated: the component's export")]
        const _: () = {
            use ::weirgate_sdk::__private::bindings;
            struct Component;
            impl bindings::Guest for Component {
                fn handle(
                    event: bindings::Event,
                    delivery: bindings::Delivery,
                ) -> ::core::result::Result<(), bindings::Failure> {
                    ::weirgate_sdk::__private::call(event, delivery, #name)
                }
            }
            bindings::export!(Component with_types_in ::weirgate_sdk::__private::bindings);
        };
    })
}

/// What the compiler would report far away from its cause.
fn check_shape(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(token) = &signature.asyncness {
        return Err(Error::new_spanned(token, "a handler is not async: every call to the runtime answers at once"));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &signature.generics,
            "a handler has no generic parameters: name the event's type",
        ));
    }
    if signature.inputs.len() != 2 {
        return Err(Error::new(
            signature.paren_token.span.join(),
            format!("a handler takes two arguments, the event and the context: `{SHAPE}`"),
        ));
    }
    if matches!(signature.output, syn::ReturnType::Default) {
        return Err(Error::new(signature.span(), format!("a handler returns Result<(), Failure>: `{SHAPE}`")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(arguments: &TokenStream, item: TokenStream) -> String {
        expand(arguments, item).expect_err("not a handler").to_string()
    }

    #[test]
    fn a_wrong_shape_is_named() {
        let none = TokenStream::new();
        let good = quote! { fn f(event: Event<T>, context: &mut Context) -> Result<(), Failure> { Ok(()) } };
        assert!(error(&quote!(retries = 3), good).contains("handler.toml"));
        assert!(error(&none, quote! { struct S; }).contains("belongs on a function like `fn handle"));
        assert!(error(&none, quote! { async fn f(a: A, b: &mut B) -> R {} }).contains("not async"));
        assert!(error(&none, quote! { fn f<T>(a: T, b: &mut B) -> R {} }).contains("no generic parameters"));
        assert!(error(&none, quote! { fn f(a: A) -> R {} }).contains("two arguments"));
        assert!(error(&none, quote! { fn f(a: A, b: &mut B) {} }).contains("returns Result<(), Failure>"));
    }

    #[test]
    fn the_function_stays_and_its_signature_is_checked() {
        let function = quote! { pub fn f(event: Event<T>, context: &mut Context) -> Result<(), Failure> { Ok(()) } };
        let expanded = expand(&TokenStream::new(), function.clone()).expect("a handler").to_string();
        assert!(expanded.contains(&function.to_string()), "{expanded}");
        assert!(expanded.contains("check_signature (f)"), "{expanded}");
    }
}
