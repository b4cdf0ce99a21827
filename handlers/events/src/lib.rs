//! The events of the order domain, as the handlers exchange them, and the catalogue that orders are checked against. Plain
//! data: each handler decides how it reacts to an event. `handlers/README.md` shows them as JSON.

pub mod catalogue;
mod delivery;
mod escrow;
mod money;
mod order;
mod pace;
mod payment;
mod report;
mod span;
mod stock;

pub use delivery::{
    DeliveryDelivered, DeliveryDispatched, DeliveryDue, DeliveryPacked, DeliveryStep, NotificationSent,
};
pub use escrow::{
    EscrowBuyerSigned, EscrowCancelRequested, EscrowCancelled, EscrowCloseRequested, EscrowClosed,
    EscrowDeadlinePassed, EscrowDeadlines, EscrowExpired, EscrowFunded, EscrowOpened, EscrowRefundRequested,
    EscrowReleaseRequested, EscrowSellerSigned, EscrowSigned, EscrowStep, escrow_key,
};
pub use money::euros;
pub use order::{
    Customer, OrderAccepted, OrderCancelRequested, OrderCancelled, OrderPaid, OrderPaymentOverdue, OrderPlaced,
    OrderRejected, PlacedLine, acceptance_key, order_key,
};
pub use pace::{PACE_TIMER, pace};
pub use payment::{
    InvoiceCreated, InvoiceDue, PaymentCharged, PaymentDeclined, PaymentDetailsCorrected, PaymentRefunded,
};
pub use report::{OrderCount, REPORT_KEY, ReportCounted, ReportDayClosed, ReportDayPassed, ReportMinutePassed};
pub use span::span;
pub use stock::{
    Article, Change, ChangeKind, InventoryReserved, InventoryUnavailable, Line, StockAnswered, StockCollected,
    StockCounted, StockPicked, StockReleased, StockRequested, stock_key, total_cents,
};
