//! `#[derive(EventType)]` and `#[derive(Events)]`: which event type a Rust type belongs to.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Data, DeriveInput, Error, Fields, LitStr, Result, Type, Variant};

/// The contract's limit of an event type's length.
const TYPE_BYTES_MAX: usize = 256;

/// # Errors
/// There is no `#[event("type")]`, more than one, or the type is too long or empty.
pub fn expand_type(item: TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    let mut attributes = input.attrs.iter().filter(|attribute| attribute.path().is_ident("event"));
    let Some(attribute) = attributes.next() else {
        return Err(Error::new_spanned(&input.ident, "name the type of event: #[event(\"order.placed\")]"));
    };
    if let Some(second) = attributes.next() {
        return Err(Error::new_spanned(second, "a struct is the data of one type of event"));
    }
    let name: LitStr = attribute
        .parse_args()
        .map_err(|_| Error::new_spanned(attribute, "name the type of event as a string: #[event(\"order.placed\")]"))?;
    if name.value().is_empty() || name.value().len() > TYPE_BYTES_MAX {
        return Err(Error::new_spanned(&name, "an event's type is 1 to 256 bytes long"));
    }
    let (ident, (of_impl, of_type, bounds)) = (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        #[automatically_derived]
        impl #of_impl ::weirgate_sdk::EventType for #ident #of_type #bounds {
            const TYPE: &'static str = #name;
        }
    })
}

/// # Errors
/// The item is not an enum whose variants hold one event type each.
pub fn expand_enum(item: TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            "Events is for enums of event types; a struct derives EventType instead",
        ));
    };
    if data.variants.is_empty() {
        return Err(Error::new_spanned(&input.ident, "an enum of events needs a variant"));
    }
    let types = data.variants.iter().map(event_of).collect::<Result<Vec<_>>>()?;
    let variants = data.variants.iter().map(|variant| &variant.ident);
    let ident = &input.ident;
    let (of_impl, of_type, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #of_impl ::weirgate_sdk::EventData for #ident #of_type #bounds {
            fn read(
                event: &mut ::weirgate_sdk::Event<::std::vec::Vec<u8>>,
            ) -> ::core::result::Result<Self, ::weirgate_sdk::Failure> {
                #(
                    if event.r#type == <#types as ::weirgate_sdk::EventType>::TYPE {
                        return ::weirgate_sdk::__private::decode::<#types>(event).map(Self::#variants);
                    }
                )*
                let known = [#(<#types as ::weirgate_sdk::EventType>::TYPE),*];
                ::core::result::Result::Err(::weirgate_sdk::__private::unknown_type(&event.r#type, &known))
            }
        }
    })
}

/// The event type that a variant holds.
fn event_of(variant: &Variant) -> Result<&Type> {
    let fields = match &variant.fields {
        Fields::Unnamed(fields) => &fields.unnamed,
        Fields::Named(_) | Fields::Unit => return Err(wrong_variant(variant)),
    };
    match (fields.first(), fields.len()) {
        (Some(field), 1) => Ok(&field.ty),
        _ => Err(wrong_variant(variant)),
    }
}

fn wrong_variant(variant: &impl ToTokens) -> Error {
    Error::new_spanned(variant, "a variant holds one struct that derives EventType: Placed(OrderPlaced)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_type_needs_its_name() {
        for (item, says) in [
            (quote! { struct Placed; }, "name the type of event"),
            (quote! { #[event] struct Placed; }, "as a string"),
            (quote! { #[event(placed)] struct Placed; }, "as a string"),
            (quote! { #[event("")] struct Placed; }, "1 to 256 bytes"),
            (quote! { #[event("a")] #[event("b")] struct Placed; }, "one type of event"),
        ] {
            let error = expand_type(item.clone()).expect_err("no event type").to_string();
            assert!(error.contains(says), "{item}: {error}");
        }
        let good = expand_type(quote! { #[event("order.placed")] struct Placed; }).expect("an event type");
        assert!(good.to_string().contains("\"order.placed\""));
    }

    #[test]
    fn events_are_variants_of_one_struct() {
        for item in [
            quote! { struct Placed; },
            quote! { enum None {} },
            quote! { enum Incoming { Placed } },
            quote! { enum Incoming { Placed { event: Placed } } },
            quote! { enum Incoming { Placed(Placed, u8) } },
        ] {
            assert!(expand_enum(item.clone()).is_err(), "{item}");
        }
        assert!(expand_enum(quote! { enum Incoming { Placed(Placed) } }).is_ok());
    }
}
