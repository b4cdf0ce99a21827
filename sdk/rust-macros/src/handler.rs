//! `#[handler]`: checks that the function can be exported, and exports it. Knows the shape of the function, not its types;
//! those are checked by the compiler through `check_signature`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Error, Ident, ItemFn, Path, Result, Signature, spanned::Spanned};

use crate::hooks::{Hooks, MIGRATE_STATE, ON_CORRECTABLE, ON_CORRECTED};

const SHAPE: &str = "fn handle(event: Event<T>, context: &mut Context) -> Result<(), Failure>";

/// # Errors
/// The item is not a function that could be a handler; the error points at the problem.
pub fn expand(arguments: &TokenStream, item: TokenStream) -> Result<TokenStream> {
    let hooks = Hooks::parse("handler", &[ON_CORRECTABLE, ON_CORRECTED, MIGRATE_STATE], arguments)?;
    let function: ItemFn = syn::parse2(item)
        .map_err(|error| Error::new(error.span(), format!("#[handler] belongs on a function like `{SHAPE}`")))?;
    check_shape(&function)?;
    let (name, signature) = (&function.sig.ident, function.sig.span());
    let check = quote_spanned! {signature=> ::weirgate_sdk::__private::check_signature(#name); };
    let (check_hooks, on_corrected, migrate_state) =
        (hooks.checks(), hooks.on_corrected_export(), hooks.migrate_state_export());
    let export = export(name, hooks.on_correctable.as_ref());
    Ok(quote! {
        #[allow(clippy::needless_pass_by_value, reason = "the event is the handler's own")]
        #function

        const _: () = { #check #check_hooks };

        #export
        #on_corrected
        #migrate_state
    })
}

/// The export of `handle`, and of `on-correctable`.
fn export(name: &Ident, hook: Option<&Path>) -> TokenStream {
    let module = match hook {
        None => quote! { ::weirgate_sdk::__private::bindings },
        Some(_) => quote! { ::weirgate_sdk::__private::bindings::correcting },
    };
    let on_correctable = hook.map(|hook| {
        quote! {
            fn on_correctable(
                event: bindings::Event,
                delivery: bindings::Delivery,
                failure: bindings::CorrectableFailure,
            ) -> ::core::option::Option<bindings::Correction> {
                ::weirgate_sdk::__private::correct(event, delivery, failure, #hook)
            }
        }
    });
    quote! {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, clippy::all, clippy::pedantic, reason = "generated: the component's exports")]
        const _: () = {
            use #module as bindings;
            struct Component;
            impl bindings::Guest for Component {
                fn handle(
                    event: bindings::Event,
                    delivery: bindings::Delivery,
                ) -> ::core::result::Result<(), bindings::Failure> {
                    ::weirgate_sdk::__private::call(event, delivery, #name)
                }
                #on_correctable
            }
            bindings::export!(Component with_types_in #module);
        };
    }
}

/// Checks problems that the compiler would report far away from their cause.
fn check_shape(function: &ItemFn) -> Result<()> {
    if function.sig.inputs.len() != 2 {
        return Err(Error::new(
            function.sig.paren_token.span.join(),
            format!("a handler takes two arguments, the event and the context: `{SHAPE}`"),
        ));
    }
    check_kind(&function.sig, SHAPE)
}

/// The same, whatever the function's arguments.
pub fn check_kind(signature: &Signature, shape: &str) -> Result<()> {
    if let Some(token) = &signature.asyncness {
        return Err(Error::new_spanned(token, "a handler is not async: every call to the runtime answers at once"));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &signature.generics,
            "a handler has no generic parameters: name the event's type",
        ));
    }
    if matches!(signature.output, syn::ReturnType::Default) {
        return Err(Error::new(signature.span(), format!("a handler returns Result<(), Failure>: `{shape}`")));
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
        assert!(!expanded.contains("on_correctable"), "{expanded}");
        let expanded = expand(&quote!(on_correctable = fix::it), function.clone()).expect("a handler").to_string();
        assert!(
            expanded.contains("check_correction (fix :: it)") && expanded.contains("fn on_correctable"),
            "{expanded}"
        );
        assert!(!expanded.contains("on_corrected"), "{expanded}");
        let expanded = expand(&quote!(migrate_state = to::two), function.clone()).expect("a handler").to_string();
        assert!(
            expanded.contains("check_migration (to :: two)") && expanded.contains("fn migrate_state"),
            "{expanded}"
        );
        let expanded = expand(&quote!(on_corrected = refund), function).expect("a handler").to_string();
        assert!(expanded.contains("check_compensation (refund)") && expanded.contains("fn on_corrected"), "{expanded}");
        assert!(!expanded.contains("on_correctable"), "{expanded}");
    }
}
