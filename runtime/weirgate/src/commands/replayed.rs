//! Attempts that were executed again, as lines for people: what differs, and what was left out.

use weirgate_types::json::Node;

/// The result of a check before a deployment.
pub fn check_lines(check: &Node<'_>) -> Vec<String> {
    let mut lines = differences(check);
    let parts = check.get("by_part").and_then(Node::members).unwrap_or_default();
    let parts: Vec<_> = parts.iter().map(|member| format!("{} {}", member.name, member.value.text())).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let (executed, different) = (number(check, "executed"), number(check, "different"));
    lines.push(format!("recorded attempts executed again: {executed}; different: {different}{parts}"));
    lines.extend(migrations(check));
    if let Some(left_out) = check.get("left_out") {
        lines.extend(reasons(left_out));
    }
    if check.get("is_cut").is_some_and(|cut| cut.text() == "true") {
        let from = number(check, "from");
        lines.push(format!("the time for a check was used up: what ended before position {from} was not looked at"));
    }
    for subscription in check.get("not_covered").map(Node::items).unwrap_or_default() {
        let subscription = subscription.as_str().unwrap_or_default();
        lines.push(format!("not covered: events of the new subscription {subscription}, of which nothing is recorded"));
    }
    lines
}

fn migrations(check: &Node<'_>) -> Vec<String> {
    let migrated = number(check, "migrated");
    let mut lines = Vec::new();
    if migrated > 0 {
        lines.push(format!("attempts before which the state was migrated, so that it is not compared: {migrated}"));
    }
    for failed in check.get("migrations_failed").and_then(Node::members).unwrap_or_default() {
        lines.push(format!(
            "the state of {} is not migrated: {}",
            failed.name,
            failed.value.as_str().unwrap_or_default()
        ));
    }
    lines
}

/// The result of a verification.
pub fn verified_lines(verified: &Node<'_>) -> Vec<String> {
    let mut lines = differences(verified);
    lines.extend(reasons(verified));
    let (executed, different) = (number(verified, "executed"), number(verified, "different"));
    let skipped = format!("not reproducible, not executed: {}", number(verified, "not_reproducible"));
    lines.push(format!("attempts executed again: {executed}; {skipped}; different: {different}"));
    lines
}

/// The attempts that differ, and in what.
pub fn differences(of: &Node<'_>) -> Vec<String> {
    let shown = of.get("differences").map(Node::items).unwrap_or_default();
    let mut lines = Vec::new();
    for one in shown {
        let delivery = one.get("delivery").and_then(Node::as_str).unwrap_or_default();
        let (attempt, commit) = (number(one, "attempt"), number(one, "commit"));
        lines.push(format!("{delivery}, attempt {attempt}, committed at {commit}:"));
        for part in one.get("parts").map(Node::items).unwrap_or_default() {
            let text = |name: &str| part.get(name).and_then(Node::as_str).unwrap_or_default();
            let (name, recorded, now) = (text("part"), text("recorded"), text("now"));
            lines.push(format!("  {name} recorded: {recorded}"));
            lines.push(format!("  {name} now:      {now}"));
        }
    }
    let more = number(of, "different").saturating_sub(shown.len() as u64);
    lines.extend((more > 0).then(|| format!("and {more} more that differ")));
    lines
}

fn reasons(of: &Node<'_>) -> Vec<String> {
    let reasons = [
        ("without_module", "without their module"),
        ("of_lost_inputs", "that may have read lost records"),
        ("of_batches", "of a batch, for a version that takes single deliveries"),
        ("too_far_back", "whose keys have too many records since their events"),
    ];
    let mut lines: Vec<_> = reasons
        .iter()
        .filter(|(name, _)| number(of, name) > 0)
        .map(|(name, what)| format!("attempts {what}, not executed: {}", number(of, name)))
        .collect();
    let is_check = of.get("executed").is_none() && number(of, "not_reproducible") > 0;
    lines.extend(is_check.then(|| format!("not reproducible, not executed: {}", number(of, "not_reproducible"))));
    lines
}

fn number(of: &Node<'_>, name: &str) -> u64 {
    of.get(name).and_then(Node::as_u64).unwrap_or(0)
}
