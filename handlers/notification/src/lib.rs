//! The notification handler: writes the customer's mails, at most one of a kind per order. A mail is an event; sending it is
//! left to others.

mod mail;

use mail::{Kind, Mail};
use order_events::{
    DeliveryDelivered, DeliveryDispatched, InventoryReserved, NotificationSent, OrderAccepted, OrderCancelled,
    PaymentCharged, PaymentDeclined, PaymentRefunded,
};
use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// The events that this handler takes.
#[derive(Debug, Events)]
pub enum Incoming {
    Accepted(OrderAccepted),
    Reserved(InventoryReserved),
    Charged(PaymentCharged),
    Declined(PaymentDeclined),
    Refunded(PaymentRefunded),
    Cancelled(OrderCancelled),
    Dispatched(DeliveryDispatched),
    Delivered(DeliveryDelivered),
}

/// The recipient, and the written mails.
#[derive(Debug, Serialize, Deserialize)]
struct Correspondence {
    name: String,
    to: String,
    sent: Vec<Kind>,
}

const CORRESPONDENCE: &str = "correspondence";

#[derive(Serialize)]
struct SentData<'a> {
    count: usize,
    last: LastMail<'a>,
}

#[derive(Serialize)]
struct LastMail<'a> {
    kind: Kind,
    to: &'a str,
    subject: &'a str,
    text: &'a str,
}

/// # Errors
/// None.
#[handler]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    let known = context.state().get::<Correspondence>(CORRESPONDENCE)?;
    let Some(mut correspondence) = known.or_else(|| begin(&event.data)) else {
        context.warn("no mail: the order's address is not known");
        return Ok(());
    };
    let Some((order, mail)) = mail::about(event.data, &correspondence.name) else { return Ok(()) };
    if correspondence.sent.contains(&mail.kind) || is_said_already(mail.kind, &correspondence.sent) {
        context.info(format!("no mail: {:?} was said before", mail.kind));
        return Ok(());
    }
    correspondence.sent.push(mail.kind);
    context.state().set(CORRESPONDENCE, &correspondence)?;
    send(order, mail, &correspondence, context);
    Ok(())
}

fn begin(news: &Incoming) -> Option<Correspondence> {
    let Incoming::Accepted(OrderAccepted { customer, .. }) = news else { return None };
    Some(Correspondence { name: customer.name.clone(), to: customer.email.clone(), sent: Vec::new() })
}

/// A declined payment cancels the order; one mail is enough for both. A payment after the cancellation causes no mail of
/// thanks: it is refunded, and the refund is the mail.
fn is_said_already(kind: Kind, sent: &[Kind]) -> bool {
    match kind {
        Kind::Cancelled => sent.contains(&Kind::Declined),
        Kind::Charged => sent.contains(&Kind::Cancelled),
        _ => false,
    }
}

fn send(order: String, mail: Mail, correspondence: &Correspondence, context: &mut Context) {
    let Mail { kind, subject, text } = mail;
    let (count, to) = (correspondence.sent.len(), &correspondence.to);
    let last = LastMail { kind, to, subject: &subject, text: &text };
    context.set_status("sent", format!("Mail {count}: {subject}")).data(&SentData { count, last });
    context.emit(&NotificationSent { order, kind: kind.as_str().to_owned(), to: to.clone(), subject, text });
}
