//! The HTTP client of the commands; turns problems into errors with a hint.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use weirgate_engine::{StartError, storage::LogError};
use weirgate_types::json::{Node, SHOWN_DEPTH_MAX};

/// The fields of a request's body, as sent.
pub type Body = BTreeMap<&'static str, Box<RawValue>>;

/// A server's address.
pub struct Server {
    url: String,
    http: Client,
}

/// A server's answer: JSON, as received.
#[derive(Debug)]
pub struct Answer(String);

impl Answer {
    /// A list in an answer: the items of `{"<name>": [...]}`.
    pub fn listed(name: &str, items: &[Answer]) -> Self {
        let items: Vec<_> = items.iter().map(Answer::text).collect();
        Self(format!(r#"{{"{name}":[{}]}}"#, items.join(",")))
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    pub fn node(&self) -> Result<Node<'_>> {
        Node::parse(&self.0, SHOWN_DEPTH_MAX).context("the answer is not JSON")
    }
}

/// A server's refusal in the form of RFC 9457.
#[derive(Debug, Deserialize, thiserror::Error)]
#[error("{detail} ({code})")]
struct Refused {
    detail: String,
    code: String,
    #[serde(default)]
    retryable: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("no answer from {0}")]
struct Unreachable(String);

impl Server {
    pub fn new(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), http: Client::new() }
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.json(self.request(Method::GET, path)).await
    }

    /// The text of a successful answer.
    pub async fn text(&self, path: &str) -> Result<String> {
        self.json(self.request(Method::GET, path)).await.map(|answer| answer.0)
    }

    pub async fn post(&self, path: &str, body: &Body) -> Result<Answer> {
        self.send(Method::POST, path, "application/json", serde_json::to_string(body)?).await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer> {
        self.json(self.request(method, path).header("content-type", content_type).body(body)).await
    }

    /// The URL of the live endpoint.
    pub fn live_url(&self) -> String {
        format!("{}/v1/live", self.url.replacen("http", "ws", 1))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    async fn json(&self, request: RequestBuilder) -> Result<Answer> {
        let response = request.send().await.map_err(|error| match error.is_connect() {
            true => anyhow::Error::from(Unreachable(self.url.clone())),
            false => error.into(),
        })?;
        let response = refusal(response).await?;
        Ok(Answer(response.text().await?))
    }
}

async fn refusal(response: Response) -> Result<Response> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let body = response.bytes().await?;
    match serde_json::from_slice::<Refused>(&body) {
        Ok(refused) => Err(refused.into()),
        Err(_) => anyhow::bail!("the server answered {status}"),
    }
}

/// Whether no server answered.
pub fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Unreachable>().is_some()
}

/// A hint for known problems.
pub fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(Unreachable(_)) = error.downcast_ref() {
        return Some("start a server with `weirgate serve`, or name another with --url".into());
    }
    if let Some(StartError::Log(of_log)) = error.downcast_ref() {
        return hint_of_log(of_log);
    }
    let refused: &Refused = error.downcast_ref()?;
    match refused.code.as_str() {
        "unknown-handler" => Some("`weirgate handlers list` shows what is deployed".into()),
        "not-a-dead-letter" => Some("`weirgate dead-letters list` shows their ids".into()),
        "not-open" => {
            Some("`weirgate deliveries list` and `weirgate dead-letters list` show what can be decided about".into())
        }
        "unknown-breaker" => Some("`weirgate breakers list` shows what there is".into()),
        "unknown-bulk-job" => Some("`weirgate bulk-jobs list` shows those since the server started".into()),
        "module-missing" => Some("`weirgate handlers deploy` uploads the module too".into()),
        _ if refused.retryable => Some("try again in a moment".into()),
        _ => None,
    }
}

fn hint_of_log(error: &LogError) -> Option<String> {
    let advice = match error {
        LogError::Lost(_) => {
            "restore the data directory from a backup; or continue without these records: `weirgate serve --accept-loss`"
        }
        LogError::Corrupt(_) => {
            "restore the data directory from a backup; `weirgate log verify --data DIR` shows the damage, and `weirgate log \
             repair --data DIR --accept-loss` gives up what cannot be read"
        }
        LogError::Locked { .. } => "stop the server first",
        _ => return None,
    };
    Some(format!("{advice} (docs/guides/damage.md)"))
}
