//! `GET /`: what this server is, for a person with a browser or a terminal, and for programs.

use std::fmt::Write as _;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::health;
use crate::app::App;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What to open next: path and description.
const LINKS: [(&str, &str); 6] = [
    ("/openapi.json", "the HTTP interface, as an OpenAPI 3.1 document"),
    ("/readyz", "whether the server takes events"),
    ("/livez", "whether the process answers"),
    ("/metrics", "metrics for Prometheus"),
    ("/v1/handlers", "the deployed handlers"),
    ("/v1/events", "the events in the log"),
];
const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color:#222;background:#fff}\
code{background:#eee;padding:.1em .3em}@media(prefers-color-scheme:dark){body{color:#ddd;background:#111}code{background:#333}a{color:#8bf}}";
/// The page runs no script and loads nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What this server is.
#[derive(Serialize, ToSchema)]
pub struct Root {
    name: &'static str,
    version: &'static str,
    /// As `/readyz` answers.
    ready: bool,
    /// The epoch of the log's positions.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    epoch: String,
    /// The log's last position.
    head: u64,
    links: Vec<Link>,
}

#[derive(Serialize, ToSchema)]
pub struct Link {
    href: &'static str,
    title: &'static str,
}

/// A form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Html,
    Json,
}

/// What this server is: a page, JSON or text, as `Accept` asks.
#[utoipa::path(
    get, path = "/", operation_id = "read_root", tag = "system",
    responses((
        status = 200, description = "Name, version, and where to read on",
        content((Root = "application/json"), (String = "text/html"), (String = "text/plain")),
    )),
)]
pub async fn read(State(app): State<App>, headers: HeaderMap) -> Response {
    let ready = health::ready(State(app.clone())).await.is_ok();
    let links = LINKS.map(|(href, title)| Link { href, title }).into();
    let (epoch, head) = (app.engine.epoch().to_string(), app.engine.head().0);
    let root = Root { name: "weirgate", version: VERSION, ready, epoch, head, links };
    let answer = match form(&headers) {
        Form::Html => ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(html(&root))).into_response(),
        Form::Json => Json(root).into_response(),
        Form::Text => text(&root).into_response(),
    };
    ([(header::VARY, "Accept"), (header::CACHE_CONTROL, "no-store")], answer).into_response()
}

/// The form that is wanted most, of those that `Accept` names; text if it names none of them (`*/*`).
fn form(headers: &HeaderMap) -> Form {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut wanted = (0.0, Form::Text);
    for range in accept.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let form = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "text/html" | "application/xhtml+xml" => Form::Html,
            "application/json" | "application/*" => Form::Json,
            "text/plain" => Form::Text,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if quality > wanted.0 {
            wanted = (quality, form);
        }
    }
    wanted.1
}

fn text(root: &Root) -> String {
    let ready = if root.ready { "ready" } else { "not ready" };
    let mut text = format!("Weirgate {}: event handlers as WebAssembly components. It is {ready}.\n\n", root.version);
    for link in &root.links {
        let _ = writeln!(text, "{:15} {}", link.href, link.title);
    }
    text.push_str("\nThe command line: weirgate --help. A first handler: weirgate new NAME.\n");
    text
}

fn html(root: &Root) -> String {
    let ready = if root.ready { "ready" } else { "<strong>not ready</strong>" };
    let items = root.links.iter().map(|link| {
        let Link { href, title } = link;
        format!("<li><a href=\"{href}\"><code>{href}</code></a>: {title}</li>\n")
    });
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Weirgate</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>Weirgate {version}</h1>\n\
         <p>Event handlers as WebAssembly components: exactly-once state, order per key, live status. This server is {ready}.</p>\n\
         <ul>\n{items}</ul>\n\
         <p>The command line is <code>weirgate --help</code>. <code>weirgate new NAME</code> writes a first handler.</p>\n\
         </main>\n</body>\n</html>\n",
        version = root.version,
        items = items.collect::<String>(),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_form_is_the_one_that_is_wanted_most() {
        let of_a_browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, expected) in [
            (None, Form::Text),
            (Some("*/*"), Form::Text),
            (Some(""), Form::Text),
            (Some("image/png"), Form::Text),
            (Some(of_a_browser), Form::Html),
            (Some("application/json"), Form::Json),
            (Some("APPLICATION/JSON; charset=utf-8"), Form::Json),
            (Some("text/html;q=0.5, application/json"), Form::Json),
            (Some("application/json;q=0, text/html"), Form::Html),
            (Some("application/json;q=0"), Form::Text),
            (Some("application/json;q=x"), Form::Text),
            (Some("text/plain, application/json"), Form::Text),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(form(&headers), expected, "{accept:?}");
        }
    }
}
