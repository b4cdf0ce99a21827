//! Schemas of types whose JSON is written by hand, for the OpenAPI document.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat,
        schema::{AdditionalProperties, SchemaType, Type},
    },
};

use crate::{DeliveryId, Digest, HandlerName, Position, RawEvent, json::JsonText};

macro_rules! schemas {
    ($($type:ty, $name:literal, $schema:expr;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema.into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    )*};
}

schemas! {
    HandlerName, "HandlerName", text(r"^[a-z][a-z0-9\-]{0,63}$", "inventory");
    DeliveryId, "DeliveryId", text(r"^[a-z][a-z0-9\-]{0,63}@(0|[1-9][0-9]{0,18})$", "inventory@42");
    Digest, "Digest", text("^sha256:[0-9a-f]{64}$", format!("sha256:{}", "0".repeat(64)));
    Position, "Position", ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::UInt64)))
        .minimum(Some(0_usize))
        .maximum(Some(usize::MAX));
    JsonText, "Json", ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some("Any JSON value"));
    RawEvent, "CloudEvent", cloud_event();
}

fn text(pattern: &str, example: impl Into<serde_json::Value>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).examples([example.into()])
}

/// <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/cloudevents.json>
fn cloud_event() -> ObjectBuilder {
    let attribute = |description: &str| {
        ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).description(Some(description))
    };
    let time =
        attribute("When it happened, as in RFC 3339.").format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    let base64 = ObjectBuilder::new().schema_type(Type::String).content_encoding("base64");
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("A CloudEvent (version 1.0) in structured mode. Other members are extension attributes: strings, integers or booleans."))
        .property("specversion", attribute("Always `1.0`.").enum_values(Some(["1.0"])))
        .required("specversion")
        .property("id", attribute("Unique for its source."))
        .required("id")
        .property("source", attribute("What produced it, a URI reference."))
        .required("source")
        .property("type", attribute("For instance `order.placed`."))
        .required("type")
        .property("subject", attribute("The event's key, unless it has a `partitionkey`."))
        .property("partitionkey", attribute("The event's key."))
        .property("time", time)
        .property("datacontenttype", attribute("The media type of the data; without it JSON."))
        .property("dataschema", attribute("The schema of the data, a URI."))
        .property("data", ObjectBuilder::new().schema_type(SchemaType::AnyValue))
        .property("data_base64", base64)
        // Extensions are strings, integers or booleans; a type that said so here would hold for `data` too in TypeScript.
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
}
