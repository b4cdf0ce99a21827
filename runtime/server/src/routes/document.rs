//! Completes the OpenAPI document with what holds for many routes, so that no route has to repeat it.

use axum::{Extension, http::header, response::IntoResponse};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Content, KnownFormat, ObjectBuilder, OpenApi, RefOr, Schema, SchemaFormat, Type, path::Operation},
};

use super::problems::problem;

/// What any request may be answered.
const ANY: [(u16, &str); 6] = [
    (400, "The request is malformed: its host, its path, or a query parameter"),
    (403, "Pages of this origin may not send this request"),
    (414, "The path and the query are too long"),
    (421, "This server does not answer for the host"),
    (500, "An internal error; see the server's log"),
    (503, "The server is stopping, or cannot take more work; see Retry-After"),
];
/// What a request that changes something may be answered.
const COMMAND: [(u16, &str); 1] = [(507, "The disk is nearly full; see Retry-After")];
/// What a request with a body may be answered.
const BODY: [(u16, &str); 4] = [
    (408, "The body did not arrive in time"),
    (413, "The body is too large"),
    (415, "The content type is not one of these, or the body has another charset or an encoding"),
    (422, "The body is invalid"),
];

/// A body of bytes.
pub struct Bytes;

impl PartialSchema for Bytes {
    fn schema() -> RefOr<Schema> {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).into()
    }
}

impl ToSchema for Bytes {}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "read_openapi", tag = "system",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)),
)]
pub async fn read(Extension(Encoded(document)): Extension<Encoded>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document)
}

/// The document as it is sent: encoded once, and shared by all answers.
#[derive(Clone)]
pub struct Encoded(axum::body::Bytes);

impl Encoded {
    pub fn of(document: &OpenApi) -> Self {
        // It consists of texts, lists and maps, so that it can always be encoded.
        Self(document.to_json().unwrap_or_default().into())
    }
}

/// Adds the answers that an operation does not describe itself, and writes paths as OpenAPI does.
pub fn complete(document: &mut OpenApi) {
    let paths = std::mem::take(&mut document.paths.paths);
    // axum's notation for "the rest of the path" differs from OpenAPI's.
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    for item in document.paths.paths.values_mut() {
        item.get.iter_mut().for_each(|operation| add(operation, &ANY));
        for operation in [&mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten() {
            add(operation, &ANY);
            add(operation, &COMMAND);
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.content.values_mut().for_each(without_null);
                add(operation, &BODY);
            }
        }
    }
}

/// A body that may be left out is described as one that may be `null`, which is something else.
fn without_null(content: &mut RefOr<Content>) {
    let RefOr::T(content) = content else { return };
    if let Some(RefOr::T(Schema::OneOf(choice))) = &content.schema {
        content.schema = choice.items.iter().find(|item| matches!(item, RefOr::Ref(_))).cloned();
    }
}

fn add(operation: &mut Operation, answers: &[(u16, &str)]) {
    for (status, description) in answers {
        operation.responses.responses.entry(status.to_string()).or_insert_with(|| problem(description));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::openapi;

    fn document() -> Value {
        serde_json::to_value(openapi()).expect("JSON")
    }

    fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
        let paths = document["paths"].as_object().expect("paths").iter();
        paths.flat_map(|(path, item)| {
            item.as_object().expect("methods").iter().map(move |(method, one)| (format!("{method} {path}"), one))
        })
    }

    #[test]
    fn every_operation_describes_its_refusals() {
        let document = document();
        for (name, operation) in operations(&document) {
            let answers: BTreeSet<&str> =
                operation["responses"].as_object().expect("responses").keys().map(String::as_str).collect();
            let mut expected = vec!["400", "403", "414", "421", "500", "503"];
            if !name.starts_with("get") {
                expected.push("507");
            }
            if operation.get("requestBody").is_some() {
                expected.extend(["408", "413", "415", "422"]);
            }
            for status in expected {
                assert!(answers.contains(status), "{name} does not describe {status}");
            }
        }
    }

    #[test]
    fn optional_bodies_are_optional_and_none_is_null() {
        let document = document();
        let optional: Vec<String> = operations(&document)
            .filter(|(_, operation)| operation.get("requestBody").is_some_and(|body| body["required"] != true))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(optional.len(), 17, "{optional:?}");
        for (name, operation) in operations(&document) {
            let Some(body) = operation.get("requestBody") else { continue };
            for (content_type, content) in body["content"].as_object().expect("content") {
                let schema = &content["schema"];
                assert!(schema.get("oneOf").is_none(), "{name} takes null as {content_type}");
            }
        }
    }

    /// A generated client knows nothing of an object without properties.
    #[test]
    fn every_object_has_properties_or_says_that_any_are_allowed() {
        fn check(at: &str, schema: &Value) {
            if schema["type"] == "object" {
                let known = ["properties", "additionalProperties", "$ref"].iter().any(|one| schema.get(one).is_some());
                assert!(known, "{at} is an object of which nothing is known");
            }
            match schema {
                Value::Object(members) => members.iter().for_each(|(name, one)| check(&format!("{at}/{name}"), one)),
                Value::Array(items) => items.iter().for_each(|one| check(at, one)),
                _ => {}
            }
        }
        check("", &document());
    }

    #[test]
    fn every_identifier_in_an_answer_has_a_form() {
        let document = document();
        let mut found = 0;
        for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
            let parts = [schema].into_iter().chain(schema["allOf"].as_array().into_iter().flatten());
            for (property, one) in parts.filter_map(|part| part["properties"].as_object()).flatten() {
                if ["handler", "digest", "delivery", "epoch"].contains(&property.as_str()) {
                    let text = one.to_string();
                    assert!(text.contains("\"$ref\"") || text.contains("\"pattern\""), "{name}.{property}: {text}");
                    found += 1;
                }
            }
        }
        assert!(found >= 15, "{found} identifiers");
    }

    #[test]
    fn a_shop_is_described_where_there_is_one() {
        let with_shop = serde_json::to_value(super::super::api(true).1).expect("JSON");
        let without = document();
        assert!(with_shop["paths"]["/"]["get"]["responses"]["307"].is_object());
        assert!(without["paths"]["/"]["get"]["responses"]["200"].is_object());
        for path in ["/shop", "/shop/", "/shop/{file}"] {
            assert!(
                with_shop["paths"][path]["get"]["responses"]["421"].is_object() && without["paths"].get(path).is_none()
            );
        }
    }

    #[test]
    fn every_header_that_is_read_is_described() {
        let document = document();
        let headers = |path: &str, method: &str| -> Vec<String> {
            let parameters = document["paths"][path][method]["parameters"].as_array().expect(path).iter();
            let headers = parameters.filter(|one| one["in"] == "header" && one["required"] == false);
            headers.filter_map(|one| one["name"].as_str().map(str::to_owned)).collect()
        };
        for path in ["/v1/events", "/v1/handlers/{name}/events"] {
            let names = headers(path, "post");
            for name in ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject", "ce-time", "ce-partitionkey"]
            {
                assert!(names.iter().any(|one| one == name), "{path} does not describe {name}: {names:?}");
            }
        }
        for path in ["/v1/status", "/v1/status/{subject}"] {
            assert_eq!(headers(path, "get"), ["If-Match", "If-None-Match"], "{path}");
        }
        assert_eq!(headers("/v1/live", "get"), ["Last-Event-ID"]);
    }

    #[test]
    fn every_identifier_in_a_path_has_a_form() {
        let document = document();
        for (name, operation) in operations(&document) {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if parameter["in"] == "path" && parameter["schema"]["type"] == "string" {
                    let schema = &parameter["schema"];
                    let has_form = ["pattern", "enum", "minLength"].iter().any(|one| schema.get(one).is_some());
                    assert!(has_form, "{name}: {parameter}");
                }
            }
        }
    }
}
