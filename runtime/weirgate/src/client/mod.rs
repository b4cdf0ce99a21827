//! The HTTP client of the commands: requests, answers, and why there is none.

mod address;
mod path;

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use weirgate_types::json::{Node, SHOWN_DEPTH_MAX};

use crate::failure::{Failure, without_code};
use address::Address;
pub use path::{path, query};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The fields of a request's body, as sent.
pub type Body = BTreeMap<&'static str, Box<RawValue>>;

/// A server's address.
pub struct Server {
    address: Address,
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

    /// The members of two answers that are objects, in one.
    pub fn with(&self, other: &Answer) -> Result<Answer> {
        let (one, other) = (self.node()?, other.node()?);
        let members = [&one, &other].into_iter().filter_map(Node::members).flatten();
        let members: Vec<_> = members.map(|member| format!("{}:{}", member.name_text, member.value.text())).collect();
        Ok(Self(format!("{{{}}}", members.join(","))))
    }

    /// A part of an answer.
    pub fn of(node: &Node) -> Self {
        Self(node.text().to_owned())
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    pub fn node(&self) -> Result<Node<'_>> {
        Node::parse(&self.0, SHOWN_DEPTH_MAX).context("the answer is not JSON; is it a Weirgate server?")
    }
}

/// A server's refusal in the form of RFC 9457.
#[derive(Debug, Deserialize, thiserror::Error)]
#[error("{detail} ({code})")]
pub struct Refused {
    pub status: u16,
    pub detail: String,
    pub code: String,
    #[serde(default)]
    pub retryable: bool,
    /// With `needs-approval`.
    #[serde(default)]
    pub growth: Option<Growth>,
}

/// What a version may do more, and what approves that.
#[derive(Debug, Deserialize)]
pub struct Growth {
    pub capabilities: Vec<CapabilityChange>,
    pub approve: String,
}

/// Something that a handler may do, before and after.
#[derive(Debug, Deserialize)]
pub struct CapabilityChange {
    pub capability: String,
    pub before: Option<String>,
    pub after: Option<String>,
    pub grows: bool,
}

/// No answer came, or the connection ended.
#[derive(Debug, thiserror::Error)]
#[error("{what} {url}{}: {why}", through(.proxy.as_ref()))]
pub struct NotAnswered {
    what: &'static str,
    url: String,
    proxy: Option<String>,
    why: String,
}

const NO_ANSWER: &str = "no answer from";
const LOST: &str = "lost the connection to";

fn through(proxy: Option<&String>) -> String {
    proxy.map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default()
}

impl NotAnswered {
    pub fn new(url: &str, proxy: Option<String>, why: &str) -> Self {
        Self { what: NO_ANSWER, url: url.to_owned(), proxy, why: why.to_owned() }
    }

    pub fn hint(&self) -> &'static str {
        match self.proxy {
            _ if self.what == LOST => "run the command again to continue",
            Some(_) => "the proxy is the one of http_proxy or all_proxy; no_proxy=HOST goes around it",
            None => "start a server with `weirgate serve`, or name another with --url",
        }
    }
}

impl Server {
    pub fn new(url: &str) -> Result<Self> {
        let address = Address::parse(url)?;
        let mut http = Client::builder().connect_timeout(CONNECT_TIMEOUT);
        if address.is_loopback() {
            http = http.no_proxy();
        }
        Ok(Self { address, http: http.build().context("the HTTP client cannot be set up")? })
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.json(self.request(Method::GET, path)).await
    }

    /// All items of a list, page by page.
    pub async fn list(&self, path: &str, name: &str) -> Result<Answer> {
        let (mut items, mut after) = (Vec::new(), None);
        loop {
            let page = self.get(&format!("{path}{}", query(&[("after", after)]))).await?;
            let node = page.node()?;
            items.extend(node.get(name).map(Node::items).unwrap_or_default().iter().map(Answer::of));
            after = node.get("next").and_then(Node::as_str).map(Cow::into_owned);
            if after.is_none() {
                return Ok(Answer::listed(name, &items));
            }
        }
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

    /// The address with its scheme.
    pub fn url(&self) -> String {
        self.address.shown()
    }

    /// The URL of the live endpoint.
    pub fn live_url(&self) -> String {
        self.address.with("/v1/live").replacen("http", "ws", 1)
    }

    /// No answer came over a connection of its own, which takes no proxy.
    pub fn not_answered(&self, why: &dyn std::error::Error) -> anyhow::Error {
        NotAnswered::new(&self.address.shown(), None, &first_cause(why)).into()
    }

    /// A connection of its own ended.
    pub fn lost(&self, why: &str) -> anyhow::Error {
        let (url, why) = (self.address.shown(), why.to_owned());
        NotAnswered { what: LOST, url, proxy: None, why }.into()
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.address.with(path))
    }

    async fn json(&self, request: RequestBuilder) -> Result<Answer> {
        let failed = |error: reqwest::Error| self.unanswered(&error);
        let response = request.send().await.map_err(failed)?;
        let response = self.refusal(response).await?;
        Ok(Answer(response.text().await.map_err(failed)?))
    }

    fn unanswered(&self, error: &reqwest::Error) -> anyhow::Error {
        let why = if error.is_timeout() { "it took too long".to_owned() } else { first_cause(error) };
        NotAnswered::new(&self.address.shown(), self.address.proxy(), &why).into()
    }

    async fn refusal(&self, response: Response) -> Result<Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|error| self.unanswered(&error))?;
        Err(self.refused(status, &body, self.address.proxy()))
    }

    /// The error for an answer that is no success: the server's refusal, or that of something before it.
    pub fn refused(&self, status: StatusCode, body: &[u8], proxy: Option<String>) -> anyhow::Error {
        if let Ok(refused) = serde_json::from_slice::<Refused>(body) {
            return refused.into();
        }
        let url = self.address.shown();
        let is_gateway =
            matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
        if is_gateway || status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return NotAnswered::new(&url, proxy, &format!("the gateway answered {status}")).into();
        }
        let text = format!("{url}{} answered {status}; is it a Weirgate server?", through(proxy.as_ref()));
        Failure::Refused(text).into()
    }
}

/// The first cause in a chain, as the system words it.
fn first_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    without_code(&cause.to_string())
}
