//! The arguments of `#[handler]` and `#[batch_handler]`: functions that the component exports besides the handler itself.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Error, Expr, MetaNameValue, Path, Result, Token, parse::Parser, punctuated::Punctuated, spanned::Spanned};

pub const ON_CORRECTABLE: &str = "on_correctable";
pub const ON_CORRECTED: &str = "on_corrected";
pub const MIGRATE_STATE: &str = "migrate_state";

/// The functions named in the arguments.
#[derive(Default)]
pub struct Hooks {
    pub on_correctable: Option<Path>,
    pub on_corrected: Option<Path>,
    pub migrate_state: Option<Path>,
}

impl Hooks {
    /// The hooks in `on_corrected = path, …`, each of which `allowed` names.
    ///
    /// # Errors
    /// There is something else, or one hook twice. `attribute` is the macro's name.
    pub fn parse(attribute: &str, allowed: &[&str], arguments: &TokenStream) -> Result<Self> {
        let takes: Vec<_> = allowed.iter().map(|name| format!("`{name} = function`")).collect();
        let unknown =
            format!("#[{attribute}] takes {} and nothing else; settings belong in handler.toml", takes.join(", "));
        let arguments = Punctuated::<MetaNameValue, Token![,]>::parse_terminated
            .parse2(arguments.clone())
            .map_err(|_| Error::new_spanned(arguments, &unknown))?;
        let mut hooks = Self::default();
        for argument in arguments {
            let name = argument.path.get_ident().map(ToString::to_string).unwrap_or_default();
            let hook = match name.as_str() {
                ON_CORRECTABLE if allowed.contains(&ON_CORRECTABLE) => &mut hooks.on_correctable,
                ON_CORRECTED if allowed.contains(&ON_CORRECTED) => &mut hooks.on_corrected,
                MIGRATE_STATE if allowed.contains(&MIGRATE_STATE) => &mut hooks.migrate_state,
                _ => return Err(Error::new_spanned(argument, unknown)),
            };
            match &argument.value {
                Expr::Path(path) if hook.is_none() => *hook = Some(path.path.clone()),
                _ => return Err(Error::new_spanned(argument, unknown)),
            }
        }
        Ok(hooks)
    }

    /// Checks the functions' signatures on every target.
    pub fn checks(&self) -> TokenStream {
        let check = |hook: &Option<Path>, check: TokenStream| {
            hook.as_ref().map(|hook| quote_spanned! {hook.span()=> ::weirgate_sdk::__private::#check(#hook); })
        };
        let on_correctable = check(&self.on_correctable, quote!(check_correction));
        let on_corrected = check(&self.on_corrected, quote!(check_compensation));
        let migrate_state = check(&self.migrate_state, quote!(check_migration));
        quote! { #on_correctable #on_corrected #migrate_state }
    }

    /// The export of `on-corrected`, if there is one: in a world of its own, which the component has besides the handler's.
    pub fn on_corrected_export(&self) -> Option<TokenStream> {
        let hook = self.on_corrected.as_ref()?;
        Some(quote! {
            #[cfg(target_family = "wasm")]
            #[allow(unsafe_code, clippy::all, clippy::pedantic, reason = "generated: the component's export")]
            const _: () = {
                use ::weirgate_sdk::__private::bindings::compensating;
                struct Component;
                impl compensating::Guest for Component {
                    fn on_corrected(
                        repair: compensating::Repair,
                        delivery: compensating::Delivery,
                    ) -> ::core::result::Result<(), compensating::Failure> {
                        ::weirgate_sdk::__private::compensate(repair, delivery, #hook)
                    }
                }
                compensating::export!(Component with_types_in ::weirgate_sdk::__private::bindings::compensating);
            };
        })
    }

    /// The export of `migrate-state`, if there is one, likewise.
    pub fn migrate_state_export(&self) -> Option<TokenStream> {
        let hook = self.migrate_state.as_ref()?;
        Some(quote! {
            #[cfg(target_family = "wasm")]
            #[allow(unsafe_code, clippy::all, clippy::pedantic, reason = "generated: the component's export")]
            const _: () = {
                use ::weirgate_sdk::__private::bindings::migrating;
                struct Component;
                impl migrating::Guest for Component {
                    fn migrate_state(
                        delivery: migrating::Delivery,
                        from: u32,
                    ) -> ::core::result::Result<(), ::std::string::String> {
                        ::weirgate_sdk::__private::migrate(delivery, from, #hook)
                    }
                }
                migrating::export!(Component with_types_in ::weirgate_sdk::__private::bindings::migrating);
            };
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hook_is_named_once_by_a_path() {
        let all = [ON_CORRECTABLE, ON_CORRECTED];
        let hooks = Hooks::parse("handler", &all, &quote!(on_corrected = refund, on_correctable = fix::it,));
        let hooks = hooks.expect("two hooks");
        assert!(hooks.on_correctable.is_some_and(|path| path.segments.len() == 2) && hooks.on_corrected.is_some());
        assert!(Hooks::parse("handler", &all, &TokenStream::new()).is_ok());
        for arguments in [
            quote!(retries = 3),
            quote!(on_correctable),
            quote!(on_correctable = "f"),
            quote!(on = f),
            quote!(on_corrected = f, on_corrected = g),
            quote!(on_corrected = f on_correctable = g),
        ] {
            let error = Hooks::parse("handler", &all, &arguments).err().expect("no hooks").to_string();
            assert!(error.contains("`on_correctable = function`, `on_corrected = function`"), "{arguments}: {error}");
            assert!(error.contains("handler.toml"), "{arguments}: {error}");
        }
        assert!(Hooks::parse("batch_handler", &[ON_CORRECTED], &quote!(on_correctable = f)).is_err());
    }
}
