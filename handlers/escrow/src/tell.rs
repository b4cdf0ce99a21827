//! The status and the events of an escrow.

use order_events::{
    EscrowCancelled, EscrowClosed, EscrowExpired, EscrowRefundRequested, EscrowReleaseRequested, EscrowSigned,
    EscrowStep, euros,
};
use serde::Serialize;
use weirgate_sdk::prelude::*;

use crate::deal::{Consequence, Deal, End, missed};

#[derive(Serialize)]
struct DealData<'a> {
    buyer: &'a str,
    seller: &'a str,
    amount_cents: u64,
    buyer_signed: bool,
    seller_signed: bool,
    /// Whether money was taken, even if it was returned since.
    paid: bool,
    waits_for: Vec<EscrowStep>,
}

/// The escrow's status.
pub fn set_status(deal: &Deal, context: &mut Context) {
    let (state, text) = words(deal);
    let terms = &deal.terms;
    let data = DealData {
        buyer: &terms.buyer,
        seller: &terms.seller,
        amount_cents: terms.amount_cents,
        buyer_signed: deal.buyer_signed,
        seller_signed: deal.seller_signed,
        paid: deal.payment.is_some(),
        waits_for: deal.open_steps(),
    };
    context.set_status(state, text).data(&data);
}

fn words(deal: &Deal) -> (&'static str, String) {
    let amount = euros(deal.terms.amount_cents);
    let is_paid = deal.payment.is_some();
    let back = if is_paid { format!("; {amount} go back to the buyer") } else { String::new() };
    let here = if is_paid { "; the money is here" } else { "" };
    match (&deal.end, deal.buyer_signed, deal.seller_signed) {
        (Some(End::Closed), ..) => ("closed", format!("Closed; {amount} go to the seller")),
        (Some(End::Cancelled { reason }), ..) => ("cancelled", format!("Cancelled: {reason}{back}")),
        (Some(End::Expired { step }), ..) => ("expired", format!("Expired: {}{back}", missed(*step))),
        (None, false, false) => ("opened", format!("Waiting for both to sign{here}")),
        (None, true, false) => ("buyer-signed", format!("Waiting for the seller to sign{here}")),
        (None, false, true) => ("seller-signed", format!("Waiting for the buyer to sign{here}")),
        (None, true, true) if is_paid => ("funded", format!("{amount} are held until the buyer closes it")),
        (None, true, true) => ("signed", format!("Waiting for the buyer to pay {amount}")),
    }
}

/// Emits one event for each consequence.
pub fn emit(consequence: Consequence, deal: &Deal, context: &mut Context) {
    let terms = &deal.terms;
    let escrow = terms.escrow.clone();
    match consequence {
        Consequence::Signed => context.emit(&EscrowSigned { escrow }),
        Consequence::Release(payment) => context.emit(&EscrowReleaseRequested {
            escrow,
            to: terms.seller.clone(),
            amount_cents: payment.amount_cents,
            reference: payment.reference,
        }),
        Consequence::Refund(payment, reason) => context.emit(&EscrowRefundRequested {
            escrow,
            to: terms.buyer.clone(),
            amount_cents: payment.amount_cents,
            reference: payment.reference,
            reason,
        }),
        Consequence::Ended(End::Closed) => context.emit(&EscrowClosed { escrow }),
        Consequence::Ended(End::Cancelled { reason }) => context.emit(&EscrowCancelled { escrow, reason }),
        Consequence::Ended(End::Expired { step }) => context.emit(&EscrowExpired { escrow, step }),
    };
}
