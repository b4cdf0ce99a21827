//! `weirgate replays verify`: in parts on a running server, or on the data directory of a stopped one.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json, value::to_raw_value};
use weirgate_engine::{
    replay::{self, Difference, Pace, Verified},
    storage,
};
use weirgate_types::{
    Position,
    json::{Node, SHOWN_DEPTH_MAX},
};

use super::{
    arguments::{Output, whole},
    replayed,
    replays::recorded::{DIFFERENT, host, open},
};
use crate::{
    client::{Body, Server},
    failure::Failure,
    output,
};

/// Maximum number of differences that are printed; the others are counted.
const DIFFERENCES_MAX: usize = 100;

#[derive(Debug, Args)]
pub struct Verify {
    /// The data directory of a stopped server; without it, the running server executes them, beside its work
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Only attempts that ended after this position
    #[arg(long, value_name = "POSITION", value_parser = whole::<u64>, default_value_t = 0)]
    pub after: u64,
    /// Only attempts that ended up to this position
    #[arg(long, value_name = "POSITION", value_parser = whole::<u64>, default_value_t = u64::MAX, hide_default_value = true)]
    pub through: u64,
}

/// Numbers of a verification, which are added up over its parts.
const COUNTS: [&str; 6] =
    ["executed", "not_reproducible", "of_lost_inputs", "without_module", "too_far_back", "different"];

pub fn offline(flags: &Verify, data: &std::path::Path, output: Output) -> Result<ExitCode> {
    let (after, through) = (Position(flags.after), Position(flags.through));
    let verified = if after == Position::ZERO {
        let (log, host) = open(data)?;
        replay::verify(log, host, after, through)?
    } else {
        let host = Arc::new(host(&data.join("modules"))?);
        let recordings = storage::recordings(data, host, through)
            .with_context(|| format!("the log in {} cannot be read", data.display()))?;
        let no_log = || Failure::NotFound(format!("there is no log in {}", data.display()));
        replay::verify_range(&mut recordings.ok_or_else(no_log)?, after, through, &mut Pace::unlimited())?.0
    };
    print(&to_json(&verified), output)
}

/// The server answers in parts, so that none takes long.
pub async fn online(server: &Server, flags: &Verify, output: Output) -> Result<ExitCode> {
    let (mut sums, mut differences) = ([0_u64; COUNTS.len()], Vec::new());
    let (mut after, mut through) = (flags.after, (flags.through < u64::MAX).then_some(flags.through));
    loop {
        let mut body = Body::new();
        body.insert("after", to_raw_value(&after)?);
        if let Some(through) = through {
            body.insert("through", to_raw_value(&through)?);
        }
        let answer = server.post("/v1/replays/verify", &body).await?;
        let part: Value = serde_json::from_str(answer.text()).context("the answer is not JSON")?;
        for (sum, name) in sums.iter_mut().zip(COUNTS) {
            *sum += part.get(name).and_then(Value::as_u64).unwrap_or(0);
        }
        let found = part.get("differences").and_then(Value::as_array).cloned().unwrap_or_default();
        let room = DIFFERENCES_MAX.saturating_sub(differences.len());
        differences.extend(found.into_iter().take(room));
        // What ends while it runs is left to the next verification.
        through = through.or_else(|| part.get("through").and_then(Value::as_u64));
        match part.get("next").and_then(Value::as_u64) {
            Some(next) => after = next,
            None => break,
        }
    }
    let mut verified = json!({ "differences": differences });
    for (sum, name) in sums.into_iter().zip(COUNTS) {
        if let Some(fields) = verified.as_object_mut() {
            fields.insert(name.to_owned(), sum.into());
        }
    }
    print(&verified, output)
}

fn print(verified: &Value, output: Output) -> Result<ExitCode> {
    let text = verified.to_string();
    match output {
        Output::Json => output::json(&format!("{verified:#}"))?,
        Output::Text => {
            let node = Node::parse(&text, SHOWN_DEPTH_MAX).context("the result cannot be shown")?;
            replayed::verified_lines(&node).iter().try_for_each(|line| output::line(line))?;
        }
    }
    let is_same = verified.get("different").and_then(Value::as_u64) == Some(0);
    Ok(if is_same { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

fn to_json(verified: &Verified) -> Value {
    let differences = verified.differences.iter().map(|Difference { delivery, attempt, commit, digest, parts }| {
        let parts =
            parts.iter().map(|part| json!({ "part": part.part.as_str(), "recorded": part.recorded, "now": part.now }));
        json!({
            "delivery": delivery.to_string(),
            "attempt": attempt,
            "commit": commit.0,
            "digest": digest.to_string(),
            "parts": parts.collect::<Vec<_>>(),
        })
    });
    json!({
        "executed": verified.executed,
        "not_reproducible": verified.not_reproducible,
        "of_lost_inputs": verified.of_lost_inputs,
        "without_module": verified.without_module,
        "too_far_back": verified.too_far_back,
        "different": verified.different,
        "differences": differences.collect::<Vec<_>>(),
    })
}
