//! The state machine of an escrow: pure, without context and events. Every event has a reaction in every state, also one
//! that comes twice, too early or too late.
//!
//! A cell names the next state. `.` is ignored with a line in the log; `x` is a permanent failure, hence a dead letter for
//! an operator, because the request cannot be fulfilled; `back`: the money that came, or that was held, is returned to the
//! buyer. "paid" means that money was taken, even if it was returned since.
//!
//! | state | opened again | opened otherwise | buyer signed | seller signed | payment 1 | payment 2 | wrong amount | close | cancel | buyer late | seller late | payment late | closing late |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | unopened | opened | opened | x | x | x | x | x | x | x | . | . | . | . |
//! | opened | . | x | buyer-signed | seller-signed | opened, paid | opened, paid | back | x | cancelled | expired | expired | . | . |
//! | buyer-signed | . | x | . | signed | buyer-signed, paid | buyer-signed, paid | back | x | cancelled | . | expired | . | . |
//! | seller-signed | . | x | signed | . | seller-signed, paid | seller-signed, paid | back | x | cancelled | expired | . | . | . |
//! | signed | . | x | . | . | funded, paid | funded, paid | back | x | cancelled | . | . | expired | . |
//! | opened, paid | . | x | buyer-signed, paid | seller-signed, paid | . | back | back | x | cancelled, paid, back | expired, paid, back | expired, paid, back | . | . |
//! | buyer-signed, paid | . | x | . | funded, paid | . | back | back | x | cancelled, paid, back | . | expired, paid, back | . | . |
//! | seller-signed, paid | . | x | funded, paid | . | . | back | back | x | cancelled, paid, back | expired, paid, back | . | . | . |
//! | funded, paid | . | x | . | . | . | back | back | closed, paid | cancelled, paid, back | . | . | . | expired, paid, back |
//! | closed, paid | . | x | . | . | . | back | back | . | x | . | . | . | . |
//! | cancelled | . | x | . | . | back | back | back | x | . | . | . | . | . |
//! | cancelled, paid | . | x | . | . | . | back | back | x | . | . | . | . | . |
//! | expired | . | x | . | . | back | back | back | x | . | . | . | . | . |
//! | expired, paid | . | x | . | . | . | back | back | x | . | . | . | . | . |

use order_events::{EscrowOpened, EscrowStep, euros};
use serde::{Deserialize, Serialize};

/// Payments that were sent back; more than these need an operator.
const RETURNED_MAX: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    pub reference: String,
    pub amount_cents: u64,
}

/// How it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    Closed,
    Cancelled { reason: String },
    Expired { step: EscrowStep },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    Buyer,
    Seller,
}

/// The consequences to publish.
#[derive(Debug, PartialEq, Eq)]
pub enum Consequence {
    Signed,
    Release(Payment),
    Refund(Payment, String),
    Ended(End),
}

/// The result of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Recorded(Vec<Consequence>),
    /// It changes nothing, for this reason.
    Ignored(String),
    /// It requests something that is not possible.
    Refused(String),
}

use Answer::{Ignored, Recorded, Refused};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deal {
    pub terms: EscrowOpened,
    pub buyer_signed: bool,
    pub seller_signed: bool,
    /// The money that was taken, even if it was returned since.
    pub payment: Option<Payment>,
    pub end: Option<End>,
    /// The payments that were refused.
    returned: Vec<String>,
}

impl Deal {
    pub fn of(terms: EscrowOpened) -> Self {
        Self { terms, buyer_signed: false, seller_signed: false, payment: None, end: None, returned: Vec::new() }
    }

    /// The open steps. Exactly these have a deadline.
    pub fn open_steps(&self) -> Vec<EscrowStep> {
        let (buyer, seller, paid) = (self.buyer_signed, self.seller_signed, self.payment.is_some());
        let steps = [
            (!buyer, EscrowStep::BuyerSignature),
            (!seller, EscrowStep::SellerSignature),
            (buyer && seller && !paid, EscrowStep::Payment),
            (buyer && seller && paid, EscrowStep::Closing),
        ];
        let open = steps.into_iter().filter(|(is_open, _)| *is_open && self.end.is_none());
        open.map(|(_, step)| step).collect()
    }

    /// It is opened again.
    pub fn open_again(&self, terms: &EscrowOpened) -> Answer {
        if *terms == self.terms {
            return Ignored("it was opened before".to_owned());
        }
        Refused("it was opened before, on other terms".to_owned())
    }

    pub fn sign(&mut self, party: Party) -> Answer {
        if self.end.is_some() {
            return Ignored("a signature after the end".to_owned());
        }
        let signed = match party {
            Party::Buyer => &mut self.buyer_signed,
            Party::Seller => &mut self.seller_signed,
        };
        if *signed {
            return Ignored(format!("the {party:?} has signed before").to_lowercase());
        }
        *signed = true;
        let both = self.buyer_signed && self.seller_signed;
        Recorded(if both { vec![Consequence::Signed] } else { Vec::new() })
    }

    /// Money may come before the signatures. Money that is not owed is returned.
    pub fn fund(&mut self, payment: Payment) -> Answer {
        let is_taken = self.payment.as_ref().is_some_and(|taken| taken.reference == payment.reference);
        if is_taken || self.returned.contains(&payment.reference) {
            return Ignored(format!("payment {} was heard of before", payment.reference));
        }
        let agreed = self.terms.amount_cents;
        let reason = if self.end.is_some() {
            "the escrow has ended".to_owned()
        } else if self.payment.is_some() {
            "it was paid before".to_owned()
        } else if payment.amount_cents != agreed {
            format!("{} were agreed, not {}", euros(agreed), euros(payment.amount_cents))
        } else {
            self.payment = Some(payment);
            return Recorded(Vec::new());
        };
        if self.returned.len() >= RETURNED_MAX {
            return Refused(format!("{RETURNED_MAX} payments were sent back, and here is one more"));
        }
        self.returned.push(payment.reference.clone());
        Recorded(vec![Consequence::Refund(payment, reason)])
    }

    pub fn close(&mut self) -> Answer {
        match (&self.end, &self.payment) {
            (Some(End::Closed), _) => Ignored("it was closed before".to_owned()),
            (Some(_), _) => Refused("it cannot be closed: it has ended without".to_owned()),
            (None, Some(payment)) if self.buyer_signed && self.seller_signed => {
                let release = Consequence::Release(payment.clone());
                self.finish(End::Closed, release)
            }
            (None, _) => Refused("it cannot be closed: not all is signed and paid".to_owned()),
        }
    }

    pub fn cancel(&mut self, reason: String) -> Answer {
        match &self.end {
            Some(End::Closed) => Refused("it cannot be cancelled: the seller has the money".to_owned()),
            Some(_) => Ignored("it has ended before".to_owned()),
            None => {
                let refund = self.refund(&reason);
                self.finish(End::Cancelled { reason }, refund)
            }
        }
    }

    /// A timer has fired, possibly although it was cancelled.
    pub fn deadline_passed(&mut self, step: EscrowStep) -> Answer {
        if !self.open_steps().contains(&step) {
            return Ignored(format!("the deadline of the {} does not matter any more", step.as_str()));
        }
        let refund = self.refund(missed(step));
        self.finish(End::Expired { step }, refund)
    }

    fn refund(&self, reason: &str) -> Option<Consequence> {
        self.payment.clone().map(|payment| Consequence::Refund(payment, reason.to_owned()))
    }

    fn finish(&mut self, end: End, money: impl Into<Option<Consequence>>) -> Answer {
        self.end = Some(end.clone());
        Recorded(money.into().into_iter().chain([Consequence::Ended(end)]).collect())
    }
}

/// The missed step, for people.
pub fn missed(step: EscrowStep) -> &'static str {
    match step {
        EscrowStep::BuyerSignature => "the buyer has not signed in time",
        EscrowStep::SellerSignature => "the seller has not signed in time",
        EscrowStep::Payment => "the buyer has not paid in time",
        EscrowStep::Closing => "the buyer has not closed it in time",
    }
}
