//! The decisions about a plan in an answer: who approved it and what was chosen, who asked to apply that, and who ended it.

use serde::Serialize;
use utoipa::ToSchema;
use weirgate_engine::{Choices, Decided};
use weirgate_types::{ApplyBegun, Digest, HandlerName, RepairRefused, RepairsRefused, ReplayEnded};

use super::{super::times::rfc3339, parts::Cut};

/// An approval of a plan, with what was chosen where the plan leaves a choice.
#[derive(Serialize, ToSchema)]
pub struct ApprovalItem {
    /// The digest of the approved plan.
    #[schema(value_type = Digest)]
    plan: String,
    pub actor: String,
    pub reason: String,
    /// RFC 3339, and in Unix milliseconds.
    #[schema(format = DateTime)]
    approved_at: String,
    approved_at_ms: u64,
    /// Only these keys; absent: all keys of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Cut<String>>,
    fire_past: bool,
    allow_calls: bool,
    #[schema(value_type = Vec<HandlerName>)]
    fold_again: Vec<String>,
}

/// A request to apply what was approved.
#[derive(Serialize, ToSchema)]
pub struct BegunItem {
    actor: String,
    reason: String,
    /// RFC 3339, and in Unix milliseconds.
    #[schema(format = DateTime)]
    begun_at: String,
    begun_at_ms: u64,
}

impl ApprovalItem {
    pub fn of(decided: &Decided) -> Self {
        let (approved, Choices { keys, fire_past, allow_calls, fold_again }) = (&decided.approved, &decided.choices);
        Self {
            plan: approved.plan.to_string(),
            actor: approved.actor.clone(),
            reason: approved.reason.clone(),
            approved_at: rfc3339(approved.at_ms),
            approved_at_ms: approved.at_ms,
            keys: keys.as_ref().map(|keys| Cut::of(keys.iter().cloned())),
            fire_past: *fire_past,
            allow_calls: *allow_calls,
            fold_again: fold_again.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The end of that, or of the replay.
#[derive(Serialize, ToSchema)]
pub struct EndedItem {
    actor: String,
    reason: String,
    /// RFC 3339, and in Unix milliseconds.
    #[schema(format = DateTime)]
    ended_at: String,
    ended_at_ms: u64,
    /// Keys of the plan that the application did not repair, and why; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Cut<Refused>>,
}

#[derive(Serialize, ToSchema)]
pub struct Refused {
    /// Of a receiver, its handler and the key.
    pub key: String,
    pub reason: String,
}

impl EndedItem {
    pub fn of(ended: ReplayEnded, refused: Option<RepairsRefused>) -> Self {
        let ReplayEnded { actor, reason, at_ms, .. } = ended;
        let refused = refused.map(|RepairsRefused { first, count, .. }| {
            let refused = |RepairRefused { key, reason }| Refused { key, reason };
            Cut::of_many(first.into_iter().map(refused), count)
        });
        Self { actor, reason, ended_at: rfc3339(at_ms), ended_at_ms: at_ms, refused }
    }
}

impl BegunItem {
    pub fn of(begun: ApplyBegun) -> Self {
        let ApplyBegun { actor, reason, at_ms, .. } = begun;
        Self { actor, reason, begun_at: rfc3339(at_ms), begun_at_ms: at_ms }
    }
}
