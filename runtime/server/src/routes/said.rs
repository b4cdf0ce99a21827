//! Who decides something, and why: part of every request that does. It is kept with the record.

use serde::Deserialize;
use utoipa::ToSchema;
use weirgate_engine::Said;

use crate::Problem;

/// Who decides, where nobody says.
const NOBODY_IN_PARTICULAR: &str = "operator";
const BY_BYTES_MAX: usize = 128;
const WHY_BYTES_MAX: usize = 1_024;

/// Who decides, and why. All of it may be left out, and the body with it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaidBody {
    /// Whoever decides (`operator`), at most 128 bytes.
    by: Option<String>,
    /// For whoever asks later, at most 1,024 bytes.
    why: Option<String>,
}

impl SaidBody {
    pub fn checked(self) -> Result<Said, Problem> {
        said(self.by, self.why)
    }
}

/// What is kept of who decides and why.
pub fn said(by: Option<String>, why: Option<String>) -> Result<Said, Problem> {
    let by = text("by", by, BY_BYTES_MAX)?;
    let why = text("why", why, WHY_BYTES_MAX)?;
    Ok(Said { by: if by.is_empty() { NOBODY_IN_PARTICULAR.to_owned() } else { by }, why })
}

fn text(name: &str, text: Option<String>, bytes_max: usize) -> Result<String, Problem> {
    let text = text.unwrap_or_default();
    if text.len() > bytes_max {
        let detail = format!("`{name}` is {} bytes long; at most {bytes_max} are kept", text.len());
        return Err(Problem::bad_decision(detail));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::bad_decision(format!("`{name}` holds a control character; write one line")));
    }
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_and_why_are_kept_where_they_are_said() {
        let kept = |by: Option<&str>, why: Option<&str>| {
            let body = SaidBody { by: by.map(str::to_owned), why: why.map(str::to_owned) };
            body.checked().map(|said| (said.by, said.why)).map_err(|problem| problem.code)
        };
        let is = |by: &str, why: &str| Ok((by.to_owned(), why.to_owned()));
        assert_eq!(kept(None, None), is("operator", ""));
        assert_eq!(kept(Some(" ada "), Some("the gateway is back")), is("ada", "the gateway is back"));
        assert_eq!(kept(Some(" "), None), is("operator", ""));
        for (by, why) in [("a\nb", ""), (&*"b".repeat(129), ""), ("ada", &*"w".repeat(1_025))] {
            assert_eq!(kept(Some(by), Some(why)), Err("bad-decision".to_owned()));
        }
    }
}
