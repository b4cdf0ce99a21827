//! The events of `inventory`: to itself about single articles (`stock.*`, in order per article), and to others about a whole
//! order (`inventory.*`).

use serde::{Deserialize, Serialize};
use weirgate_sdk::EventType;

/// The key and the subject of one article's stock.
#[must_use]
pub fn stock_key(sku: &str) -> String {
    format!("sku/{sku}")
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Article {
    pub sku: String,
    pub name: String,
    pub unit_price_cents: u64,
}

/// A line as it will be delivered and paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub sku: String,
    pub name: String,
    pub quantity: u32,
    pub unit_price_cents: u64,
}

/// The total of the lines.
#[must_use]
pub fn total_cents(lines: &[Line]) -> u64 {
    lines.iter().map(|line| line.unit_price_cents.saturating_mul(line.quantity.into())).fold(0, u64::saturating_add)
}

/// Requests units of an article for a line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("stock.requested")]
pub struct StockRequested {
    pub order: String,
    /// Counts the placed lines from 0.
    pub line: usize,
    pub article: Article,
    pub quantity: u32,
    pub substitutes_ok: bool,
    /// The ordered article, if this one is its substitute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<Article>,
}

/// All units of a line were taken from the stock, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("stock.answered")]
pub struct StockAnswered {
    pub order: String,
    pub line: usize,
    pub article: Article,
    pub quantity: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<Article>,
    pub reserved: bool,
}

/// A picker has answered a line by hand. Unchecked: the product may be unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("stock.picked")]
pub struct StockPicked {
    pub order: String,
    /// Counts the placed lines from 0.
    pub line: usize,
    /// Absent: nothing was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The mark on the product or its shelf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked_price_cents: Option<u64>,
    /// The price of one, if the catalogue has none: added by a correction of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price_cents: Option<u64>,
}

/// The event of the inventory handler's timer: the order's items are collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("stock.collected")]
pub struct StockCollected {
    pub order: String,
}

/// The warehouse has counted an article.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("stock.counted")]
pub struct StockCounted {
    pub sku: String,
    /// Absent: as many as known; the status shows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_hand: Option<u64>,
}

/// Units are returned to the stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("stock.released")]
pub struct StockReleased {
    pub order: String,
    pub sku: String,
    pub quantity: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// A substitute is sent, at its own price.
    Substituted,
    /// Nothing is sent and nothing is charged.
    Unavailable,
}

/// How a line differs from the placed one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub kind: ChangeKind,
    /// Counts the placed lines from 0.
    pub line: usize,
    pub sku: String,
    pub name: String,
    pub quantity: u32,
    pub unit_price_cents: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Article>,
}

/// The stock of the order is reserved; this is the amount to pay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("inventory.reserved")]
pub struct InventoryReserved {
    pub order: String,
    pub lines: Vec<Line>,
    pub total_cents: u64,
    /// The total of the placed order.
    pub ordered_total_cents: u64,
    pub changes: Vec<Change>,
}

/// Nothing of the order can be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, EventType)]
#[event("inventory.unavailable")]
pub struct InventoryUnavailable {
    pub order: String,
    pub changes: Vec<Change>,
}
