//! After a repair: what customers have paid beyond what the corrected version charges is refunded. The repair has corrected the
//! state and appended the right events; no money has moved by that.

use std::collections::BTreeMap;

use order_events::{PaymentCharged, PaymentRefunded, euros};
use weirgate_sdk::prelude::*;

use crate::{
    CHARGE, ChargedData, ReasonData,
    gateway::{self, Refund},
};

/// The order of a charge, and the cents that were paid for it beyond what should have been.
#[derive(Debug)]
struct Excess {
    order: String,
    cents: i128,
}

/// Refunds each charge's excess.
///
/// # Errors
/// Transient: the gateway does not answer. Permanent, for a person to settle: the customer has paid too little, a repair after which the
/// excess was paid back is undone, or the repair changed more than is listed.
pub fn refund(repair: &Repair, context: &mut Context) -> Result<(), Failure> {
    if repair.truncated {
        return Err(Failure::permanent(format!(
            "not all changes of replay {} are listed; compare the order's charges with the gateway's",
            repair.replay
        )));
    }
    let undone = undone_cents(repair)?;
    if undone > 0 {
        return Err(Failure::permanent(format!(
            "{} was paid back after a repair that is undone; ask for it again, or skip this",
            euros(undone)
        )));
    }
    let standing = context.state().get::<PaymentCharged>(CHARGE)?;
    let by_reference = excess(repair, standing.as_ref())?;
    if let Some((reference, Excess { cents, .. })) = by_reference.iter().find(|(_, excess)| excess.cents < 0) {
        let missing = euros(u64::try_from(cents.unsigned_abs())?);
        return Err(Failure::permanent(format!(
            "{missing} too little was paid by {reference}; ask for it, or skip this"
        )));
    }
    let reason = format!("too much was charged: {}", repair.reason);
    let excess = by_reference.into_iter().filter(|(_, excess)| excess.cents > 0);
    for (n, (reference, Excess { order, cents })) in excess.enumerate() {
        let total_cents = u64::try_from(cents)?;
        let step = format!("refund-excess-{n}");
        gateway::refund(&Refund { step: &step, order: &order, total_cents, reference: &reference }, context)?;
        show(total_cents, &reason, context)?;
        let replay = Some(repair.replay.clone());
        context.emit(&PaymentRefunded { order, total_cents, reference, reason: reason.clone(), replay });
    }
    Ok(())
}

/// What earlier repairs paid back that this one undoes: the charge stands again as it was made, and nothing can be charged anew.
fn undone_cents(repair: &Repair) -> Result<u64, Failure> {
    let refunds = repair.before::<PaymentRefunded>()?.into_iter().filter(|one| one.replay.is_some());
    Ok(refunds.map(|one| one.total_cents).fold(0, u64::saturating_add))
}

/// What the old version charged too much, less what it refunded too much, by the charge's reference. A charge or refund by a
/// reference that the old version did not use is a call that the corrected one has made: that money has moved. A charge that stands
/// and is not among the events of the repair stands again as it was made, by an undo.
fn excess(repair: &Repair, standing: Option<&PaymentCharged>) -> Result<BTreeMap<String, Excess>, Failure> {
    let charge = |one: PaymentCharged| (one.reference, one.order, i128::from(one.total_cents));
    let refund = |one: PaymentRefunded| (one.reference, one.order, i128::from(one.total_cents));
    let now: Vec<PaymentCharged> = repair.now()?;
    let again = standing.filter(|charge| now.iter().all(|one| one.reference != charge.reference));
    let before: Vec<PaymentCharged> = repair.before()?;
    let before = before.into_iter().filter(|one| again.is_none_or(|again| again.reference != one.reference));
    let charged = difference(before.map(charge), now.into_iter().map(charge));
    let refunded = difference(repair.before()?.into_iter().map(refund), repair.now()?.into_iter().map(refund));
    let mut by_reference = charged;
    for (reference, Excess { order, cents }) in refunded {
        by_reference.entry(reference).or_insert(Excess { order, cents: 0 }).cents -= cents;
    }
    Ok(by_reference)
}

/// The references of `before`, and by how much their amounts exceed those of `now`.
fn difference(
    before: impl Iterator<Item = (String, String, i128)>,
    now: impl Iterator<Item = (String, String, i128)>,
) -> BTreeMap<String, Excess> {
    let mut excess: BTreeMap<String, Excess> = BTreeMap::new();
    for (reference, order, cents) in before {
        excess.entry(reference).or_insert(Excess { order, cents: 0 }).cents += cents;
    }
    for (reference, _, cents) in now {
        if let Some(excess) = excess.get_mut(&reference) {
            excess.cents -= cents;
        }
    }
    excess
}

/// The status of an order that stays paid says what it has cost in the end.
fn show(refunded_cents: u64, reason: &str, context: &mut Context) -> Result<(), Failure> {
    let refunded = euros(refunded_cents);
    match context.state().get::<PaymentCharged>(CHARGE)? {
        Some(PaymentCharged { total_cents, reference, .. }) => context
            .set_status("charged", format!("Paid {}; {refunded} too much was paid back", euros(total_cents)))
            .data(&ChargedData { total_cents, reference: &reference }),
        None => context
            .set_status("refunded", format!("Paid back {refunded}: {reason}"))
            .data(&ReasonData { total_cents: refunded_cents, reason }),
    };
    Ok(())
}
