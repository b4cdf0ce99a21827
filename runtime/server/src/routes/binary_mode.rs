//! The headers of an event in binary mode, for the OpenAPI document. `content::headers` reads them.

use utoipa::IntoParams;

/// They are heeded if the content type is not one of `CloudEvents`'.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it describes what `content` reads")]
pub struct BinaryMode {
    /// Binary mode: always `1.0`. Values of all these headers may be percent-encoded, or quoted strings.
    #[param(rename = "ce-specversion")]
    specversion: Option<String>,
    /// Binary mode, required there: unique for its source.
    #[param(rename = "ce-id")]
    id: Option<String>,
    /// Binary mode, required there: what produced it, a URI reference.
    #[param(rename = "ce-source")]
    source: Option<String>,
    /// Binary mode, required there: for instance `order.placed`.
    #[param(rename = "ce-type")]
    r#type: Option<String>,
    /// Binary mode: the event's key, unless it has a `partitionkey`.
    #[param(rename = "ce-subject")]
    subject: Option<String>,
    /// Binary mode: when it happened, as in RFC 3339.
    #[param(rename = "ce-time")]
    time: Option<String>,
    /// Binary mode: the schema of the data, a URI.
    #[param(rename = "ce-dataschema")]
    dataschema: Option<String>,
    /// Binary mode: the event's key. Other headers `ce-<name>` are extension attributes too.
    #[param(rename = "ce-partitionkey")]
    partitionkey: Option<String>,
}
