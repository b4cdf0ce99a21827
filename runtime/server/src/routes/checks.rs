//! What the check before a deployment and a verification tell of attempts that were executed again; `POST /v1/replays/verify`.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weirgate_engine::replay::{Checked, Difference, Differs, LeftOut, Verified};
use weirgate_types::{DeliveryId, Digest, Position};

use super::{problems::VerificationRefused, query::Body};
use crate::{Problem, app::App};

/// The last recorded attempts of a handler, executed again under another version.
#[derive(Serialize, ToSchema)]
pub struct CheckItem {
    /// Attempts that were executed again.
    executed: u64,
    /// Those that came to another result.
    different: u64,
    /// How many of them differ in `outcome`, `state`, `status`, `emitted`, `timers`, `log` or `calls`.
    by_part: BTreeMap<String, u64>,
    /// The newest of them, 100 or 1 MiB at most.
    differences: Vec<DifferenceItem>,
    /// Attempts before which the new version migrated the key's state: there the states are not compared.
    migrated: u64,
    /// Keys whose state it could not migrate, 100 at most, each with the reason.
    migrations_failed: BTreeMap<String, String>,
    left_out: LeftOutItem,
    /// The oldest record that was looked at; absent if the handler has no attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    /// Whether the time or the bytes of a check were used up before all were executed.
    is_cut: bool,
    /// Subscriptions that match events which the version in force did not get: of these nothing is recorded.
    not_covered: Vec<String>,
}

/// Attempts that were not executed again, by reason.
#[derive(Serialize, ToSchema)]
pub struct LeftOutItem {
    /// Ended by time, by a stop or by a lack of memory, or discarded by a deployment.
    not_reproducible: u64,
    /// They may have read what a lost record wrote.
    of_lost_inputs: u64,
    /// They were a batch, and the new version takes single deliveries.
    of_batches: u64,
    /// Their keys have too many records since their events.
    too_far_back: u64,
}

/// An attempt that came to another result.
#[derive(Serialize, ToSchema)]
pub struct DifferenceItem {
    #[schema(value_type = DeliveryId)]
    delivery: String,
    attempt: u32,
    /// The position of the record with its outcome.
    commit: u64,
    /// The module that made the attempt.
    #[schema(value_type = Digest)]
    digest: String,
    parts: Vec<PartItem>,
}

/// What differs, as text of at most 2,000 characters each.
#[derive(Serialize, ToSchema)]
pub struct PartItem {
    /// `outcome`, `state`, `status`, `emitted`, `timers`, `log`, `correction`, or `calls`: another outbound call, or one less.
    part: &'static str,
    recorded: String,
    now: String,
}

#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyBody {
    /// Only attempts that ended after this position (default 0).
    #[serde(default)]
    after: u64,
    /// Only attempts that ended up to this position (default: the last one).
    through: Option<u64>,
}

/// A part of a verification.
#[derive(Serialize, ToSchema)]
pub struct VerifiedItem {
    executed: u64,
    not_reproducible: u64,
    of_lost_inputs: u64,
    without_module: u64,
    too_far_back: u64,
    different: u64,
    /// The first 100 of them.
    differences: Vec<DifferenceItem>,
    /// The last position that was looked at, and the last that is to be.
    reached: u64,
    through: u64,
    /// The value of `after` for the next part; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// Execute recorded attempts again, without effects, and name those that come to another result. An answer covers as much as five seconds
/// of CPU time allow, at half of a processor; it ends when the client has gone.
#[utoipa::path(
    post, path = "/v1/replays/verify", operation_id = "verify_attempts", tag = "handlers", request_body(content = Option<VerifyBody>),
    responses(
        (status = 200, description = "What was executed", body = VerifiedItem),
        VerificationRefused,
    ),
)]
pub async fn verify(State(app): State<App>, Body(body): Body<VerifyBody>) -> Result<axum::Json<VerifiedItem>, Problem> {
    let through = body.through.map_or(app.engine.head(), Position).min(app.engine.head());
    let (verified, reached) = app.engine.verify(Position(body.after), through).await?;
    let next = (reached < through).then_some(reached.0);
    Ok(axum::Json(VerifiedItem::of(verified, (reached, through), next)))
}

impl CheckItem {
    pub fn of(checked: Checked, not_covered: Vec<String>) -> Self {
        let Checked { executed, different, by_part, differences, left_out, oldest, is_cut, .. } = checked;
        let LeftOut { not_reproducible, of_lost_inputs, of_batches, too_far_back } = left_out;
        Self {
            executed,
            different,
            by_part: by_part.into_iter().map(|(part, count)| (part.as_str().to_owned(), count)).collect(),
            differences: differences.into_iter().map(Into::into).collect(),
            migrated: checked.migrated,
            migrations_failed: checked.migrations_failed,
            left_out: LeftOutItem { not_reproducible, of_lost_inputs, of_batches, too_far_back },
            from: oldest.map(|oldest| oldest.0),
            is_cut,
            not_covered,
        }
    }
}

impl VerifiedItem {
    fn of(verified: Verified, (reached, through): (Position, Position), next: Option<u64>) -> Self {
        let Verified { executed, not_reproducible, of_lost_inputs, without_module, too_far_back, .. } = verified;
        Self {
            executed,
            not_reproducible,
            of_lost_inputs,
            without_module,
            too_far_back,
            different: verified.different,
            differences: verified.differences.into_iter().map(Into::into).collect(),
            reached: reached.0,
            through: through.0,
            next,
        }
    }
}

impl From<Difference> for DifferenceItem {
    fn from(found: Difference) -> Self {
        let Difference { delivery, attempt, commit, digest, parts } = found;
        let part = |Differs { part, recorded, now }| PartItem { part: part.as_str(), recorded, now };
        let parts = parts.into_iter().map(part).collect();
        Self { delivery: delivery.to_string(), attempt, commit: commit.0, digest: digest.to_string(), parts }
    }
}
