//! A client of the HTTP endpoints.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};

use crate::eventually;

/// How long any one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// How long one readiness request may take. A request that is lost is sent again, on another connection.
const READY_TRY_TIMEOUT: Duration = Duration::from_secs(2);

/// Cheap to clone. Each request has a connection of its own: a pooled one may belong to a process that has been killed
/// since, and a request on it may never be answered.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// Null where the body is not JSON.
    pub json: Value,
}

impl Answer {
    /// The problem's stable word; empty where the answer is no problem.
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body, where the status is one of success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        self.json
    }

    /// Check that it is the problem `code`, in the shape that every problem has.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json["type"], format!("urn:weirgate:problem:{code}"));
        assert_eq!(self.json["status"], status);
        let told = ["title", "detail"].iter().all(|name| self.json[name].as_str().is_some_and(|text| !text.is_empty()));
        assert!(told, "{}", self.text);
    }
}

impl Client {
    pub fn new(base: impl Into<String>) -> Self {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .pool_max_idle_per_host(0)
            .build()
            .expect("an HTTP client");
        Self { base: base.into(), http }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// Send a request; none where there is no answer, for instance because the server is down.
    pub async fn attempt(&self, request: RequestBuilder) -> Option<Answer> {
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.ok()?;
        let json = serde_json::from_str(&text).unwrap_or_default();
        Some(Answer { status, headers, text, json })
    }

    async fn answer(&self, request: RequestBuilder) -> Answer {
        let shown = format!("{request:?}");
        self.attempt(request).await.unwrap_or_else(|| panic!("no answer to {shown}"))
    }

    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        self.attempt(self.request(Method::GET, path)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.answer(self.request(Method::GET, path)).await
    }

    /// Whether the server is up and ready. Gives up on the request after two seconds.
    pub async fn is_ready(&self) -> bool {
        let request = self.request(Method::GET, "/readyz").timeout(READY_TRY_TIMEOUT);
        self.attempt(request).await.is_some_and(|answer| answer.status == 200)
    }

    pub async fn post(&self, path: &str) -> Answer {
        self.answer(self.request(Method::POST, path)).await
    }

    /// Post JSON.
    pub async fn ask(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, "application/json", body.to_string()).await
    }

    pub async fn send(&self, method: Method, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.answer(self.request(method, path).header("content-type", content_type).body(body)).await
    }

    /// `POST /v1/events`: one event in structured mode, several as a batch.
    pub async fn publish(&self, events: &[Value]) -> Answer {
        self.try_publish(events).await.unwrap_or_else(|| panic!("no answer to a publication"))
    }

    pub async fn try_publish(&self, events: &[Value]) -> Option<Answer> {
        let (content_type, body) = match events {
            [event] => ("application/cloudevents+json", event.to_string()),
            events => ("application/cloudevents-batch+json", Value::from(events).to_string()),
        };
        self.attempt(self.request(Method::POST, "/v1/events").header("content-type", content_type).body(body)).await
    }

    /// Publish one event and answer its position.
    #[track_caller]
    pub fn accept(&self, event: Value) -> impl Future<Output = u64> {
        let client = self.clone();
        async move { client.publish(&[event]).await.ok()["events"][0]["position"].as_u64().expect("a position") }
    }

    pub async fn upload(&self, wasm: Vec<u8>) -> Answer {
        self.send(Method::PUT, "/v1/modules", "application/wasm", wasm).await
    }

    /// Upload a module and deploy it by a manifest.
    pub async fn deploy(&self, manifest: &Value, wasm: Vec<u8>) -> Value {
        let digest = self.upload(wasm).await.ok()["digest"].clone();
        self.redeploy(manifest, &digest).await.ok()
    }

    /// Deploy a module that is there.
    pub async fn redeploy(&self, manifest: &Value, digest: &Value) -> Answer {
        let path = format!("/v1/handlers/{}", manifest["name"].as_str().expect("a name"));
        let deployment = json!({ "digest": digest, "manifest": manifest });
        self.send(Method::PUT, &path, "application/json", deployment.to_string()).await
    }

    pub async fn handler(&self, name: &str) -> Value {
        self.get(&format!("/v1/handlers/{name}")).await.ok()
    }

    pub async fn status(&self, subject: &str) -> Value {
        self.get(&format!("/v1/status/{subject}")).await.ok()
    }

    /// Wait until the handlers have nothing left to do. Those that are called wait for nobody, so one look is enough: what
    /// a handler emits is in the log, and makes the next one lag, by the time the first is done.
    pub async fn drained(&self, patience: Duration) {
        eventually("nothing to be left to do", patience, async || {
            let handlers = self.get("/v1/handlers").await.ok()["handlers"].clone();
            let idle = |handler: &Value| handler["lag"] == 0 && handler["open"] == 0;
            if handlers.as_array().is_some_and(|all| all.iter().all(idle)) { Ok(()) } else { Err(handlers) }
        })
        .await;
    }

    /// All events in the log, in order of position.
    pub async fn events(&self) -> Vec<Value> {
        let (mut events, mut after) = (Vec::new(), 0);
        loop {
            let page = self.get(&format!("/v1/events?limit=1000&after={after}")).await.ok();
            events.extend(page["events"].as_array().expect("events").iter().cloned());
            let next = page["next_after"].as_u64().expect("where it goes on");
            if next >= page["head"].as_u64().expect("the head") || next == after {
                return events;
            }
            after = next;
        }
    }

    /// The events of a type in the log.
    pub async fn events_of(&self, r#type: &str) -> Vec<Value> {
        let stored = self.events().await.into_iter();
        stored.map(|mut stored| stored["event"].take()).filter(|event| event["type"] == r#type).collect()
    }

    /// Wait until a part of a subject's status has this state, and answer the part.
    pub async fn reaches(&self, subject: &str, part: &str, state: &str) -> Value {
        let what = format!("{subject} to be {state} at {part}");
        eventually(&what, REQUEST_TIMEOUT, async || {
            let answer = self.get(&format!("/v1/status/{subject}")).await;
            let found = answer.json["parts"][part].clone();
            if found["state"] == state { Ok(found) } else { Err(answer.text) }
        })
        .await
    }
}
