//! A client of the HTTP endpoints.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};

use crate::eventually;

/// Time limit of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// Time limit of one readiness request. A lost one is sent again, on another connection.
const READY_TRY_TIMEOUT: Duration = Duration::from_secs(2);

/// Cheap to clone. Each request has its own connection: a pooled one may belong to a process that has been killed since, and
/// a request on it may never be answered.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// Null if the body is not JSON.
    pub json: Value,
}

impl Answer {
    /// The problem's code; empty if the answer is not a problem.
    pub fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_default()
    }

    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body, if the status is one of success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text);
        self.json
    }

    /// Checks that it is the problem `code`, in the shape that every problem has.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json["type"], format!("/problems/{code}"));
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

    /// Sends a request; `None` if there is no answer, for instance because the server is down.
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

    /// Posts JSON.
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

    /// Publishes one event and returns its position.
    #[track_caller]
    pub fn accept(&self, event: Value) -> impl Future<Output = u64> {
        let client = self.clone();
        async move { client.publish(&[event]).await.ok()["events"][0]["position"].as_u64().expect("a position") }
    }

    pub async fn upload(&self, wasm: Vec<u8>) -> Answer {
        self.send(Method::PUT, "/v1/modules", "application/wasm", wasm).await
    }

    /// Uploads a module and deploys it by a manifest.
    pub async fn deploy(&self, manifest: &Value, wasm: Vec<u8>) -> Value {
        let digest = self.upload(wasm).await.ok()["digest"].clone();
        self.redeploy(manifest, &digest).await.ok()
    }

    /// Deploys an existing module, and approves what it may do.
    pub async fn redeploy(&self, manifest: &Value, digest: &Value) -> Answer {
        let answer = self.put_version(manifest, digest, "").await;
        match answer.json["growth"]["approve"].as_str() {
            Some(approve) => self.put_version(manifest, digest, &format!("?approve={approve}")).await,
            None => answer,
        }
    }

    /// Deploys an existing module with these parameters.
    pub async fn put_version(&self, manifest: &Value, digest: &Value, parameters: &str) -> Answer {
        let path = format!("/v1/handlers/{}{parameters}", manifest["name"].as_str().expect("a name"));
        let deployment = json!({ "digest": digest, "manifest": manifest });
        self.send(Method::PUT, &path, "application/json", deployment.to_string()).await
    }

    pub async fn handler(&self, name: &str) -> Value {
        self.get(&format!("/v1/handlers/{name}")).await.ok()
    }

    pub async fn status(&self, subject: &str) -> Value {
        self.get(&format!("/v1/status/{subject}")).await.ok()
    }

    /// Waits until the handlers have nothing left to do. A running handler waits for no other, so one look per handler is
    /// enough: its emissions are in the log, and make the next one lag, by the time it is done.
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
            let next = page["next_after"].as_u64().expect("the next page");
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

    /// Waits until a part of a subject's status has this state, and returns the part.
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
