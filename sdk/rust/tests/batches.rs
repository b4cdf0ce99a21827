//! A batch handler in the test kit: each item's effects, failures of one and of all, and of items behind them.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use weirgate_sdk::{
    prelude::*,
    testing::{Delivery, Run, World},
};

#[derive(Serialize, Deserialize, EventType)]
#[event("meter.read")]
struct Reading {
    watts: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, EventType)]
#[event("meter.share")]
struct Share {
    percent: i64,
}

/// The reason for a batch: each item needs the sum over all.
#[batch_handler]
fn share(items: &mut [Item<Reading>]) -> Result<(), Failure> {
    let sum: i64 = items.iter().map(|item| item.event.data.watts).sum();
    if sum == 0 {
        return Err(Failure::transient("nothing was used"));
    }
    for item in items {
        let watts = item.event.data.watts;
        if watts < 0 {
            item.fail(Failure::permanent("a meter does not run backwards"));
            item.fail(Failure::transient("the first failure counts"));
            assert!(item.failure().is_some_and(Failure::is_permanent));
        }
        let total = item.context.state().get("total")?.unwrap_or(0) + watts;
        item.context.state().set("total", &total)?;
        item.context.set_status("read", format!("{total} in all"));
        item.context.emit(&Share { percent: 100 * watts / sum });
    }
    Ok(())
}

fn reading(meter: &str, watts: i64) -> Delivery {
    Delivery::of(&Reading { watts }).key(format!("meter/{meter}"))
}

fn texts(runs: &[Run]) -> Vec<&str> {
    runs.iter().map(|run| run.status().text.as_str()).collect()
}

#[test]
fn each_item_has_effects_of_its_own_and_sees_earlier_ones_of_its_key() {
    let mut world = World::new();
    let runs = world.run_batch([reading("a", 10), reading("b", 20), reading("a", 30)], share);
    assert_eq!(texts(&runs), ["10 in all", "20 in all", "40 in all"]);
    assert_eq!(runs[1].emitted::<Share>(), [Share { percent: 33 }]);
    assert_eq!((runs[0].state::<i64>("total"), runs[2].state::<i64>("total")), (Some(10), Some(40)));
    let runs = world.run_batch([reading("a", 2)], share);
    assert_eq!(texts(&runs), ["42 in all"]);
    assert_eq!(world.status("meter/b").expect("a status").text, "20 in all");
}

#[test]
fn a_failed_item_blocks_only_its_key() {
    let mut world = World::new();
    let runs = world.run_batch([reading("a", 10), reading("b", -1), reading("a", 10), reading("b", 1)], share);
    assert!(runs[1].failure().is_permanent());
    assert_eq!((runs[0].result(), runs[1].result()), (Ok(()), Err(runs[1].failure())));
    assert!(runs[3].is_blocked() && !runs[2].is_blocked());
    assert_eq!(world.state::<i64>("meter/a", "total"), Some(20));
    assert_eq!(world.state::<i64>("meter/b", "total"), None);
}

#[test]
fn data_that_does_not_fit_fails_alone() {
    let misfit = Delivery::raw("meter.read", "{}").key("meter/b");
    let runs = World::new().run_batch([reading("a", 10), misfit.clone(), reading("c", 10)], share);
    assert!(runs[1].failure().is_permanent());
    assert_eq!(runs[2].emitted::<Share>(), [Share { percent: 50 }]);
    assert!(World::new().run_batch([misfit], share)[0].failure().is_permanent(), "nothing is left to handle");
}

#[test]
fn a_returned_failure_fails_all_items() {
    let runs = World::new().run_batch([reading("a", 0), reading("b", 0)], share);
    assert!(runs.iter().all(|run| *run.failure() == Failure::transient("nothing was used")));
}

#[test]
fn each_item_makes_its_own_calls_to_other_hosts() {
    let ask = |items: &mut [Item<Reading>]| {
        for item in items {
            match item.context.fetch("tariff", Request::get("https://grid.example/")) {
                Ok(answer) => drop(item.context.set_status("asked", answer.text())),
                Err(error) => item.fail(error),
            }
        }
        Ok(())
    };
    let runs = World::new().run_batch(
        [
            reading("a", 1).answer("tariff", Response::new(200).with_body("cheap")),
            reading("b", 1).answer_error("tariff", HttpError::TimedOut),
            reading("c", 1).answer("tariff", Response::new(200).with_body("dear")),
        ],
        ask,
    );
    assert_eq!((runs[0].status().text.as_str(), runs[2].status().text.as_str()), ("cheap", "dear"));
    assert!(runs[1].failure().is_transient());
    assert!(runs.iter().all(|run| run.asked().len() == 1), "of a failed one too");
}

#[test]
fn a_limit_exceeded_by_one_item_fails_all_items() {
    let flood = |items: &mut [Item<Reading>]| {
        (0..256).for_each(|_| drop(items[0].context.config("a")));
        (0..257).for_each(|_| drop(items[1].context.config("a")));
        Ok(())
    };
    let runs = World::new().run_batch([reading("a", 1), reading("b", 1)], flood);
    assert!(runs.iter().all(|run| run.ended() == "too many host calls: at most 256 (limits.host_calls)"));
}

#[test]
fn an_item_sees_earlier_ones_only() {
    let look = |items: &mut [Item<Reading>]| {
        items[2].context.state().set("x", &3)?;
        assert_eq!(items[0].context.state().get::<u8>("x")?, None);
        items[0].context.state().set("x", &1)?;
        items[1].context.state().delete("x");
        assert_eq!(items[2].context.state().get::<u8>("x")?, Some(3));
        items[2].context.state().delete("x");
        assert!(items[2].context.state().list("").is_empty());
        assert_eq!(items[0].context.state().list(""), ["x"]);
        Ok(())
    };
    let runs = World::new().run_batch([reading("a", 1), reading("a", 1), reading("a", 1)], look);
    let after: Vec<_> = runs.iter().map(|run| run.state::<u8>("x")).collect();
    assert_eq!(after, [Some(1), None, None]);
}
