//! Waiting for a replay: until it is computed, or until its plan is applied. Progress is told on standard error.

use std::time::Duration;

use anyhow::{Result, bail};
use weirgate_types::json::Node;

use super::{ask::id_of, differences, show::COLUMNS};
use crate::{
    client::{Answer, Server, path},
    commands::{
        arguments::{LIMIT_MAX, Output, Page},
        members::{is_true, items, number, word},
        table::{self, moments},
    },
    failure::Failure,
    output,
};

/// Interval between polls of a waiting command, and number of polls between progress messages.
const ASK_EVERY: Duration = Duration::from_millis(200);
const TELL_EVERY: u32 = 10;
/// Number of keys that were not repaired that are told.
const REFUSED_SHOWN_MAX: usize = 20;

/// Prints a replay.
pub fn print(output: Output, replay: Answer) -> Result<()> {
    match output {
        Output::Json => table::show(output, &replay),
        Output::Text => table::print(output, &Answer::listed("replays", &[replay]), "replays", &COLUMNS),
    }
}

/// Waits until a replay is computed, or is known not to be: a server that has started since computes it again.
pub async fn ready(server: &Server, id: &str) -> Result<Answer> {
    let replay = server.get(&path(&["replays", id])?).await?;
    wait(server, replay, is_computing).await
}

/// The same for one whose differences or plan are read: one that has ended is computed again only for that. Returns what was left out.
pub async fn found(server: &Server, id: &str) -> Result<Vec<String>> {
    let mut replay = ready(server, id).await?;
    if replay.node()?.get("found").is_none() {
        // The refusal says that it is not computed yet: that begins with the question.
        drop(server.get(&path(&["replays", id, "plan"])?).await);
        replay = ready(server, id).await?;
    }
    Ok(replay.node()?.get("found").map(not_examined).unwrap_or_default())
}

/// Waits until a replay is computed, and prints what differs.
///
/// # Errors
/// It failed, or was cancelled.
pub async fn computed(server: &Server, output: Output, begun: Answer) -> Result<()> {
    let (id, replay) = (id_of(&begun)?, wait(server, begun, is_computing).await?);
    let (state, error, limits) = {
        let node = replay.node()?;
        (word(&node, "state"), word(&node, "error"), node.get("found").map(notes).unwrap_or_default())
    };
    match state.as_str() {
        "failed" => bail!("replay {id} failed: {error}"),
        "cancelled" => return Err(Failure::Refused(format!("replay {id} was cancelled")).into()),
        _ => {}
    }
    let limit = (output == Output::Json).then_some(LIMIT_MAX);
    let page = differences::read(server, &id, None, Page { after: None, limit }).await?;
    if output == Output::Json {
        return table::show(output, &replay.with(&page)?);
    }
    print(output, replay)?;
    for limit in &limits {
        output::note(limit);
    }
    let page = page.node()?;
    differences::print(&page)?;
    table::print_next_by(&page, &format!("weirgate replays diff {id} "))
}

/// What was left out, or that nothing was looked at.
fn notes(found: &Node) -> Vec<String> {
    let mut notes = not_examined(found);
    if number(found, "executed") == 0 && number(found, "keys") == 0 && notes.is_empty() {
        notes.push("no delivery was looked at: the selection takes none".to_owned());
    }
    notes
}

/// What was left out.
fn not_examined(found: &Node) -> Vec<String> {
    let left_out = |name: &str, of: &str| {
        let part = found.get(name)?;
        let (limit, after) = (word(part, "limit"), number(part, "after"));
        Some(format!("the limit {limit} was reached: events after {after} were not examined{of}"))
    };
    let receivers = " at the receivers of changed events; the plan has all that was found of the handler's own keys";
    let keys = number(found, "keys_not_examined");
    let of_hosts = (keys > 0).then(|| {
        format!("keys that were not examined, because the breaker of a called host was open: {keys}; ask again when it is closed")
    });
    let left_out = [left_out("not_examined", ""), left_out("receivers_not_examined", receivers), of_hosts];
    left_out.into_iter().flatten().collect()
}

/// Waits until the application of a replay has ended, and prints what came of it.
///
/// # Errors
/// It ended early, or keys were not repaired.
pub async fn applied(server: &Server, output: Output, begun: Answer) -> Result<()> {
    let (id, replay) = (id_of(&begun)?, wait(server, begun, is_applying).await?);
    let (state, error, past_timers, (refused, count)) = {
        let node = replay.node()?;
        let application = node.get("application");
        let error = application.map(|one| word(one, "error")).unwrap_or_default();
        let refused = application.and_then(|application| application.get("refused")).map(refusals).unwrap_or_default();
        let past_timers = application.map(|application| number(application, "past_timers")).unwrap_or_default();
        (word(&node, "state"), error, past_timers, refused)
    };
    print(output, replay)?;
    if past_timers > 0 {
        output::note(&format!(
            "timers that were not set, because they were due when their key was repaired: {past_timers}; ask again what would be, and approve \
             that with --fire-past, to let them go off"
        ));
    }
    if !error.is_empty() {
        bail!("the application of replay {id} ended early: {error}");
    }
    if count == 0 {
        return match state.as_str() {
            "cancelled" => Err(Failure::Refused(format!("replay {id} was cancelled")).into()),
            _ => Ok(()),
        };
    }
    for line in refused.iter().take(REFUSED_SHOWN_MAX) {
        output::note(line);
    }
    Err(Failure::Refused(format!("keys that were not repaired: {count}")).into())
}

/// The keys that were not repaired, as far as they are listed, and their number.
fn refusals(refused: &Node) -> (Vec<String>, u64) {
    let listed = items(refused, "first");
    let lines: Vec<_> = listed.iter().map(|one| format!("{}: {}", word(one, "key"), word(one, "reason"))).collect();
    let count = lines.len() as u64 + number(refused, "more");
    (lines, count)
}

async fn wait(server: &Server, begun: Answer, is_pending: impl Fn(&Node) -> bool) -> Result<Answer> {
    let id = id_of(&begun)?;
    let mut replay = begun;
    for asked in 1.. {
        let node = replay.node()?;
        if !is_pending(&node) {
            break;
        }
        if asked % TELL_EVERY == 0 {
            output::note(&told(&id, &node));
        }
        tokio::time::sleep(ASK_EVERY).await;
        replay = server.get(&path(&["replays", &id])?).await?;
    }
    Ok(replay)
}

fn is_computing(replay: &Node) -> bool {
    replay.get("progress").is_some()
}

fn is_applying(replay: &Node) -> bool {
    replay.get("application").is_some_and(|application| is_true(application, "running"))
}

/// How far a replay is.
fn told(id: &str, replay: &Node) -> String {
    if let Some(application) = replay.get("application").filter(|_| replay.get("progress").is_none()) {
        let [looked_at, of] = ["looked_at", "keys"].map(|name| number(application, name));
        let some = |name: &str, is: &str| match number(application, name) {
            0 => String::new(),
            some => format!(", {some} {is}"),
        };
        let folded = some("folded", "of receivers folded again");
        let waiting = some("waiting", "wait until a host may be called");
        let repaired = number(application, "repaired");
        return format!("replay {id}: {looked_at} of {of} keys, {repaired} repaired{folded}{waiting}");
    }
    let Some(progress) = replay.get("progress") else { return format!("replay {id} is {}", word(replay, "state")) };
    let left = progress.get("left_ms").and_then(Node::as_u64);
    let left = left.map(|ms| format!(", about {} left", moments::duration(ms))).unwrap_or_default();
    let (percent, executed) = (number(progress, "percent"), number(progress, "executed"));
    format!("replay {id}: {percent}%, {executed} deliveries executed{left}")
}

#[cfg(test)]
mod tests {
    use weirgate_types::json::SHOWN_DEPTH_MAX;

    use super::*;

    #[test]
    fn what_was_left_out_is_said() {
        let said = |json: &str| not_examined(&Node::parse(json, SHOWN_DEPTH_MAX).expect("JSON"));
        assert_eq!(said(r#"{"keys_not_examined":0}"#), Vec::<String>::new());
        let nothing = Node::parse(r#"{"executed":0,"keys":0}"#, SHOWN_DEPTH_MAX).expect("JSON");
        assert_eq!(notes(&nothing), ["no delivery was looked at: the selection takes none"]);
        let both = said(r#"{"keys_not_examined":3,"not_examined":{"limit":"calls","after":9}}"#);
        assert!(both[0].starts_with("the limit calls was reached: events after 9"), "{both:?}");
        assert!(both[1].contains("breaker of a called host was open: 3;"), "{both:?}");
    }

    #[test]
    fn progress_is_told_in_words() {
        for (json, says) in [
            (r#"{"state":"computing","progress":{"percent":0,"executed":0}}"#, "replay 7: 0%, 0 deliveries executed"),
            (
                r#"{"state":"computing","progress":{"percent":40,"executed":12,"left_ms":61000}}"#,
                "replay 7: 40%, 12 deliveries executed, about 1m 1s left",
            ),
            (
                r#"{"state":"applying","progress":{"percent":7,"executed":2},"application":{"running":true}}"#,
                "replay 7: 7%, 2 deliveries executed",
            ),
            (
                r#"{"state":"applying","application":{"running":true,"looked_at":3,"keys":9,"repaired":2}}"#,
                "replay 7: 3 of 9 keys, 2 repaired",
            ),
            (
                r#"{"state":"applying","application":{"running":true,"looked_at":3,"keys":9,"repaired":2,"waiting":6}}"#,
                "replay 7: 3 of 9 keys, 2 repaired, 6 wait until a host may be called",
            ),
            (
                r#"{"state":"applying","application":{"running":true,"looked_at":9,"keys":9,"repaired":9,"folded":4}}"#,
                "replay 7: 9 of 9 keys, 9 repaired, 4 of receivers folded again",
            ),
        ] {
            let node = Node::parse(json, SHOWN_DEPTH_MAX).expect("JSON");
            assert_eq!(told("7", &node), says);
            assert!(is_computing(&node) || is_applying(&node));
        }
    }
}
