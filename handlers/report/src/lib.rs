//! The report handler: counts orders by result, shows the count once a minute and closes it once a day. The manifest's
//! schedules set the times; the handler itself knows no time.

use order_events::{
    OrderCancelled, OrderCount, OrderPaid, REPORT_KEY, ReportCounted, ReportDayClosed, ReportDayPassed,
    ReportMinutePassed, euros,
};
use serde::{Deserialize, Serialize};
use weirgate_sdk::prelude::*;

/// The events that this handler takes.
#[derive(Debug, Events)]
pub enum Incoming {
    Paid(OrderPaid),
    Cancelled(OrderCancelled),
    Counted(ReportCounted),
    MinutePassed(ReportMinutePassed),
    DayPassed(ReportDayPassed),
}

/// The count, and the part of it that was shown.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Report {
    today: OrderCount,
    yesterday: OrderCount,
    /// Whether the page is up to date.
    is_shown: bool,
}

const REPORT: &str = "report";

#[derive(Serialize)]
struct ReportData {
    today: OrderCount,
    yesterday: OrderCount,
}

/// # Errors
/// None.
#[handler]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    match event.data {
        Incoming::Paid(OrderPaid { order, total_cents, .. }) => {
            let count = OrderCount { paid: 1, paid_cents: total_cents, ..OrderCount::default() };
            context.emit_to(REPORT_KEY, &ReportCounted { order, count });
            Ok(())
        }
        Incoming::Cancelled(OrderCancelled { order, .. }) => {
            let count = OrderCount { cancelled: 1, ..OrderCount::default() };
            context.emit_to(REPORT_KEY, &ReportCounted { order, count });
            Ok(())
        }
        Incoming::Counted(counted) => count(&counted.count, context),
        Incoming::MinutePassed(_) => show(context),
        Incoming::DayPassed(_) => close(context),
    }
}

fn count(more: &OrderCount, context: &Context) -> Result<(), Failure> {
    let mut report: Report = context.state().get(REPORT)?.unwrap_or_default();
    let OrderCount { paid, paid_cents, cancelled } = &mut report.today;
    *paid = paid.saturating_add(more.paid);
    *paid_cents = paid_cents.saturating_add(more.paid_cents);
    *cancelled = cancelled.saturating_add(more.cancelled);
    report.is_shown = false;
    context.state().set(REPORT, &report)
}

/// Shows the count if it has changed since it was last shown.
fn show(context: &mut Context) -> Result<(), Failure> {
    let Some(mut report) = context.state().get::<Report>(REPORT)?.filter(|report| !report.is_shown) else {
        return Ok(());
    };
    report.is_shown = true;
    context.state().set(REPORT, &report)?;
    let Report { today, yesterday, .. } = report;
    let text = format!("Today {} orders paid, {}; {} cancelled", today.paid, euros(today.paid_cents), today.cancelled);
    context.set_status("counted", text).data(&ReportData { today, yesterday });
    Ok(())
}

/// The day's count is published, and the next one begins at zero. A day without orders is published too.
fn close(context: &mut Context) -> Result<(), Failure> {
    let Report { today, .. } = context.state().get(REPORT)?.unwrap_or_default();
    let next = Report { yesterday: today, ..Report::default() };
    context.state().set(REPORT, &next)?;
    context.emit(&ReportDayClosed { count: today });
    show(context)
}
