//! The support handler: one list of open cases, over all orders and handlers. The runtime's notice of each delivery has the
//! delivery's own key, so this handler passes it on to itself under one key, where the list is kept.

mod inbox;
mod notice;

use inbox::{Inbox, Item, Kind};
use notice::{Closed, DeadLettered, Decided, Opened, Recovered, Waiting};
use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// The events that this handler takes.
#[derive(Debug, Events)]
pub enum Incoming {
    Waiting(Waiting),
    DeadLettered(DeadLettered),
    Recovered(Recovered),
    Decided(Decided),
    Opened(Opened),
    Closed(Closed),
    Noted(SupportNoted),
}

/// A case that was opened or settled: from this handler to itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("support.noted")]
pub struct SupportNoted {
    pub name: String,
    /// Absent: it is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
}

/// The key and the subject of the list.
pub const SUBJECT: &str = "support/inbox";
const INBOX: &str = "inbox";
/// Number of items that fit into the status for certain.
const SHOWN_MAX: usize = 15;

#[derive(Serialize)]
struct InboxData<'a> {
    waiting: usize,
    dead_lettered: usize,
    breakers_open: usize,
    left_out: u64,
    /// The oldest ones.
    items: &'a [Item],
}

/// # Errors
/// None.
#[handler]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    let subject = event.subject.unwrap_or_default();
    match event.data {
        Incoming::Waiting(Waiting(notice)) => pass_on(Kind::Waiting, notice, context),
        Incoming::DeadLettered(DeadLettered(notice)) => pass_on(Kind::DeadLettered, notice, context),
        Incoming::Recovered(Recovered(notice)) | Incoming::Decided(Decided(notice)) => {
            note(notice.delivery, None, context);
        }
        Incoming::Opened(Opened(notice)) => {
            let (key, r#type, message) = (String::new(), String::new(), notice.reason);
            let item =
                Item { name: subject.clone(), kind: Kind::BreakerOpen, key, r#type, message, what_is_wrong: None };
            note(subject, Some(item), context);
        }
        Incoming::Closed(_) => note(subject, None, context),
        Incoming::Noted(noted) => return keep(noted, context),
    }
    Ok(())
}

fn pass_on(kind: Kind, notice: notice::Notice, context: &mut Context) {
    if notice.handler == context.delivery().handler {
        // Its own failures are not noted: noting one would fail again.
        context.warn(format!("not noted: {} is a delivery of support's own", notice.delivery));
        return;
    }
    let failure = notice.failure.unwrap_or_default();
    let item = Item {
        name: notice.delivery.clone(),
        kind,
        key: notice.key,
        r#type: notice.event.r#type,
        message: failure.message,
        what_is_wrong: failure.what_is_wrong,
    };
    note(notice.delivery, Some(item), context);
}

fn note(name: String, item: Option<Item>, context: &mut Context) {
    context.emit_to(SUBJECT, &SupportNoted { name, item: item.map(Item::cut) });
}

/// Under the list's own key: the next change of the list.
fn keep(noted: SupportNoted, context: &mut Context) -> Result<(), Failure> {
    let mut inbox: Inbox = context.state().get(INBOX)?.unwrap_or_default();
    match noted.item {
        Some(item) => inbox.add(item),
        None => inbox.settle(&noted.name),
    }
    context.state().set(INBOX, &inbox)?;
    show(&inbox, context);
    Ok(())
}

fn show(inbox: &Inbox, context: &mut Context) {
    let [waiting, dead_lettered, breakers_open] =
        [Kind::Waiting, Kind::DeadLettered, Kind::BreakerOpen].map(|kind| inbox.count(kind));
    let state = if inbox.items.is_empty() { "empty" } else { "open" };
    let text = match inbox.items.len() {
        0 => "No open cases".to_owned(),
        _ => format!("{waiting} to correct, {dead_lettered} dead letters, {breakers_open} breakers open"),
    };
    let items = inbox.items.get(..SHOWN_MAX).unwrap_or(&inbox.items);
    let data = InboxData { waiting, dead_lettered, breakers_open, left_out: inbox.left_out, items };
    context.set_status(state, text).data(&data);
}
