//! Clocks that are set while the server runs or before it starts, and schedules, which use only the wall clock.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Client, Server, Setup, WallClock, event, eventually, manifest};

const PATIENCE: Duration = Duration::from_secs(30);
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// The server's report of a clock that was set.
const STEPPED: &str = "the wall clock was set";
const BEHIND: &str = "the wall clock is behind";

async fn server_with(clock: &WallClock) -> Server {
    clock.given_to(Setup::new()).expect_line(STEPPED).expect_line(BEHIND).start().await
}

/// A handler that only a schedule calls.
fn scheduled(schedules: &[(&str, &str)]) -> Value {
    let mut settings = manifest("ledger", &["never.sent"]);
    let one = |(name, cron): &(&str, &str)| {
        let data = json!({ "n": 1, "failures": 0 });
        json!({ "name": name, "cron": cron, "type": "ledger.add", "key": *name, "data": data })
    };
    settings["schedules"] = schedules.iter().map(one).collect();
    settings
}

/// How often a schedule has fired.
async fn fired(client: &Client, key: &str) -> usize {
    let events = client.events_of("ledger.add").await;
    events.iter().filter(|event| event["subject"] == key).count()
}

async fn fires(client: &Client, key: &str, times: usize) {
    eventually(&format!("{key} to fire {times} times"), PATIENCE, async || {
        let seen = fired(client, key).await;
        if seen == times { Ok(()) } else { Err(seen) }
    })
    .await;
}

/// Far enough into a minute that none begins while the test looks.
fn into_a_minute() -> i64 {
    (MINUTE_MS / 4) - WallClock::now_ms(0) % MINUTE_MS
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_fires_repeatedly_on_an_idle_server() {
    let clock = WallClock::new();
    let mut off_ms = into_a_minute();
    clock.set_off_by(off_ms);
    let server = server_with(&clock).await;
    server.client.deploy(&scheduled(&[("often", "* * * * *")]), weirgate_guests::build("ledger")).await;
    for times in 1..=3 {
        off_ms += MINUTE_MS;
        clock.set_off_by(off_ms);
        fires(&server.client, "often", times).await;
    }
    // An hour is missed; it fires once for all of it.
    clock.set_off_by(off_ms + HOUR_MS);
    fires(&server.client, "often", 4).await;
    clock.set_off_by(off_ms + HOUR_MS + MINUTE_MS);
    fires(&server.client, "often", 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_schedule_does_not_return_when_the_views_are_rebuilt() {
    let clock = WallClock::new();
    let off_ms = into_a_minute();
    clock.set_off_by(off_ms);
    let mut server = server_with(&clock).await;
    let module = weirgate_guests::build("ledger");
    server.client.deploy(&scheduled(&[("removed", "* * * * *"), ("kept", "* * * * *")]), module.clone()).await;
    server.client.deploy(&scheduled(&[("kept", "* * * * *")]), module).await;
    server.terminate().await;
    std::fs::remove_dir_all(server.dir.join("views")).expect("removed");
    server.start().await;
    clock.set_off_by(off_ms + MINUTE_MS);
    fires(&server.client, "kept", 1).await;
    assert_eq!(fired(&server.client, "removed").await, 0);
}

/// An event whose first two attempts fail.
fn entry(account: &str) -> Value {
    event("ledger.add", account, &format!("{account}-1"), &json!({ "n": 1, "failures": 2 }))
}

fn retrying() -> Value {
    let mut retrying = manifest("ledger", &["ledger.add"]);
    retrying["retry"] =
        json!([{ "attempts": 9, "first_delay_ms": 300, "factor": 1.0, "delay_ms_max": 300, "jitter": "none" }]);
    retrying
}

/// The times of all records that hold events, in the order of the log.
async fn times(client: &Client) -> Vec<i64> {
    let events = client.events().await;
    let time = |stored: &Value| stored["at_ms"].as_i64().or_else(|| stored["time"].as_i64()).expect("a time");
    events.iter().map(time).collect()
}

async fn metric(client: &Client, line: &str) {
    let text = client.get("/metrics").await.text;
    assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_delays_no_retry() {
    let clock = WallClock::new();
    let mut server = server_with(&clock).await;
    server.client.deploy(&retrying(), weirgate_guests::build("ledger")).await;
    server.client.accept(entry("account/before")).await;
    server.client.reaches("account/before", "ledger", "counted").await;
    let from = server.lines_count();
    clock.set_off_by(-HOUR_MS);
    server.line(STEPPED, from).await;
    server.client.accept(entry("account/after")).await;
    server.client.reaches("account/after", "ledger", "counted").await;
    metric(&server.client, r#"weirgate_clock_steps_total{direction="back"} 1"#).await;
    // The next process finds a log that is ahead of its clock.
    server.restart().await;
    server.client.accept(entry("account/restarted")).await;
    server.client.reaches("account/restarted", "ledger", "counted").await;
    let times = times(&server.client).await;
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn due_times_are_shown_by_the_wall_clock() {
    let clock = WallClock::new();
    let server = server_with(&clock).await;
    let mut slow = retrying();
    slow["retry"][0]["first_delay_ms"] = json!(600_000);
    slow["retry"][0]["delay_ms_max"] = json!(600_000);
    server.client.deploy(&slow, weirgate_guests::build("ledger")).await;
    server.client.accept(entry("account/first")).await;
    let from = server.lines_count();
    clock.set_off_by(-HOUR_MS);
    server.line(STEPPED, from).await;
    server.client.accept(entry("account/1")).await;
    let shown = eventually("the retry to be shown", PATIENCE, async || {
        let part = server.client.get("/v1/status/account/1").await.json["parts"]["ledger"].clone();
        part["delivery"]["next_attempt_at_ms"].as_i64().ok_or(part)
    })
    .await;
    let now_ms = WallClock::now_ms(-HOUR_MS);
    assert!((0..=600_000).contains(&(shown - now_ms)), "{shown} is shown at {now_ms}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_fires_on_time_although_records_are_ahead_of_the_clock() {
    let clock = WallClock::new();
    let server = server_with(&clock).await;
    let prices = manifest("prices", &["price.set"]);
    server.client.deploy(&prices, weirgate_guests::build("prices")).await;
    server.client.accept(event("price.set", "sku/a", "1", &json!({ "cents": 5 }))).await;
    server.client.reaches("sku/a", "prices", "priced").await;
    let from = server.lines_count();
    clock.set_off_by(-HOUR_MS);
    server.line(STEPPED, from).await;
    server.client.accept(event("price.set", "sku/b", "2", &json!({ "cents": 5, "seconds": 1 }))).await;
    server.client.reaches("sku/b", "prices", "ended").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_without_a_battery_starts_in_1970_and_is_set_right_later() {
    let clock = WallClock::new();
    let long_ago_ms = -WallClock::now_ms(0) + HOUR_MS;
    clock.set_off_by(long_ago_ms);
    let mut server = server_with(&clock).await;
    server.client.deploy(&retrying(), weirgate_guests::build("ledger")).await;
    server.client.accept(entry("account/1970")).await;
    server.client.reaches("account/1970", "ledger", "counted").await;
    let from = server.lines_count();
    clock.set_off_by(0);
    server.line(STEPPED, from).await;
    server.client.accept(entry("account/now")).await;
    server.client.reaches("account/now", "ledger", "counted").await;
    metric(&server.client, r#"weirgate_clock_steps_total{direction="forward"} 1"#).await;
    // It is switched off, and starts in 1970 again.
    server.kill9();
    clock.set_off_by(long_ago_ms);
    server.start().await;
    server.client.accept(entry("account/again")).await;
    server.client.reaches("account/again", "ledger", "counted").await;
    let times = times(&server.client).await;
    assert!(times.is_sorted(), "{times:?}");
}
