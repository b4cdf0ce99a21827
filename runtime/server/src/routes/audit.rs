//! The audit of a command: its actor and reason, part of every request that changes something. Recorded with the command.

use serde::Deserialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};
use weirgate_engine::Audit;
use weirgate_types::not_in_keys;

use crate::Problem;

/// The actor of a request that names none.
const DEFAULT_ACTOR: &str = "operator";
const ACTOR_BYTES_MAX: usize = 128;
const REASON_BYTES_MAX: usize = 1_024;

/// Actor and reason. Both may be left out, and the body with them.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditBody {
    /// The actor (default `operator`), at most 128 bytes.
    #[schema(value_type = Option<Actor>, inline)]
    actor: Option<String>,
    /// The reason, at most 1,024 bytes.
    #[schema(value_type = Option<Reason>, inline)]
    reason: Option<String>,
}

/// The form of an actor, for the OpenAPI document.
pub struct Actor;

/// The form of a reason, for the OpenAPI document.
pub struct Reason;

impl PartialSchema for Actor {
    fn schema() -> RefOr<Schema> {
        one_line(ACTOR_BYTES_MAX)
    }
}

impl PartialSchema for Reason {
    fn schema() -> RefOr<Schema> {
        one_line(REASON_BYTES_MAX)
    }
}

impl ToSchema for Actor {}

impl ToSchema for Reason {}

fn one_line(bytes_max: usize) -> RefOr<Schema> {
    // Neither control characters, nor noncharacters, nor characters that change the direction of text.
    let plain =
        r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]*$";
    ObjectBuilder::new().schema_type(Type::String).max_length(Some(bytes_max)).pattern(Some(plain)).into()
}

impl AuditBody {
    pub fn checked(self) -> Result<Audit, Problem> {
        audit(self.actor, self.reason)
    }
}

/// The audit as recorded.
pub fn audit(actor: Option<String>, reason: Option<String>) -> Result<Audit, Problem> {
    let actor = text("actor", actor, ACTOR_BYTES_MAX)?;
    let reason = text("reason", reason, REASON_BYTES_MAX)?;
    Ok(Audit { actor: if actor.is_empty() { DEFAULT_ACTOR.to_owned() } else { actor }, reason })
}

fn text(name: &str, text: Option<String>, bytes_max: usize) -> Result<String, Problem> {
    let text = text.unwrap_or_default();
    if text.len() > bytes_max {
        let detail = format!("`{name}` is {} bytes long; the maximum is {bytes_max}", text.len());
        return Err(Problem::bad_command(detail));
    }
    if text.chars().any(char::is_control) {
        return Err(Problem::bad_command(format!("`{name}` has a control character; it has to be one line")));
    }
    // It is shown beside what the runtime says, in terminals too.
    if let Some(wrong) = not_in_keys(&text) {
        return Err(Problem::bad_command(format!("`{name}` {wrong}")));
    }
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actor_and_reason_are_kept() {
        let kept = |actor: Option<&str>, reason: Option<&str>| {
            let body = AuditBody { actor: actor.map(str::to_owned), reason: reason.map(str::to_owned) };
            body.checked().map(|audit| (audit.actor, audit.reason)).map_err(|problem| problem.code)
        };
        let is = |actor: &str, reason: &str| Ok((actor.to_owned(), reason.to_owned()));
        assert_eq!(kept(None, None), is("operator", ""));
        assert_eq!(kept(Some(" ada "), Some("the gateway is back")), is("ada", "the gateway is back"));
        assert_eq!(kept(Some(" "), None), is("operator", ""));
        let long = ["b".repeat(129), "w".repeat(1_025)];
        let refused =
            [("a\nb", ""), (&long[0], ""), ("ada", &long[1]), ("ada", "paid \u{202e}000,1"), ("a\u{2066}b", "")];
        for (actor, reason) in refused {
            assert_eq!(kept(Some(actor), Some(reason)), Err("bad-command".to_owned()));
        }
    }
}
