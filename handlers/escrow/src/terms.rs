//! Whether an escrow can be held on its terms, and how long each step of it may take.

use std::time::Duration;

use order_events::{EscrowDeadlines, EscrowOpened, EscrowStep};
use weirgate_sdk::prelude::*;

const TEXT_BYTES_MAX: usize = 200;
const DAY_S: u64 = 86_400;
const DEADLINE_S_MAX: u64 = 3_650 * DAY_S;

/// What an operator would have to correct.
pub fn problem(terms: &EscrowOpened) -> Option<String> {
    let EscrowDeadlines { signatures_s, payment_s, closing_s } = terms.deadlines;
    for (name, text) in [("buyer", &terms.buyer), ("seller", &terms.seller)] {
        if text.trim().is_empty() || text.len() > TEXT_BYTES_MAX {
            return Some(format!("`{name}` is not 1 to {TEXT_BYTES_MAX} bytes"));
        }
    }
    if terms.buyer == terms.seller {
        return Some("`buyer` and `seller` are the same".to_owned());
    }
    if terms.amount_cents == 0 {
        return Some("`amount_cents` is 0".to_owned());
    }
    let mut deadlines = [signatures_s, payment_s, closing_s].into_iter().flatten();
    let wrong = deadlines.find(|seconds| !(1..=DEADLINE_S_MAX).contains(seconds));
    wrong.map(|seconds| format!("a deadline of {seconds} s is not 1 to {DEADLINE_S_MAX} s"))
}

/// How long a step may take: by the terms, else by the settings, else a day to sign, three to pay, a month to close.
pub fn deadline(step: EscrowStep, terms: &EscrowOpened, context: &Context) -> Result<Duration, Failure> {
    let EscrowDeadlines { signatures_s, payment_s, closing_s } = terms.deadlines;
    let (own, setting, default_s) = match step {
        EscrowStep::BuyerSignature | EscrowStep::SellerSignature => (signatures_s, "signatures_deadline_s", DAY_S),
        EscrowStep::Payment => (payment_s, "payment_deadline_s", 3 * DAY_S),
        EscrowStep::Closing => (closing_s, "closing_deadline_s", 30 * DAY_S),
    };
    let seconds = match (own, context.config(setting)) {
        (Some(seconds), _) => seconds,
        (None, None) => default_s,
        (None, Some(text)) => {
            text.parse().ok().filter(|seconds| (1..=DEADLINE_S_MAX).contains(seconds)).ok_or_else(|| {
                Failure::transient(format!("the setting `{setting}` is no number of seconds: {text:?}"))
            })?
        }
    };
    Ok(Duration::from_secs(seconds))
}
