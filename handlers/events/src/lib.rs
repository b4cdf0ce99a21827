//! The events of the order domain, as the handlers exchange them, and the catalogue that orders are checked against.
//! Plain data: what happens on an event is each handler's own business. `handlers/README.md` shows them as JSON.

pub mod catalogue;
mod delivery;
mod money;
mod order;
mod payment;
mod stock;

pub use delivery::{DeliveryDelivered, DeliveryDispatched, DeliveryPacked, NotificationSent};
pub use money::euros;
pub use order::{Customer, OrderAccepted, OrderCancelled, OrderPlaced, OrderRejected, PlacedLine, order_key};
pub use payment::{InvoiceCreated, PaymentCharged, PaymentDeclined};
pub use stock::{
    Article, Change, ChangeKind, InventoryReserved, InventoryUnavailable, Line, StockAnswered, StockReleased,
    StockRequested, stock_key, total_cents,
};
