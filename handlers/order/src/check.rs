//! Whether an order can be accepted, by the order itself and the catalogue only.

use order_events::{Line, OrderAccepted, OrderPlaced, OrderRejected, PlacedLine, catalogue, euros, total_cents};

const LINES_MAX: usize = 30;
const QUANTITY_MAX: u32 = 99;
/// Maximum length of names, addresses and the like.
const TEXT_BYTES_MAX: usize = 200;
/// Maximum number of reported problems.
const PROBLEMS_MAX: usize = 20;

/// Checks everything, so that a customer sees all problems at once.
pub fn check(placed: OrderPlaced) -> Result<OrderAccepted, OrderRejected> {
    let mut problems = header_problems(&placed);
    for (number, line) in (1..).zip(&placed.lines).take(LINES_MAX) {
        problems.extend(line_problems(line).into_iter().map(|problem| format!("line {number}: {problem}")));
    }
    if !problems.is_empty() {
        problems.truncate(PROBLEMS_MAX);
        return Err(OrderRejected { order: placed.order, problems });
    }
    let OrderPlaced { order, customer, lines, card } = placed;
    let lines: Vec<_> = lines.into_iter().map(with_catalogue_name).collect();
    let total_cents = total_cents(&lines.iter().map(as_line).collect::<Vec<_>>());
    Ok(OrderAccepted { order, customer, lines, card, total_cents })
}

/// The line without the customer's options.
pub fn as_line(line: &PlacedLine) -> Line {
    let PlacedLine { sku, name, quantity, unit_price_cents, substitutes_ok: _ } = line.clone();
    Line { sku, name, quantity, unit_price_cents }
}

fn header_problems(placed: &OrderPlaced) -> Vec<String> {
    let customer = &placed.customer;
    let mut problems = Vec::new();
    for (what, text) in [("name", &customer.name), ("address", &customer.address)] {
        if text.trim().is_empty() {
            problems.push(format!("the {what} is missing"));
        }
    }
    for (what, text) in [
        ("name", &customer.name),
        ("address", &customer.address),
        ("e-mail address", &customer.email),
        ("card", &placed.card),
        ("order's id", &placed.order),
    ] {
        if text.len() > TEXT_BYTES_MAX {
            problems.push(format!("the {what} is longer than {TEXT_BYTES_MAX} bytes"));
        }
    }
    if !is_email(&customer.email) {
        problems.push("the e-mail address is not one".to_owned());
    }
    match placed.lines.len() {
        0 => problems.push("the order is empty".to_owned()),
        1..=LINES_MAX => {}
        n => problems.push(format!("the order has {n} lines; at most {LINES_MAX} are taken")),
    }
    problems
}

fn line_problems(line: &PlacedLine) -> Vec<String> {
    let Some(entry) = catalogue::find(&line.sku) else {
        let sku: String = line.sku.chars().take(40).collect();
        return vec![format!("there is no article `{sku}`")];
    };
    let mut problems = Vec::new();
    if !(1..=QUANTITY_MAX).contains(&line.quantity) {
        problems.push(format!("quantity {} is not 1 to {QUANTITY_MAX}", line.quantity));
    }
    if line.unit_price_cents != entry.price_cents {
        let [right, given] = [entry.price_cents, line.unit_price_cents].map(euros);
        problems.push(format!("the price of {} is {right}, not {given}", entry.name));
    }
    problems
}

fn with_catalogue_name(line: PlacedLine) -> PlacedLine {
    match catalogue::find(&line.sku) {
        Some(entry) => PlacedLine { name: entry.name.to_owned(), ..line },
        None => line,
    }
}

/// Something, `@`, something, and no spaces: only a mail can show whether mail arrives there.
fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty()) && !text.contains(char::is_whitespace)
}
