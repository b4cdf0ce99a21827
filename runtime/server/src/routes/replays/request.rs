//! What a request asks: a candidate, and the deliveries that it is tried on.

use serde::Deserialize;
use utoipa::ToSchema;
use weirgate_engine::{
    AskedCandidate, AskedWhatIf, Audit, Handle, Refusal,
    replay::{self, Closed},
};
use weirgate_types::{HandlerName, Manifest, Position};

use super::super::{
    audit::{Actor, Reason, audit},
    dead_letter_filter::Moment,
};
use crate::Problem;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayBody {
    #[schema(value_type = HandlerName)]
    handler: String,
    /// What runs in place of what ran (default: the version in force).
    #[serde(default)]
    candidate: CandidateBody,
    /// Which deliveries it handles (default: all).
    #[serde(default)]
    selection: SelectionBody,
    /// What a call gets that the log has no answer for (default `fail`).
    missing_answers: Option<MissingAnswers>,
    /// Limits; what lies beyond is not examined.
    #[serde(default)]
    bounds: BoundsBody,
    /// The actor (default `operator`), at most 128 bytes.
    #[schema(value_type = Option<Actor>, inline)]
    actor: Option<String>,
    /// The reason, at most 1,024 bytes.
    #[schema(value_type = Option<Reason>, inline)]
    reason: Option<String>,
}

/// A version by its number, or an uploaded module with a manifest. Without any, it is the version in force.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CandidateBody {
    version: Option<u32>,
    /// The digest from `PUT /v1/modules`, or its first digits.
    #[schema(pattern = "^(sha256:)?[0-9a-fA-F]{4,64}$")]
    digest: Option<String>,
    manifest: Option<Manifest>,
}

/// Which deliveries a candidate handles; all that is named has to apply.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SelectionBody {
    /// Only events after this position.
    after: Option<u64>,
    /// Only events up to this position.
    through: Option<u64>,
    /// Only events accepted since this time: RFC 3339, or Unix milliseconds.
    since: Option<Moment>,
    /// Only events accepted before this time: RFC 3339, or Unix milliseconds.
    until: Option<Moment>,
    /// Only events of these keys, at most 1,000 (default: of all).
    #[schema(min_items = 1, max_items = 1_000)]
    keys: Option<Vec<String>>,
    /// Only events of these types, at most 1,000; `*` as in subscriptions (default: of all).
    #[schema(min_items = 1, max_items = 1_000)]
    types: Option<Vec<String>>,
    /// Only deliveries that ended so.
    outcome: Option<Ended>,
    /// Only deliveries that the version of this number ended, and events that it did not take while it was in force.
    version: Option<u32>,
    /// Only deliveries whose event's data fulfils each of these conditions, at most 1,000: a JSON pointer, and what the value there
    /// is compared with by `=`, `!=`, `<`, `<=`, `>` or `>=`: a text in quotes, a number, `true`, `false` or `null`. For instance
    /// `/total_cents >= 1000`, `/country = "DE"`, `/coupon` (there is one), or `"/first name" = "Ada"`: a pointer with other characters
    /// than letters, digits and `/ ~ _ - . $ @` is in quotes. Numbers are compared exactly.
    #[serde(default)]
    filter: Vec<String>,
    /// Only deliveries that read this value of the state.
    read_state: Option<String>,
}

/// `completed` or `dead-lettered`.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    Completed,
    DeadLettered,
}

/// What a call gets that the log has no answer for.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MissingAnswers {
    /// Nothing: the delivery fails, and its key gets no plan.
    Fail,
    /// The last answer that the delivery got for a step of this name.
    Last,
    /// The answer of the called host, where the call only reads (GET, HEAD); others fail. The answers are recorded, and used again.
    Call,
}

/// Limits of a replay. What lies beyond is not examined, and then there is no plan to approve.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BoundsBody {
    /// Keys with differences (default 100,000, at most 1,000,000).
    #[schema(minimum = 1, maximum = 1_000_000)]
    keys: Option<u64>,
    /// Processor time in seconds (default 3,600, at most 86,400).
    #[schema(minimum = 1, maximum = 86_400)]
    cpu_seconds: Option<u64>,
    /// Bytes of differences in memory (default 256 MiB, at most 1 GiB).
    #[schema(minimum = 1, maximum = 1_073_741_824)]
    bytes: Option<u64>,
    /// Outbound calls without a recorded answer that are made (default 1,000, at most 100,000).
    #[schema(minimum = 1, maximum = 100_000)]
    calls: Option<u64>,
}

impl ReplayBody {
    pub async fn checked(self, engine: &Handle) -> Result<(AskedWhatIf, Audit), Problem> {
        let Self { handler, candidate, selection, missing_answers, bounds, actor, reason } = self;
        let audit = audit(actor, reason)?;
        let handler = engine.handler(handler.parse()?).await?.name;
        let handled_by = selection.version;
        let asked = AskedWhatIf {
            handler,
            candidate: candidate.checked(engine).await?,
            selection: selection.checked()?,
            handled_by,
            missing_answers: match missing_answers {
                None | Some(MissingAnswers::Fail) => replay::MissingAnswers::Fail,
                Some(MissingAnswers::Last) => replay::MissingAnswers::Last,
                Some(MissingAnswers::Call) => replay::MissingAnswers::Call,
            },
            bounds: bounds.checked()?,
        };
        Ok((asked, audit))
    }
}

impl CandidateBody {
    async fn checked(self, engine: &Handle) -> Result<AskedCandidate, Problem> {
        match self {
            Self { version: None, digest: None, manifest: None } => Ok(AskedCandidate::InForce),
            Self { version: Some(version), digest: None, manifest: None } => Ok(AskedCandidate::Version(version)),
            Self { version: None, digest: Some(digest), manifest: Some(manifest) } => {
                Ok(AskedCandidate::Module(engine.digest(&digest).await?, Box::new(manifest)))
            }
            _ => Err(Problem::bad_command(
                "`candidate` is a `version`, or a `digest` with a `manifest`; leave it out for the version in force",
            )),
        }
    }
}

impl SelectionBody {
    fn checked(self) -> Result<replay::Selection, Problem> {
        let Self { after, through, since, until, keys, types, outcome, version: _, filter, read_state } = self;
        let filter = filter.iter().map(|filter| filter.parse().map_err(Refusal::Selection));
        Ok(replay::Selection {
            after: Position(after.unwrap_or(0)),
            through: through.map(Position),
            since_ms: since.map(Moment::ms),
            until_ms: until.map(Moment::ms),
            keys: named("keys", keys)?,
            types: named("types", types)?,
            outcome: outcome.map(|outcome| match outcome {
                Ended::Completed => Closed::Completed,
                Ended::DeadLettered => Closed::DeadLettered,
            }),
            version: None,
            filter: filter.collect::<Result<_, _>>()?,
            read_state,
        })
    }
}

/// Keys or types that are named. An empty list would be taken for all of them, and an empty name for one that has no events.
fn named(what: &str, names: Option<Vec<String>>) -> Result<Vec<String>, Refusal> {
    match names {
        Some(names) if names.is_empty() => {
            Err(Refusal::Selection(format!("`{what}` is an empty list; leave it out to select all {what}")))
        }
        Some(names) if names.iter().any(String::is_empty) => {
            Err(Refusal::Selection(format!("`{what}` holds an empty text; no event has that")))
        }
        names => Ok(names.unwrap_or_default()),
    }
}

impl BoundsBody {
    fn checked(self) -> Result<replay::Bounds, Problem> {
        let default = replay::Bounds::default();
        let of = |name: &str, wanted: Option<u64>, default: u64, max: u64| match wanted.unwrap_or(default) {
            fits if (1..=max).contains(&fits) => Ok(fits),
            other => Err(Problem::bad_command(format!("`bounds.{name}` is {other}; allowed are 1 to {max}"))),
        };
        Ok(replay::Bounds {
            keys: of("keys", self.keys, default.keys, 1_000_000)?,
            cpu_seconds: of("cpu_seconds", self.cpu_seconds, default.cpu_seconds, 86_400)?,
            bytes: of("bytes", self.bytes, default.bytes, 1 << 30)?,
            calls: of("calls", self.calls, default.calls, 100_000)?,
        })
    }
}
