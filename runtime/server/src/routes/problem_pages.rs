//! `/problems`: a page for each code of a problem, which is what its `type` resolves to. The text is `docs/problems.md`.

use axum::{http::header, response::IntoResponse};

use super::{problems::NoSuchProblem, query::Path};
use crate::Problem;

const DOCUMENT: &str = include_str!("../../../../docs/problems.md");

/// A code, the statuses that it comes with, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    code: &'static str,
    statuses: &'static str,
    advice: &'static str,
}

/// The rows of the document's table, one entry for each code.
fn entries() -> impl Iterator<Item = Entry> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |")?.split_once(" | "));
    rows.filter_map(|(codes, rest)| Some((codes, rest.split_once(" | ")?))).flat_map(|(codes, (statuses, advice))| {
        let codes = codes.split('`').step_by(2).filter(|code| !code.is_empty());
        codes.map(move |code| Entry { code, statuses, advice })
    })
}

/// The problems that this server answers with.
#[utoipa::path(
    get, path = "/problems", operation_id = "list_problems", tag = "system",
    responses((status = 200, description = "A page with each problem", content_type = "text/html")),
)]
pub async fn list() -> impl IntoResponse {
    let rows: String = entries().map(|entry| row(&entry)).collect();
    page("Problems", &format!("<h1>Problems</h1>\n<dl>\n{rows}</dl>"))
}

/// What one problem means, and what to do: the `type` of a problem is this page.
#[utoipa::path(
    get, path = "/problems/{code}", operation_id = "read_problem", tag = "system",
    params(("code" = String, Path, pattern = "^[a-z-]{1,64}$", description = "The problem's `code`")),
    responses(
        (status = 200, description = "The page of the problem", content_type = "text/html"),
        NoSuchProblem,
    ),
)]
pub async fn read(Path(code): Path<String>) -> Result<impl IntoResponse, Problem> {
    let entry = entries().find(|entry| entry.code == code);
    let entry = entry.ok_or_else(|| Problem::not_found(format!("there is no problem {code}; see /problems")))?;
    let Entry { code, statuses, advice } = entry;
    let advice = html(advice);
    let body = format!(
        "<h1><code>{code}</code></h1>\n<p>Status {statuses}</p>\n<p>{advice}</p>\n<p><a href=\"/problems\">All problems</a></p>"
    );
    Ok(page(code, &body))
}

fn row(entry: &Entry) -> String {
    let Entry { code, statuses, advice } = entry;
    format!(
        "<dt id=\"{code}\"><a href=\"/problems/{code}\"><code>{code}</code></a> ({statuses})</dt>\n<dd>{}</dd>\n",
        html(advice)
    )
}

fn page(title: &str, body: &str) -> impl IntoResponse + use<> {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title} - Weirgate</title></head>\n\
         <body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    );
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")], page)
}

/// A line of Markdown with code in backquotes, as HTML.
fn html(markdown: &str) -> String {
    let escaped = markdown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let parts = escaped.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_code_has_one_entry() {
        let codes: Vec<_> = entries().map(|entry| entry.code).collect();
        assert!(codes.len() > 60 && codes.contains(&"not-a-cloudevent") && codes.contains(&"bad-query"), "{codes:?}");
        assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len(), "a code is there twice");
        for Entry { code, statuses, advice } in entries() {
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code}");
            assert!(statuses.split(", ").all(|status| status.parse::<u16>().is_ok()), "{code}: {statuses}");
            assert!(advice.len() > 10, "{code}: {advice}");
        }
    }

    #[test]
    fn markdown_is_shown_as_html() {
        assert_eq!(html("send `<a>` & wait"), "send <code>&lt;a&gt;</code> &amp; wait");
    }
}
