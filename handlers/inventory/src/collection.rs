//! The state of an order's lines while their answers come in, and the result. Pure: no context, no events.

use order_events::{Article, Change, ChangeKind, Line, OrderAccepted, PlacedLine, StockAnswered};
use serde::{Deserialize, Serialize};

/// The progress of an order's stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    Checking,
    Reserved,
    Unavailable,
    /// The order failed; later answers are returned to the stock.
    Released,
}

/// An order's lines, in the order in which they were placed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Collection {
    pub stage: Stage,
    pub total_cents: u64,
    slots: Vec<Slot>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Slot {
    placed: PlacedLine,
    answer: Option<Answer>,
}

/// `article` is what will be sent, if anything.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    article: Option<Article>,
    /// It comes from uncounted stock.
    #[serde(default)]
    is_picked: bool,
}

impl Collection {
    pub fn of(accepted: &OrderAccepted) -> Self {
        let slots = accepted.lines.iter().map(|placed| Slot { placed: placed.clone(), answer: None }).collect();
        Self { stage: Stage::Checking, total_cents: accepted.total_cents, slots }
    }

    /// Adds an answer. False if the line does not (or no longer) wait for one.
    pub fn keep(&mut self, answered: &StockAnswered) -> bool {
        let is_open = self.open_line(answered.line).is_some();
        if is_open {
            self.put(answered.line, answered.reserved.then(|| answered.article.clone()), false);
        }
        is_open
    }

    /// The placed line, if it still waits for its answer.
    pub fn open_line(&self, line: usize) -> Option<&PlacedLine> {
        let open = self.slots.get(line).filter(|slot| slot.answer.is_none())?;
        (self.stage == Stage::Checking).then_some(&open.placed)
    }

    /// A picker's answer for a line: what will be sent, if anything.
    pub fn pick(&mut self, line: usize, article: Option<Article>) {
        self.put(line, article, true);
    }

    fn put(&mut self, line: usize, article: Option<Article>, is_picked: bool) {
        if let Some(slot) = self.slots.get_mut(line) {
            slot.answer = Some(Answer { article, is_picked });
        }
    }

    pub fn lines(&self) -> usize {
        self.slots.len()
    }

    pub fn answered(&self) -> usize {
        self.slots.iter().filter(|slot| slot.answer.is_some()).count()
    }

    /// The reserved lines.
    pub fn reserved(&self) -> Vec<Line> {
        self.slots.iter().filter_map(Slot::reserved).collect()
    }

    /// The part of them that was taken from the counted stock.
    pub fn taken(&self) -> Vec<Line> {
        let is_counted = |slot: &&Slot| slot.answer.as_ref().is_some_and(|answer| !answer.is_picked);
        self.slots.iter().filter(is_counted).filter_map(Slot::reserved).collect()
    }

    /// How the reserved lines differ from the placed ones.
    pub fn changes(&self) -> Vec<Change> {
        self.slots.iter().enumerate().filter_map(|(line, slot)| slot.change(line)).collect()
    }
}

impl Slot {
    fn reserved(&self) -> Option<Line> {
        let Article { sku, name, unit_price_cents } = self.answer.as_ref()?.article.clone()?;
        Some(Line { sku, name, quantity: self.placed.quantity, unit_price_cents })
    }

    fn change(&self, line: usize) -> Option<Change> {
        let article = self.answer.as_ref()?.article.clone();
        if article.as_ref().is_some_and(|article| article.sku == self.placed.sku) {
            return None;
        }
        let kind = if article.is_some() { ChangeKind::Substituted } else { ChangeKind::Unavailable };
        let PlacedLine { sku, name, quantity, unit_price_cents, .. } = self.placed.clone();
        Some(Change { kind, line, sku, name, quantity, unit_price_cents, by: article })
    }
}
