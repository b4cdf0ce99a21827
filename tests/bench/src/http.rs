//! The driver's HTTP client: HTTP/1.1 on kept connections, as many as requests in flight.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

/// A client of one server. Clones share its connections.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    /// `host:port`.
    authority: String,
}

impl Http {
    #[must_use]
    pub fn new(authority: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector), authority: authority.to_owned() }
    }

    /// # Errors
    /// There is no answer, or it is not a success.
    pub async fn get(&self, path: &str) -> Result<String> {
        let request = Request::get(format!("http://{}{path}", self.authority)).body(Full::default())?;
        Ok(String::from_utf8(self.answer(request).await?.to_vec())?)
    }

    /// # Errors
    /// There is no answer, or it is not a success.
    pub async fn post(&self, path: &str, content_type: &str, body: Bytes) -> Result<Bytes> {
        let request = Request::builder().method(Method::POST).uri(format!("http://{}{path}", self.authority));
        self.answer(request.header(header::CONTENT_TYPE, content_type).body(Full::new(body))?).await
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Bytes> {
        let endpoint = request.uri().clone();
        let answer = self.client.request(request).await.with_context(|| format!("{endpoint} does not answer"))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.with_context(|| format!("{endpoint} broke off"))?.to_bytes();
        if !status.is_success() {
            bail!("{endpoint} answered {}: {}", StatusCode::as_u16(&status), String::from_utf8_lossy(&body));
        }
        Ok(body)
    }
}
