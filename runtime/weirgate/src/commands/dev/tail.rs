//! What happens on the server: events and finished attempts, in the order of the log, from the start of `weirgate dev` on.

use std::collections::BTreeSet;

use anyhow::Result;
use weirgate_types::json::Node;

use super::show;
use crate::client::{Answer, Server};

/// From this attempt on the server is asked for a hint.
const HINT_ATTEMPT_MIN: u64 = 4;
/// Maximum number of deliveries whose hints are remembered as shown.
const HINTED_MAX: usize = 1_000;

/// See the module documentation.
pub struct Tail {
    /// The positions up to which events and attempts were shown.
    events: u64,
    attempts: u64,
    /// The deliveries whose hint was shown.
    hinted: BTreeSet<String>,
}

impl Tail {
    pub async fn from_now(server: &Server) -> Result<Self> {
        let head = number(&server.get("/v1/events?limit=1").await?, "head")?;
        Ok(Self { events: head, attempts: head, hinted: BTreeSet::new() })
    }

    /// Shows what is new.
    pub async fn show(&mut self, server: &Server) -> Result<()> {
        // Attempts first: so the event of each of them is among the events.
        let attempts = server.get(&format!("/v1/attempts?after={}&limit=1000", self.attempts)).await?;
        let events = server.get(&format!("/v1/events?after={}&limit=1000", self.events)).await?;
        (self.attempts, self.events) = (number(&attempts, "next_after")?, number(&events, "next_after")?);
        let (attempts, events) = (attempts.node()?, events.node()?);
        let of_attempts = items(&attempts, "attempts").iter().map(|item| (position(item), show::attempt(item)));
        let of_events = items(&events, "events").iter().map(|item| (position(item), show::event(item)));
        let mut lines: Vec<_> = of_attempts.chain(of_events).collect();
        lines.sort_by_key(|(position, _)| *position);
        for (kind, text) in lines.into_iter().flat_map(|(_, lines)| lines) {
            show::line(kind, &text);
        }
        for attempt in items(&attempts, "attempts") {
            self.show_hint(server, attempt).await?;
        }
        Ok(())
    }

    /// Once for each delivery that the server suspects of waiting for itself.
    async fn show_hint(&mut self, server: &Server, attempt: &Node<'_>) -> Result<()> {
        let outcome = attempt.get("outcome").and_then(Node::as_str).unwrap_or_default();
        let tried = attempt.get("attempt").and_then(|node| node.text().parse().ok()).unwrap_or(0_u64);
        let may_be = outcome == "awaiting-correction" || outcome == "retry" && tried >= HINT_ATTEMPT_MIN;
        let Some(id) = attempt.get("delivery").and_then(Node::as_str).filter(|_| may_be) else { return Ok(()) };
        if self.hinted.contains(&*id) || self.hinted.len() >= HINTED_MAX {
            return Ok(());
        }
        // It may be closed by now.
        let Ok(delivery) = server.get(&format!("/v1/deliveries/{id}")).await else { return Ok(()) };
        if let Some(hint) = delivery.node()?.get("hint").and_then(Node::as_str) {
            show::line("hint", &format!("{id}: {hint}"));
            self.hinted.insert(id.into_owned());
        }
        Ok(())
    }
}

fn items<'n, 'a>(answer: &'n Node<'a>, name: &str) -> &'n [Node<'a>] {
    answer.get(name).map(Node::items).unwrap_or_default()
}

fn position(item: &Node) -> u64 {
    item.get("position").and_then(|node| node.text().parse().ok()).unwrap_or(0)
}

fn number(answer: &Answer, name: &str) -> Result<u64> {
    let answer = answer.node()?;
    let number = answer.get(name).and_then(|node| node.text().parse().ok());
    number.ok_or_else(|| anyhow::anyhow!("the answer has no {name}"))
}
