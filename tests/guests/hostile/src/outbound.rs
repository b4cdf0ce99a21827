//! Outbound calls as the event's data lists them: `{"fetches": [{"step", "url", "method", "headers", "body",
//! "timeout_ms"}]}`. The answers are written to the state `0`, `1`, ... as JSON.

use serde_json::{Value, json};

use crate::{
    Given, Outcome,
    weirgate::handler::{
        http::{self, Error, Request, Response},
        state,
        types::{Failure, TransientFailure},
    },
};

fn request(fetch: &Value) -> Request {
    let text = |name: &str| fetch[name].as_str().map(ToOwned::to_owned);
    let headers = fetch["headers"].as_object().into_iter().flatten();
    Request {
        method: text("method").unwrap_or_else(|| "GET".to_owned()),
        url: text("url").unwrap(),
        headers: headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
        body: text("body").map(String::into_bytes),
        timeout_ms: fetch["timeout_ms"].as_u64().map(|ms| ms.try_into().unwrap()),
    }
}

fn shown(answer: &Result<Response, Error>) -> Value {
    match answer {
        Ok(Response { status, headers, body }) => {
            json!({"status": status, "headers": headers, "body": String::from_utf8_lossy(body)})
        }
        Err(Error::Denied(says)) => json!({"error": "denied", "says": says}),
        Err(Error::Unreachable(says)) => json!({"error": "unreachable", "says": says}),
        Err(Error::TimedOut) => json!({"error": "timed-out"}),
        Err(Error::TooLarge) => json!({"error": "too-large"}),
        Err(Error::CircuitOpen(ms)) => json!({"error": "circuit-open", "ms": ms}),
    }
}

/// The answers, in order.
pub fn fetch_all(given: &Given) -> Vec<Value> {
    let data: Value = serde_json::from_slice(&given.event.data).unwrap();
    let fetches = data["fetches"].as_array().cloned().unwrap_or_default();
    let fetch = |fetch: &Value| shown(&http::fetch(fetch["step"].as_str().unwrap_or("step"), &request(fetch)));
    fetches.iter().map(fetch).collect()
}

pub fn fetches(given: &Given) -> Outcome {
    for (n, answer) in fetch_all(given).iter().enumerate() {
        state::set(&n.to_string(), answer.to_string().as_bytes());
    }
    Ok(())
}

/// The failure's message contains all answers.
pub fn fails_after_fetches(given: &Given) -> Outcome {
    let message = Value::from(fetch_all(given)).to_string();
    Err(Failure::Transient(TransientFailure { message, retry_after_ms: None }))
}

pub fn bad_step_name(_: &Given) -> Outcome {
    let request = request(&json!({"url": "https://api.example.com/"}));
    let _ = http::fetch("", &request);
    Ok(())
}

pub fn floods_fetches(_: &Given) -> Outcome {
    let request = request(&json!({"url": "http://127.0.0.1:1/"}));
    for n in 0..1_000 {
        assert!(http::fetch(&format!("step-{n}"), &request).is_err());
    }
    Ok(())
}
