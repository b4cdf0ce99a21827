//! The text of each mail.

use order_events::{Change, ChangeKind, InventoryReserved, euros};
use serde::{Deserialize, Serialize};

use crate::Incoming;

/// The topic of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Accepted,
    Changed,
    Charged,
    Declined,
    Refunded,
    Cancelled,
    Dispatched,
    Delivered,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Changed => "changed",
            Self::Charged => "charged",
            Self::Declined => "declined",
            Self::Refunded => "refunded",
            Self::Cancelled => "cancelled",
            Self::Dispatched => "dispatched",
            Self::Delivered => "delivered",
        }
    }
}

/// A mail without its address.
pub struct Mail {
    pub kind: Kind,
    pub subject: String,
    pub text: String,
}

/// The order and the mail about it, if the event causes one.
pub fn about(news: Incoming, name: &str) -> Option<(String, Mail)> {
    let (order, kind, subject, text) = match news {
        Incoming::Accepted(news) => {
            let text = format!("we have your order {}, {} in all.", news.order, euros(news.total_cents));
            (news.order, Kind::Accepted, "We have your order", text)
        }
        Incoming::Reserved(news) if news.changes.is_empty() => return None,
        Incoming::Reserved(news) => {
            let text = changes_text(&news);
            (news.order, Kind::Changed, "Something in your order has changed", text)
        }
        Incoming::Charged(news) => {
            let text = format!("we have received {} for order {}.", euros(news.total_cents), news.order);
            (news.order, Kind::Charged, "Thank you for your payment", text)
        }
        Incoming::Declined(news) => {
            let text = format!("order {} could not be paid: {}. It is cancelled.", news.order, news.reason);
            (news.order, Kind::Declined, "Your payment did not go through", text)
        }
        Incoming::Refunded(news) => {
            let text = format!(
                "we have charged {} for order {} and pay it back, because {}.",
                euros(news.total_cents),
                news.order,
                news.reason
            );
            (news.order, Kind::Refunded, "Your money is on its way back", text)
        }
        Incoming::Cancelled(news) => {
            let text = format!("order {} is cancelled: {}.", news.order, news.reason);
            (news.order, Kind::Cancelled, "Your order is cancelled", text)
        }
        Incoming::Dispatched(news) => {
            let text = format!("parcel {} with order {} is on its way.", news.parcel, news.order);
            (news.order, Kind::Dispatched, "Your order is on its way", text)
        }
        Incoming::Delivered(news) => {
            let text = format!("parcel {} with order {} has arrived.", news.parcel, news.order);
            (news.order, Kind::Delivered, "Your order has arrived", text)
        }
    };
    Some((order, Mail { kind, subject: subject.to_owned(), text: format!("Dear {name}, {text}") }))
}

fn changes_text(news: &InventoryReserved) -> String {
    let changes: Vec<_> = news.changes.iter().map(change_text).collect();
    format!(
        "in order {}: {}. It comes to {} instead of {}.",
        news.order,
        changes.join("; "),
        euros(news.total_cents),
        euros(news.ordered_total_cents)
    )
}

fn change_text(change: &Change) -> String {
    match (&change.kind, &change.by) {
        (ChangeKind::Substituted, Some(by)) => {
            format!("{} x {} instead of {}", change.quantity, by.name, change.name)
        }
        _ => format!("{} x {} is sold out", change.quantity, change.name),
    }
}
