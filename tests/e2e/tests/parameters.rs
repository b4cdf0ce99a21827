//! Each query parameter of the OpenAPI document with values that it does not take: the refusal names the parameter and says
//! what to write, in words that are not those of a parser.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use serde_json::Value;
use weirgate_tests::{Answer, Server, Setup};

/// What parsers and deserialisers say.
const RAW: [&str; 8] = [
    "deserialize",
    "invalid digit",
    "invalid type",
    "invalid value",
    "unknown variant",
    "duplicate field",
    "target type",
    "cannot parse",
];

/// The words of an enumeration, wherever in the schema they are.
fn words(schema: &Value) -> Vec<&str> {
    match schema {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value.as_array()) {
                ("enum", Some(items)) => items.iter().filter_map(Value::as_str).collect(),
                _ => words(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(words).collect(),
        _ => Vec::new(),
    }
}

async fn ask(server: &Server, path: &str, query: &str) -> Answer {
    let answer = server.client.get(&format!("{path}?{query}")).await;
    let detail = answer.json["detail"].as_str().unwrap_or_default().to_lowercase();
    for raw in RAW {
        assert!(!detail.contains(raw), "{path}?{query}: {}", answer.text);
    }
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_parameter_is_named_with_what_to_write() {
    let server = Setup::new().start().await;
    let document = server.client.get("/openapi.json").await.ok();
    let (mut numbers, mut enumerations, mut texts) = (0, 0, 0);
    for (path, item) in document["paths"].as_object().expect("paths") {
        let parameters = item["get"]["parameters"].as_array().cloned().unwrap_or_default();
        let filled = path.split('/').map(|part| match part {
            "{name}" => "a",
            part if part.starts_with('{') => "1",
            part => part,
        });
        let path = filled.collect::<Vec<_>>().join("/");
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
            let (name, schema) = (parameter["name"].as_str().expect("a name"), &parameter["schema"]);
            // The subject is parsed apart from the other parameters of a status.
            let subject = if path == "/v1/status" && name != "subject" { "subject=a&" } else { "" };
            let names = |answer: &Answer| answer.json["detail"].as_str().is_some_and(|detail| detail.contains(name));
            if schema.to_string().contains("\"integer\"") {
                numbers += 1;
                for value in ["zzz", "-1", "1.5", "", "99999999999999999999999", "1%202", "0x1"] {
                    let answer = ask(&server, &path, &format!("{subject}{name}={value}")).await;
                    answer.is_problem(400, "bad-query");
                    assert!(names(&answer), "{path} {name}={value}: {}", answer.text);
                }
            }
            let known = words(schema);
            if !known.is_empty() {
                enumerations += 1;
                let answer = ask(&server, &path, &format!("{subject}{name}=zzz")).await;
                answer.is_problem(400, "bad-query");
                let is_told = known.iter().all(|word| answer.text.contains(word));
                assert!(names(&answer) && is_told, "{path} {name}: {}", answer.text);
            }
            if let Some(max) = schema["maxLength"].as_u64() {
                texts += 1;
                let value = "a".repeat(usize::try_from(max).expect("a length") + 1);
                for value in [value.as_str(), ""] {
                    let answer = ask(&server, &path, &format!("{subject}{name}={value}")).await;
                    assert!(answer.status == 400 && names(&answer), "{path} {name}={value}: {}", answer.text);
                }
            }
            ask(&server, &path, &format!("{subject}{name}=zzz")).await;
            let twice = ask(&server, &path, &format!("{subject}{name}=1&{name}=1")).await;
            // A live stream follows several subjects.
            assert!(twice.status == 400 && names(&twice) || path == "/v1/live", "{path} {name}: {}", twice.text);
        }
    }
    assert!(
        numbers >= 8 && enumerations >= 2 && texts >= 5,
        "{numbers} numbers, {enumerations} enumerations, {texts} texts"
    );
    for path in ["/v1/bulk-jobs/zzz", "/v1/events/zzz", "/v1/events/-1"] {
        let answer = ask(&server, path, "").await;
        answer.is_problem(400, "bad-path");
    }
}
