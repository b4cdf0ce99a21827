//! The escrow handler: holds a buyer's money until the seller has earned it. A saga in one handler: it waits for the actions
//! of the two parties, each step with a deadline by a durable timer, and compensates when a step is missed. The reaction to
//! every event in every state is a table, in `deal.rs`.

mod deal;
mod tell;
mod terms;

use deal::{Answer, Deal, Party, Payment};
use order_events::{
    EscrowBuyerSigned, EscrowCancelRequested, EscrowCloseRequested, EscrowDeadlinePassed, EscrowFunded, EscrowOpened,
    EscrowSellerSigned, EscrowStep, escrow_key,
};
use weirgate_sdk::prelude::*;

/// The events that this handler takes.
#[derive(Debug, Events)]
pub enum Incoming {
    Opened(EscrowOpened),
    BuyerSigned(EscrowBuyerSigned),
    SellerSigned(EscrowSellerSigned),
    Funded(EscrowFunded),
    CloseRequested(EscrowCloseRequested),
    CancelRequested(EscrowCancelRequested),
    /// From its own timers, each named after its step.
    DeadlinePassed(EscrowDeadlinePassed),
}

const DEAL: &str = "deal";
/// Maximum length of a payment's name.
const REFERENCE_BYTES_MAX: usize = 200;
/// Longer reasons are cut.
const REASON_CHARS_MAX: usize = 200;

/// # Errors
/// Correctable: the terms of an escrow are wrong. Permanent: the request is not possible, according to the table in
/// `deal.rs`, or the data names another escrow than the key. Transient: a setting is not a number.
#[handler]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    let named = escrow_key(escrow_of(&event.data));
    if named != context.delivery().key {
        return Err(Failure::permanent(format!("the key is {}, but the data names {named}", context.delivery().key)));
    }
    match (context.state().get::<Deal>(DEAL)?, event.data) {
        (Some(deal), news) => go_on(deal, news, context),
        (None, Incoming::Opened(opened)) => open(opened, context),
        (None, Incoming::DeadlinePassed(_)) => {
            context.warn("ignored: a deadline of an escrow that was never opened");
            Ok(())
        }
        (None, _) => Err(Failure::permanent("the escrow was never opened")),
    }
}

fn open(opened: EscrowOpened, context: &mut Context) -> Result<(), Failure> {
    if let Some(problem) = terms::problem(&opened) {
        return Err(Failure::correctable("no escrow can be held on these terms", problem));
    }
    let deal = Deal::of(opened);
    keep(&deal, &[], context)
}

fn go_on(mut deal: Deal, news: Incoming, context: &mut Context) -> Result<(), Failure> {
    let before = deal.open_steps();
    match answer(&mut deal, news) {
        Answer::Recorded(consequences) => {
            for consequence in consequences {
                tell::emit(consequence, &deal, context);
            }
            keep(&deal, &before, context)
        }
        Answer::Ignored(why) => {
            context.info(format!("ignored: {why}"));
            Ok(())
        }
        Answer::Refused(why) => Err(Failure::permanent(why)),
    }
}

fn answer(deal: &mut Deal, news: Incoming) -> Answer {
    match news {
        Incoming::Opened(terms) => deal.open_again(&terms),
        Incoming::BuyerSigned(_) => deal.sign(Party::Buyer),
        Incoming::SellerSigned(_) => deal.sign(Party::Seller),
        Incoming::Funded(EscrowFunded { reference, amount_cents, .. }) => {
            if reference.is_empty() || reference.len() > REFERENCE_BYTES_MAX {
                return Answer::Refused(format!("a payment's reference is not 1 to {REFERENCE_BYTES_MAX} bytes"));
            }
            deal.fund(Payment { reference, amount_cents })
        }
        Incoming::CloseRequested(_) => deal.close(),
        Incoming::CancelRequested(request) => deal.cancel(request.reason.chars().take(REASON_CHARS_MAX).collect()),
        Incoming::DeadlinePassed(EscrowDeadlinePassed { step, .. }) => deal.deadline_passed(step),
    }
}

/// Stores the escrow's state, shows it, and runs a timer for each open step and for no other.
fn keep(deal: &Deal, before: &[EscrowStep], context: &mut Context) -> Result<(), Failure> {
    context.state().set(DEAL, deal)?;
    tell::set_status(deal, context);
    let after = deal.open_steps();
    for step in before.iter().filter(|step| !after.contains(step)) {
        context.cancel_timer(step.as_str());
    }
    for step in after.into_iter().filter(|step| !before.contains(step)) {
        let due = Due::after(terms::deadline(step, &deal.terms, context)?);
        let event = EscrowDeadlinePassed { escrow: deal.terms.escrow.clone(), step };
        context.start_timer(step.as_str(), due, &event);
    }
    Ok(())
}

fn escrow_of(news: &Incoming) -> &str {
    match news {
        Incoming::Opened(news) => &news.escrow,
        Incoming::BuyerSigned(news) => &news.escrow,
        Incoming::SellerSigned(news) => &news.escrow,
        Incoming::Funded(news) => &news.escrow,
        Incoming::CloseRequested(news) => &news.escrow,
        Incoming::CancelRequested(news) => &news.escrow,
        Incoming::DeadlinePassed(news) => &news.escrow,
    }
}
